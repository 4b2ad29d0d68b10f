"""Follows the release of the cluster: older ones refuse what the newest accepts."""

from __future__ import annotations

from typing import Final

from sidecar_injector.controllers import loop
from sidecar_injector.core.validity import releases
from sidecar_injector.kube import api
from sidecar_injector.webhook import cluster_state

PATH: Final = "/version"


def follower(api_client: api.Api, state: cluster_state.ClusterState) -> loop.Loop:
    """A loop that reads the release at every tick: while a cluster is upgraded, it changes."""

    async def step() -> float:
        document = await api_client.document(PATH)
        state.release_read(releases.minor_of(str(document.get("gitVersion"))))
        return loop.TICK_SECONDS

    return loop.Loop(step, what="release of the cluster")
