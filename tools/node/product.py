"""The product installed on a node as its README says, and the walkthrough's manifests for it."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import time
from typing import Any, Final

from sidecar_injector import names
from tools.controlplane import progress, release
from tools.image import build, recipe, test_images
from tools.node import node

CHART: Final = recipe.ROOT / "charts" / "sidecar-injector"
DEMO: Final = recipe.ROOT / "tools" / "demo"
READY_SECONDS: Final = 110
"""For a rollout of two replicas beside whatever else the machine does; idle it takes 10."""
RESTRICTED: Final = {"pod-security.kubernetes.io/enforce": "restricted"}
REPLICAS: Final = 2
"""The chart's."""
NOISE: Final = frozenset({"events", "events.events.k8s.io"})
"""Kinds whose objects expire."""
_REPLACED: Final = {
    "image: alpine\n": f"image: {test_images.ALPINE}\n",
    "image: nginx:1.12.2\n": f"image: {test_images.NGINX}\n",
}
Json = dict[str, Any]


def import_images(cluster: node.Node, *, report: progress.Progress | None = None) -> None:
    """The operator's image and those in the place of published ones, built first if necessary."""
    for archive in (build.ensure(report=report), *test_images.ensure(report=report).values()):
        cluster.import_image(archive)


def manifest(file: str) -> str:
    """One of the walkthrough's, with images that this node has."""
    text = (DEMO / file).read_text("utf-8")
    for published, replacement in _REPLACED.items():
        text = text.replace(published, replacement)
    return text


class Product:
    """A release of the chart in a namespace that enforces the strictest Pod Security level."""

    def __init__(self, cluster: node.Node) -> None:
        self.node = cluster
        self.name = self.namespace = names.PRODUCT

    def install(self, *options: str) -> None:
        """Install into a new namespace; return when all replicas are Ready."""
        self.node.create_namespace(self.namespace, labels=RESTRICTED)
        self.install_again(*options)

    def install_again(self, *options: str) -> None:
        """Install into the namespace that exists."""
        self.helm("install", str(CHART), *options)
        self.wait_ready()

    def helm(self, verb: str, *arguments: str) -> None:
        """With the release's name and namespace."""
        self.node.helm(verb, self.name, *arguments, "--namespace", self.namespace)

    def wait_ready(self, *, seconds: float = READY_SECONDS) -> None:
        """Until all replicas of the Deployment are available and new."""
        self.node.kubectl(
            *("rollout", "status", f"deployment/{self.name}", "--namespace", self.namespace),
            f"--timeout={seconds:g}s",
        )

    def settle(self, *, count: int = REPLICAS) -> None:
        """Return when there are so many replicas, all of them Ready and none ending."""

        def settled() -> bool:
            replicas = self.pods()
            return len(replicas) == count and all(map(_at_rest, replicas))

        self.node.wait(f"{count} replicas at rest", settled, seconds=READY_SECONDS)

    def kubectl(self, *arguments: str) -> str:
        """In the release's namespace."""
        return self.node.kubectl(*arguments, "--namespace", self.namespace).stdout

    def pods(self) -> list[Json]:
        """The replicas, those that are ending included."""
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        selector = f"app.kubernetes.io%2Fname%3D{self.name}"
        items: list[Json] = self.node.client.get(f"{path}?labelSelector={selector}")["items"]
        return items

    def metrics(self, pod: str) -> str:
        """The metrics of a replica, through the API server."""
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}:8080/proxy/metrics"
        return self.node.client.text("GET", path)[1]

    def log(self, pod: str) -> str:
        """What a replica has logged."""
        return self.node.kubectl("logs", pod, "--namespace", self.namespace).stdout

    def secret(self, name: str) -> dict[str, bytes]:
        """The data of a Secret in the release's namespace."""
        answer = self.node.client.get(f"/api/v1/namespaces/{self.namespace}/secrets/{name}")
        return {key: base64.b64decode(text) for key, text in answer["data"].items()}

    def costs(self, *, seconds: float) -> dict[str, Cost]:
        """Of each replica, measured over the next seconds."""
        groups = {pod["metadata"]["name"]: self.node.group(pod, "operator") for pod in self.pods()}
        before = {name: group.cpu_seconds() for name, group in groups.items()}
        begun = time.monotonic()
        time.sleep(seconds)  # what is measured is this time
        passed = time.monotonic() - begun
        return {
            name: Cost(
                mebibytes=group.memory() / 1024**2,
                processor=(group.cpu_seconds() - before[name]) / passed,
            )
            for name, group in groups.items()
        }

    def left(self) -> list[str]:
        """KIND/NAME of every object in the cluster that belongs to the release or its operator."""
        kinds = self.node.kubectl("api-resources", "--verbs=list", "--output=name").stdout.split()
        answer = self.node.kubectl(
            *("get", ",".join(sorted(set(kinds) - NOISE)), "--all-namespaces"),
            *("--output=name", "--ignore-not-found"),
        )
        return sorted(line for line in answer.stdout.split() if self.name in line)

    def apply(self, *files: str) -> None:
        """Manifests of the walkthrough."""
        for file in files:
            self.node.kubectl("apply", "--filename=-", stdin=manifest(file))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one replica, from its control group."""

    mebibytes: float
    processor: float
    """Share of one core."""

    def __str__(self) -> str:
        return f"{self.mebibytes:.0f} MiB, {self.processor:.1%} of a core"


def start_seconds(pod: Json) -> float:
    """From the start of its container to Ready; the API has whole seconds only."""
    (status,) = pod["status"]["containerStatuses"]
    (ready,) = [
        condition for condition in pod["status"]["conditions"] if condition["type"] == "Ready"
    ]
    moments = (status["state"]["running"]["startedAt"], ready["lastTransitionTime"])
    started, done = map(datetime.datetime.fromisoformat, moments)
    return (done - started).total_seconds()


def _at_rest(pod: Json) -> bool:
    ready = release.conditions(pod).get("Ready") == "True"
    return ready and "deletionTimestamp" not in pod["metadata"]
