"""What is late in a CA roll: a proxy that delays answers, and an API server behind one."""

from __future__ import annotations

import asyncio
import dataclasses
import urllib.parse
from typing import Final, Self

from tools.controlplane import client, cluster, loops, ports, processes, waiting

RESOURCE: Final = "admissionregistration.k8s.io/mutatingwebhookconfigurations"
PATIENCE: Final = "60s"
"""With its default of 2 s the API server's own health check fails when etcd is late."""


class Delay(loops.Proxy):
    """A context manager: requests to `port` reach `target` at once, answers `seconds` later.

    `seconds` may change at any time; bytes that are under way keep their own delay.
    """

    def __init__(self, target: int) -> None:
        super().__init__(ports.free(), name="delay")
        self.seconds = 0.0
        self._destination = target

    def __enter__(self) -> Self:
        super().__enter__()
        self.run(self._open_port())
        return self

    def _target(self) -> int:
        return self._destination

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Reading never waits for writing: a delay does not limit the bandwidth."""
        chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def read() -> None:
            data = b"begin"
            while data:
                data = await reader.read(loops.CHUNK)
                chunks.put_nowait((self._loop.time() + self.seconds, data))

        async def write() -> None:
            data = b"begin"
            while data:
                due, data = await chunks.get()
                await asyncio.sleep(due - self._loop.time())
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()

        await asyncio.gather(read(), write())


class LateServer:
    """A context manager: a second API server on the same etcd.

    It reads webhook configurations over a connection of their own, which `late` delays; pods and
    everything else arrive as fast as at the first API server.
    """

    def __init__(self, plane: cluster.ControlPlane) -> None:
        port = ports.free()
        flag = next(word for word in plane.apiserver.command if word.startswith("--etcd-servers="))
        etcd_port = urllib.parse.urlsplit(flag.partition("=")[2]).port
        assert etcd_port is not None
        self.late = Delay(etcd_port)
        self.client: client.Client = dataclasses.replace(
            plane.client, server=f"https://{ports.LOOPBACK}:{port}"
        )
        self.process = processes.Process(
            name="kube-apiserver-late",
            command=command(plane.apiserver.command, port=port, etcd_port=self.late.port),
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
    return (
        *(word for word in first if not word.startswith("--secure-port=")),
        f"--secure-port={port}",
        # https://kubernetes.io/docs/reference/command-line-tools-reference/kube-apiserver/
        f"--etcd-servers-overrides={RESOURCE}#http://{ports.LOOPBACK}:{etcd_port}",
        f"--etcd-healthcheck-timeout={PATIENCE}",
        f"--etcd-readycheck-timeout={PATIENCE}",
    )
