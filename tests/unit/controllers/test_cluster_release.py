"""The release of the cluster reaches the decisions, and a new one after an upgrade."""

from __future__ import annotations

import asyncio

from sidecar_injector.controllers import cluster_release, loop
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.webhook import cluster_state, judge
from tests.kits import fake_api


async def test_an_upgrade_of_the_cluster_is_followed(monkeypatch):
    monkeypatch.setattr(loop, "TICK_SECONDS", 0.0)
    cluster, state = fake_api.FakeApi(), cluster_state.ClusterState(release_namespace="x")
    first = state.of_namespace("demo")
    assert first.view.kubernetes_minor is None
    cluster.version = "v1.32.13"
    injection_judge = judge.Judge(Metrics())
    seen: list[int | None] = []
    follower = cluster_release.follower(
        cluster, state, injection_judge, lambda: seen.append(injection_judge.kubernetes_minor)
    )
    task = asyncio.create_task(follower.run())
    await fake_api.eventually(lambda: state.of_namespace("demo").view.kubernetes_minor == 32)
    assert state.of_namespace("demo").serial != first.serial
    cluster.version = "v1.33.0"
    await fake_api.eventually(lambda: state.of_namespace("demo").view.kubernetes_minor == 33)
    assert injection_judge.kubernetes_minor == 33
    assert seen == [32, 33], "each new release once"
    task.cancel()


def test_the_same_release_compiles_nothing_again():
    state = cluster_state.ClusterState(release_namespace="x")
    namespace = {"metadata": {"name": "demo", "labels": {"sidecar-injection": "enabled"}}}
    state.namespace_changed(("", "demo"), None, namespace)
    state.release_read(37)
    before = state.of_namespace("demo")
    state.release_read(37)
    assert state.of_namespace("demo") is before
