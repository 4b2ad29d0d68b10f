"""How the operator runs that the story installs: as processes of this machine, or in pods."""

from __future__ import annotations

import contextlib
from typing import Final

import yaml

from sidecar_injector import names
from tools.controlplane import access, cluster, foreign, operators, ports, processes, release
from tools.node import product

VALUES: Final = release.VALUES.relative_to(release.ROOT)
Fact = tuple[str, object, object]
"""What it is, the seen and the wanted value."""


class Processes:
    """The API server reaches them on loopback."""

    text = (
        "One command. Its three values let the API server reach an operator outside of pods,"
        " which is then started as the installed Deployment says, as its ServiceAccount."
    )
    containers_run = False
    _operators: operators.Operators

    def __init__(self, reached: cluster.ControlPlane | foreign.Foreign) -> None:
        self._cluster = reached

    def options(self) -> tuple[str, ...]:
        """Another port than the values file's, if that is not free."""
        values = yaml.safe_load(release.VALUES.read_text("utf-8"))
        free = ports.is_free(values["service"]["port"])
        return ("-f", str(VALUES), *(() if free else ("--set", f"service.port={ports.free()}")))

    def start(self, stack: contextlib.ExitStack) -> Fact:
        """As many as the Deployment wants."""
        self._operators = stack.enter_context(operators.Operators(self._cluster))
        self._operators.wait_ready()
        ready = [replica.name for replica in self._operators.replicas if replica.ready()]
        count = self._operators.workload.replicas
        wanted = [f"{names.PRODUCT}-{number}" for number in range(count)]
        return "replicas that are ready", " ".join(ready), " ".join(wanted)

    def apply(self, file: str) -> None:
        """As it is."""
        self._cluster.kubectl("apply", "-f", str(product.DEMO / file))

    def metrics(self) -> list[str]:
        """From their admin ports."""
        return [replica.get("/metrics")[1] for replica in self._operators.replicas]

    def processes(self) -> list[processes.Process]:
        """The replicas."""
        return list(self._operators.replicas)


class Pods:
    """As users have it."""

    text = "One command, with the values that the chart has."
    containers_run = True

    def __init__(self, reached: access.Access, images: product.Images, *options: str) -> None:
        self._product = product.Product(reached, images=images)
        self._options = options

    def options(self) -> tuple[str, ...]:
        """What names the image."""
        return self._options

    def start(self, stack: contextlib.ExitStack) -> Fact:
        """The Deployment's controllers do it; nothing here has to be ended."""
        self._product.wait_ready()
        ready = [pod for pod in self._product.pods() if release.conditions(pod)["Ready"] == "True"]
        return "pods that are ready", len(ready), product.REPLICAS

    def apply(self, file: str) -> None:
        """With images that this cluster has."""
        self._product.apply(file)

    def metrics(self) -> list[str]:
        """Through the API server."""
        return [self._product.metrics(pod["metadata"]["name"]) for pod in self._product.pods()]

    def processes(self) -> list[processes.Process]:
        """None."""
        return []
