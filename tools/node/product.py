"""The product installed on a cluster as its README says, and the walkthrough's manifests for it."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import time
from typing import Any, Final

from sidecar_injector import names
from tools.controlplane import access, preflight, progress, release
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
Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Images:
    """What a cluster calls the operator's image, and the two of the walkthrough."""

    operator: str
    alpine: str = "alpine"
    nginx: str = "nginx:1.12.2"


OWN_IMAGES: Final = Images(operator=recipe.NAME, alpine=test_images.ALPINE, nginx=test_images.NGINX)


def import_images(cluster: node.Node, *, report: progress.Progress | None = None) -> None:
    """The operator's image and those in the place of published ones, built first if necessary."""
    for archive in (build.ensure(report=report), *test_images.ensure(report=report).values()):
        cluster.import_image(archive)


def manifest(file: str, images: Images, *, namespace: str = "demo") -> str:
    """One of the walkthrough's, with images that this cluster has."""
    text = (DEMO / file).read_text("utf-8")
    published = Images(operator="")
    text = text.replace(f"image: {published.alpine}\n", f"image: {images.alpine}\n")
    text = text.replace(f"image: {published.nginx}\n", f"image: {images.nginx}\n")
    for field in ("name", "namespace"):
        text = text.replace(f"  {field}: demo\n", f"  {field}: {namespace}\n")
    return text


class Product:
    """A release of the chart in a namespace that enforces the strictest Pod Security level."""

    def __init__(
        self, cluster: access.Access, *, images: Images = OWN_IMAGES, name: str = names.PRODUCT
    ) -> None:
        """`name` is the release's and its namespace's."""
        self.cluster, self.images = cluster, images
        self.chart = (str(CHART), *preflight.image_settings(images.operator))
        """For helm: the chart, and the image that it installs here."""
        self.name = self.namespace = name

    def install(self, *options: str) -> None:
        """Install into a new namespace; return when all replicas are Ready."""
        self.cluster.create_namespace(self.namespace, labels=RESTRICTED)
        self.install_again(*options)

    def install_again(self, *options: str) -> None:
        """Install into the namespace that exists."""
        self.helm("install", *self.chart, *options)
        self.wait_ready()

    def helm(self, verb: str, *arguments: str) -> None:
        """With the release's name and namespace."""
        self.cluster.helm(verb, self.name, *arguments, "--namespace", self.namespace)

    def remove(self) -> None:
        """Uninstall it, and delete the definitions, which Helm keeps."""
        try:
            self.helm("uninstall", "--ignore-not-found", "--wait")
        finally:
            self.cluster.kubectl("delete", "crd", *preflight.DEFINITIONS, "--ignore-not-found")

    def wait_ready(self, *, seconds: float = READY_SECONDS) -> None:
        """Until all replicas of the Deployment are available and new."""
        self.cluster.kubectl(
            *("rollout", "status", f"deployment/{self.name}", "--namespace", self.namespace),
            f"--timeout={seconds:g}s",
        )

    def settle(self, *, count: int = REPLICAS) -> None:
        """Return when there are so many replicas, all of them Ready and none ending."""

        def settled() -> bool:
            replicas = self.pods()
            return len(replicas) == count and all(map(_at_rest, replicas))

        self.cluster.wait(f"{count} replicas at rest", settled, seconds=READY_SECONDS)

    def kubectl(self, *arguments: str) -> str:
        """In the release's namespace."""
        return self.cluster.kubectl(*arguments, "--namespace", self.namespace).stdout

    def pods(self) -> list[Json]:
        """The replicas, those that are ending included."""
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        selector = f"app.kubernetes.io%2Finstance%3D{self.name}"
        items: list[Json] = self.cluster.client.get(f"{path}?labelSelector={selector}")["items"]
        return items

    def metrics(self, pod: str) -> str:
        """The metrics of a replica, through the API server."""
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}:8080/proxy/metrics"
        return self.cluster.client.text("GET", path)[1]

    def log(self, pod: str) -> str:
        """What a replica has logged."""
        return self.cluster.kubectl("logs", pod, "--namespace", self.namespace).stdout

    def secret(self, name: str) -> dict[str, bytes]:
        """The data of a Secret in the release's namespace."""
        answer = self.cluster.client.get(f"/api/v1/namespaces/{self.namespace}/secrets/{name}")
        return {key: base64.b64decode(text) for key, text in answer["data"].items()}

    def costs(self, owned: node.Node, *, seconds: float) -> dict[str, Cost]:
        """Of each replica, measured over the next seconds, on the node where they run."""
        groups = {pod["metadata"]["name"]: owned.group(pod, "operator") for pod in self.pods()}
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
        kinds = self.cluster.kubectl(
            "api-resources", "--verbs=list", "--output=name"
        ).stdout.split()
        answer = self.cluster.kubectl(
            *("get", ",".join(sorted(set(kinds) - NOISE)), "--all-namespaces"),
            *("--output=name", "--ignore-not-found"),
        )
        ours = (self.name, names.GROUP)
        return sorted(line for line in answer.stdout.split() if any(map(line.__contains__, ours)))

    def apply(self, *files: str, namespace: str = "demo") -> None:
        """Manifests of the walkthrough."""
        for file in files:
            text = manifest(file, self.images, namespace=namespace)
            self.cluster.kubectl("apply", "--filename=-", stdin=text)


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
