"""What a replica waits for before requests should be sent to it."""

from __future__ import annotations

import pytest

from sidecar_injector.webhook import readiness
from sidecar_injector.webhook.readiness import Condition

AT_START = [c for c in Condition if c is not Condition.NOT_DRAINING]


def complete() -> readiness.Readiness:
    state = readiness.Readiness()
    for condition in AT_START:
        state.met(condition)
    return state


def test_at_the_start_everything_but_terminating_is_missing() -> None:
    state = readiness.Readiness()
    assert not state.ready
    assert not state.able
    assert state.reasons() == tuple(c.value for c in AT_START)


def test_it_is_ready_when_nothing_is_missing() -> None:
    state = complete()
    assert state.ready
    assert state.able
    assert state.reasons() == ()


@pytest.mark.parametrize("condition", [c for c in Condition if c not in readiness.LATCHED])
def test_one_missing_condition_is_enough_to_be_unready(condition: Condition) -> None:
    state = complete()
    state.unmet(condition, "because")
    assert not state.ready
    assert state.reasons() == ("because",)
    state.met(condition)
    assert state.ready


def test_an_emptied_bundle_does_not_make_replicas_unready() -> None:
    state = complete()
    state.unmet(Condition.ISSUER_SEEN)
    assert state.ready


def test_until_the_issuer_was_seen_its_reason_may_change() -> None:
    state = readiness.Readiness()
    state.unmet(Condition.ISSUER_SEEN, "the webhook configuration does not exist")
    assert "the webhook configuration does not exist" in state.reasons()


@pytest.mark.parametrize(
    ("condition", "able"),
    [
        (Condition.NOT_DRAINING, True),
        (Condition.SELF_PROBE, True),
        (Condition.CERTIFICATE_LOADED, False),
        (Condition.CACHES_SYNCED, False),
    ],
)
def test_requests_that_come_are_answered_unless_the_answer_would_be_wrong(
    condition: Condition, *, able: bool
) -> None:
    state = complete()
    state.unmet(condition)
    assert state.able is able
    assert not state.ready
