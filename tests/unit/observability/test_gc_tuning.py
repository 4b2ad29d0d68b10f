"""What exists when the caches are filled is not looked at again by the garbage collector."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from sidecar_injector.controllers import caches
from sidecar_injector.observability import gc_tuning
from sidecar_injector.webhook import readiness

FULL = 2
"""The generation whose collection is a full one."""


class Node:
    """Refers to itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    gc.unfreeze()  # What a replica in another test has set aside.
    yield
    gc.unfreeze()


def test_what_exists_is_set_aside_until_the_end() -> None:
    before, thresholds = len(gc.get_objects()), gc.get_threshold()
    gc_tuning.freeze()
    assert len(gc.get_objects()) < before / 10
    assert gc.get_threshold() == thresholds
    gc.unfreeze()
    assert gc.get_freeze_count() == 0


def test_nothing_that_comes_later_is_set_aside() -> None:
    gc_tuning.freeze()
    before = gc.get_freeze_count()
    later = [[number] for number in range(100_000)]
    cycle = weakref.ref(Node())
    gc.collect()
    assert gc.get_freeze_count() <= before
    assert {id(entry) for entry in gc.get_objects()} >= {id(entry) for entry in later}
    assert cycle() is None


def test_what_was_set_aside_is_freed_when_nothing_refers_to_it() -> None:
    replaced = {"entry": Node()}
    del replaced["entry"].itself
    entry = weakref.ref(replaced["entry"])
    gc_tuning.freeze()
    replaced.clear()
    assert entry() is None


def test_the_first_full_collection_does_not_wait_for_as_much_as_was_set_aside() -> None:
    existing = [[number] for number in range(1_000_000)]
    gc_tuning.freeze()
    before = gc.get_stats()[FULL]["collections"]
    after = [[number] for number in range(len(existing) // 8)]
    assert gc.get_stats()[FULL]["collections"] > before
    assert len(after) < len(existing)


async def test_it_is_done_before_a_request_is_answered() -> None:
    ready, frozen = readiness.Readiness(), []
    ready.met(readiness.Condition.CERTIFICATE_LOADED)

    def filled() -> None:
        gc_tuning.freeze()
        frozen.append((gc.get_freeze_count() > 0, ready.able))

    await caches.set_ready_when_synced([], ready, filled=filled)
    assert frozen == [(True, False)]
    assert ready.able
