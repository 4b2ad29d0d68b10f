"""Pauses double up to a limit and begin again after a success."""

from sidecar_injector.kube import backoff


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
