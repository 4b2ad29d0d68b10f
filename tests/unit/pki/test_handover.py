"""When one certificate may take another's place, and when it is taken back."""

from __future__ import annotations

import datetime

import pytest

from sidecar_injector.pki import checks, handover, plan
from sidecar_injector.pki.handover import BURST, FIRST_HOLD, LONGEST_HOLD, PROBATION_SECONDS
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
        {candidate}, served=served, served_by={OLD}, live=live, wait=wait, now=now
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
    found = handover.issuers(kit.FIRST.leaf.certificate, both)
    assert found == {OLD, checks.fingerprint(extended.ca.certificate)}


def refusals(probation: handover.Probation, moments: list[float]) -> list[bool]:
    return [probation.refused(moment) for moment in moments]


def test_a_burst_of_refusals_after_a_change_takes_it_back() -> None:
    probation = handover.Probation()
    probation.begins(100.0)
    assert refusals(probation, [101.0] * BURST) == [False] * (BURST - 1) + [True]


@pytest.mark.parametrize(
    ("after", "expected"), [(PROBATION_SECONDS, True), (PROBATION_SECONDS + 0.1, False)]
)
def test_only_a_new_certificate_is_on_probation(after: float, *, expected: bool) -> None:
    probation = handover.Probation()
    assert not any(refusals(probation, [10.0] * BURST))
    probation.begins(1000.0)
    assert any(refusals(probation, [1000.0 + after] * BURST)) is expected


def test_whoever_refused_the_former_one_as_well_says_nothing_about_the_new_one() -> None:
    probation = handover.Probation()
    refusals(probation, [float(second) for second in range(60)])
    probation.begins(60.0)
    assert not any(refusals(probation, [60.5 + second for second in range(59)]))
    assert any(refusals(probation, [119.9] * 4))


def test_what_was_taken_back_is_tried_again_later_and_ever_more_rarely() -> None:
    probation = handover.Probation()
    now, holds = 0.0, []
    for _ in range(8):
        probation.begins(now)
        hold = probation.fails(b"new", now)
        assert probation.holds(b"new", now + hold - 0.1)
        assert not probation.holds(b"new", now + hold)
        assert not probation.holds(b"another", now)
        now += hold
        holds.append(hold)
    assert holds[:3] == [FIRST_HOLD, 2 * FIRST_HOLD, 4 * FIRST_HOLD]
    assert holds[-1] == LONGEST_HOLD


def test_a_probation_is_passed_once_and_only_in_quiet() -> None:
    probation = handover.Probation()
    assert not probation.passed(1000.0)
    probation.begins(1000.0)
    assert not probation.passed(1000.0 + PROBATION_SECONDS)
    refusals(probation, [1060.0] * BURST)
    assert not probation.passed(1061.0)
    assert probation.passed(1121.0)
    assert not probation.passed(1122.0)


def test_a_flood_of_refusals_costs_no_memory() -> None:
    probation = handover.Probation()
    refusals(probation, [1.0] * 5000)
    assert len(probation._refusals) == handover.REMEMBERED
