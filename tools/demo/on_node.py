"""The same six steps on a real node: the operator runs in pods, and injected pods start."""

from __future__ import annotations

import sys

from sidecar_injector import names
from tools.controlplane import processes, progress
from tools.demo import steps
from tools.node import binaries, conditions, node, product

WAIT: str = "--timeout=110s"


class Steps(steps.Steps):
    """One run."""

    _node: node.Node
    _product: product.Product

    def control_plane(self) -> None:
        """Step 2."""
        self._printer.step(
            2,
            "A cluster of one node",
            "A control plane, and kubelet, containerd and kube-proxy in namespaces of their own."
            " The operator's image is built from the Dockerfile; images made from Debian's busybox"
            " and nginx stand for the published ones, as no registry is asked.",
        )
        report = progress.Progress(sys.stdout)
        conditions.require(report=report)
        self._node = node.Node(binaries.ensure(report=report), folder=self._folder)
        self._plane = self._stack.enter_context(self._node)
        product.import_images(self._node, report=report)
        ready = self._kubectl("get", "nodes", "--no-headers").split()[:2]
        self._printer.show("node", " ".join(ready), "node1 Ready")

    def install(self) -> None:
        """Step 3."""
        self._printer.step(3, "Installation", "One command, with the values that the chart has.")
        self._helm_install()
        self._product = product.Product(self._node)
        self._product.wait_ready()
        where = ("deployment", names.PRODUCT, "{.status.readyReplicas}")
        self._printer.show("pods that are ready", self._field(*where, namespace=names.PRODUCT), "2")

    def inject(self) -> None:
        """Step 5, the pods that ask: they run."""
        super().inject()
        for what, condition in (("pod/alpine", "Ready"), ("deployment/web", "Available")):
            self._kubectl("wait", "-n", "demo", what, f"--for=condition={condition}", WAIT)
        self._printer.command("kubectl", "get", "pods", "-n", "demo")
        for line in self._kubectl("get", "pods", "-n", "demo", "--no-headers").splitlines():
            name, ready, status = line.split()[:3]
            self._printer.show(name, f"{ready} {status}", "2/2 Running")

    def _apply(self, file: str) -> None:
        self._printer.command("kubectl", "apply", "-f", str(steps.HERE / file))
        self._product.apply(file)

    def _metrics(self) -> list[str]:
        return [self._product.metrics(pod["metadata"]["name"]) for pod in self._product.pods()]

    def _started(self) -> list[processes.Process]:
        return list(self._node.processes_inside())
