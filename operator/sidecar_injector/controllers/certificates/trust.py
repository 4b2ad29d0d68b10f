"""Which CAs are in the live webhook configurations, and since when.

A certificate may be signed by a new CA only after that CA has been there for long enough: no API
says when every API server uses a changed configuration.
https://github.com/kubernetes/kubernetes/issues/54712
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Set

from sidecar_injector.kube import api
from sidecar_injector.pki import webhook_configuration


@dataclasses.dataclass(frozen=True, slots=True)
class _Observation:
    version: str
    since: Mapping[str, float]
    """Fingerprints of the CAs that every entry contains, with the time when each was first seen."""


class Trust:
    """The CAs that every entry of every existing configuration of this name contains.

    No CA is live while the mutating configuration does not exist or has no entry: then no API
    server calls us, and we would wait for ever.
    """

    def __init__(self, client: api.Api, *, name: str, monotonic: Callable[[], float]) -> None:
        self._api, self._name, self._monotonic = client, name, monotonic
        self._observations: dict[api.Resource, _Observation] = {}
        self._ever_live: set[str] = set()
        self._listeners: list[Callable[[], None]] = []

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each change."""
        self._listeners.append(listener)

    def observe(
        self, resource: api.Resource, configuration: api.Json | None, *, unbroken: bool
    ) -> None:
        """The configuration has changed to this.

        Without `unbroken` a change in between may have been missed, and every wait begins again.
        """
        before = self._observations.get(resource)
        since = before.since if before and unbroken else {}
        now = self._monotonic()
        if configuration is None or not configuration.get("webhooks"):
            self._observations.pop(resource, None)
        else:
            self._observations[resource] = _Observation(
                api.resource_version(configuration),
                {
                    fingerprint: since.get(fingerprint, now)
                    for fingerprint in webhook_configuration.common_cas(configuration)
                },
            )
        self._ever_live |= self.live_cas()
        for listener in self._listeners:
            listener()

    def live_seconds(self) -> dict[str, float]:
        """Fingerprints of the live CAs, with the seconds for which each has been live."""
        if api.MUTATING not in self._observations:
            return {}
        now = self._monotonic()
        common: Set[str] = self._observations[api.MUTATING].since.keys()
        for observation in self._observations.values():
            common = common & observation.since.keys()
        return {
            fingerprint: now - max(each.since[fingerprint] for each in self._observations.values())
            for fingerprint in common
        }

    def live_cas(self) -> frozenset[str]:
        """Fingerprints of the live CAs."""
        return frozenset(self.live_seconds())

    def was_live(self, fingerprint: str) -> bool:
        """Whether this CA has been live at any time since the start of the process."""
        return fingerprint in self._ever_live

    async def is_current(self) -> bool:
        """Whether the API server has nothing newer than what was observed.

        A watch that has silently died reports no change; a read does.
        """
        for resource in api.WEBHOOK_CONFIGURATIONS.values():
            observation = self._observations.get(resource)
            live = await api.get_or_none(self._api, resource, name=self._name)
            version = api.resource_version(live) if live and live.get("webhooks") else None
            if version != (observation.version if observation else None):
                return False
        return True
