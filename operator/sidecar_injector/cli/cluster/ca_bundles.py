"""The caBundles of the webhook configurations, beside what they should be."""

from __future__ import annotations

import base64
import binascii
import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from sidecar_injector.cli.cluster import objects
from sidecar_injector.kube import api
from sidecar_injector.pki import checks
from sidecar_injector.pki import webhook_configuration as answers

IN_SYNC, EMPTY, BEHIND, FOREIGN = "in sync", "empty", "behind", "foreign"
NO_CONFIGURATION = "no configuration"
UNKNOWN = "unknown"
"""There is one, and nothing to compare it with, as the Secret cannot be used."""
KINDS = {
    "MutatingWebhookConfiguration": api.MUTATING,
    "ValidatingWebhookConfiguration": api.VALIDATING,
}

Configurations = Mapping[str, api.Json | None]
"""By kind; None where there is none of our name."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """The caBundle of one webhook."""

    kind: str
    entry: str
    """The webhook's name; empty where there is no configuration."""
    state: str

    @property
    def place(self) -> str:
        """In a word for people."""
        return self.entry or self.kind


async def configurations(asked: api.Api, name: str) -> Configurations:
    """Both configurations of a release."""
    return {
        kind: await objects.found(asked, resource, name=name) for kind, resource in KINDS.items()
    }


def authorities(live: Configurations) -> frozenset[str]:
    """Fingerprints of the CAs that every webhook trusts."""
    each = [
        answers.common_authorities(configuration)
        for configuration in live.values()
        if configuration and configuration.get("webhooks")
    ]
    return frozenset.intersection(*each) if each else frozenset()


def found(live: Configurations, wanted: bytes | None) -> Iterator[Bundle]:
    """The state of each; `wanted` is what they should hold, None if that is not known."""
    for kind, configuration in live.items():
        if configuration is None:
            yield Bundle(kind=kind, entry="", state=NO_CONFIGURATION)
            continue
        for entry in configuration.get("webhooks") or ():
            given = entry["clientConfig"].get("caBundle", "")
            yield Bundle(kind=kind, entry=entry["name"], state=_state(given, wanted))


def problems(bundles: Sequence[Bundle]) -> list[str]:
    """A sentence for each that is not as it should be."""
    return [
        f"caBundle of {one.entry}: {one.state}" if one.entry else f"there is no {one.kind}"
        for one in bundles
        if one.state not in (IN_SYNC, UNKNOWN)
    ]


def _state(given: str, wanted: bytes | None) -> str:
    try:
        held = base64.b64decode(given)
    except binascii.Error:
        return FOREIGN
    if not held:
        return EMPTY
    if wanted is None:
        return UNKNOWN
    actual, expected = checks.fingerprints(held), checks.fingerprints(wanted)
    if actual == expected:
        return IN_SYNC
    return BEHIND if actual & expected else FOREIGN
