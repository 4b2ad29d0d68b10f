"""Follows the release of the cluster: older ones refuse what the newest accepts."""

from __future__ import annotations

from typing import Final

from sidecar_injector.controllers import loop
from sidecar_injector.core.validity import releases
from sidecar_injector.kube import api
from sidecar_injector.webhook import cluster_state, judge

PATH: Final = "/version"


def follower(
    api_client: api.Api, state: cluster_state.ClusterState, injection_judge: judge.Judge
) -> loop.Loop:
    """A loop that reads the release at every tick: while a cluster is upgraded, it changes."""

    async def step() -> float:
        document = await api_client.document(PATH)
        minor = releases.minor_of(str(document.get("gitVersion")))
        state.release_read(minor)
        injection_judge.kubernetes_minor = minor
        return loop.TICK_SECONDS

    return loop.Loop(step, what="release of the cluster")
