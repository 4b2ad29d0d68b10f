"""The model of the replicas can tell a right order of steps from a wrong one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import hypothesis
import pytest
from hypothesis import stateful

from sidecar_injector.pki import handover, plan, secret_data
from tests.unit.pki import test_model as model

Planner = Callable[[plan.CertificateState, plan.Policy], plan.Step]
RIGHT: Planner = plan.next_step
SEARCH = hypothesis.settings(
    model.Model.TestCase.settings,
    max_examples=2_000,
    # The same examples each time, so that it is always found.
    derandomize=True,
    # Any failing example will do, not only the smallest one.
    phases=[hypothesis.Phase.generate],
    report_multiple_bugs=False,
    database=None,
    print_blob=False,
)


def at_rest(state: plan.CertificateState) -> secret_data.CertificateSet | None:
    """The Secret, if there is nothing to adopt or to repair."""
    return state.adopted if state.secret == state.adopted else None


def does_not_wait(state: plan.CertificateState, policy: plan.Policy) -> plan.Step:
    return RIGHT(state, dataclasses.replace(policy, roll_wait_seconds=0))


def switches_unseen(state: plan.CertificateState, policy: plan.Policy) -> plan.Step:
    current = at_rest(state)
    if current and current.next_ca and not current.previous:
        return plan.Step(plan.Action.SWITCH_ISSUER, "a mutant")
    return RIGHT(state, policy)


def drops_at_once(state: plan.CertificateState, policy: plan.Policy) -> plan.Step:
    current = at_rest(state)
    if current and current.previous:
        return plan.Step(plan.Action.DROP_PREVIOUS, "a mutant")
    return RIGHT(state, policy)


def never_drops(state: plan.CertificateState, policy: plan.Policy) -> plan.Step:
    step = RIGHT(state, policy)
    drops = step.action is plan.Action.DROP_PREVIOUS
    return plan.Step(plan.Action.NOTHING, "a mutant") if drops else step


def never_renews(state: plan.CertificateState, policy: plan.Policy) -> plan.Step:
    step = RIGHT(state, policy)
    renews = step.action is plan.Action.RENEW_LEAF
    return plan.Step(plan.Action.NOTHING, "a mutant") if renews else step


def forgets_its_ca(state: plan.CertificateState, policy: plan.Policy) -> plan.Step:
    step = RIGHT(state, policy)
    if step.action is plan.Action.WRITE_BACK and state.secret is None:
        return plan.Step(plan.Action.CREATE, "a mutant")
    return step


def goes_back(state: plan.CertificateState, policy: plan.Policy) -> plan.Step:
    current, adopted = state.secret, state.adopted
    if (
        isinstance(current, secret_data.CertificateSet)
        and adopted
        and current.generation < adopted.generation
    ):
        return plan.Step(plan.Action.ADOPT, "a mutant")
    return RIGHT(state, policy)


pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


def search() -> None:
    stateful.run_state_machine_as_test(model.Model, settings=SEARCH)


@pytest.mark.parametrize(
    "mutant",
    [
        does_not_wait,
        switches_unseen,
        drops_at_once,
        never_drops,
        never_renews,
        forgets_its_ca,
        goes_back,
    ],
)
def test_the_model_finds_a_plan_that_is_wrong(
    mutant: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "next_step", mutant)
    with pytest.raises(AssertionError):
        search()


def test_the_model_finds_that_a_leaf_is_served_before_it_is_trusted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handover, "may_serve", lambda *_, **__: True)
    with pytest.raises(AssertionError):
        search()
