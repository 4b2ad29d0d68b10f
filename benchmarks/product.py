"""The product as shipped: installed by helm on a real control plane, one injection, one replica."""

from __future__ import annotations

import contextlib
import http.client
import pathlib
from collections.abc import Iterator
from typing import Any, Final

from benchmarks import machine, servers
from sidecar_injector import names
from tools.controlplane import cluster, operators, ports

ROOT: Final = pathlib.Path(__file__).parents[1]
CHART: Final = ROOT / "charts" / "sidecar-injector"
VALUES: Final = ROOT / "tools" / "controlplane" / "values.yaml"
OURS: Final = "sidecar-injector"
NAMESPACE: Final = "bench"
INJECTION: Final = "nginx"
INJECTIONS: Final = f"/apis/{names.API_VERSION}/namespaces/{{}}/{names.PLURAL}"
Json = dict[str, Any]


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
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": app}},
            "template": {"spec": {"containers": [container], "volumes": volumes}},
        },
    }


@contextlib.contextmanager
def installed(plane: cluster.ControlPlane, *, replicas: int) -> Iterator[operators.Operators]:
    """`install`, and so many replicas."""
    install(plane)
    with started(plane, replicas=replicas) as running:
        yield running


def install(plane: cluster.ControlPlane) -> None:
    """`helm install` as in the README, and the injection; nothing of it runs yet."""
    release = names.PRODUCT
    plane.helm(
        "install", release, str(CHART), "-n", release, "--create-namespace", "-f", str(VALUES),
        "--set", f"service.port={ports.free()}",
    )  # fmt: skip
    plane.create_namespace(NAMESPACE, labels={names.INJECTION_LABEL: names.ENABLED})
    plane.client.request("POST", INJECTIONS.format(NAMESPACE), injection())


@contextlib.contextmanager
def started(plane: cluster.ControlPlane, *, replicas: int) -> Iterator[operators.Operators]:
    """New replicas of what is installed; each is ready, and the injection in force."""
    with operators.Operators(plane, replicas=replicas) as running:
        running.wait_ready()
        yield running


def server(replica: operators.Replica) -> servers.Server:
    """A replica as one of those that are compared, on the servers' core from now on."""
    machine.pin(replica.process.pid, machine.SERVER_CORE)
    return servers.Server(
        name=OURS, port=replica.backend.port, process=replica.process, path=names.MUTATE_PATH
    )


def metrics(replica: operators.Replica) -> str:
    """What Prometheus would scrape."""
    status, text = replica.get("/metrics")
    assert status == http.client.OK, text
    return text
