"""Any number of replicas, at any pace, crashing anywhere: the invariants of the plan hold.

The model has several replicas that read, decide, write, patch and load as separate moves, so that
any of them can come between any two others. API servers see a configuration late by up to `LAG`.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import itertools

import hypothesis
import pytest
from cryptography import x509
from hypothesis import stateful, strategies

from sidecar_injector.pki import checks, handover, keys, plan, roll, secret_data
from tests.kits import pki as kit

LAG = 10
POLICY = plan.Policy(
    dns_names=kit.DNS_NAMES, leaf_seconds=300, ca_seconds=900, roll_wait_seconds=LAG + 5
)
REPLICAS = strategies.integers(0, 2)
verifies = functools.cache(handover.issuers)


@functools.cache
def ends(bundle: bytes) -> dict[str, datetime.datetime]:
    """When each CA's life is over."""
    return {
        checks.fingerprint(checks.canonical(ca)): ca.not_valid_after_utc
        for ca in x509.load_pem_x509_certificates(bundle)
    }


@dataclasses.dataclass
class Replica:
    """What one process has in memory."""

    memory: secret_data.Stored | None = None
    served: secret_data.Stored | None = None
    former: secret_data.Stored | None = None
    """What was served before it."""
    until: datetime.datetime | None = None
    """When it wants to look again at the latest."""
    seen: dict[str, int] = dataclasses.field(default_factory=dict)
    events: int = 0
    pending: tuple[plan.Step, plan.CertificateState, int] | None = None
    patching: tuple[bytes, int] | None = None


class Model(stateful.RuleBasedStateMachine):
    """One Secret, one configuration, three replicas and a clock."""

    def __init__(self) -> None:
        super().__init__()
        self.second = 0
        self.secret: secret_data.Stored | secret_data.Corrupt | None = None
        self.backup: secret_data.Stored | None = None
        self.version = 0
        self.live: list[tuple[int, bytes]] = [(0, b"")]
        self.foreign: set[int] = set()
        """The places of what somebody else has put there."""
        self.replicas = [Replica() for _ in range(3)]
        # The world as it is after an installation: one replica has made the Secret, all have it.
        for replica in self.replicas:
            self.work(replica)
        self.second = LAG + 1

    @property
    def now(self) -> datetime.datetime:
        return kit.NOW + self.second * kit.SECOND

    def work(self, replica: Replica) -> None:
        """Everything that one replica does when nobody interferes."""
        before = None
        while before != (self.version, replica.memory):
            before = (self.version, replica.memory)
            self.read(replica)
            self.write(replica)
        self.fetch(replica)
        self.patch(replica)
        self.observe(replica)
        self.load(replica)

    def read(self, replica: Replica) -> None:
        seen_for = {key: float(self.second - since) for key, since in replica.seen.items()}
        world = plan.CertificateState(
            now=self.now, found=self.secret, memory=replica.memory, seen_for=seen_for
        )
        step = plan.next_step(world, POLICY)
        replica.until = step.until
        if step.action is plan.Action.ADOPT:
            assert isinstance(self.secret, secret_data.Stored)
            replica.memory = self.secret
        # What follows from trust is taken after asking whether the watch has told everything.
        behind = replica.events != len(self.live)
        if step.action.writes and not (step.on_trust and behind):
            replica.pending = (step, world, self.version)

    def write(self, replica: Replica) -> None:
        pending, replica.pending = replica.pending, None
        if pending is None or pending[2] != self.version:
            return
        step, world, _ = pending
        written = roll.carry_out(step, world, policy=POLICY, generate=keys.generate)
        if isinstance(self.secret, secret_data.Stored):
            assert written.generation > self.secret.generation
            if step.action is plan.Action.SWITCH_ISSUER:
                self.check_switch(self.secret, written)
        self.put(written)

    def check_switch(self, before: secret_data.Stored, after: secret_data.Stored) -> None:
        """Nothing is signed by a CA that an API server may not know, while the old one lives."""
        if self.now <= before.ca.parsed().not_valid_after_utc:
            for bundle in self.bundles_in_force():
                assert after.ca.certificate in bundle

    def put(self, secret: secret_data.Stored | secret_data.Corrupt | None) -> None:
        """What is stored can be read back, and no leaf in it outlives its CA."""
        self.secret, self.version = secret, self.version + 1
        if isinstance(secret, secret_data.Stored):
            self.backup = self.backup or secret
            assert secret_data.decode(secret_data.encode(secret)) == secret
            leaf, ca = secret.leaf.parsed(), secret.ca.parsed()
            assert leaf.not_valid_after_utc <= ca.not_valid_after_utc

    def fetch(self, replica: Replica) -> None:
        """Look at the configuration, then at the Secret, to patch later."""
        found = self.secret if isinstance(self.secret, secret_data.Stored) else replica.memory
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
            carried = checks.fingerprints(bundle)
            replica.seen = {key: replica.seen.get(key, self.second) for key in carried}
        replica.events = len(self.live)

    def load(self, replica: Replica) -> None:
        memory, served = replica.memory, replica.served
        if memory is None or memory == served or not self.in_date(memory):
            return
        candidate = verifies(memory.leaf.certificate, memory.bundle())
        live = {key: float(self.second - since) for key, since in replica.seen.items()}
        if handover.may_serve(
            candidate,
            served=served and served.leaf.certificate,
            served_by=verifies(served.leaf.certificate, served.bundle() + memory.bundle())
            if served
            else (),
            live=live,
            wait=0,
            now=self.now,
        ):
            if served and self.in_date(served) and served.ca != memory.ca:
                assert not candidate.isdisjoint(replica.seen) or checks.same_key(
                    served.ca.certificate, memory.ca.certificate
                )
            replica.former, replica.served = served, memory

    def in_date(self, stored: secret_data.Stored) -> bool:
        leaf = stored.leaf.parsed()
        return not checks.serving(leaf, field="", dns_names=kit.DNS_NAMES, now=self.now)

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
            until = self.replicas[0].until
            if self.second % 20 == 0 or (until and self.now >= until):
                self.work(self.replicas[0])

    @stateful.rule()
    def a_ca_roll_is_due(self) -> None:
        if isinstance(self.secret, secret_data.Stored) and self.secret.next_ca is None:
            world = plan.CertificateState(now=self.now, found=self.secret, memory=self.secret)
            step = plan.Step(plan.Action.STAGE_CA, "asked for")
            self.put(roll.carry_out(step, world, policy=POLICY, generate=keys.generate))

    @stateful.rule(stranger=strategies.booleans())
    def the_secret_is_deleted(self, *, stranger: bool) -> None:
        """A stranger is a replica that starts at this very moment, and knows of nothing."""
        self.work(self.replicas[0])
        self.put(None)
        if stranger:
            newborn = Replica()
            self.read(newborn)
            self.write(newborn)
        self.read(self.replicas[0])
        self.write(self.replicas[0])

    @stateful.rule(number=REPLICAS)
    def clients_refuse_what_a_replica_serves(self, number: int) -> None:
        replica = self.replicas[number]
        former = replica.former
        if (
            former
            and self.in_date(former)
            and checks.fingerprints(former.bundle())
            & set(replica.seen).intersection(verifies(former.leaf.certificate, former.bundle()))
        ):
            replica.served, replica.former = former, None

    @stateful.rule(number=REPLICAS)
    def somebody_sets_the_bundle_back_for_a_moment(self, number: int) -> None:
        """What is not trusted meanwhile is not our doing; that nobody goes ahead of it is."""
        for replica in self.replicas:
            self.observe(replica)
        if not isinstance(self.secret, secret_data.Stored) or not self.secret.previous:
            return
        self.foreign.add(len(self.live))
        self.live.append((self.second, self.secret.previous.certificate))
        self.observe(self.replicas[number])
        self.load(self.replicas[number])
        self.live.append((self.second, self.secret.bundle()))

    @stateful.rule(left=strategies.sampled_from([LAG + 2, 2 * LAG, 29]))
    def everybody_sleeps_until_shortly_before_the_end_of_the_ca(self, left: int) -> None:
        self.work(self.replicas[0])
        assert isinstance(self.secret, secret_data.Stored)
        end = self.secret.ca.parsed().not_valid_after_utc - kit.NOW
        self.second = max(self.second, int(end.total_seconds()) - left)
        self.work(self.replicas[0])

    @stateful.rule()
    def the_secret_is_restored_from_a_backup(self) -> None:
        """Whoever lives hears of it at once, and the others had heard of the newest one before: a
        replica that is cut off at the same time cannot tell it from nothing new."""
        self.work(self.replicas[0])
        for replica in self.replicas:
            self.read(replica)
            replica.pending = None
        self.put(self.backup)
        self.read(self.replicas[0])
        self.write(self.replicas[0])

    @stateful.invariant()
    def every_api_server_trusts_whatever_any_replica_presents(self) -> None:
        for replica in self.replicas:
            if replica.served and self.now <= replica.served.leaf.parsed().not_valid_after_utc:
                assert self.is_trusted(replica.served)

    @stateful.invariant()
    def whoever_was_there_all_the_time_can_always_be_called(self) -> None:
        served = self.replicas[0].served
        assert served
        assert self.in_date(served)

    def is_trusted(self, stored: secret_data.Stored) -> bool:
        """By every API server: a CA in its bundle has signed it, and is in date itself."""
        return all(
            any(
                self.now <= ends(bundle)[issuer]
                for issuer in verifies(stored.leaf.certificate, bundle)
            )
            for bundle in self.bundles_in_force()
        )

    def bundles_in_force(self) -> list[bytes]:
        """What any API server may believe: whatever was live at any time in the last `LAG`."""
        spans = itertools.pairwise([*self.live, (self.second + 1, b"")])
        return [
            bundle
            for place, ((_, bundle), (until, _)) in enumerate(spans)
            if until > self.second - LAG and place not in self.foreign
        ]

    def teardown(self) -> None:
        """Left alone it comes to rest, however it went, and keeps no CA of former leaves."""
        for _ in range(60):
            self.second += 20
            for replica in self.replicas:
                self.work(replica)
        assert isinstance(self.secret, secret_data.Stored)
        previous = self.secret.previous
        assert previous is None or self.now <= previous.until
        assert self.live[-1][1] == self.secret.bundle()
        assert {replica.memory for replica in self.replicas} == {self.secret}
        assert {replica.served for replica in self.replicas} == {self.secret}


Model.TestCase.settings = hypothesis.settings(
    max_examples=10, stateful_step_count=40, deadline=None, derandomize=True
)
TestModel = Model.TestCase


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_invariants_hold_in_a_long_search() -> None:
    """Other examples in each run; Hypothesis prints the steps of a failing one."""
    settings = hypothesis.settings(
        Model.TestCase.settings, max_examples=500, derandomize=False, database=None
    )
    stateful.run_state_machine_as_test(Model, settings=settings)


def check_invariants(model: Model) -> None:
    model.every_api_server_trusts_whatever_any_replica_presents()
    model.whoever_was_there_all_the_time_can_always_be_called()


def test_a_staged_ca_that_ended_while_everybody_slept_never_takes_over() -> None:
    """The CA in use was extended meanwhile, so it lives longer than its staged successor."""
    model = Model()
    model.a_ca_roll_is_due()
    for left in (2 * LAG, LAG + 2, LAG + 2):
        model.everybody_sleeps_until_shortly_before_the_end_of_the_ca(left)
        check_invariants(model)
    model.teardown()
