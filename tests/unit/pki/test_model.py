"""The invariants of the plan, for replicas that are slow, crash and race with each other.

In the model a replica reads, writes, patches, observes and loads in separate moves, so that moves
of another replica can come between any two of them. API servers see a configuration up to `LAG`
seconds late.
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

from sidecar_injector.pki import checks, handover, keys, plan, secret_data
from tests.kits import pki as kit

LAG = 10
POLICY = plan.Policy(
    dns_names=kit.DNS_NAMES, leaf_seconds=300, ca_seconds=900, roll_wait_seconds=LAG + 5
)
REPLICAS = strategies.integers(0, 2)
issuers = functools.cache(handover.issuers)


@functools.cache
def ends(bundle: bytes) -> dict[str, datetime.datetime]:
    """When each CA's life is over."""
    return {
        checks.fingerprint(checks.canonical(ca)): ca.not_valid_after_utc
        for ca in x509.load_pem_x509_certificates(bundle)
    }


@dataclasses.dataclass
class Replica:
    """The memory of one process."""

    adopted: secret_data.CertificateSet | None = None
    served: secret_data.CertificateSet | None = None
    former: secret_data.CertificateSet | None = None
    """What was served before it."""
    plans_at: datetime.datetime | None = None
    """When it plans again at the latest."""
    live_since: dict[str, int] = dataclasses.field(default_factory=dict)
    """Fingerprints of the CAs in the configuration that it has seen last."""
    events: int = 0
    """How many states of the configuration it has seen."""
    pending: tuple[plan.Step, plan.CertificateState, int] | None = None
    patching: tuple[bytes, int] | None = None


class Model(stateful.RuleBasedStateMachine):
    """One Secret, one configuration, three replicas and a clock."""

    def __init__(self) -> None:
        super().__init__()
        self.second = 0
        self.secret: secret_data.CertificateSet | secret_data.Corrupt | None = None
        self.backup: secret_data.CertificateSet | None = None
        self.version = 0
        self.live: list[tuple[int, bytes]] = [(0, b"")]
        self.foreign: set[int] = set()
        """The indices in `live` of what a stranger has written."""
        self.replicas = [Replica() for _ in range(3)]
        # As after an installation: one replica has created the Secret, and all have adopted it.
        for replica in self.replicas:
            self.work(replica)
        self.second = LAG + 1

    @property
    def now(self) -> datetime.datetime:
        return kit.NOW + self.second * kit.SECOND

    def work(self, replica: Replica) -> None:
        """All moves of one replica, without interference."""
        before = None
        while before != (self.version, replica.adopted):
            before = (self.version, replica.adopted)
            self.read(replica)
            self.write(replica)
        self.fetch(replica)
        self.patch(replica)
        self.observe(replica)
        self.load(replica)

    def read(self, replica: Replica) -> None:
        state = plan.CertificateState(
            now=self.now,
            secret=self.secret,
            adopted=replica.adopted,
            live_seconds=self.live_seconds(replica),
        )
        step = plan.next_step(state, POLICY)
        # A replica plans again as soon as it has taken a step, or lost the race for it.
        is_at_rest = step.action in {plan.Action.NOTHING, plan.Action.WAIT}
        replica.plans_at = step.until if is_at_rest else self.now
        if step.action is plan.Action.ADOPT:
            assert isinstance(self.secret, secret_data.CertificateSet)
            replica.adopted = self.secret
        # Before a step that depends on the configuration it is read from the API server.
        is_behind = replica.events != len(self.live)
        if step.action.writes and not (step.depends_on_live and is_behind):
            replica.pending = (step, state, self.version)

    def live_seconds(self, replica: Replica) -> dict[str, float]:
        return {ca: float(self.second - since) for ca, since in replica.live_since.items()}

    def write(self, replica: Replica) -> None:
        pending, replica.pending = replica.pending, None
        if pending is None or pending[2] != self.version:
            return
        step, state, _ = pending
        written = plan.apply_step(step, state, policy=POLICY, generate=keys.generate)
        if isinstance(self.secret, secret_data.CertificateSet):
            assert written.generation > self.secret.generation
            if step.action is plan.Action.SWITCH_ISSUER:
                self.check_switch(self.secret, written)
        self.put(written)

    def check_switch(
        self, before: secret_data.CertificateSet, after: secret_data.CertificateSet
    ) -> None:
        """No new CA signs before every API server knows it, unless the old CA has expired."""
        if self.now <= before.ca.parsed().not_valid_after_utc:
            for bundle in self.bundles_in_force():
                assert after.ca.certificate in bundle

    def put(self, secret: secret_data.CertificateSet | secret_data.Corrupt | None) -> None:
        """Every Secret can be read back, and no leaf in it outlives its CA."""
        self.secret, self.version = secret, self.version + 1
        if isinstance(secret, secret_data.CertificateSet):
            self.backup = self.backup or secret
            assert secret_data.decode(secret_data.encode(secret)) == secret
            leaf, ca = secret.leaf.parsed(), secret.ca.parsed()
            assert leaf.not_valid_after_utc <= ca.not_valid_after_utc

    def fetch(self, replica: Replica) -> None:
        """Read the configuration, then the Secret, to patch later."""
        newest = adopted = replica.adopted
        if isinstance(self.secret, secret_data.CertificateSet):
            is_older = adopted and self.secret.generation < adopted.generation
            newest = adopted if is_older else self.secret
        if newest and newest.bundle() != self.live[-1][1]:
            replica.patching = (newest.bundle(), len(self.live))

    def patch(self, replica: Replica) -> None:
        patching, replica.patching = replica.patching, None
        if patching and patching[1] == len(self.live):
            self.live.append((self.second, patching[0]))

    def observe(self, replica: Replica) -> None:
        for _, bundle in self.live[replica.events :]:
            since = replica.live_since
            replica.live_since = {
                ca: since.get(ca, self.second) for ca in checks.fingerprints(bundle)
            }
        replica.events = len(self.live)

    def load(self, replica: Replica) -> None:
        adopted, served = replica.adopted, replica.served
        if adopted is None or adopted == served or not self.in_date(adopted):
            return
        candidate = issuers(adopted.leaf.certificate, adopted.bundle())
        if handover.may_serve(
            candidate,
            served=served.leaf.certificate if served else None,
            served_by=issuers(served.leaf.certificate, served.bundle() + adopted.bundle())
            if served
            else (),
            live_seconds=self.live_seconds(replica),
            wait=0,
            now=self.now,
        ):
            if served and self.in_date(served) and served.ca != adopted.ca:
                assert not candidate.isdisjoint(replica.live_since) or checks.same_key(
                    served.ca.certificate, adopted.ca.certificate
                )
            replica.former, replica.served = served, adopted

    def in_date(self, certificates: secret_data.CertificateSet) -> bool:
        leaf = certificates.leaf.parsed()
        return not checks.serving(leaf, field="", dns_names=kit.DNS_NAMES, now=self.now)

    @stateful.rule(number=REPLICAS)
    def a_replica_reads(self, number: int) -> None:
        self.read(self.replicas[number])

    @stateful.rule(number=REPLICAS)
    def a_replica_writes(self, number: int) -> None:
        self.write(self.replicas[number])

    @stateful.rule(number=REPLICAS)
    def a_replica_reads_the_bundle(self, number: int) -> None:
        self.fetch(self.replicas[number])

    @stateful.rule(number=REPLICAS)
    def a_replica_patches_the_bundle(self, number: int) -> None:
        self.patch(self.replicas[number])

    @stateful.rule(number=REPLICAS)
    def a_replica_observes_the_bundle(self, number: int) -> None:
        self.observe(self.replicas[number])

    @stateful.rule(number=REPLICAS)
    def a_replica_loads(self, number: int) -> None:
        self.load(self.replicas[number])

    @stateful.rule(number=REPLICAS)
    def a_replica_does_all_its_work(self, number: int) -> None:
        self.work(self.replicas[number])

    @stateful.rule(number=strategies.integers(1, 2))
    def a_replica_crashes_and_starts_again(self, number: int) -> None:
        """Not the first one: if no replica is left and the Secret is lost, trust is lost too."""
        self.replicas[number] = Replica()

    @stateful.rule(seconds=strategies.sampled_from([1, 5, LAG, 60]))
    def time_passes(self, seconds: int) -> None:
        """The first replica plans in time, and at least every 20 s."""
        for _ in range(seconds):
            self.second += 1
            plans_at = self.replicas[0].plans_at
            if self.second % 20 == 0 or (plans_at and self.now >= plans_at):
                self.work(self.replicas[0])

    @stateful.rule()
    def a_ca_roll_is_due(self) -> None:
        if isinstance(self.secret, secret_data.CertificateSet) and self.secret.next_ca is None:
            state = plan.CertificateState(now=self.now, secret=self.secret, adopted=self.secret)
            step = plan.Step(plan.Action.STAGE_CA, "asked for")
            self.put(plan.apply_step(step, state, policy=POLICY, generate=keys.generate))

    @stateful.rule(stranger=strategies.booleans())
    def the_secret_is_deleted(self, *, stranger: bool) -> None:
        """A stranger is a replica that starts at this very moment and has adopted nothing."""
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
        if former and handover.may_return_to(
            former.leaf.certificate,
            issuers=issuers(former.leaf.certificate, former.bundle()),
            live_cas=replica.live_since,
            now=self.now,
        ):
            replica.served, replica.former = former, None

    @stateful.rule(number=REPLICAS)
    def a_stranger_sets_the_bundle_back_for_a_moment(self, number: int) -> None:
        """API servers may trust too little meanwhile; no replica may serve more than they trust."""
        for replica in self.replicas:
            self.observe(replica)
        if not isinstance(self.secret, secret_data.CertificateSet) or not self.secret.previous:
            return
        self.foreign.add(len(self.live))
        self.live.append((self.second, self.secret.previous.certificate))
        self.observe(self.replicas[number])
        self.load(self.replicas[number])
        self.live.append((self.second, self.secret.bundle()))

    @stateful.rule(left=strategies.sampled_from([LAG + 2, 2 * LAG, 29]))
    def all_replicas_sleep_until_shortly_before_the_end_of_the_ca(self, left: int) -> None:
        self.work(self.replicas[0])
        assert isinstance(self.secret, secret_data.CertificateSet)
        end = self.secret.ca.parsed().not_valid_after_utc - kit.NOW
        self.second = max(self.second, int(end.total_seconds()) - left)
        self.work(self.replicas[0])

    @stateful.rule()
    def the_secret_is_restored_from_a_backup(self) -> None:
        """The first replica sees it at once, and the others have seen the newest Secret before: a
        replica that has not cannot tell the backup from the newest Secret."""
        self.work(self.replicas[0])
        for replica in self.replicas:
            self.read(replica)
            replica.pending = None
        self.put(self.backup)
        self.read(self.replicas[0])
        self.write(self.replicas[0])

    @stateful.invariant()
    def every_api_server_trusts_every_served_leaf(self) -> None:
        for replica in self.replicas:
            if replica.served and self.now <= replica.served.leaf.parsed().not_valid_after_utc:
                assert self.is_trusted(replica.served)

    @stateful.invariant()
    def the_replica_that_never_crashed_always_has_a_valid_leaf(self) -> None:
        served = self.replicas[0].served
        assert served
        assert self.in_date(served)

    def is_trusted(self, certificates: secret_data.CertificateSet) -> bool:
        """Whether every API server has a CA in its bundle that has signed the leaf and is valid."""
        return all(
            any(
                self.now <= ends(bundle)[issuer]
                for issuer in issuers(certificates.leaf.certificate, bundle)
            )
            for bundle in self.bundles_in_force()
        )

    def bundles_in_force(self) -> list[bytes]:
        """What API servers may use: every bundle that was live at any time in the last `LAG`."""
        spans = itertools.pairwise([*self.live, (self.second + 1, b"")])
        return [
            bundle
            for place, ((_, bundle), (until, _)) in enumerate(spans)
            if until > self.second - LAG and place not in self.foreign
        ]

    def teardown(self) -> None:
        """Without interference all replicas come to the same, and an expired former CA is gone."""
        for _ in range(60):
            self.second += 20
            for replica in self.replicas:
                self.work(replica)
        assert isinstance(self.secret, secret_data.CertificateSet)
        previous = self.secret.previous
        assert previous is None or self.now <= previous.until
        assert self.live[-1][1] == self.secret.bundle()
        assert {replica.adopted for replica in self.replicas} == {self.secret}
        assert {replica.served for replica in self.replicas} == {self.secret}


Model.TestCase.settings = hypothesis.settings(
    max_examples=hypothesis.settings().max_examples // 10, stateful_step_count=40
)
TestModel = Model.TestCase


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_invariants_hold_in_a_long_search() -> None:
    settings = hypothesis.settings(
        Model.TestCase.settings, max_examples=5 * hypothesis.settings().max_examples
    )
    stateful.run_state_machine_as_test(Model, settings=settings)


def check_invariants(model: Model) -> None:
    model.every_api_server_trusts_every_served_leaf()
    model.the_replica_that_never_crashed_always_has_a_valid_leaf()


def test_a_staged_ca_that_ended_while_all_replicas_slept_never_takes_over() -> None:
    """The CA in use was extended meanwhile, so it lives longer than its staged successor."""
    model = Model()
    model.a_ca_roll_is_due()
    for left in (2 * LAG, LAG + 2, LAG + 2):
        model.all_replicas_sleep_until_shortly_before_the_end_of_the_ca(left)
        check_invariants(model)
    model.teardown()
