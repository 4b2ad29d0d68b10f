"""The product as shipped, installed by helm on a real control plane."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any, Final

from benchmarks import machine, servers
from sidecar_injector import names
from tools.controlplane import cluster, operators, progress, release

OURS: Final = "sidecar-injector"
NAMESPACE: Final = "bench"
INJECTION: Final = "nginx"
Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """One run of `make bench`."""

    plane: cluster.ControlPlane
    """With the product installed and one injection. Each part starts replicas of its own, so that
    none is measured with what another has left in their memory."""
    report: progress.Progress
    quick: bool

    def pick(self, whole: float, quick: float) -> float:
        """The first, or the second in a quick run, which takes six minutes in all."""
        return quick if self.quick else whole


def injection(
    name: str = INJECTION, *, app: str = "web", sidecar: str = "sidecar-nginx", tag: str = "1.12.2"
) -> Json:
    """What every comparator has built in: nginx and its volume, here for pods with this label."""
    volume = sidecar.replace("sidecar-", "") + "-conf"
    container = {
        "name": sidecar,
        "image": f"nginx:{tag}",
        "ports": [{"containerPort": 80}],
        "volumeMounts": [{"name": volume, "mountPath": "/etc/nginx"}],
    }
    volumes = [{"name": volume, "configMap": {"name": "nginx-configmap"}}]
    template = {"spec": {"containers": [container], "volumes": volumes}}
    return release.injection(name, selector={"matchLabels": {"app": app}}, template=template)


def install(plane: cluster.ControlPlane) -> None:
    """The chart and the injection; no replica runs yet."""
    release.install(plane)
    plane.create_namespace(NAMESPACE, labels=release.ENABLED)
    plane.client.request("POST", release.injections(NAMESPACE), injection())


@contextlib.contextmanager
def started(plane: cluster.ControlPlane, *, replicas: int) -> Iterator[operators.Operators]:
    """New replicas of what is installed; each is ready and knows the injection."""
    with operators.Operators(plane, replicas=replicas) as running:
        running.wait_ready()
        yield running


def server(replica: operators.Replica) -> servers.Server:
    """A replica as one of the compared servers, on their core from now on."""
    machine.pin(replica.pid, machine.SERVER_CORE)
    return servers.Server(
        name=OURS, port=replica.backend.port, process=replica, path=names.MUTATE_PATH
    )
