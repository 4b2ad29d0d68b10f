"""Follows the release of the cluster: older ones refuse what the newest accepts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sidecar_injector.controllers import loop
from sidecar_injector.core.validity import releases
from sidecar_injector.kube import api
from sidecar_injector.webhook import cluster_state, judge

PATH: Final = "/version"


def follower(
    api_client: api.Api,
    state: cluster_state.ClusterState,
    injection_judge: judge.Judge,
    on_change: Callable[[], None],
) -> loop.Loop:
    """A loop that reads the release at every tick: while a cluster is upgraded, it changes."""

    async def step() -> float:
        document = await api_client.document(PATH)
        minor = releases.minor_of(str(document.get("gitVersion")))
        state.release_read(minor)
        is_new = minor != injection_judge.kubernetes_minor
        injection_judge.kubernetes_minor = minor
        if is_new:
            on_change()
        return loop.TICK_SECONDS

    return loop.Loop(step, what="release of the cluster")
