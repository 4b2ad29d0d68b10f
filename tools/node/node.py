"""A cluster of one node: a control plane, and what runs its pods, in their own namespaces."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import secrets
import socket
import subprocess
from collections.abc import Callable
from typing import Any, Final

import yaml

from tools.controlplane import access, cluster, components, ports, processes, release
from tools.controlplane import binaries as controlplane_binaries
from tools.node import binaries, cgroups, errors, files, images, leftovers, space
from tools.node import components as node_components

NODE_SECONDS: Final = 120
"""An idle machine takes 8 s from nothing to a node that is Ready."""
PROXY_HEALTH: Final = "http://127.0.0.1:10256/healthz"
_SERVER: Final = "https://localhost:{port}"
"""The API server signs its certificate for this name; its address inside is not reached."""


class Node(cluster.ControlPlane):
    """A context manager; the node is Ready when it has been entered.

    What a ControlPlane has (kubectl, helm, client, processes to kill and start again) works from
    outside; pods reach the API server as on any cluster. `kubelet`, `proxy`, `scheduler` and
    `containerd` are processes, too. Raises ConditionError if this machine cannot run it, and
    PortError if another process takes its port.
    """

    def __init__(self, programs: binaries.Programs, *, folder: pathlib.Path | None = None) -> None:
        """`folder` as for a control plane; logs of pods are there, too."""
        hierarchies = cgroups.required()
        self.abandoned = leftovers.clean(hierarchies)
        """Names of what killed runs had left; it is removed now."""
        self.node_programs = programs
        self._data = leftovers.Data()
        self.cgroups = cgroups.Parent(name=self._data.folder.name, hierarchies=hierarchies)
        super().__init__(programs.controlplane, folder=folder)
        self.folder = self.folder.absolute()
        self._tokens = {user: secrets.token_urlsafe() for user in files.GROUPS}
        server, token = (
            _SERVER.format(port=self._layout.api_port),
            self._tokens[files.ADMINISTRATOR],
        )
        self.client = dataclasses.replace(self.client, server=server, token=token)
        self.space = space.Space(
            data=self._data.folder,
            helper=programs.helper,
            log=self.folder / "namespaces.log",
            guard=self.guard,
        )
        self.apiserver = self._inside("kube-apiserver", node_components.apiserver)
        self.controller_manager = self._inside(
            "kube-controller-manager", node_components.controller_manager
        )
        self.containerd = self._inside("containerd", node_components.containerd)
        self.kubelet = self._inside("kubelet", node_components.kubelet)
        self.scheduler = self._inside("kube-scheduler", node_components.scheduler)
        self.proxy = self._inside("kube-proxy", node_components.proxy)
        self._forward = processes.Process(
            name="forward", command=(), log=self.folder / "forward.log", guard=self.guard
        )

    def close(self) -> None:
        """End everything at once; nothing is left afterwards."""
        self.space.close()
        for process in (*self.processes_inside(), self._forward):
            process.kill()
        super().close()
        self.cgroups.remove()
        if self.keep_logs:
            self._keep_pod_logs()
        self._data.remove()

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the node's namespaces; the caller checks its status."""
        return subprocess.run(
            self.space.entered(command),
            capture_output=True,
            text=True,
            timeout=access.COMMAND_SECONDS,
            check=False,
        )

    def import_image(self, archive: pathlib.Path) -> None:
        """Give the node an image from an OCI archive. Raises ImageError."""
        answer = self.run(*node_components.import_image(self.node_programs, archive))
        if answer.returncode != 0:
            lines = answer.stderr.strip().splitlines() or ["no reason given"]
            raise errors.ImageError(archive=archive, reason=lines[-1])

    def group(self, pod: dict[str, Any], container: str) -> cgroups.Group:
        """The control group of a running container of a pod that was read just now."""
        statuses = (
            *pod["status"].get("containerStatuses", ()),
            *pod["status"].get("initContainerStatuses", ()),
        )
        (full,) = [entry["containerID"] for entry in statuses if entry["name"] == container]
        return self.cgroups.container(
            pod=pod["metadata"]["uid"], container=str(full).rpartition("/")[2]
        )

    def proxy_is_healthy(self) -> bool:
        """Whether kube-proxy's rules are up to date."""
        return self.run(str(self.node_programs.helper), "fetch", PROXY_HEALTH).returncode == 0

    def _start(self) -> None:
        # It was free when it was chosen. The other ports are inside, where no other process is.
        if not ports.is_free(self._layout.api_port):
            raise errors.PortError(address=ports.LOOPBACK, port=self._layout.api_port)
        self.space.start()
        for process in self.processes_inside():
            process.command = self.space.entered(process.command)
        self._forward.command = node_components.forward(
            self.node_programs, self._layout, pid=self.space.first
        )
        self._forward.start()
        self.wait("this machine's way to the API server is open", self._is_forwarded)
        self.containerd.start()
        super()._start()
        for process in (self.kubelet, self.scheduler, self.proxy):
            process.start()
        self.import_image(images.helper(self.node_programs.helper, folder=self._data.folder))
        self.wait("the node is Ready", self._is_ready, seconds=NODE_SECONDS)

    def processes_inside(self) -> tuple[processes.Process, ...]:
        """All that was started in the node's namespaces, pods apart."""
        controlplane = (self.etcd, self.apiserver, self.controller_manager)
        return (*controlplane, self.containerd, self.kubelet, self.scheduler, self.proxy)

    def _is_forwarded(self) -> bool:
        self._forward.require_running()
        with socket.create_connection((ports.LOOPBACK, self._layout.api_port), timeout=5):
            return True

    def _is_ready(self) -> bool:
        for process in self.processes_inside():
            process.require_running()
        node = self.client.get(f"/api/v1/nodes/{space.NAME}")
        return release.conditions(node).get("Ready") == "True"

    def _inside(
        self, name: str, command: Callable[[binaries.Programs, components.Layout], tuple[str, ...]]
    ) -> processes.Process:
        def of_controlplane(
            _: controlplane_binaries.Binaries, layout: components.Layout
        ) -> tuple[str, ...]:
            return command(self.node_programs, layout)

        return self._component(name, of_controlplane)

    def _write_files(self) -> None:
        super()._write_files()
        lines = (
            f'{token},{user},{user},"{files.GROUPS[user]}"\n'
            for user, token in self._tokens.items()
        )
        self._layout.tokens.write_text("".join(lines), "utf-8")
        for user, token in self._tokens.items():
            server = node_components.server(self._layout)
            inside = dataclasses.replace(self.client, server=server, token=token)
            inside.write_kubeconfig(files.kubeconfig(self.folder, user))
        kubelet = files.kubelet(cgroup=self.cgroups.name)
        (self.folder / files.KUBELET).write_text(yaml.safe_dump(kubelet), "utf-8")
        (self.folder / files.PROXY).write_text(yaml.safe_dump(files.proxy(self.folder)), "utf-8")
        toml = files.containerd(self.folder, plugins=self.node_programs.plugins)
        (self.folder / files.CONTAINERD).write_text(toml, "utf-8")
        (self.folder / files.NETWORK).mkdir(exist_ok=True)
        network = self.folder / files.NETWORK / "10-pods.conflist"
        network.write_text(json.dumps(files.network()), "utf-8")
        (self._data.folder / "resolv.conf").write_text("nameserver 10.96.0.10\n", "utf-8")
        self.cgroups.create()

    def _keep_pod_logs(self) -> None:
        logs = self._data.folder / "pods"
        for log in logs.rglob("*.log") if logs.exists() else ():
            name = "-".join(log.relative_to(logs).parts)
            (self.folder / f"pod-{name}").write_bytes(log.read_bytes())
