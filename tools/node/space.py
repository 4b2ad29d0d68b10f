"""The Linux namespaces of a node. They end with their first process."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
from collections.abc import Iterable
from typing import Final

from tools.controlplane import guard, processes, waiting

SCRIPT: Final = pathlib.Path(__file__).with_name("space.sh")
ADDRESS: Final = "10.99.0.2"
"""The node's own; see space.sh."""
NAME: Final = "node1"
READY_SECONDS: Final = 60
CLOSE_SECONDS: Final = 30
_NAMESPACES: Final = ("--mount", "--net", "--pid", "--ipc", "--uts")


class Space:
    """Start it, run commands inside, close it."""

    def __init__(
        self, *, data: pathlib.Path, helper: pathlib.Path, log: pathlib.Path, guard: guard.Guard
    ) -> None:
        """`data` is a folder on a disk; inside it is /run/node."""
        self._ready = data / "ready"
        self._holder = processes.Process(
            name="the node's namespaces",
            # When `unshare` is killed its child is, which is the first process of the namespace.
            command=(
                *("unshare", *_NAMESPACES, "--fork", "--mount-proc", "--kill-child"),
                *("/bin/sh", str(SCRIPT), str(data), str(helper), NAME, ADDRESS),
            ),
            log=log,
            guard=guard,
        )

    def start(self) -> None:
        """Return when it is set up. Raises ProcessDiedError if it cannot be."""
        self._holder.start()

        def ready() -> bool:
            self._holder.require_running()
            return self._ready.exists()

        waiting.until(ready, what="the node's namespaces are set up", seconds=READY_SECONDS)

    @property
    def first(self) -> int:
        """The first process inside, as this machine numbers it."""
        holder = self._holder.pid
        children = pathlib.Path(f"/proc/{holder}/task/{holder}/children").read_text("ascii")
        return int(children.split()[0])

    def entered(self, command: Iterable[str]) -> tuple[str, ...]:
        """The command that runs this one inside."""
        return ("nsenter", f"--target={self.first}", *_NAMESPACES, "--", *command)

    def close(self) -> None:
        """End every process inside, and with them the namespaces."""
        if self._holder.running:
            with contextlib.suppress(OSError, IndexError):  # it may be ending, or have none yet
                # The kernel then kills the others, and the holder returns when that is over.
                os.kill(self.first, signal.SIGKILL)
                self._holder.wait(seconds=CLOSE_SECONDS)
        self._holder.kill()
