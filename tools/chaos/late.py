"""A second API server on the same etcd, which may hear of the webhook configuration too late."""

from __future__ import annotations

import dataclasses
import urllib.parse
from typing import Final, Self

from tools.chaos import delay
from tools.controlplane import client, cluster, ports, processes, waiting

RESOURCE: Final = "admissionregistration.k8s.io/mutatingwebhookconfigurations"
PATIENCE: Final = "60s"
"""With the default of 2 s its own health check would take a late etcd for a dead one."""


class LateServer:
    """A context manager. It reads that one resource over a connection of its own, which `late`
    delays; pods and everything else it gets as fast as the first API server."""

    def __init__(self, plane: cluster.ControlPlane) -> None:
        self._port = ports.free()
        address = urllib.parse.urlsplit(_flag(plane.apiserver.command, "--etcd-servers="))
        assert address.port is not None
        self.late = delay.Delay(address.port)
        self.client: client.Client = dataclasses.replace(
            plane.client, server=f"https://{ports.LOOPBACK}:{self._port}"
        )
        self.process = processes.Process(
            name="kube-apiserver-late",
            command=command(plane.apiserver.command, port=self._port, etcd_port=self.late.port),
            log=plane.folder / "kube-apiserver-late.log",
            guard=plane.guard,
        )

    def __enter__(self) -> Self:
        self.late.__enter__()
        self.process.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.late.__exit__(*exception)

    def wait_ready(self) -> None:
        """Raises ProcessDiedError or WaitError."""

        def ready() -> bool:
            self.process.require_running()
            return self.client.text("GET", "/readyz")[0] == 200

        waiting.until(ready, what="the second API server is ready", seconds=cluster.START_SECONDS)


def command(first: tuple[str, ...], *, port: int, etcd_port: int) -> tuple[str, ...]:
    """The second server's command line, made of the first one's."""
    same = tuple(word for word in first if not word.startswith("--secure-port="))
    return (
        *same,
        f"--secure-port={port}",
        # https://kubernetes.io/docs/reference/command-line-tools-reference/kube-apiserver/
        f"--etcd-servers-overrides={RESOURCE}#http://{ports.LOOPBACK}:{etcd_port}",
        f"--etcd-healthcheck-timeout={PATIENCE}",
        f"--etcd-readycheck-timeout={PATIENCE}",
    )


def _flag(words: tuple[str, ...], flag: str) -> str:
    return next(word.removeprefix(flag) for word in words if word.startswith(flag))
