"""Pauses double up to a limit, begin again after a success, and obey the API server."""

import pytest

from sidecar_injector.kube import api, backoff
from tests.kits import fake_api


def test_pauses_double_up_to_the_longest() -> None:
    pauses = backoff.Backoff(first=0.5, longest=3.0)
    assert [pauses.next() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_after_a_success_they_begin_again() -> None:
    pauses = backoff.Backoff(first=0.5, longest=3.0)
    pauses.next()
    pauses.next()
    pauses.reset()
    assert pauses.next() == 0.5


def test_half_a_success_only_shortens_the_next_pause() -> None:
    pauses = backoff.Backoff(first=0.5, longest=8.0)
    pauses.reset(at_most=1.0)
    assert pauses.next() == 0.5
    for _ in range(5):
        pauses.next()
    pauses.reset(at_most=1.0)
    assert [pauses.next(), pauses.next()] == [1.0, 2.0]


def refusal(status: int, retry_after: float = 0.0) -> api.ApiError:
    return api.ApiError(status=status, reason="r", message="m", path="/", retry_after=retry_after)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_overloaded_server_is_left_alone_for_longer(status: int) -> None:
    pauses = backoff.Backoff(first=0.5, longest=3.0, spread=lambda: 0.0)
    longest = max(pauses.next(refusal(status)) for _ in range(20))
    assert longest == backoff.LONGEST_OVERLOAD
    assert pauses.next(fake_api.refusal(403, "Forbidden")) == 3.0


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0])
def test_nobody_comes_back_before_the_server_allows_it_nor_all_at_once(spread: float) -> None:
    pauses = backoff.Backoff(first=0.5, longest=3.0, spread=lambda: spread)
    assert pauses.next(refusal(429, retry_after=20.0)) == 20.0 * (1 + spread / 2)


def test_a_wait_without_end_is_cut_to_a_minute() -> None:
    pauses = backoff.Backoff(first=0.5, longest=3.0)
    for seconds in (3600.0, 1e300, float("inf")):
        assert pauses.next(refusal(429, retry_after=seconds)) == api.LONGEST_RETRY_AFTER
    assert pauses.next(refusal(429, retry_after=-5.0)) < api.LONGEST_RETRY_AFTER


def test_pauses_after_errors_differ_between_replicas() -> None:
    pauses = [backoff.Backoff(first=1.0, longest=3.0).next(refusal(403)) for _ in range(50)]
    assert len(set(pauses)) > 10
    assert all(0.5 <= pause <= 1.0 for pause in pauses)
