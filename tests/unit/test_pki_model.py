"""Any number of replicas, at any pace, crashing anywhere: the invariants of the plan hold.

The model has several replicas that read, decide, write, patch and load as separate moves, so that
any of them can come between any two others. API servers see a configuration late by up to `LAG`.
"""

from __future__ import annotations

import dataclasses
import datetime
import itertools

import hypothesis
import pki_kit as kit
from hypothesis import stateful, strategies

from sidecar_injector.pki import material, plan, roll, state, succession, verdict

LAG = 10
POLICY = plan.Policy(
    dns_names=kit.DNS_NAMES, leaf_seconds=300, ca_seconds=900, roll_wait_seconds=LAG + 5
)
REPLICAS = strategies.integers(0, 2)


@dataclasses.dataclass
class Replica:
    """What one process has in memory."""

    memory: state.Stored | None = None
    served: state.Stored | None = None
    seen: dict[str, int] = dataclasses.field(default_factory=dict)
    events: int = 0
    pending: tuple[plan.Step, plan.World, int] | None = None
    patching: tuple[bytes, int] | None = None


class Model(stateful.RuleBasedStateMachine):
    """One Secret, one configuration, three replicas and a clock."""

    def __init__(self) -> None:
        super().__init__()
        self.second = 0
        self.secret: state.Stored | state.Corrupt | None = None
        self.backup: state.Stored | None = None
        self.version = 0
        self.live: list[tuple[int, bytes]] = [(0, b"")]
        self.replicas = [Replica() for _ in range(3)]
        self.switched_too_early = False
        self.written: list[int] = []
        # The world as it is after an installation: one replica has made the Secret, all have it.
        for replica in self.replicas:
            self.work(replica)
        self.second = LAG + 1

    @property
    def now(self) -> datetime.datetime:
        return kit.NOW + self.second * kit.SECOND

    def work(self, replica: Replica) -> None:
        """Everything that one replica does when nobody interferes."""
        for _ in range(4):
            self.read(replica)
            self.write(replica)
        self.fetch(replica)
        self.patch(replica)
        self.observe(replica)
        self.load(replica)

    def read(self, replica: Replica) -> None:
        seen_for = {key: float(self.second - since) for key, since in replica.seen.items()}
        world = plan.World(
            now=self.now, found=self.secret, memory=replica.memory, seen_for=seen_for
        )
        step = plan.next_step(world, POLICY)
        if step.action is plan.Action.ADOPT:
            assert isinstance(self.secret, state.Stored)
            replica.memory = self.secret
        # Before a switch the API server is asked whether the watch has told everything.
        behind = replica.events != len(self.live)
        waits = step.action is plan.Action.SWITCH_ISSUER and behind
        if step.action.writes and not waits:
            replica.pending = (step, world, self.version)

    def write(self, replica: Replica) -> None:
        pending, replica.pending = replica.pending, None
        if pending is None or pending[2] != self.version:
            return
        step, world, _ = pending
        self.put(roll.carry_out(step, world, policy=POLICY, generate=material.generate))

    def put(self, secret: state.Stored | state.Corrupt | None) -> None:
        self.secret, self.version = secret, self.version + 1
        if isinstance(secret, state.Stored):
            self.backup = self.backup or secret

    def fetch(self, replica: Replica) -> None:
        """Look at the configuration, then at the Secret, to patch later."""
        found = self.secret if isinstance(self.secret, state.Stored) else replica.memory
        newer = replica.memory
        if found and newer and found.generation < newer.generation:
            found = newer
        if found and found.bundle() != self.live[-1][1]:
            replica.patching = (found.bundle(), len(self.live))

    def patch(self, replica: Replica) -> None:
        patching, replica.patching = replica.patching, None
        if patching and patching[1] == len(self.live):
            self.live.append((self.second, patching[0]))

    def observe(self, replica: Replica) -> None:
        for _, bundle in self.live[replica.events :]:
            carried = verdict.fingerprints(bundle)
            replica.seen = {key: replica.seen.get(key, self.second) for key in carried}
        replica.events = len(self.live)

    def load(self, replica: Replica) -> None:
        memory = replica.memory
        served = replica.served.leaf.certificate if replica.served else None
        if memory is None or verdict.serving(
            memory.leaf.parsed(), field="", dns_names=kit.DNS_NAMES, now=self.now
        ):
            return
        live = {key: float(self.second - since) for key, since in replica.seen.items()}
        if succession.may_serve(
            succession.issuers(memory.leaf.certificate, memory.bundle()),
            served=served,
            served_by=succession.issuers(served, replica.served.bundle() + memory.bundle())
            if replica.served and served
            else (),
            live=live,
            wait=0,
            now=self.now,
        ):
            replica.served = memory

    @stateful.rule(number=REPLICAS)
    def a_replica_reads(self, number: int) -> None:
        self.read(self.replicas[number])

    @stateful.rule(number=REPLICAS)
    def a_replica_writes(self, number: int) -> None:
        self.write(self.replicas[number])

    @stateful.rule(number=REPLICAS)
    def a_replica_looks_at_the_bundle(self, number: int) -> None:
        self.fetch(self.replicas[number])

    @stateful.rule(number=REPLICAS)
    def a_replica_patches_the_bundle(self, number: int) -> None:
        self.patch(self.replicas[number])

    @stateful.rule(number=REPLICAS)
    def a_replica_hears_of_the_bundle(self, number: int) -> None:
        self.observe(self.replicas[number])

    @stateful.rule(number=REPLICAS)
    def a_replica_loads(self, number: int) -> None:
        self.load(self.replicas[number])

    @stateful.rule(number=REPLICAS)
    def a_replica_does_all_its_work(self, number: int) -> None:
        self.work(self.replicas[number])

    @stateful.rule(number=strategies.integers(1, 2))
    def a_replica_crashes_and_starts_again(self, number: int) -> None:
        """The first one lives: if nobody remembers and the Secret is lost, trust is lost too."""
        self.replicas[number] = Replica()

    @stateful.rule(seconds=strategies.sampled_from([1, 5, LAG, 60]))
    def time_passes(self, seconds: int) -> None:
        """A replica that is alive looks at the clock often enough to renew in time."""
        for _ in range(seconds):
            self.second += 1
            if self.second % 20 == 0:
                self.work(self.replicas[0])

    @stateful.rule()
    def a_ca_roll_is_due(self) -> None:
        if isinstance(self.secret, state.Stored) and self.secret.next_ca is None:
            world = plan.World(now=self.now, found=self.secret, memory=self.secret)
            step = plan.Step(plan.Action.STAGE_CA, "asked for")
            self.put(roll.carry_out(step, world, policy=POLICY, generate=material.generate))

    @stateful.rule()
    def the_secret_is_deleted(self) -> None:
        self.work(self.replicas[0])
        self.put(None)
        self.read(self.replicas[0])
        self.write(self.replicas[0])

    @stateful.rule()
    def the_secret_is_restored_from_a_backup(self) -> None:
        self.work(self.replicas[0])
        self.put(self.backup)

    @stateful.invariant()
    def every_api_server_trusts_whatever_any_replica_presents(self) -> None:
        for replica in self.replicas:
            if replica.served is None:
                continue
            leaf = replica.served.leaf.parsed()
            if self.now > leaf.not_valid_after_utc:
                continue
            issuer = verdict.fingerprint(replica.served.ca.certificate)
            for bundle in self.bundles_in_force():
                assert issuer in verdict.fingerprints(bundle)

    @stateful.invariant()
    def no_leaf_outlives_its_ca(self) -> None:
        if isinstance(self.secret, state.Stored):
            leaf, ca = self.secret.leaf.parsed(), self.secret.ca.parsed()
            assert leaf.not_valid_after_utc <= ca.not_valid_after_utc

    @stateful.invariant()
    def what_is_stored_can_be_read_back(self) -> None:
        if isinstance(self.secret, state.Stored):
            assert state.decode(state.encode(self.secret)) == self.secret

    def bundles_in_force(self) -> list[bytes]:
        """What any API server may believe: whatever was live at any time in the last `LAG`."""
        spans = itertools.pairwise([*self.live, (self.second + 1, b"")])
        return [bundle for (_, bundle), (until, _) in spans if until > self.second - LAG]

    def teardown(self) -> None:
        """However it went, it comes to rest with one CA in force once it is left alone."""
        for _ in range(60):
            self.second += 20
            for replica in self.replicas:
                self.work(replica)
        assert isinstance(self.secret, state.Stored)
        assert self.live[-1][1] == self.secret.bundle()
        assert {replica.memory for replica in self.replicas} == {self.secret}


Model.TestCase.settings = hypothesis.settings(
    max_examples=25, stateful_step_count=40, deadline=None, derandomize=True
)
TestModel = Model.TestCase
