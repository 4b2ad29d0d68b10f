"""Reports namespaces whose metadata nearly enables injection: no pod is injected there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Final

from sidecar_injector.core import near_misses
from sidecar_injector.core.injections import namespace_view
from sidecar_injector.kube import api, events

log = logging.getLogger(__name__)

REPEAT_SECONDS: Final = 3600.0
"""The API server deletes an Event after an hour, by default."""


class Labels:
    """Reports the mistakes of a namespace once, and again every hour until they are corrected."""

    def __init__(
        self, recorder: events.Recorder, *, release_namespace: str, monotonic: Callable[[], float]
    ) -> None:
        self._recorder, self._monotonic = recorder, monotonic
        self._release_namespace = release_namespace
        self._reported: dict[str, tuple[str, list[near_misses.NearMiss], float]] = {}
        """Uid, findings and time of the last report, by namespace."""

    def check(self, namespace: namespace_view.Namespace, resource: api.Json) -> None:
        """Report what is wrong with this namespace, which `resource` is."""
        findings = near_misses.of_namespace(namespace, release_namespace=self._release_namespace)
        if not findings:
            self.forget(namespace.name)
            return
        uid, now = api.metadata(resource).get("uid", ""), self._monotonic()
        reported_uid, reported, reported_at = self._reported.get(namespace.name, ("", [], 0.0))
        if reported_uid != uid:
            # It was deleted, and created again.
            reported = []
        if reported == findings and now - reported_at < REPEAT_SECONDS:
            return
        self._reported[namespace.name] = uid, findings, now
        for finding in findings:
            if finding not in reported:
                log.warning("namespace %s: %s", namespace.name, finding.message)
            self._recorder.record(
                events.Event(
                    regarding=events.ObjectRef.of(resource, api.NAMESPACES),
                    reason=finding.reason.value,
                    message=finding.message,
                    action="Audit",
                )
            )

    def forget(self, name: str) -> None:
        """Forget the report about a namespace."""
        self._reported.pop(name, None)

    def keep_only(self, names: Collection[str]) -> None:
        """Forget the reports about all other namespaces."""
        for name in self._reported.keys() - names:
            self.forget(name)

    def forget_all(self) -> None:
        """Forget all reports: another replica checks from now on."""
        self._reported.clear()
