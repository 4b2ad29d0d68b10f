"""Which replica leads, and for how long: by the local clock, written by compare-and-swap."""

from __future__ import annotations

import asyncio
import datetime
import socket
from collections.abc import AsyncIterator

import pytest

from sidecar_injector import names
from sidecar_injector.kube import api, leader_election, server_clock
from sidecar_injector.observability.metrics import Metrics
from tests.kits import fake_api

REF = leader_election.LeaseRef(namespace="si", name="si-audit", deployment="si")
DEPLOYMENT = {"metadata": {"name": "si", "namespace": "si", "uid": "owner"}}


class Time:
    """Monotonic seconds that pass while all tasks sleep."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.Event()
        self._sleepers.append((self.seconds + seconds, woken))
        await woken.wait()

    async def passes(self, seconds: float) -> None:
        end = self.seconds + seconds
        while True:
            for _ in range(50):
                await asyncio.sleep(0)
            due = sorted(at for at, _ in self._sleepers if at <= end)
            if not due:
                break
            self.seconds = due[0]
            for sleeper in [each for each in self._sleepers if each[0] <= self.seconds]:
                self._sleepers.remove(sleeper)
                sleeper[1].set()
        self.seconds = end


class Replica:
    """A replica that leads when it can; `leading` says whether its work runs."""

    def __init__(self, name: str, server: api.Api, time: Time) -> None:
        self.leading = False
        self.terms = 0
        self.fail: Exception | None = None
        self.metrics = Metrics()
        clocks = server_clock.Clocks(
            now=lambda: datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC),
            monotonic=lambda: time.seconds,
            sleep=time.sleep,
        )
        self.lease = leader_election.Lease(
            server, ref=REF, identity=name, metrics=self.metrics, clocks=clocks
        )
        self.task = asyncio.create_task(self.lease.lead(self.work))

    async def work(self) -> None:
        self.leading, self.terms = True, self.terms + 1
        try:
            if self.fail:
                raise self.fail
            await asyncio.Event().wait()
        finally:
            self.leading = False

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


class World:
    def __init__(self) -> None:
        self.server, self.time = fake_api.FakeApi(), Time()
        self.server.seed(api.DEPLOYMENTS, DEPLOYMENT)
        self.replicas: list[Replica] = []

    def start(self, name: str, server: api.Api | None = None) -> Replica:
        self.replicas.append(Replica(name, server or self.server, self.time))
        return self.replicas[-1]

    @property
    def spec(self) -> api.Json:
        return self.server.objects[api.LEASES]["si", "si-audit"]["spec"]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    for replica in world.replicas:
        await replica.end()


class Cut:
    """An API that does not respond any more once `cut` is set, or says what `error` is."""

    def __init__(self, server: api.Api, error: api.KubeError | None = None) -> None:
        self._server, self.cut = server, False
        self._error = error or api.UnreachableError(host="fake", detail="cut off")

    def __getattr__(self, name: str) -> object:
        if self.cut and name in {"get", "create", "replace"}:
            return self._fail
        return getattr(self._server, name)

    async def _fail(self, *_: object, **__: object) -> None:
        raise self._error


async def test_one_of_two_leads_and_the_deployment_owns_the_lease(world: World) -> None:
    first, second = world.start("a"), world.start("b")
    await world.time.passes(60)
    assert sorted([first.leading, second.leading]) == [False, True]
    holder = world.spec["holderIdentity"]
    assert world.replicas["ab".index(holder)].leading
    lease = world.server.objects[api.LEASES]["si", "si-audit"]
    assert lease["metadata"]["ownerReferences"] == [
        {"apiVersion": "apps/v1", "kind": "Deployment", "name": "si", "uid": "owner"}
    ]
    assert world.spec["leaseTransitions"] == 0
    assert first.terms + second.terms == 1


async def test_a_leader_that_ends_releases_the_lease(world: World) -> None:
    first = world.start("a")
    await world.time.passes(1)
    second = world.start("b")
    await first.end()
    assert not first.leading
    assert world.spec["holderIdentity"] == ""
    await world.time.passes(leader_election.RETRY_SECONDS)
    assert second.leading
    assert world.spec["leaseTransitions"] == 1


@pytest.mark.parametrize(
    "error",
    [
        None,
        api.ApiError(status=429, reason="r", message="m", path="/", retry_after=30.0),
    ],
    ids=["no answer", "too many requests"],
)
async def test_a_leader_that_is_cut_off_stops_before_another_begins(
    world: World, error: api.KubeError | None
) -> None:
    link = Cut(world.server, error)
    first = world.start("a", link)
    await world.time.passes(1)
    second = world.start("b")
    await world.time.passes(10)
    assert first.leading
    link.cut = True
    for _ in range(200):
        await world.time.passes(0.1)
        assert not (first.leading and second.leading)
    assert not first.leading
    assert second.leading
    assert first.metrics.registry.get_sample_value("sidecar_injector_leader") == 0
    assert second.metrics.registry.get_sample_value("sidecar_injector_leader") == 1


async def test_another_takes_over_in_less_than_twenty_seconds_whatever_the_clocks_say(
    world: World,
) -> None:
    """The dead leader's clock was an hour ahead, but only the time of its last write counts."""
    ahead = {
        "metadata": {"name": "si-audit", "namespace": "si"},
        "spec": {
            "holderIdentity": "dead",
            "renewTime": "2030-01-01T01:00:00.000000Z",
            "leaseDurationSeconds": 86_400,
        },
    }
    world.server.seed(api.LEASES, ahead)
    replica = world.start("b")
    await world.time.passes(leader_election.LEASE_SECONDS - leader_election.RETRY_SECONDS)
    assert not replica.leading
    await world.time.passes(20 - (leader_election.LEASE_SECONDS - leader_election.RETRY_SECONDS))
    assert replica.leading


async def test_an_overloaded_server_gets_its_pause(world: World) -> None:
    busy = api.ApiError(status=429, reason="r", message="m", path="/", retry_after=20.0)
    world.server.failures["get", "leases"] = [busy]
    replica = world.start("a")
    await world.time.passes(19)
    assert world.server.calls["get", "leases"] == 1
    await world.time.passes(2)
    assert replica.leading


async def test_a_restarted_leader_goes_on_at_once(world: World) -> None:
    first = world.start("a")
    await world.time.passes(1)
    before = world.spec["acquireTime"]
    first.task.cancel()
    world.spec["holderIdentity"] = "a"  # killed: the Lease was not released
    again = world.start("a")
    await world.time.passes(0.1)
    assert again.leading
    assert world.spec["acquireTime"] == before


async def test_without_a_deployment_there_is_no_lease(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.server.take(api.DEPLOYMENTS, name="si", namespace="si")
    replica = world.start("a")
    await world.time.passes(10)
    assert not replica.leading
    assert api.LEASES not in world.server.objects
    assert caplog.text.count("there is no Deployment si to own it") == 1


async def test_after_an_uninstall_the_lease_stays_away(world: World) -> None:
    replica = world.start("a")
    await world.time.passes(1)
    world.server.take(api.DEPLOYMENTS, name="si", namespace="si")
    world.server.take(api.LEASES, name="si-audit", namespace="si")
    await world.time.passes(30)
    assert not replica.leading
    assert world.server.objects[api.LEASES] == {}


async def test_a_lease_that_was_deleted_is_recreated_by_its_holder(world: World) -> None:
    replica = world.start("a")
    await world.time.passes(1)
    world.server.take(api.LEASES, name="si-audit", namespace="si")
    await world.time.passes(leader_election.RETRY_SECONDS)
    assert world.spec["holderIdentity"] == "a"
    assert replica.terms == 1


async def test_work_that_fails_ends_the_term_and_raises(world: World) -> None:
    replica = world.start("a")
    replica.fail = ValueError("bug")
    await world.time.passes(2 * leader_election.RETRY_SECONDS)
    with pytest.raises(ValueError, match="bug"):
        await replica.task
    assert world.spec["holderIdentity"] == ""


async def test_fields_of_others_on_the_lease_are_preserved(world: World) -> None:
    world.server.seed(
        api.LEASES,
        {"metadata": {"name": "si-audit", "namespace": "si", "labels": {"a": "b"}}, "spec": {}},
    )
    replica = world.start("a")
    await world.time.passes(1)
    assert replica.leading
    lease = world.server.objects[api.LEASES]["si", "si-audit"]
    assert lease["metadata"]["labels"] == {"a": "b"}


def test_a_pod_has_its_name_in_the_lease_and_other_operators_have_one_of_their_own() -> None:
    assert leader_election.unique_identity("injector-6d5f-x2") == "injector-6d5f-x2"
    identities = {leader_election.unique_identity(names.PRODUCT) for _ in range(10)}
    assert len(identities) == 10
    assert all(identity.startswith(f"{socket.gethostname()}_") for identity in identities)
