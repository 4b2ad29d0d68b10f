"""The limit of writes: a few at once, then one a minute, for each object apart."""

from __future__ import annotations

from collections.abc import Hashable

import pytest

from sidecar_injector.controllers import rate_limit


class Limited:
    """A limiter with a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.limiter = rate_limit.WriteLimiter(lambda: self.now)

    def write(self, key: Hashable = None, value: Hashable = None) -> float:
        """Write if that is allowed; returns the delay."""
        delay = self.limiter.delay(key, value)
        if not delay:
            self.limiter.count(key, value)
        return delay


@pytest.fixture
def limited() -> Limited:
    return Limited()


def test_five_tries_then_one_a_minute_and_fast_again_after_a_quiet_while(limited: Limited) -> None:
    delays = []
    for limited.now in (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 63.5, 64.0, 65.0):
        delays.append(limited.write())
    assert delays == [0.0] * 5 + [59.0, 0.5, 0.0, 59.0]
    limited.now = 66.0
    limited.limiter.observe_correct()
    limited.now += rate_limit.STABLE_SECONDS - 0.1
    assert limited.write() > 0
    limited.now = 80.0
    limited.limiter.observe_correct()
    limited.now += rate_limit.STABLE_SECONDS
    assert limited.limiter.is_stable()
    assert limited.write() == 0.0


def test_a_writer_that_never_waits_gets_five_writes_in_the_first_minute_and_then_one_a_minute(
    limited: Limited,
) -> None:
    writes = []
    for second in range(600):
        limited.now = float(second)
        writes += [second // 60] * (not limited.write())
    assert [writes.count(minute) for minute in range(10)] == [5, 1, 1, 1, 1, 1, 1, 1, 1, 1]


def test_another_value_is_no_repetition(limited: Limited) -> None:
    assert [limited.write(value=number) for number in range(20)] == [0.0] * 20


def test_each_object_has_its_own_limit(limited: Limited) -> None:
    assert [limited.write("a") > 0 for _ in range(6)] == [False] * 5 + [True]
    assert not limited.write("b")


def test_objects_that_are_not_written_any_more_are_forgotten(limited: Limited) -> None:
    for number in range(1000):
        limited.write(number)
        limited.now += 1.0
    assert len(limited.limiter) <= rate_limit.FORGET_SECONDS + 1
