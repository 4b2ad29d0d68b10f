"""The product installed on a node as its README says, and the walkthrough's manifests for it."""

from __future__ import annotations

import pathlib
from typing import Any, Final

from sidecar_injector import names
from tools.image import build, recipe, stand_ins
from tools.node import node

CHART: Final = recipe.ROOT / "charts" / "sidecar-injector"
DEMO: Final = recipe.ROOT / "tools" / "demo"
READY_SECONDS: Final = 110
"""For a rollout of two replicas beside whatever else the machine does; idle it takes 10."""
RESTRICTED: Final = {"pod-security.kubernetes.io/enforce": "restricted"}
_STAND_INS: Final = {
    "image: alpine\n": f"image: {stand_ins.ALPINE}\n",
    "image: nginx:1.12.2\n": f"image: {stand_ins.NGINX}\n",
}
Json = dict[str, Any]


def import_images(cluster: node.Node) -> None:
    """The operator's and those that stand in for published ones, built first where need be."""
    for archive in (build.ensure(), *stand_ins.ensure().values()):
        cluster.import_image(archive)


def manifest(file: str) -> str:
    """One of the walkthrough's, with images that this node has."""
    text = (DEMO / file).read_text("utf-8")
    for published, stand_in in _STAND_INS.items():
        text = text.replace(published, stand_in)
    return text


class Product:
    """A release of the chart in a namespace that enforces the strictest Pod Security level."""

    def __init__(self, cluster: node.Node) -> None:
        self.node = cluster
        self.name = self.namespace = names.PRODUCT

    def install(self, *options: str) -> None:
        """Return when all replicas are Ready."""
        self.node.create_namespace(self.namespace, labels=RESTRICTED)
        self.helm("install", str(CHART), *options)
        self.wait_ready()

    def helm(self, verb: str, *arguments: str) -> None:
        """With the release's name and namespace."""
        self.node.helm(verb, self.name, *arguments, "--namespace", self.namespace)

    def wait_ready(self, *, seconds: float = READY_SECONDS) -> None:
        """Until the Deployment has what it wants, and nothing older."""
        self.node.kubectl(
            *("rollout", "status", f"deployment/{self.name}", "--namespace", self.namespace),
            f"--timeout={seconds:g}s",
        )

    def pods(self) -> list[Json]:
        """The replicas, those that are ending included."""
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        selector = f"app.kubernetes.io%2Fname%3D{self.name}"
        items: list[Json] = self.node.client.get(f"{path}?labelSelector={selector}")["items"]
        return items

    def metrics(self, pod: str) -> str:
        """What a replica's admin port says, through the API server."""
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}:8080/proxy/metrics"
        return self.node.client.text("GET", path)[1]

    def log(self, pod: str) -> str:
        """What a replica has logged."""
        return self.node.kubectl("logs", pod, "--namespace", self.namespace).stdout

    def apply(self, *files: str) -> None:
        """Manifests of the walkthrough."""
        for file in files:
            self.node.kubectl("apply", "--filename=-", stdin=manifest(file))


def ready_since(pod: Json) -> tuple[str, str]:
    """When its container was started and when it was Ready, as the API server has it."""
    (status,) = pod["status"]["containerStatuses"]
    (ready,) = [one for one in pod["status"]["conditions"] if one["type"] == "Ready"]
    return status["state"]["running"]["startedAt"], ready["lastTransitionTime"]


def archive_of_operator() -> pathlib.Path:
    """The image that is installed."""
    return build.ensure()
