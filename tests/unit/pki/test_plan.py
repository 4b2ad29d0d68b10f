"""The next step, and why: world before, step, world after, with a pair around each limit."""

from __future__ import annotations

import dataclasses
import datetime

import pytest
from hypothesis import given, strategies

from sidecar_injector.pki import checks, plan, secret_data
from sidecar_injector.pki.plan import Action
from tests.kits import pki as kit

Moment = datetime.datetime
CA_END = kit.FIRST.ca.parsed().not_valid_after_utc
LEAF_END = kit.FIRST.leaf.parsed().not_valid_after_utc
NOTHING_LEFT = secret_data.Corrupt(())
CA_LEFT = secret_data.Corrupt((), ca=kit.FIRST.ca, generation=4)
HORIZON = 2 * kit.POLICY.roll_wait_seconds * kit.SECOND
"""So long before its end a CA is extended: a roll takes one wait, and may come too late."""
LATER = dataclasses.replace(kit.FIRST, generation=9)


def step(
    secret: secret_data.CertificateSet | secret_data.Corrupt | None, **changes: object
) -> plan.Step:
    return plan.next_step(kit.state(secret=secret, **changes), kit.POLICY)


def settled(
    current: secret_data.CertificateSet, *, now: Moment = kit.NOW, **changes: object
) -> plan.Step:
    """The step of a replica that has adopted the Secret."""
    return step(current, adopted=current, now=now, **changes)


def staged_for(current: secret_data.CertificateSet, seconds: float) -> dict[str, float]:
    """The staged CA has been in the live configuration for so long."""
    assert current.next_ca
    return {checks.fingerprint(current.next_ca.certificate): seconds}


@pytest.mark.parametrize(
    ("secret", "adopted", "expected"),
    [
        pytest.param(None, None, Action.CREATE, id="nothing-anywhere"),
        pytest.param(None, kit.FIRST, Action.WRITE_BACK, id="deleted-but-remembered"),
        pytest.param(NOTHING_LEFT, None, Action.REPLACE_ALL, id="corrupt-and-cold"),
        pytest.param(CA_LEFT, None, Action.REISSUE_LEAF, id="corrupt-but-its-ca-is-intact"),
        pytest.param(CA_LEFT, kit.FIRST, Action.WRITE_BACK, id="corrupt-but-remembered"),
        pytest.param(kit.FIRST, LATER, Action.WRITE_BACK, id="an-older-backup"),
        pytest.param(kit.FIRST, None, Action.ADOPT, id="a-good-secret-at-start"),
        pytest.param(LATER, kit.FIRST, Action.ADOPT, id="another-replica-was-faster"),
        pytest.param(kit.OTHER, kit.FIRST, Action.ADOPT, id="another-of-one-generation"),
        pytest.param(kit.FIRST, kit.FIRST, Action.NOTHING, id="all-is-well"),
    ],
)
def test_the_secret_is_the_truth_unless_it_is_lost_or_old(
    secret: secret_data.CertificateSet | secret_data.Corrupt | None,
    adopted: secret_data.CertificateSet | None,
    expected: Action,
) -> None:
    assert step(secret, adopted=adopted).action is expected


@pytest.mark.parametrize("secret", [None, NOTHING_LEFT, LATER], ids=["none", "corrupt", "newer"])
def test_nothing_is_written_back_whose_ca_has_expired(
    secret: secret_data.CertificateSet | None,
) -> None:
    after = step(secret, adopted=kit.FIRST, now=CA_END + kit.SECOND)
    assert after.action is not Action.WRITE_BACK


OURS = checks.fingerprint(kit.FIRST.ca.certificate)
THEIRS = checks.fingerprint(kit.OTHER.ca.certificate)


@pytest.mark.parametrize("generation", [1, 7], ids=["of-our-generation", "of-a-newer-one"])
@pytest.mark.parametrize(
    ("live", "expected"),
    [
        pytest.param({OURS: 1.0}, Action.WRITE_BACK, id="only-ours-is-trusted"),
        pytest.param({OURS: 1.0, THEIRS: 0.0}, Action.ADOPT, id="both-are-trusted"),
        pytest.param({THEIRS: 0.0}, Action.ADOPT, id="only-theirs-is-trusted"),
        pytest.param({}, Action.ADOPT, id="none-is-trusted"),
    ],
)
def test_a_ca_made_from_nothing_gives_way_to_the_one_that_is_trusted(
    live: dict[str, float], expected: Action, generation: int
) -> None:
    secret = dataclasses.replace(kit.OTHER, generation=generation)
    state = kit.state(secret=secret, adopted=kit.FIRST, live_seconds=live)
    after = plan.next_step(state, kit.POLICY)
    assert after.action is expected
    if expected is Action.WRITE_BACK:
        written = kit.applied(after, state)
        assert (written.ca, written.generation) == (kit.FIRST.ca, generation + 1)


def test_after_a_missed_roll_the_secret_does_not_count_as_a_stranger_s() -> None:
    after = step(kit.SWITCHED, adopted=kit.FIRST, live_seconds={OURS: 5.0})
    assert after.action is Action.ADOPT


def pair_around(limit: Moment, before: Action, after: Action, name: str) -> list[object]:
    """Two rows: just before the limit, and at it."""
    return [
        pytest.param(limit - kit.SECOND, before, id=f"before-{name}"),
        pytest.param(limit, after, id=f"at-{name}"),
    ]


@pytest.mark.parametrize(
    ("now", "expected"),
    pair_around(kit.NOW + 20 * kit.DAY, Action.NOTHING, Action.RENEW_LEAF, "two-thirds")
    + pair_around(LEAF_END + kit.SECOND, Action.RENEW_LEAF, Action.RENEW_LEAF, "expiry"),
)
def test_a_leaf_is_renewed_with_a_third_of_its_life_left(now: Moment, expected: Action) -> None:
    assert settled(kit.FIRST, now=now).action is expected


@pytest.mark.parametrize(
    ("now", "expected"),
    pair_around(kit.NOW + 240 * kit.DAY, Action.NOTHING, Action.STAGE_CA, "two-thirds")
    + pair_around(CA_END - HORIZON, Action.STAGE_CA, Action.EXTEND_CA, "too-late-for-a-roll")
    + pair_around(CA_END + kit.SECOND, Action.EXTEND_CA, Action.REPLACE_ALL, "expiry"),
)
def test_a_ca_is_rolled_with_a_third_of_its_life_left(now: Moment, expected: Action) -> None:
    fresh_leaf = kit.with_leaf(kit.FIRST, now=min(now, CA_END) - kit.SECOND)
    assert settled(fresh_leaf, now=now).action is expected


def test_a_leaf_that_ends_with_its_ca_is_not_renewed_in_vain() -> None:
    soon = CA_END - HORIZON - kit.SECOND
    clipped = kit.with_leaf(kit.STAGED, now=CA_END - kit.DAY)
    assert settled(clipped, now=soon).action is Action.WAIT


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        pytest.param(None, Action.WAIT, id="not-seen"),
        pytest.param(0, Action.WAIT, id="just-seen"),
        pytest.param(59.9, Action.WAIT, id="before-the-wait-is-over"),
        pytest.param(60, Action.SWITCH_ISSUER, id="after-the-wait"),
    ],
)
def test_nothing_is_signed_by_a_ca_that_is_not_trusted_for_long_enough(
    seconds: float | None, expected: Action
) -> None:
    live = {} if seconds is None else staged_for(kit.STAGED, seconds)
    assert settled(kit.STAGED, live_seconds=live).action is expected


def test_a_wait_says_when_it_is_over() -> None:
    after = settled(kit.STAGED, live_seconds=staged_for(kit.STAGED, 45))
    assert after.until == kit.NOW + 15 * kit.SECOND


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        pytest.param(59.9, Action.EXTEND_CA, id="not-trusted-for-long-enough"),
        pytest.param(60, Action.SWITCH_ISSUER, id="trusted-for-long-enough"),
    ],
)
def test_a_ca_that_ends_too_soon_is_extended_unless_its_successor_is_ready(
    seconds: float, expected: Action
) -> None:
    staged = kit.take(Action.STAGE_CA, kit.FIRST, now=CA_END - kit.DAY)
    staged = kit.with_leaf(staged, now=CA_END - kit.DAY)
    after = settled(staged, now=CA_END - HORIZON, live_seconds=staged_for(staged, seconds))
    assert after.action is expected


@pytest.mark.parametrize(
    ("now", "expected"),
    pair_around(
        CA_END - HORIZON, Action.SWITCH_ISSUER, Action.STAGE_CA, "too-late-for-the-next-roll"
    )
    + pair_around(CA_END + kit.SECOND, Action.STAGE_CA, Action.STAGE_CA, "expiry"),
)
def test_a_staged_ca_that_ends_too_soon_is_replaced_and_signs_nothing(
    now: Moment, expected: Action
) -> None:
    """The CA in use was extended and ends later than the one that was staged before."""
    extended = kit.take(Action.EXTEND_CA, kit.STAGED, now=CA_END - kit.DAY)
    fresh_leaf = kit.with_leaf(extended, now=now)
    after = settled(fresh_leaf, now=now, live_seconds=staged_for(extended, 10_000))
    assert after.action is expected
    if expected is Action.STAGE_CA:
        replaced = kit.take(Action.STAGE_CA, fresh_leaf, now=now)
        assert replaced.next_ca != fresh_leaf.next_ca
        assert settled(replaced, now=now).action is Action.WAIT


def test_an_extended_ca_has_the_trust_of_the_former_one_and_a_whole_life() -> None:
    late = CA_END - kit.SECOND
    after = kit.take(Action.EXTEND_CA, kit.FIRST, now=late)
    assert checks.issued_by([after.leaf.parsed()], [kit.FIRST.ca.parsed()])
    fresh = kit.take(Action.RENEW_LEAF, after, now=late).leaf.parsed()
    assert checks.issued_by([fresh], [kit.FIRST.ca.parsed()])
    assert checks.issued_by([kit.FIRST.leaf.parsed()], [after.ca.parsed()])
    assert after.ca.parsed().not_valid_after_utc == late + 360 * kit.DAY
    assert settled(after, now=late).action is Action.RENEW_LEAF


def test_a_ca_that_lives_too_shortly_for_any_roll_is_not_extended_for_ever() -> None:
    brief = dataclasses.replace(kit.POLICY, ca_seconds=120)
    current = kit.new(policy=brief)
    after = plan.next_step(kit.state(secret=current, adopted=current), brief)
    assert after.action is Action.NOTHING


def test_a_ca_that_another_replica_extended_does_not_count_as_a_stranger_s() -> None:
    elsewhere = kit.take(Action.EXTEND_CA, kit.FIRST)
    assert step(elsewhere, adopted=kit.FIRST, live_seconds={OURS: 5.0}).action is Action.ADOPT


def test_what_depends_on_the_live_configuration_says_so() -> None:
    """Before such a step the configuration is read, as a watch may have died silently."""
    switch = settled(kit.STAGED, live_seconds=staged_for(kit.STAGED, 60))
    replaced = step(kit.OTHER, adopted=kit.FIRST, live_seconds={OURS: 1.0})
    lost = step(None, adopted=kit.FIRST, live_seconds={OURS: 1.0})
    assert [each.depends_on_live for each in (switch, replaced, lost)] == [True, True, False]


def test_an_expired_ca_is_replaced_by_its_successor_without_a_wait() -> None:
    staged = kit.take(Action.STAGE_CA, kit.FIRST, now=CA_END - kit.DAY)
    assert settled(staged, now=CA_END + kit.SECOND).action is Action.SWITCH_ISSUER


@pytest.mark.parametrize(
    ("now", "expected"),
    pair_around(LEAF_END + kit.SECOND, Action.NOTHING, Action.DROP_PREVIOUS, "its-last-leaf-ends"),
)
def test_the_previous_ca_is_kept_until_its_last_leaf_has_expired(
    now: Moment, expected: Action
) -> None:
    fresh = kit.with_leaf(kit.SWITCHED, now=now)
    assert settled(fresh, now=now).action is expected


def test_a_second_roll_waits_until_the_first_is_over() -> None:
    again = kit.take(Action.STAGE_CA, kit.SWITCHED)
    fresh = kit.with_leaf(again, now=LEAF_END)
    live = staged_for(again, 10_000)
    waits = settled(fresh, now=LEAF_END, live_seconds=live)
    assert (waits.action, waits.until) == (Action.WAIT, LEAF_END + plan.AFTER)
    assert (
        settled(fresh, now=LEAF_END + plan.AFTER, live_seconds=live).action is Action.DROP_PREVIOUS
    )


@pytest.mark.parametrize(
    ("current", "request_", "expected"),
    [
        pytest.param(kit.FIRST, "leaf", Action.RENEW_LEAF, id="leaf"),
        pytest.param(kit.FIRST, "ca", Action.STAGE_CA, id="ca"),
        pytest.param(kit.STAGED, "ca", Action.CLEAR_REQUEST, id="ca-during-a-roll"),
        pytest.param(kit.FIRST, "everything", Action.CLEAR_REQUEST, id="unknown"),
    ],
)
def test_a_rotation_can_be_requested(
    current: secret_data.CertificateSet, request_: str, expected: Action
) -> None:
    assert settled(current, request=request_).action is expected


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        pytest.param({"dns_names": ["si.ns.svc"]}, "lacks DNS names", id="names"),
        pytest.param({"seconds": 1, "now": kit.NOW - kit.DAY / 48}, "has expired", id="expired"),
        pytest.param({"now": kit.NOW + kit.DAY}, "is not valid yet", id="too-early"),
    ],
)
def test_a_leaf_that_no_client_would_accept_is_renewed(
    changes: dict[str, object], why: str
) -> None:
    after = settled(kit.with_leaf(kit.FIRST, **changes))
    assert after.action is Action.RENEW_LEAF
    assert why in after.why


def test_a_clock_that_is_far_behind_destroys_nothing() -> None:
    behind = settled(kit.FIRST, now=kit.NOW - 2 * kit.DAY)
    assert behind.action is Action.RENEW_LEAF
    assert kit.take(behind.action, kit.FIRST, now=kit.NOW - 2 * kit.DAY).ca == kit.FIRST.ca


LATELY_STAGED = kit.take(Action.STAGE_CA, kit.FIRST, now=CA_END - kit.DAY)
EXTENDED = kit.take(Action.EXTEND_CA, kit.STAGED, now=CA_END - kit.DAY)


@pytest.mark.parametrize(
    ("current", "begin", "life", "until"),
    [
        pytest.param(kit.FIRST, kit.NOW, 20, kit.NOW + 20 * kit.DAY * 2 / 3, id="leaf"),
        pytest.param(kit.FIRST, kit.NOW, 40, kit.NOW + 80 * kit.DAY / 3, id="longer-than-new-ones"),
        pytest.param(kit.FIRST, kit.NOW, 90, kit.NOW + 60 * kit.DAY + plan.AFTER, id="far-longer"),
        pytest.param(kit.FIRST, CA_END - 121 * kit.DAY, 30, CA_END - 120 * kit.DAY, id="CA"),
        pytest.param(LATELY_STAGED, CA_END - kit.DAY, 30, CA_END - HORIZON, id="end-of-the-CA"),
        pytest.param(EXTENDED, CA_END - kit.DAY, 30, CA_END - HORIZON, id="end-of-the-staged-CA"),
        pytest.param(kit.SWITCHED, LEAF_END - kit.DAY, 30, LEAF_END + plan.AFTER, id="previous-CA"),
    ],
)
def test_a_wait_says_when_the_next_certificate_is_due(
    current: secret_data.CertificateSet, begin: Moment, life: int, until: Moment
) -> None:
    """Also while the staged CA is not seen in the live configuration."""
    fresh_leaf = kit.with_leaf(current, now=begin, seconds=life * 86_400)
    assert settled(fresh_leaf, now=begin).until == until


PHASES = [
    kit.FIRST,
    kit.STAGED,
    LATELY_STAGED,
    kit.SWITCHED,
    kit.take(Action.STAGE_CA, kit.SWITCHED),
    EXTENDED,
    kit.take(Action.EXTEND_CA, kit.SWITCHED, now=CA_END - kit.DAY),
]
SECONDS = strategies.integers(0, 400 * 86_400) | strategies.sampled_from([0, 1, 9, 60, 119, 120])


@given(
    secret=strategies.sampled_from(PHASES),
    age_and_life=strategies.none() | strategies.tuples(SECONDS, SECONDS),
    soon=strategies.sampled_from([kit.NOW, LEAF_END, kit.NOW + 240 * kit.DAY, CA_END]),
    left=strategies.integers(0, 1_000) | SECONDS,
    live_for=strategies.none() | strategies.integers(0, 100),
    policy=strategies.builds(
        dataclasses.replace,
        strategies.just(kit.POLICY),
        leaf_seconds=strategies.sampled_from([60, 86_400, 30 * 86_400]),
        ca_seconds=strategies.sampled_from([100, 360 * 86_400]),
    ),
    part=strategies.floats(0, 1),
)
def test_a_replica_that_waits_wakes_exactly_when_time_makes_a_step_due(
    *,
    secret: secret_data.CertificateSet,
    age_and_life: tuple[int, int] | None,
    soon: Moment,
    left: int,
    live_for: int | None,
    policy: plan.Policy,
    part: float,
) -> None:
    start = soon - left * kit.SECOND
    if age_and_life:
        age, life = age_and_life
        issued = min(start - age * kit.SECOND, secret.ca.parsed().not_valid_after_utc)
        secret = kit.with_leaf(secret, now=issued, seconds=life + 1)

    def step_at(now: Moment) -> tuple[plan.Step, plan.CertificateState]:
        live_seconds = {}
        if secret.next_ca and live_for is not None:
            live_seconds = staged_for(secret, live_for + (now - start).total_seconds())
        state = kit.state(secret=secret, adopted=secret, now=now, live_seconds=live_seconds)
        return plan.next_step(state, policy), state

    step, state = step_at(start)
    for _ in range(10):
        if step.action.writes:
            secret = kit.applied(step, state, policy)
            step, state = step_at(start)
    assert not step.action.writes
    assert step.until
    before = min(start + part * (step.until - start), step.until - plan.AFTER)
    assert not step_at(before)[0].action.writes
    assert step_at(step.until)[0].action.writes


@pytest.mark.parametrize(
    ("action", "before", "kept", "generation"),
    [
        pytest.param(Action.RENEW_LEAF, kit.FIRST, {"ca"}, 2, id="renew"),
        pytest.param(Action.EXTEND_CA, kit.FIRST, {"leaf"}, 2, id="extend"),
        pytest.param(Action.STAGE_CA, kit.FIRST, {"ca", "leaf"}, 2, id="stage"),
        pytest.param(Action.SWITCH_ISSUER, kit.STAGED, set(), 3, id="switch"),
        pytest.param(Action.DROP_PREVIOUS, kit.SWITCHED, {"ca", "leaf"}, 4, id="drop"),
        pytest.param(Action.CLEAR_REQUEST, kit.FIRST, {"ca", "leaf"}, 1, id="clear"),
        pytest.param(Action.REPLACE_ALL, kit.FIRST, set(), 2, id="replace"),
    ],
)
def test_a_step_changes_only_what_it_is_about(
    action: Action, before: secret_data.CertificateSet, kept: set[str], generation: int
) -> None:
    after = kit.take(action, before)
    same = {field for field in ("ca", "leaf") if getattr(before, field) == getattr(after, field)}
    assert (same, after.generation) == (kept, generation)
    assert secret_data.decode(secret_data.encode(after)) == after


def test_a_switch_makes_the_staged_ca_the_issuer_and_remembers_the_old_one() -> None:
    after = kit.SWITCHED
    assert after.ca == kit.STAGED.next_ca
    assert after.next_ca is None
    assert after.previous == secret_data.Previous(kit.FIRST.ca.certificate, LEAF_END)


def test_what_is_reissued_after_a_corruption_needs_no_new_trust() -> None:
    corrupt = kit.state(secret=CA_LEFT)
    after = kit.applied(plan.next_step(corrupt, kit.POLICY), corrupt)
    assert (after.ca, after.generation) == (kit.FIRST.ca, 5)


def test_a_step_of_another_state_is_refused() -> None:
    with pytest.raises(ValueError, match="switch issuer"):
        kit.take(Action.SWITCH_ISSUER, kit.FIRST)
    with pytest.raises(ValueError, match="nothing"):
        kit.take(Action.NOTHING, kit.FIRST)
