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
    # Whether it is found must not be a matter of luck.
    derandomize=True,
    # A failure is all that is wanted, not the smallest one.
    phases=[hypothesis.Phase.generate],
    report_multiple_bugs=False,
    database=None,
    print_blob=False,
)


def known(world: plan.CertificateState) -> secret_data.Stored | None:
    """The Secret, if there is nothing to take over or to put right."""
    same = isinstance(world.found, secret_data.Stored) and world.found == world.memory
    return world.memory if same else None


def waits_for_nobody(world: plan.CertificateState, policy: plan.Policy) -> plan.Step:
    return RIGHT(world, dataclasses.replace(policy, roll_wait_seconds=0))


def switches_unseen(world: plan.CertificateState, policy: plan.Policy) -> plan.Step:
    found = known(world)
    if found and found.next_ca and not found.previous:
        return plan.Step(plan.Action.SWITCH_ISSUER, "a mutant")
    return RIGHT(world, policy)


def drops_at_once(world: plan.CertificateState, policy: plan.Policy) -> plan.Step:
    found = known(world)
    if found and found.previous:
        return plan.Step(plan.Action.DROP_PREVIOUS, "a mutant")
    return RIGHT(world, policy)


def never_drops(world: plan.CertificateState, policy: plan.Policy) -> plan.Step:
    step = RIGHT(world, policy)
    drops = step.action is plan.Action.DROP_PREVIOUS
    return plan.Step(plan.Action.NOTHING, "a mutant") if drops else step


def never_renews(world: plan.CertificateState, policy: plan.Policy) -> plan.Step:
    step = RIGHT(world, policy)
    renews = step.action is plan.Action.RENEW_LEAF
    return plan.Step(plan.Action.NOTHING, "a mutant") if renews else step


def forgets_its_ca(world: plan.CertificateState, policy: plan.Policy) -> plan.Step:
    step = RIGHT(world, policy)
    if step.action is plan.Action.WRITE_BACK and world.found is None:
        return plan.Step(plan.Action.CREATE, "a mutant")
    return step


def goes_back(world: plan.CertificateState, policy: plan.Policy) -> plan.Step:
    found, memory = world.found, world.memory
    if isinstance(found, secret_data.Stored) and memory and found.generation < memory.generation:
        return plan.Step(plan.Action.ADOPT, "a mutant")
    return RIGHT(world, policy)


pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


def search() -> None:
    stateful.run_state_machine_as_test(model.Model, settings=SEARCH)


@pytest.mark.parametrize(
    "mutant",
    [
        waits_for_nobody,
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
