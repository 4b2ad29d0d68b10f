"""Pods that were refused, as the Events of their owners say."""

from __future__ import annotations

import pytest

from sidecar_injector.cli.cluster import owners, refusals
from sidecar_injector.kube import api
from tests.kits import fake_api

OWNER = {"apiVersion": "apps/v1", "kind": "StatefulSet", "namespace": "demo", "name": "db"}


def event(name, note, **fields):
    return {
        "metadata": {"name": name, "namespace": "demo"}, "reason": "FailedCreate",
        "note": note, "regarding": OWNER, **fields,
    }  # fmt: skip


class Events(fake_api.FakeApi):
    """A cluster that selects Events by their reason."""

    async def pages(self, resource, *, scope=api.EVERYTHING, limit=500):
        if resource == api.EVENTS:
            assert scope.field_selector == "reason=FailedCreate"
        async for page in super().pages(resource, scope=api.Scope(), limit=limit):
            yield page


async def test_the_newest_refusal_of_an_owner_counts_and_those_of_others_do_not():
    fake = Events()
    old, new = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
    for item in (
        event("a", f"create Pod: {refusals.DENIED}one", deprecatedLastTimestamp=old),
        event("b", f"{refusals.DENIED}two", series={"lastObservedTime": new}),
        event("c", "exceeded quota"),
    ):
        fake.seed(api.EVENTS, item)
    (refusal,) = await refusals.read(owners.Owners(fake), None)
    assert (str(refusal.owner), refusal.last, refusal.message) == (
        "demo/StatefulSet/db", new, "two",
    )  # fmt: skip


@pytest.mark.parametrize("missing", ["namespace", "kind", "name", None])
async def test_a_forged_event_is_left_out(missing):
    fake = Events()
    regarding = {key: value for key, value in OWNER.items() if missing and key != missing}
    fake.seed(api.EVENTS, event("a", f"{refusals.DENIED}x", regarding=regarding))
    assert await refusals.read(owners.Owners(fake), None) == []
