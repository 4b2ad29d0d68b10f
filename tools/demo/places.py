"""Where the story is told: what differs between clusters, beneath one list of steps."""

from __future__ import annotations

import abc
import contextlib
import pathlib
import sys
from collections.abc import Iterable
from typing import Final

from sidecar_injector import names
from tools.controlplane import access, binaries, cluster, foreign, preflight, processes, progress
from tools.demo import installed
from tools.node import binaries as node_binaries
from tools.node import conditions, node, product

NAMESPACES: Final = ("demo", "elsewhere", names.PRODUCT)
"""The ones that the story creates."""


class Place(abc.ABC):
    """One run's cluster; `announce` and `enter` are called in this order."""

    title: str
    controllers = True
    """A Deployment gets pods."""
    ending = "Uninstalling leaves no webhook behind; then the processes end."
    cluster: access.Access
    operator: installed.Processes | installed.Pods

    @abc.abstractmethod
    def announce(self, stack: contextlib.ExitStack) -> str:
        """What will be used. No server is asked yet."""

    @abc.abstractmethod
    def enter(self, stack: contextlib.ExitStack) -> installed.Fact:
        """Start it or reach it; what has to be ended or removed is on the stack."""

    def context(self) -> str:
        """Of its kubeconfig."""
        return "local"

    @abc.abstractmethod
    def left(self) -> dict[str, list[str]]:
        """What there is yet of each kind, once the stack has been closed."""


class Own(Place):
    """A control plane that is built first."""

    title = "A control plane of its own"

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder

    def announce(self, stack: contextlib.ExitStack) -> str:
        """Servers, and what is missing."""
        return (
            "etcd, kube-apiserver and kube-controller-manager on loopback: the API is real, but"
            " there are no nodes, so pods are accepted and stay Pending."
        )

    def enter(self, stack: contextlib.ExitStack) -> installed.Fact:
        """All programs are needed."""
        plane = cluster.ControlPlane(self._programs(), folder=self._folder)
        self._plane = self.cluster = stack.enter_context(plane)
        self.operator = installed.Processes(plane)
        return _readyz(plane)

    def left(self) -> dict[str, list[str]]:
        """Processes, as the data goes with them."""
        plane = self._plane
        started = [plane.etcd, plane.apiserver, plane.controller_manager]
        return {"processes": _running([*started, *self.operator.processes()])}

    def _programs(self) -> binaries.Binaries:
        return binaries.ensure(report=progress.Progress(sys.stdout))


class Assets(Own):
    """A control plane of the programs in KUBEBUILDER_ASSETS; nothing is built."""

    def announce(self, stack: contextlib.ExitStack) -> str:
        """Which are there."""
        self._found = binaries.given()
        self.controllers = self._found.controller_manager is not None
        where = f"Programs of {self._found.apiserver.parent} on loopback; nothing is built."
        if self.controllers:
            return f"{where} There are no nodes, so pods are accepted and stay Pending."
        return (
            f"{where} Without kube-controller-manager a Deployment gets no pods, so the story is"
            " told with bare pods; without nodes they are accepted and stay Pending."
        )

    def _programs(self) -> binaries.Binaries:
        return self._found


class Node(Place):
    """A cluster of one real node; needs root."""

    title = "A cluster of one node"

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder

    def announce(self, stack: contextlib.ExitStack) -> str:
        """Servers and images."""
        return (
            "A control plane, and kubelet, containerd and kube-proxy in namespaces of their own."
            " The operator's image is built from the Dockerfile; images made from Debian's busybox"
            " and nginx stand for the published ones, as no registry is asked."
        )

    def enter(self, stack: contextlib.ExitStack) -> installed.Fact:
        """Programs and images are built first."""
        report = progress.Progress(sys.stdout)
        conditions.require(report=report)
        self._node = node.Node(node_binaries.ensure(report=report), folder=self._folder)
        self.cluster = stack.enter_context(self._node)
        product.import_images(self._node, report=report)
        self.operator = installed.Pods(self.cluster, product.OWN_IMAGES)
        ready = self.cluster.kubectl("get", "nodes", "--no-headers").stdout.split()[:2]
        return "node", " ".join(ready), "node1 Ready"

    def left(self) -> dict[str, list[str]]:
        """Pods end with the node."""
        return {"processes": _running(self._node.processes_inside())}


class Foreign(Place):
    """A cluster that is there already. What the story creates is removed, whatever happens."""

    title = "Your cluster"
    ending = (
        "Uninstalling leaves no webhook behind; then the definitions and namespaces of the story"
        " are deleted. A container that does not listen takes half a minute to end."
    )
    _cluster: foreign.Foreign

    def __init__(self, kubeconfig: pathlib.Path, images: product.Images | None) -> None:
        """Without images, the operator is a process of this machine."""
        self._kubeconfig, self._images = kubeconfig, images

    def announce(self, stack: contextlib.ExitStack) -> str:
        """Context and server, before anything is done there."""
        self._cluster = stack.enter_context(contextlib.closing(foreign.Foreign(self._kubeconfig)))
        self.cluster = self._cluster
        return (
            f"Context {self.context()}, server {self._cluster.server()}. What would fail there is"
            " found out first."
        )

    def enter(self, stack: contextlib.ExitStack) -> installed.Fact:
        """Refuse what would not work, then promise that everything is removed."""
        images, reached = self._images, self._cluster
        settings = preflight.image_settings(images.operator) if images else ()
        check = preflight.Preflight(reached, settings)
        if not images:
            check.require_loopback()
        reached.__enter__()
        check.require()
        check.require_no_namespaces(*NAMESPACES)
        if images:
            check.require_images(images.operator, images.alpine, images.nginx)
            self.operator = installed.Pods(reached, images, *settings)
        else:
            check.require_local()
            self.operator = installed.Processes(reached)
        for namespace in NAMESPACES:
            reached.adopt_namespace(namespace)
        stack.callback(product.Product(reached).remove)
        return _readyz(reached)

    def context(self) -> str:
        """The one that the kubeconfig chooses."""
        return self._cluster.context()

    def left(self) -> dict[str, list[str]]:
        """On the cluster, and here."""
        wanted = (
            *(f"namespace/{name}" for name in NAMESPACES),
            *(f"customresourcedefinition/{name}" for name in preflight.DEFINITIONS),
        )
        objects = self._cluster.kubectl("get", *wanted, "--ignore-not-found", "--output=name")
        return {
            "namespaces and definitions": objects.stdout.split(),
            "processes": _running([self._cluster.proxy, *self.operator.processes()]),
        }


def _readyz(reached: access.Access) -> installed.Fact:
    return "the API server's /readyz", reached.kubectl("get", "--raw", "/readyz").stdout, "ok"


def _running(started: Iterable[processes.Process]) -> list[str]:
    return [process.name for process in started if process.running]
