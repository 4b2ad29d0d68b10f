"""Which CAs the API servers have been told to trust, and since when.

The other half of a CA roll: a certificate may be signed by a new CA only after that CA has been in
the live webhook configurations for long enough. No API says when a change is in force.
https://github.com/kubernetes/kubernetes/issues/54712
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Set

from sidecar_injector.kube import api
from sidecar_injector.pki import webhook_configuration


@dataclasses.dataclass(frozen=True, slots=True)
class _Seen:
    version: str
    since: Mapping[str, float]


class Trust:
    """The CAs that every entry of every existing configuration named `name` carries.

    Nothing counts as trusted while the mutating configuration does not exist or has no entry: then
    nobody calls us, and there is nothing to wait for.
    """

    def __init__(self, api_client: api.Api, *, name: str, monotonic: Callable[[], float]) -> None:
        self._api, self._name, self._monotonic = api_client, name, monotonic
        self._seen: dict[api.Resource, _Seen] = {}
        self._ever: set[str] = set()
        self._listeners: list[Callable[[], None]] = []

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each change."""
        self._listeners.append(listener)

    def observe(
        self, resource: api.Resource, configuration: api.Json | None, *, unbroken: bool
    ) -> None:
        """A configuration is now this. Without `unbroken` something may have happened in between,
        and all waiting begins anew."""
        before = self._seen.get(resource)
        known = before.since if before and unbroken else {}
        now = self._monotonic()
        if configuration is None or not configuration.get("webhooks"):
            self._seen.pop(resource, None)
        else:
            carried = webhook_configuration.common_authorities(configuration)
            since = {fingerprint: known.get(fingerprint, now) for fingerprint in carried}
            self._seen[resource] = _Seen(api.resource_version(configuration), since)
        self._ever |= self.fingerprints()
        for listener in self._listeners:
            listener()

    def seen_for(self) -> dict[str, float]:
        """Fingerprints of the trusted CAs, with the seconds for which they have been so."""
        if api.MUTATING not in self._seen:
            return {}
        now = self._monotonic()
        common: Set[str] = self._seen[api.MUTATING].since.keys()
        for seen in self._seen.values():
            common = common & seen.since.keys()
        return {
            fingerprint: now - max(seen.since[fingerprint] for seen in self._seen.values())
            for fingerprint in common
        }

    def fingerprints(self) -> frozenset[str]:
        """The CAs that are trusted now."""
        return frozenset(self.seen_for())

    def ever(self, fingerprint: str) -> bool:
        """Whether this CA has been trusted at any time since we started."""
        return fingerprint in self._ever

    async def confirmed(self) -> bool:
        """Whether the API server itself has nothing newer than what was observed.

        A watch that died silently goes on telling that all is well; asking does not.
        """
        for resource in (api.MUTATING, api.VALIDATING):
            seen = self._seen.get(resource)
            try:
                live = await self._api.get(resource, name=self._name)
            except api.ApiError as error:
                if error.status != api.NOT_FOUND:
                    raise
                live = None
            version = api.resource_version(live) if live and live.get("webhooks") else None
            if version != (seen.version if seen else None):
                return False
        return True
