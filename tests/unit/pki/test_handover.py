"""When one certificate may take another's place, and when it is taken back."""

from __future__ import annotations

import datetime

import pytest

from sidecar_injector.pki import checks, handover, plan
from sidecar_injector.pki.handover import (
    BURST,
    FIRST_RETRY_SECONDS,
    LONGEST_RETRY_SECONDS,
    TRIAL_SECONDS,
)
from tests.kits import pki as kit

LEAF_END = kit.FIRST.leaf.parsed().not_valid_after_utc
OLD = checks.fingerprint(kit.FIRST.ca.certificate)
NEW = checks.fingerprint(kit.SWITCHED.ca.certificate)


def allowed(
    live: dict[str, float],
    *,
    served: bytes | None = kit.FIRST.leaf.certificate,
    candidate: str = NEW,
    wait: float = 60,
    now: datetime.datetime = kit.NOW,
) -> bool:
    return handover.may_serve(
        {candidate}, served=served, served_by={OLD}, live_seconds=live, wait=wait, now=now
    )


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        pytest.param({}, False, id="nothing-is-trusted"),
        pytest.param({OLD: 900.0}, False, id="only-the-old-issuer-is-trusted"),
        pytest.param({OLD: 900.0, NEW: 59.9}, False, id="the-new-one-not-for-long-enough"),
        pytest.param({OLD: 900.0, NEW: 60.0}, True, id="the-new-one-for-long-enough"),
        pytest.param({NEW: 0.0}, True, id="the-old-one-no-more"),
    ],
)
def test_no_replica_goes_ahead_of_the_trust_of_the_api_servers(
    live: dict[str, float], *, expected: bool
) -> None:
    assert allowed(live) is expected


def test_what_is_served_is_kept_as_long_as_it_is_in_date() -> None:
    assert not allowed({}, now=LEAF_END)
    assert allowed({}, now=LEAF_END + kit.SECOND)


def test_the_first_one_and_one_of_the_same_issuer_need_no_trust() -> None:
    assert allowed({}, served=None)
    assert allowed({}, candidate=OLD)


def test_a_certificate_is_traced_to_every_ca_that_could_verify_it() -> None:
    extended = kit.take(plan.Action.EXTEND_CA, kit.FIRST)
    both = kit.FIRST.bundle() + extended.bundle() + kit.OTHER.bundle()
    issuers = handover.issuers(kit.FIRST.leaf.certificate, both)
    assert issuers == {OLD, checks.fingerprint(extended.ca.certificate)}


@pytest.mark.parametrize(
    ("live", "left", "expected"),
    [
        pytest.param({OLD}, handover.LAST_SECONDS + 1, True, id="good-for-long-enough"),
        pytest.param({OLD}, handover.LAST_SECONDS, False, id="ends-too-soon"),
        pytest.param({NEW}, 86_400, False, id="its-issuer-is-not-live"),
    ],
)
def test_a_refused_certificate_is_replaced_only_by_a_better_one(
    live: set[str], left: float, *, expected: bool
) -> None:
    now = LEAF_END - datetime.timedelta(seconds=left)
    leaf = kit.FIRST.leaf.certificate
    assert handover.may_return_to(leaf, issuers={OLD}, live_cas=live, now=now) is expected


def refusals(trial: handover.Trial, moments: list[float]) -> list[bool]:
    return [trial.is_refused(moment) for moment in moments]


def test_a_burst_of_refusals_after_a_change_takes_it_back() -> None:
    trial = handover.Trial()
    trial.begin(100.0)
    assert refusals(trial, [101.0] * BURST) == [False] * (BURST - 1) + [True]


@pytest.mark.parametrize(
    ("after", "expected"), [(TRIAL_SECONDS, True), (TRIAL_SECONDS + 0.1, False)]
)
def test_only_a_new_certificate_is_on_trial(after: float, *, expected: bool) -> None:
    trial = handover.Trial()
    assert not any(refusals(trial, [10.0] * BURST))
    trial.begin(1000.0)
    assert any(refusals(trial, [1000.0 + after] * BURST)) is expected


def test_a_client_that_refused_the_former_one_too_proves_nothing_about_the_new_one() -> None:
    trial = handover.Trial()
    refusals(trial, [float(second) for second in range(60)])
    trial.begin(60.0)
    assert not any(refusals(trial, [60.5 + second for second in range(59)]))
    assert any(refusals(trial, [119.9] * 4))


def test_what_was_taken_back_is_tried_again_later_and_ever_more_rarely() -> None:
    trial = handover.Trial()
    now, pauses = 0.0, []
    for _ in range(8):
        trial.begin(now)
        pause = trial.fail(b"new", now)
        assert trial.is_paused(b"new", now + pause - 0.1)
        assert not trial.is_paused(b"new", now + pause)
        assert not trial.is_paused(b"another", now)
        now += pause
        pauses.append(pause)
    assert pauses[:3] == [FIRST_RETRY_SECONDS, 2 * FIRST_RETRY_SECONDS, 4 * FIRST_RETRY_SECONDS]
    assert pauses[-1] == LONGEST_RETRY_SECONDS


def test_a_trial_is_passed_once_and_only_without_a_burst() -> None:
    trial = handover.Trial()
    assert not trial.is_passed(1000.0)
    trial.begin(1000.0)
    assert not trial.is_passed(1000.0 + TRIAL_SECONDS)
    refusals(trial, [1060.0] * BURST)
    assert not trial.is_passed(1061.0)
    assert trial.is_passed(1121.0)
    assert not trial.is_passed(1122.0)


def test_a_flood_of_refusals_costs_no_memory() -> None:
    trial = handover.Trial()
    refusals(trial, [1.0] * 5000)
    assert trial.refusals == handover.MOST_REFUSALS
