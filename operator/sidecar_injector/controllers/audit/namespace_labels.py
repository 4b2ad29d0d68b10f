"""Reports namespaces whose label has a value without a meaning: no pod is injected there."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from sidecar_injector import names
from sidecar_injector.core import audit
from sidecar_injector.core.injections import namespace_view
from sidecar_injector.kube import api, events

log = logging.getLogger(__name__)

REPEAT_SECONDS: Final = 3600.0
"""The API server deletes an Event after an hour, by default."""


class Labels:
    """Reports each mistyped label once, and again every hour until it is corrected."""

    def __init__(self, recorder: events.Recorder, *, monotonic: Callable[[], float]) -> None:
        self._recorder, self._monotonic = recorder, monotonic
        self._reported: dict[str, tuple[str, float]] = {}
        """Value and time of the last report, by namespace."""

    def check(self, namespace: namespace_view.Namespace, resource: api.Json) -> None:
        """Report the label of this namespace, which `resource` is, if it is mistyped."""
        if not audit.is_mistyped(namespace):
            self.forget(namespace.name)
            return
        value, now = namespace.labels[names.INJECTION_LABEL], self._monotonic()
        reported_value, reported_at = self._reported.get(namespace.name, ("", 0.0))
        if reported_value == value and now - reported_at < REPEAT_SECONDS:
            return
        self._reported[namespace.name] = value, now
        command = (
            f"kubectl label namespace {namespace.name} {names.INJECTION_LABEL}={names.ENABLED}"
        )
        message = (
            f"The label {names.INJECTION_LABEL}={value} means nothing, so no pod is injected here."
            f" To enable injection: {command} --overwrite"
        )
        if reported_value != value:
            log.warning("namespace %s: %s", namespace.name, message)
        self._recorder.record(
            events.Event(
                regarding=events.ObjectRef.of(resource, api.NAMESPACES),
                reason="UnknownLabelValue",
                message=message,
                action="Audit",
            )
        )

    def forget(self, name: str) -> None:
        """Forget the report about a namespace."""
        self._reported.pop(name, None)

    def forget_all(self) -> None:
        """Forget all reports: another replica checks from now on."""
        self._reported.clear()
