"""Pods that the injector has refused: they do not exist, so the Events of their owners count."""

from __future__ import annotations

import dataclasses

from sidecar_injector import names
from sidecar_injector.cli.cluster import objects, owners
from sidecar_injector.core.pods.owner import Owner
from sidecar_injector.kube import api

DENIED = f'admission webhook "{names.MUTATE_WEBHOOK}" denied the request: '
"""https://github.com/kubernetes/apiserver/blob/master/pkg/admission/plugin/webhook/errors/statuserror.go"""
_EVENTS = "reason=FailedCreate"
"""What every controller calls it, and what a field selector can select."""


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Refusal:
    """The newest refusal of an owner's pods within the lifetime of Events, an hour by default."""

    owner: Owner
    last: str
    """RFC 3339; empty if the Event has no time."""
    message: str


async def read(lookup: owners.Owners, namespace: str | None) -> list[Refusal]:
    """The refusals in a namespace, or in all; the owner is the Deployment of a ReplicaSet."""
    scope = api.Scope(namespace=namespace, field_selector=_EVENTS)
    newest: dict[Owner, Refusal] = {}
    for event in await objects.read_all(lookup.client, api.EVENTS, scope=scope):
        _, is_ours, message = str(event.get("note")).partition(DENIED)
        regarding = event.get("regarding") or {}
        # Who may create Events may write anything into them.
        if not is_ours or not all(regarding.get(key) for key in ("namespace", "kind", "name")):
            continue
        owner = await lookup.above(regarding)
        refusal = Refusal(owner, _last(event), message)
        newest[owner] = max(refusal, newest.get(owner, refusal))
    return sorted(newest.values())


def _last(event: api.Json) -> str:
    """When it happened last; controllers still write the older field."""
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("deprecatedLastTimestamp"))
    return next(filter(None, (*times, event.get("eventTime"))), "")
