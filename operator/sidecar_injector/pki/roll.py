"""Carry out a step of the plan on a value: the Secret as it will be."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from sidecar_injector.pki import issue, keys, plan, secret_data

Generate = Callable[[], keys.Material]


class NotAWriteError(ValueError):
    """The step does not apply to this world: it writes nothing, or was planned for another one."""

    def __init__(self, step: plan.Step) -> None:
        super().__init__(f"{step.action.value!r} ({step.why}) does not lead to a new Secret")
        self.step = step


def carry_out(
    step: plan.Step, world: plan.CertificateState, *, policy: plan.Policy, generate: Generate
) -> secret_data.Stored:
    """What the Secret holds after `step`, which `plan.next_step` gave for this very world."""
    found, memory = world.found, world.memory
    maker = _Maker(world, policy, generate)
    match step.action, found:
        case plan.Action.CREATE, None:
            return maker.everything(1 + (memory.generation if memory else 0))
        case plan.Action.WRITE_BACK, secret_data.Stored() if memory:
            # Newer than what it replaces, or whoever took that over would bring it back.
            newer = found.generation >= memory.generation
            generation = found.generation + 1 if newer else memory.generation
            return dataclasses.replace(memory, generation=generation)
        case plan.Action.WRITE_BACK, _ if memory:
            return memory
        case plan.Action.REPLACE_ALL, secret_data.Corrupt() | secret_data.Stored():
            newest = max(found.generation, memory.generation if memory else 0)
            return maker.everything(1 + newest)
        case plan.Action.REISSUE_LEAF, secret_data.Corrupt(ca=issue.Pair() as ca):
            leaf = maker.leaf(ca)
            return secret_data.Stored(generation=found.generation + 1, ca=ca, leaf=leaf)
        case _, secret_data.Stored():
            return _changed(step, found, maker)
    raise NotAWriteError(step)


def _changed(step: plan.Step, found: secret_data.Stored, maker: _Maker) -> secret_data.Stored:
    newer = dataclasses.replace(found, generation=found.generation + 1)
    match step.action:
        case plan.Action.RENEW_LEAF:
            return dataclasses.replace(newer, leaf=maker.leaf(found.ca))
        case plan.Action.EXTEND_CA:
            return dataclasses.replace(newer, ca=maker.extended(found.ca))
        case plan.Action.STAGE_CA:
            return dataclasses.replace(newer, next_ca=maker.authority(newer.generation))
        case plan.Action.SWITCH_ISSUER if found.next_ca:
            former = secret_data.Previous(
                found.ca.certificate, found.leaf.parsed().not_valid_after_utc
            )
            return dataclasses.replace(
                newer,
                ca=found.next_ca,
                leaf=maker.leaf(found.next_ca),
                next_ca=None,
                previous=former,
            )
        case plan.Action.DROP_PREVIOUS:
            return dataclasses.replace(newer, previous=None)
        case plan.Action.CLEAR_REQUEST:
            return found
    raise NotAWriteError(step)


@dataclasses.dataclass(frozen=True, slots=True)
class _Maker:
    world: plan.CertificateState
    policy: plan.Policy
    generate: Generate

    def authority(self, generation: int) -> issue.Pair:
        return issue.authority(
            fresh=self.generate(),
            generation=generation,
            now=self.world.now,
            seconds=self.policy.ca_seconds,
        )

    def extended(self, ca: issue.Pair) -> issue.Pair:
        return issue.extended(
            ca, fresh=self.generate(), now=self.world.now, seconds=self.policy.ca_seconds
        )

    def leaf(self, ca: issue.Pair) -> issue.Pair:
        return issue.leaf(
            fresh=self.generate(),
            issuer=ca,
            dns_names=self.policy.dns_names,
            now=self.world.now,
            seconds=self.policy.leaf_seconds,
        )

    def everything(self, generation: int) -> secret_data.Stored:
        ca = self.authority(generation)
        return secret_data.Stored(generation=generation, ca=ca, leaf=self.leaf(ca))
