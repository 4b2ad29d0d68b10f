"""What is kept of LimitRanges and ResourceQuotas, and when a namespace is compiled again."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from sidecar_injector import names
from sidecar_injector.controllers import caches
from sidecar_injector.core.limits import namespace_limits
from sidecar_injector.kube import api, informer
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.webhook import cluster_state
from tests.kits import fake_api
from tests.kits.samples import NAMESPACE

MOST = namespace_limits.MOST_OBJECTS


def quota(name: str, *, used: str = "0", hard: str = "requests.cpu", scope: str = "") -> api.Json:
    return {
        "metadata": {"name": name, "namespace": NAMESPACE, "annotations": {"a": "x" * 1000}},
        "spec": {"hard": {hard: "1"}, **({"scopes": [scope]} if scope else {})},
        "status": {"hard": {hard: "1", "services": "5"}, "used": {hard: used, "services": used}},
    }


class Cluster:
    """A fake API with the two informers and the state that they fill."""

    def __init__(self) -> None:
        self.server, self.metrics = fake_api.FakeApi(), Metrics()
        self.state = cluster_state.ClusterState(release_namespace=names.PRODUCT)
        self.state.namespace_changed(("", NAMESPACE), None, {"metadata": {"name": NAMESPACE}})
        self.ranges, self.quotas = caches.of_limits(
            self.server, are_checked=True, state=self.state, metrics=self.metrics
        )
        self._tasks: list[asyncio.Task[Any]] = []

    async def __aenter__(self) -> Cluster:
        for each in (self.ranges, self.quotas):
            self._tasks.append(asyncio.create_task(each.run()))
            await asyncio.wait_for(each.tried.wait(), 5)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def limits(self) -> namespace_limits.NamespaceLimits | None:
        return self.state.of_namespace(NAMESPACE).view.limits

    @property
    def quota_names(self) -> list[str]:
        return [each.name for each in self.limits.quotas] if self.limits else []

    async def until(self, condition: Any) -> None:
        await fake_api.eventually(condition)


async def test_a_change_of_use_is_another_state_and_other_changes_are_not() -> None:
    cluster = Cluster()
    cluster.server.seed(api.RESOURCE_QUOTAS, quota("q"))
    async with cluster:
        first = cluster.state.of_namespace(NAMESPACE)
        assert first.view.limits
        assert first.view.limits.quotas[0].used == {"requests.cpu": 0}
        kept = quota("q")
        kept["status"]["used"]["services"] = "4"
        cluster.server.seed(api.RESOURCE_QUOTAS, kept)
        assert cluster.state.of_namespace(NAMESPACE) is first
        cluster.server.seed(api.RESOURCE_QUOTAS, quota("q", used="1"))
        await cluster.until(lambda: cluster.limits.quotas[0].used == {"requests.cpu": 1})
        assert cluster.state.of_namespace(NAMESPACE).serial != first.serial


async def test_a_quota_that_counts_objects_changes_nothing() -> None:
    cluster = Cluster()
    cluster.server.seed(api.RESOURCE_QUOTAS, quota("q", hard="pods"))
    async with cluster:
        assert cluster.limits is None
        first = cluster.state.of_namespace(NAMESPACE)
        cluster.server.seed(api.RESOURCE_QUOTAS, quota("q", hard="pods", used="1"))
        cluster.server.seed(api.RESOURCE_QUOTAS, quota("last"))
        await cluster.until(lambda: cluster.quota_names == ["last"])
        assert first.view.limits is None


async def test_a_quota_that_is_deleted_is_forgotten() -> None:
    cluster = Cluster()
    cluster.server.seed(api.RESOURCE_QUOTAS, quota("q"))
    async with cluster:
        assert cluster.quota_names == ["q"]
        cluster.server.take(api.RESOURCE_QUOTAS, name="q", namespace=NAMESPACE)
        await cluster.until(lambda: cluster.limits is None)


async def test_so_many_objects_of_a_namespace_are_kept_and_one_line_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = Cluster()
    for number in range(MOST + 5):
        cluster.server.seed(api.RESOURCE_QUOTAS, quota(f"q{number:02}"))
    with caplog.at_level(logging.WARNING):
        async with cluster:
            assert len(cluster.quota_names) == MOST
            assert sum(map(bool, cluster.quotas.objects.values())) == MOST
            (line,) = [record.getMessage() for record in caplog.records]
            assert f"namespace {NAMESPACE} has more than {MOST}" in line


async def test_in_a_full_namespace_what_is_kept_may_change_and_what_is_left_out_takes_its_place(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pause in ("FIRST_PAUSE", "REOPEN_PAUSE"):
        monkeypatch.setattr(informer, pause, 0.0)
    cluster = Cluster()
    names_of_quotas = [f"q{number}" for number in range(MOST + 1)]
    for name in names_of_quotas:
        cluster.server.seed(api.RESOURCE_QUOTAS, quota(name))
    async with cluster:
        assert cluster.quota_names == names_of_quotas[:-1]
        cluster.server.seed(api.RESOURCE_QUOTAS, quota("q0", used="1"))
        await cluster.until(lambda: cluster.limits.quotas[0].used == {"requests.cpu": 1})
        cluster.server.take(api.RESOURCE_QUOTAS, name="q0", namespace=NAMESPACE)
        await cluster.until(lambda: cluster.quota_names == names_of_quotas[1:-1])
        cluster.server.break_watches()
        await cluster.until(lambda: cluster.quota_names == names_of_quotas[1:])
        caplog.clear()
        cluster.server.seed(api.RESOURCE_QUOTAS, quota("again"))
        await cluster.until(lambda: caplog.records)
    assert "has more than" in caplog.text


@pytest.mark.parametrize(
    ("strange", "words"),
    [
        ({"scope": "Moonlit"}, "is not checked: its scope 'Moonlit' is not known"),
        ({"hard": "example.com/gpu"},
         "is checked without what is not known: hard 'example.com/gpu'"),
    ],
)  # fmt: skip
async def test_what_is_not_looked_at_is_said_once(
    caplog: pytest.LogCaptureFixture, strange: dict[str, str], words: str
) -> None:
    cluster = Cluster()
    cluster.server.seed(api.RESOURCE_QUOTAS, quota("q", **strange))
    with caplog.at_level(logging.WARNING):
        async with cluster:
            cluster.server.seed(api.RESOURCE_QUOTAS, quota("q", used="1", **strange))
            cluster.server.seed(api.RESOURCE_QUOTAS, quota("last"))
            await cluster.until(lambda: "last" in cluster.quota_names)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == f"ResourceQuota {NAMESPACE}/q {words}"


async def test_without_the_right_nothing_is_known_and_the_replica_becomes_ready(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = Cluster()
    cluster.server.seed(api.RESOURCE_QUOTAS, quota("q"))
    refusal = fake_api.refusal(api.FORBIDDEN, "Forbidden")
    cluster.server.failures["list", api.RESOURCE_QUOTAS.plural] = [refusal] * 3
    with caplog.at_level(logging.WARNING):
        async with cluster:
            assert cluster.limits is None
            assert not cluster.quotas.synced.is_set()
    assert any("RBAC does not let us" in record.getMessage() for record in caplog.records)


def test_where_they_are_not_checked_nothing_is_read_and_one_line_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    state = cluster_state.ClusterState(release_namespace=names.PRODUCT)
    with caplog.at_level(logging.INFO):
        informers = caches.of_limits(
            fake_api.FakeApi(), are_checked=False, state=state, metrics=Metrics()
        )
    assert informers == []
    (line,) = [record.getMessage() for record in caplog.records]
    assert "quotas.enabled=false" in line
