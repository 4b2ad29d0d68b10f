"""Where the audit is measured: one replica on a real API server, with pods by the thousand."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import dataclasses
import datetime
import http.client
import itertools
import json
import pathlib
import ssl
from collections.abc import Iterator, Sequence
from typing import Any, Final

import prometheus_client.parser

from sidecar_injector import names
from tools.controlplane import binaries, cluster, errors, operators, ports

ROOT: Final = pathlib.Path(__file__).parents[1]
CHART: Final = ROOT / "charts" / names.PRODUCT
VALUES: Final = ROOT / "tools" / "controlplane" / "values.yaml"
CLUSTER_INJECTIONS: Final = f"/apis/{names.API_VERSION}/{names.CLUSTER_PLURAL}"
CONFIGURATION: Final = (
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/" + names.PRODUCT
)
MERGE: Final = "application/merge-patch+json"
CREATORS: Final = 6

Json = dict[str, Any]
Samples = dict[tuple[str, str], float]
"""By name and the labels as text."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scene:
    """One replica that leads, and what reaches it."""

    plane: cluster.ControlPlane
    replica: operators.Replica
    authorities: str

    def samples(self) -> Samples:
        """The replica's metrics now."""
        return read(self.replica.get("/metrics")[1])

    def audits(self) -> list[tuple[float, float]]:
        """When each audit of everything began and ended, in seconds since 1970."""
        found = []
        for text in self.replica.process.log.read_text("utf-8").splitlines():
            line = json.loads(text)
            if line.get("whole"):
                end = datetime.datetime.fromisoformat(line["time"]).timestamp()
                found.append((end - line["seconds"], end))
        return found

    def ask_for_audit(self, priority: int) -> None:
        """A cluster injection that changes makes everything due."""
        change = {"spec": {"priority": priority}}
        self.plane.client.request("PATCH", f"{CLUSTER_INJECTIONS}/proxy", change, content=MERGE)

    def lists(self) -> float:
        """Lists of pods that the API server has answered."""
        found = read(self.plane.client.text("GET", "/metrics")[1])
        return sum(
            value
            for (name, labels), value in found.items()
            if name == "apiserver_request_total"
            and "'resource': 'pods'" in labels
            and "'verb': 'LIST'" in labels
        )


@contextlib.contextmanager
def installed(programs: binaries.Binaries) -> Iterator[Scene]:
    with cluster.ControlPlane(programs) as plane:
        plane.helm(
            "install", names.PRODUCT, str(CHART), "-n", names.PRODUCT, "--create-namespace",
            "-f", str(VALUES), "--set", f"service.port={ports.free()}",
            # No audit but those that are asked for.
            "--set", "settings.auditSeconds=86400", "--set", "settings.drainSeconds=1",
            # Says when an audit ended and how long it took.
            "--set", "settings.logLevel=debug",
        )  # fmt: skip
        with operators.Operators(plane, replicas=1) as running:
            running.wait_ready()
            (entry,) = plane.client.get(CONFIGURATION)["webhooks"]
            bundle = base64.b64decode(entry["clientConfig"]["caBundle"]).decode()
            yield Scene(plane=plane, replica=running.replicas[0], authorities=bundle)


def injection() -> Json:
    containers = [{"name": "sidecar", "image": "sidecar:1"}]
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.CLUSTER_KIND,
        "metadata": {"name": "proxy"},
        "spec": {"priority": 0, "template": {"spec": {"containers": containers}}},
    }


def populate(scene: Scene, *, pods: int, namespaces: int) -> None:
    wanted = [f"load-{number}" for number in range(namespaces)]
    for name in wanted:
        scene.plane.create_namespace(name, labels={names.INJECTION_LABEL: names.ENABLED})
    where = list(itertools.islice(itertools.cycle(wanted), pods))
    with concurrent.futures.ThreadPoolExecutor(CREATORS) as creators:
        list(creators.map(lambda share: _create(scene, share), _shares(where)))


def _shares(whole: Sequence[str]) -> list[list[tuple[int, str]]]:
    numbered = list(enumerate(whole))
    return [numbered[first::CREATORS] for first in range(CREATORS)]


def _create(scene: Scene, share: Sequence[tuple[int, str]]) -> None:
    """On one connection; without the webhook half of them, as those that came before it."""
    client = scene.plane.client
    host = client.server.removeprefix("https://")
    context = ssl.create_default_context(cafile=str(client.certificate_authority))
    connection = http.client.HTTPSConnection(host, timeout=60, context=context)
    headers = {"Authorization": f"Bearer {client.token}", "Content-Type": "application/json"}
    for number, namespace in share:
        body = json.dumps(pod(f"web-{number}"))
        connection.request("POST", f"/api/v1/namespaces/{namespace}/pods", body, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.status >= http.client.BAD_REQUEST:
            raise errors.ApiError(method="POST", path=namespace, status=answer.status, message=text)
    connection.close()


def pod(name: str) -> Json:
    labels = {"app": "web", "app.kubernetes.io/part-of": "load", "pod-template-hash": "5d4f8c7b9"}
    containers = [{"name": "app", "image": "app:1"}]
    metadata = {"name": name, "labels": labels}
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers},
    }  # fmt: skip


def read(text: str) -> Samples:
    return {
        (sample.name, str(sample.labels)): sample.value
        for family in prometheus_client.parser.text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str) -> float:
    return samples[f"sidecar_injector_{name}", "{}"]
