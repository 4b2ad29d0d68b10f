"""Namespaces whose label is mistyped: nothing is injected there, and nobody would ever be told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from sidecar_injector import names
from sidecar_injector.core import audit
from sidecar_injector.core.injections import namespace_view
from sidecar_injector.kube import api, events

log = logging.getLogger(__name__)

AGAIN_SECONDS: Final = 3600.0
"""An Event is kept for an hour unless the API server was told otherwise."""


class Labels:
    """Tells of each mistyped label once, and again after an hour while it is still so."""

    def __init__(self, recorder: events.Recorder, *, monotonic: Callable[[], float]) -> None:
        self._recorder, self._monotonic = recorder, monotonic
        self._told: dict[str, tuple[str, float]] = {}

    def look(self, namespace: namespace_view.Namespace, *, uid: str) -> None:
        """At a namespace as it is now."""
        if not audit.is_mistyped(namespace):
            self._told.pop(namespace.name, None)
            return
        value, now = namespace.labels[names.INJECTION_LABEL], self._monotonic()
        said, when = self._told.get(namespace.name, ("", 0.0))
        if said == value and now - when < AGAIN_SECONDS:
            return
        self._told[namespace.name] = value, now
        command = (
            f"kubectl label namespace {namespace.name} {names.INJECTION_LABEL}={names.ENABLED}"
        )
        message = (
            f"The label {names.INJECTION_LABEL}={value} means nothing, so no pod is injected here."
            f" To enable injection: {command} --overwrite"
        )
        if said != value:
            log.warning("namespace %s: %s", namespace.name, message)
        self._recorder.record(
            events.Event(
                about=events.About(
                    api_version=api.NAMESPACES.api_version,
                    kind="Namespace",
                    name=namespace.name,
                    uid=uid,
                ),
                reason="UnknownLabelValue",
                message=message,
                action="Audit",
            )
        )

    def forget(self, name: str) -> None:
        """A namespace that is gone."""
        self._told.pop(name, None)

    def forget_all(self) -> None:
        """From now on somebody else looks."""
        self._told.clear()
