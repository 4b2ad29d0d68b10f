"""The caBundles of the webhook configurations, compared with what they should be."""

from __future__ import annotations

import base64
import binascii
import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from sidecar_injector.kube import api
from sidecar_injector.pki import checks, webhook_configuration

IN_SYNC, EMPTY, BEHIND, FOREIGN = "in sync", "empty", "behind", "foreign"
NO_CONFIGURATION = "no configuration"
UNKNOWN = "unknown"
"""There is a caBundle, but the Secret that it is compared with cannot be used."""

Configurations = Mapping[str, api.Json | None]
"""Webhook configurations by kind; None where none has our name."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """The caBundle of one webhook."""

    kind: str
    entry: str
    """The webhook's name; empty where there is no configuration."""
    state: str

    @property
    def place(self) -> str:
        """The webhook, or the kind of the missing configuration."""
        return self.entry or self.kind


async def configurations(client: api.Api, name: str) -> Configurations:
    """Both webhook configurations of a release."""
    return {
        kind: await api.get_or_none(client, resource, name=name)
        for kind, resource in api.WEBHOOK_CONFIGURATIONS.items()
    }


def authorities(live: Configurations) -> frozenset[str]:
    """Fingerprints of the CAs that every webhook trusts."""
    # The API server leaves out an empty list; without webhooks there is nothing to trust with.
    trusted = [
        webhook_configuration.common_cas(configuration)
        for configuration in live.values()
        if configuration and configuration.get("webhooks")
    ]
    return frozenset.intersection(*trusted) if trusted else frozenset()


def compare(live: Configurations, wanted: bytes | None) -> Iterator[Bundle]:
    """The state of each caBundle; `wanted` is what it should be, None if that is not known."""
    for kind, configuration in live.items():
        if configuration is None:
            yield Bundle(kind=kind, entry="", state=NO_CONFIGURATION)
            continue
        for entry in configuration.get("webhooks") or ():
            encoded = entry["clientConfig"].get("caBundle", "")
            yield Bundle(kind=kind, entry=entry["name"], state=_state(encoded, wanted))


def problems(bundles: Sequence[Bundle]) -> list[str]:
    """A sentence for each caBundle that is not as it should be."""
    return [
        f"caBundle of {bundle.entry}: {bundle.state}"
        if bundle.entry
        else f"there is no {bundle.kind}"
        for bundle in bundles
        if bundle.state not in (IN_SYNC, UNKNOWN)
    ]


def _state(encoded: str, wanted: bytes | None) -> str:
    try:
        bundle = base64.b64decode(encoded)
    except binascii.Error:
        return FOREIGN
    if not bundle:
        return EMPTY
    if wanted is None:
        return UNKNOWN
    actual, expected = checks.fingerprints(bundle), checks.fingerprints(wanted)
    if actual == expected:
        return IN_SYNC
    return BEHIND if actual & expected else FOREIGN
