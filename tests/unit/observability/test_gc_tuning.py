"""What has come to stay is not looked at again by the garbage collector."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from sidecar_injector.controllers import caches
from sidecar_injector.observability import gc_tuning
from sidecar_injector.webhook import readiness


@pytest.fixture
def watch() -> Iterator[gc_tuning.Watch]:
    assert gc.get_freeze_count() == 0
    made = gc_tuning.Watch()
    yield made
    made.end()


def test_what_is_there_from_the_start_is_set_aside_until_the_end(watch: gc_tuning.Watch) -> None:
    there, thresholds = len(gc.get_objects()), gc.get_threshold()
    watch.begin()
    assert len(gc.get_objects()) < there / 10
    assert gc.get_threshold()[gc_tuning.FULL] == gc_tuning.FULL_AFTER
    watch.end()
    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() == thresholds
    watch.end()


@pytest.mark.parametrize(("longest", "is_set_aside"), [(0.0, True), (3600.0, False)])
def test_a_long_collection_sets_aside_what_has_survived_it(
    watch: gc_tuning.Watch, monkeypatch: pytest.MonkeyPatch, longest: float, is_set_aside: bool
) -> None:
    monkeypatch.setattr(gc_tuning, "LONG_SECONDS", longest)
    watch.begin()
    stays = [[number] for number in range(1000)]
    gc.collect()
    looked_at = {id(one) for one in gc.get_objects()}
    assert {id(one) in looked_at for one in stays} == {not is_set_aside}


def test_only_a_full_collection_tells_what_has_come_to_stay(
    watch: gc_tuning.Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gc_tuning, "LONG_SECONDS", 0.0)
    watch.begin()
    before = gc.get_freeze_count()
    gc.collect(gc_tuning.FULL - 1)
    assert gc.get_freeze_count() == before


def test_the_first_full_collection_does_not_wait_for_as_much_as_was_set_aside(
    watch: gc_tuning.Watch,
) -> None:
    there = [[number] for number in range(1_000_000)]
    watch.begin()
    before = gc.get_stats()[gc_tuning.FULL]["collections"]
    after = [[number] for number in range(len(there) // 8)]
    assert gc.get_stats()[gc_tuning.FULL]["collections"] > before
    assert len(after) < len(there)


async def test_it_is_done_before_anybody_is_answered(watch: gc_tuning.Watch) -> None:
    ready, frozen = readiness.Readiness(), []
    ready.met(readiness.Condition.CERTIFICATE_LOADED)

    def filled() -> None:
        watch.begin()
        frozen.append((gc.get_freeze_count() > 0, ready.able))

    await caches.tell_when_synced([], ready, filled=filled)
    assert frozen == [(True, False)]
    assert ready.able
