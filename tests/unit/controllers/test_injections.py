"""What is kept of injections when there are more than fit."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sidecar_injector import names
from sidecar_injector.controllers import injections
from sidecar_injector.core.injections import memory_budget
from sidecar_injector.kube import api, informer
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.webhook import cluster_state
from tests.kits import fake_api
from tests.kits.samples import NAMESPACE, resource

LIMITS = memory_budget.Limits(number=2, namespace_bytes=1 << 20, all_bytes=2 << 20, where="all")


class Cluster:
    """A server, and what a replica keeps of its injections."""

    def __init__(self) -> None:
        self.server = fake_api.FakeApi()
        self.state = cluster_state.ClusterState(release_namespace=names.PRODUCT)
        self.metrics = Metrics()
        self.changed: list[informer.Key] = []
        self.follower = injections.Follower(
            self.server, names.KIND, state=self.state, metrics=self.metrics,
            changed=lambda key, old, new: self.changed.append(key),
        )  # fmt: skip
        self.objects = self.follower.informer.objects

    def create(self, name: str, *, year: int, **spec: Any) -> None:
        item = resource(name, **spec)
        item["metadata"]["creationTimestamp"] = f"{year}-01-01T00:00:00Z"
        item["metadata"]["managedFields"] = [{}]
        self.server.seed(api.INJECTIONS, item)

    async def settle(self) -> None:
        """Until the informer has nothing more to take over."""
        for _ in range(200):
            await asyncio.sleep(0)

    @property
    def applied(self) -> set[str]:
        view = self.state.of_namespace(NAMESPACE).view
        return {injection.name for injection in view.injections}

    def not_kept(self) -> float | None:
        name = "sidecar_injector_injections_not_kept"
        return self.metrics.registry.get_sample_value(name, {"kind": names.KIND})


@pytest.fixture
async def cluster(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    monkeypatch.setitem(injections.LIMITS, names.KIND, LIMITS)
    for pause in ("FIRST_PAUSE", "REOPEN_PAUSE"):
        monkeypatch.setattr(informer, pause, 0.0)
    cluster = Cluster()
    task = asyncio.create_task(cluster.follower.informer.run())
    await cluster.follower.informer.synced.wait()
    yield cluster
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_one_that_does_not_fit_has_only_an_error_that_says_why(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(4):
        cluster.create(f"i{number}", year=2030 + number)
    await cluster.settle()
    assert cluster.applied == {"i0", "i1"}
    assert cluster.not_kept() == 2
    assert cluster.changed[-1] == (NAMESPACE, "i3"), "its status is checked"
    assert set(cluster.objects[NAMESPACE, "i3"]) == {"metadata"}
    injection = cluster.state.injection(names.KIND, (NAMESPACE, "i3"))
    assert injection is not None
    assert str(injection.errors[0]) == (
        "spec: is never applied: the namespace has more than 2 injections,"
        " and older ones come first"
    )
    assert injection.uid
    assert not injection.spec
    assert len([line for line in caplog.messages if "older ones come first" in line]) == 1


async def test_an_older_one_takes_the_place_of_a_newer_one(cluster: Cluster) -> None:
    for year in (2032, 2031, 2030):
        cluster.create(f"i{year}", year=year)
    await cluster.settle()
    assert cluster.applied == {"i2030", "i2031"}
    assert "spec" not in cluster.objects[NAMESPACE, "i2032"]


@pytest.mark.parametrize("failures", [0, 1])
async def test_one_that_did_not_fit_is_applied_after_the_next_list(
    cluster: Cluster, failures: int
) -> None:
    for number in range(3):
        cluster.create(f"i{number}", year=2030 + number)
    await cluster.settle()
    cluster.server.take(api.INJECTIONS, name="i0", namespace=NAMESPACE)
    await cluster.settle()
    assert cluster.applied == {"i1"}
    refusals = [fake_api.refusal(500, "InternalError")] * failures
    cluster.server.failures["list", "sidecarinjections"] = refusals
    cluster.server.break_watches()
    await fake_api.eventually(lambda: cluster.applied == {"i1", "i2"})
    assert cluster.not_kept() == 0
    injection = cluster.state.injection(names.KIND, (NAMESPACE, "i2"))
    assert injection is not None
    assert not injection.errors


async def test_a_deleted_one_leaves_nothing(cluster: Cluster) -> None:
    for number in range(3):
        cluster.create(f"i{number}", year=2030 + number)
    await cluster.settle()
    cluster.server.take(api.INJECTIONS, name="i2", namespace=NAMESPACE)
    await cluster.settle()
    assert cluster.state.injection(names.KIND, (NAMESPACE, "i2")) is None
    assert cluster.not_kept() == 0


async def test_of_too_many_that_do_not_fit_nothing_is_kept(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(injections, "MOST_WITH_STATUS", 3)
    for number in range(10):
        cluster.create(f"i{number}", year=2030 + number)
    await cluster.settle()
    assert len(cluster.objects) == 5
    assert cluster.applied == {"i0", "i1"}


async def test_a_status_that_was_written_changes_nothing(cluster: Cluster) -> None:
    for number in range(3):
        cluster.create(f"i{number}", year=2030 + number)
    await cluster.settle()
    stored = copy.deepcopy(cluster.server.objects[api.INJECTIONS][NAMESPACE, "i2"])
    cluster.server.seed(api.INJECTIONS, stored | {"status": {"observedGeneration": 1}})
    await cluster.settle()
    assert cluster.objects[NAMESPACE, "i2"]["status"] == {"observedGeneration": 1}
    assert cluster.applied == {"i0", "i1"}
    assert cluster.not_kept() == 1


def test_only_what_is_read_is_kept() -> None:
    item = resource("a")
    item["metadata"] |= {"managedFields": [{}], "annotations": {"a": "b" * 1000}, "labels": {}}
    kept = injections.fields(item)
    assert set(kept) == {"metadata", "spec"}
    assert set(kept["metadata"]) == {"name", "namespace", "generation"}
    assert kept["spec"] is item["spec"]
