"""Who claims what, kept up to date as a merge adds."""

from __future__ import annotations

from sidecar_injector.core.merging import status_annotation
from sidecar_injector.core.merging.claims import Claims
from sidecar_injector.core.merging.status_annotation import Entry


def entry(name, *, patched=(), **added):
    return Entry(kind="K", name=name, added=added, patched=patched)


def record(path, **members):
    return {"op": "add", "path": path, **members}


def everything(claims):
    return (
        claims.entries, claims.names, claims.containers, claims.volumes, claims.records,
        claims.item_keys,
    )  # fmt: skip


ENTRIES = [
    entry("a", containers=["x"], volumes=["v"], patched=(record("/p"), record("/q", value=1))),
    entry("b", initContainers=["x", "y"], volumes=["v"], patched=(record("/p", value=2),)),
    entry("c", containers=["y"], labels={"l": "m"}),
]


def test_claims_that_grow_are_the_same_as_claims_that_are_read_at_once():
    growing = Claims(())
    for number, new in enumerate(ENTRIES, 1):
        growing = growing.with_entry(new)
        assert everything(growing) == everything(Claims(ENTRIES[:number]))


def test_a_newer_entry_takes_the_place_of_the_older_one():
    first, second, third = ENTRIES
    newer = entry("b", containers=["z"], patched=(record("/r"),))
    claims = Claims(ENTRIES).with_entry(newer)
    assert everything(claims) == everything(Claims([first, newer, third]))
    assert claims.entry(second.identity) is newer


def test_the_records_of_others_are_those_without_ones_own():
    for own in ENTRIES:
        others = Claims(other for other in ENTRIES if other is not own)
        assert Claims(ENTRIES).records_of_others(own) == others.records
    assert Claims(ENTRIES).records_of_others(None) == Claims(ENTRIES).records


def test_a_name_that_an_entry_repeats_is_one_claim():
    text = (
        '{"version":1,"injections":[{"kind":"K","name":"n","added":{"containers":["x","x","x"]}}]}'
    )
    recorded = status_annotation.read({"sidecar-injector.dev/status": text})
    claims = Claims(recorded.entries)
    assert claims.containers == {"x": list(recorded.entries)}
