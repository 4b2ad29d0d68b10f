"""The status of injections is right, is not lost by an error, and is not fought about."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from sidecar_injector import names
from sidecar_injector.controllers import agreement, rate_limit, status
from sidecar_injector.core import status as wanted
from sidecar_injector.core.injections import model, schema
from sidecar_injector.kube import api, informer
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.webhook import cluster_state, judge
from tests.kits import fake_api
from tests.kits.samples import NAMESPACE, resource

START = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
PLURAL = "sidecarinjections"
INVALID: dict[str, Any] = {"template": {"spec": {"containers": [{"name": "a"}]}}}
Version = Callable[[model.Injection], model.Injection]


class State(cluster_state.ClusterState):
    """Compiles injections as another version of the operator does."""

    def __init__(self, version: Version) -> None:
        super().__init__(release_namespace=names.PRODUCT)
        self._version = version

    def injection(self, kind: str, key: cluster_state.Key) -> model.Injection | None:
        injection = super().injection(kind, key)
        return injection and self._version(injection)


def as_it_is(injection: model.Injection) -> model.Injection:
    return injection


class Replica:
    """A status writer with its informers."""

    compiled: wanted.Fields | None = None
    """What it knows of the policy, if it leads."""

    def __init__(self, cluster: Cluster, version: Version) -> None:
        self.metrics = Metrics()
        self.state = State(version)
        self.serving = True
        self.writer = status.StatusWriter(
            cluster.server, state=self.state, injection_judge=judge.Judge(self.metrics),
            serving=lambda: self.serving, metrics=self.metrics, clock=cluster.now,
            monotonic=lambda: cluster.seconds, compiled=lambda injection: self.compiled,
        )  # fmt: skip
        self.injections = informer.Informer(
            cluster.server, api.INJECTIONS, metrics=self.metrics, on_change=self.changed
        )
        self.namespaces = informer.Informer(
            cluster.server, api.NAMESPACES, metrics=self.metrics, on_change=self.namespace_changed
        )
        self.writer.follow({names.KIND: self.injections.objects, names.CLUSTER_KIND: {}})
        runs = (self.injections.run(), self.namespaces.run())
        self.tasks = [asyncio.ensure_future(run) for run in runs]

    def changed(self, key: informer.Key, old: Any, new: Any) -> None:
        self.state.injection_changed(key, old, new)
        self.writer.changed(names.KIND, key)

    def namespace_changed(self, key: informer.Key, old: Any, new: Any) -> None:
        self.state.namespace_changed(key, old, new)
        self.writer.namespace_changed(key[1], is_labelled=True)

    def namespaces_are_enabled(self) -> bool:
        namespace = self.state.namespace(NAMESPACE)
        return namespace is not None and namespace.is_enabled

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


class Cluster:
    """An API server with an enabled namespace and one injection in it, and the replicas."""

    def __init__(self) -> None:
        self.server = fake_api.FakeApi()
        self.seconds = 0.0
        self.replicas: list[Replica] = []
        self.enable(True)
        self.apply(resource())

    def now(self) -> datetime.datetime:
        return START + datetime.timedelta(seconds=self.seconds)

    def enable(self, enabled: bool, **more: str) -> None:
        labels = {names.INJECTION_LABEL: names.ENABLED if enabled else names.DISABLED, **more}
        self.server.seed(api.NAMESPACES, {"metadata": {"name": NAMESPACE, "labels": labels}})

    def apply(self, injection: api.Json) -> None:
        self.server.seed(api.INJECTIONS, injection)

    async def start(self, version: Version = as_it_is) -> Replica:
        replica = Replica(self, version)
        self.replicas.append(replica)
        await replica.injections.synced.wait()
        await replica.namespaces.synced.wait()
        await self.passes(1)
        return replica

    async def passes(self, seconds: int) -> None:
        """Each replica runs as often as it is woken, and once a second."""
        for _ in range(seconds):
            for _ in range(3):
                for replica in self.replicas:
                    await replica.writer.step()
                    for _ in range(15):
                        await asyncio.sleep(0)
            self.seconds += 1

    def status(self, name: str = "log") -> api.Json:
        current: api.Json = self.server.objects[api.INJECTIONS][NAMESPACE, name].get("status", {})
        return current

    def damage(self, **fields: Any) -> None:
        """Somebody else writes the status."""
        stored = self.server.objects[api.INJECTIONS][NAMESPACE, "log"]
        self.apply({**stored, "status": {**self.status(), **fields}})

    def condition(self, kind: str = "Ready") -> api.Json:
        (only,) = [each for each in self.status()["conditions"] if each["type"] == kind]
        return only

    @property
    def writes(self) -> int:
        return self.server.calls["patch", PLURAL]


@pytest.fixture
async def cluster(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    for pause in ("FIRST_PAUSE", "REOPEN_PAUSE", "LONGEST_PAUSE"):
        monkeypatch.setattr(informer, pause, 0.0)
    cluster = Cluster()
    yield cluster
    for replica in cluster.replicas:
        await replica.stop()


async def test_a_namespace_that_forbids_the_template_is_not_ready_for_it(cluster: Cluster) -> None:
    await cluster.start()
    assert cluster.condition()["status"] == "True"
    cluster.enable(True, **{names.POD_SECURITY_ENFORCE_LABEL: "restricted"})
    await cluster.passes(2)
    for kind in ("Ready", "Effective"):
        condition = cluster.condition(kind)
        assert (condition["status"], condition["reason"]) == ("False", "PodSecurity")
        assert "'restricted'" in condition["message"]


async def test_counts_of_the_audit_make_an_injection_effective_or_not(cluster: Cluster) -> None:
    await cluster.start()
    assert cluster.condition("Effective")["reason"] == "NoPods"
    for counts, reason in (({"skipped": 2}, "AllSkipped"), ({"skipped": 1}, "HasPods")):
        cluster.damage(pods={"selected": 2, **counts})
        await cluster.passes(2)
        assert cluster.condition("Effective")["reason"] == reason
        assert cluster.condition()["status"] == "True"


async def test_replicas_of_one_version_write_once(cluster: Cluster) -> None:
    for _ in range(5):
        await cluster.start()
    await cluster.passes(60)
    assert cluster.writes == 1
    assert cluster.condition()["status"] == "True"


def compiled(injection: model.Injection) -> model.Injection:
    """As if it were of the cluster."""
    spec = {**injection.spec, "engine": "Policy"}
    return dataclasses.replace(injection, kind=names.CLUSTER_KIND, spec=spec)


async def test_only_the_leader_writes_what_became_of_the_policy(cluster: Cluster) -> None:
    """What another replica writes about the rest at the same time does not hold it up."""
    _, leader = await cluster.start(compiled), await cluster.start(compiled)
    for fields in (wanted.not_written("no right"), wanted.in_force("policy", "")):
        leader.compiled = fields
        leader.writer.changed(names.KIND, (NAMESPACE, "log"))
        await cluster.passes(2)
        assert cluster.condition("Compiled")["reason"] == fields[1]
    before = cluster.status()["conditions"]
    older = [
        {**each, "reason": "NotWritten"} if each["type"] == "Compiled" else each for each in before
    ]
    cluster.damage(conditions=older)
    await cluster.passes(2)
    assert cluster.condition("Compiled")["reason"] == "InForce"


def other_hash(injection: model.Injection) -> model.Injection:
    return dataclasses.replace(injection, hash="0123456789abcdef")


def other_words(injection: model.Injection) -> model.Injection:
    words = tuple(schema.Problem("spec.template", "is wrong") for _ in injection.errors)
    return dataclasses.replace(injection, errors=words)


def other_rules(injection: model.Injection) -> model.Injection:
    problem = schema.Problem("spec.template", "is not supported any more")
    return dataclasses.replace(injection, errors=(problem,))


@pytest.mark.parametrize("version", [other_hash, other_words, other_rules])
@pytest.mark.parametrize("newer_first", [False, True])
async def test_two_versions_settle_on_the_status_of_the_one_that_started_last(
    cluster: Cluster, version: Version, newer_first: bool
) -> None:
    if version is other_words:
        cluster.apply(resource(**INVALID))
    first, last = (version, as_it_is) if newer_first else (as_it_is, version)
    for each in (first, first, last):
        await cluster.start(each)
    before = cluster.status()
    await cluster.start(last)
    await cluster.passes(600)
    assert cluster.writes == 2
    assert cluster.status() == before
    is_new = before["templateHash"] == "0123456789abcdef" or cluster.condition("Accepted")[
        "message"
    ].startswith("spec.template: is")
    assert is_new is not newer_first


async def test_two_versions_follow_a_change_with_one_write_each(cluster: Cluster) -> None:
    await cluster.start()
    await cluster.start(other_hash)
    for enabled in (False, True, False):
        written = cluster.writes
        cluster.enable(enabled)
        await cluster.passes(30)
        assert cluster.condition()["reason"] == ("Active" if enabled else "NamespaceNotEnabled")
        assert cluster.writes - written <= 2


async def test_a_rival_that_empties_the_status_is_answered_rarely(cluster: Cluster) -> None:
    await cluster.start()
    await cluster.passes(10)
    writes = []
    for second in range(300):
        written = cluster.writes
        cluster.damage(conditions=[])
        await cluster.passes(1)
        writes += [second // 60] * (cluster.writes - written)
    assert [writes.count(minute) for minute in range(5)] == [rate_limit.FAST_TRIES, 1, 1, 1, 1]
    await cluster.passes(60)
    assert cluster.condition()["status"] == "True"


async def test_the_status_of_a_writer_that_is_gone_is_corrected_in_the_end(
    cluster: Cluster,
) -> None:
    await cluster.start()
    former = await cluster.start(other_rules)
    await former.stop()
    cluster.replicas.remove(former)
    assert cluster.condition("Accepted")["status"] == "False"
    cluster.seconds += agreement.REPAIR_SECONDS
    await cluster.passes(2)
    assert cluster.condition("Accepted")["status"] == "True"


async def test_a_change_that_another_replica_made_and_did_not_take_back_is_taken_back(
    cluster: Cluster,
) -> None:
    """What we wrote long ago is no reason to leave another replica's status alone."""
    first = await cluster.start()
    second = await cluster.start()
    cluster.replicas.remove(first)
    cluster.enable(False)
    await cluster.passes(1)
    assert cluster.condition()["reason"] == "NamespaceNotEnabled"
    cluster.replicas = [first]
    await cluster.passes(1)
    cluster.enable(True)
    await cluster.passes(1)
    assert cluster.condition()["reason"] == "Active"
    cluster.replicas = [first, second]


async def test_our_own_write_that_the_watch_tells_late_is_not_another_s(cluster: Cluster) -> None:
    replica = await cluster.start()
    stale = dict(replica.injections.objects)
    replica.writer.follow({names.KIND: stale, names.CLUSTER_KIND: {}})
    for enabled in (False, True):
        cluster.enable(enabled)
        await cluster.passes(1)
    assert cluster.condition()["reason"] == "NamespaceNotEnabled"
    replica.writer.follow({names.KIND: replica.injections.objects, names.CLUSTER_KIND: {}})
    replica.writer.changed(names.KIND, (NAMESPACE, "log"))
    await cluster.passes(1)
    assert cluster.condition()["reason"] == "Active"


async def test_a_rival_that_writes_before_our_response_is_not_missed(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch = cluster.server.patch
    rivals = [{}, {}]

    async def slow(*arguments: Any, **options: Any) -> api.Json:
        response = await patch(*arguments, **options)
        if rivals:
            cluster.damage(conditions=[], **rivals.pop())
            for _ in range(50):
                await asyncio.sleep(0)
        return response

    monkeypatch.setattr(cluster.server, "patch", slow)
    await cluster.start()
    await cluster.passes(2)
    assert not rivals
    assert cluster.condition()["status"] == "True"


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Session is closed"),
        asyncio.CancelledError(),
        api.UnreachableError(host="fake", detail="refused"),
        fake_api.refusal(403, "Forbidden"),
        fake_api.refusal(429, "TooManyRequests"),
        fake_api.refusal(500, "InternalError"),
    ],
    ids=lambda error: type(error).__name__ + str(getattr(error, "status", "")),
)
async def test_no_injection_is_lost_whatever_is_raised(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    cluster.server.failures["patch", PLURAL] = [error]  # type: ignore[list-item]  # any exception
    for number in range(9):
        cluster.apply(resource(f"more-{number}"))
    replica = Replica(cluster, as_it_is)
    cluster.replicas.append(replica)
    await replica.injections.synced.wait()
    await replica.namespaces.synced.wait()
    with pytest.raises(type(error)):
        await replica.writer.step()
    assert cluster.writes == 1
    await cluster.passes(1)
    assert all(cluster.status(f"more-{number}") for number in range(9))
    assert cluster.status()


@pytest.mark.parametrize("code", [409, 422])
async def test_an_injection_whose_status_is_refused_does_not_hold_up_the_others(
    cluster: Cluster, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.server.failures["patch", PLURAL] = [fake_api.refusal(code, "No")] * 2
    for number in range(5):
        cluster.apply(resource(f"more-{number}"))
    await cluster.start()
    assert sum(bool(cluster.status(f"more-{number}")) for number in range(5)) >= 4
    assert caplog.text.count("cannot write the status") == 1
    await cluster.passes(int(status.REFUSED_SECONDS) + 2)
    assert cluster.status()


async def test_a_written_status_is_logged_with_the_whole_name(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await cluster.start()
    assert caplog.text.count(f"{names.KIND} {NAMESPACE}/log: Accepted is True (Valid)") == 1


async def test_a_change_that_could_not_be_written_is_written_later(cluster: Cluster) -> None:
    replica = await cluster.start()
    cluster.server.failures["patch", PLURAL] = [fake_api.refusal(500, "InternalError")]
    cluster.enable(False)
    await fake_api.eventually(lambda: not replica.namespaces_are_enabled())
    with pytest.raises(api.ApiError):
        await replica.writer.step()
    await cluster.passes(1)
    assert cluster.condition()["reason"] == "NamespaceNotEnabled"


async def test_a_deleted_injection_is_forgotten(cluster: Cluster) -> None:
    await cluster.start()
    status_before = cluster.status()
    cluster.server.take(api.INJECTIONS, name="log", namespace=NAMESPACE)
    await cluster.passes(1)
    cluster.apply({**resource(), "status": {**status_before, "templateHash": "another"}})
    await cluster.passes(1)
    assert cluster.status() == status_before
