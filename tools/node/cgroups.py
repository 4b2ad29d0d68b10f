"""The control groups of a node: a parent in every hierarchy, and what the kernel counts in them.

Version 1 only: https://docs.kernel.org/admin-guide/cgroup-v1/
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
from typing import Final

from tools.controlplane import waiting
from tools.node import errors

REQUIRED: Final = frozenset({"cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", "pids"})
MOUNTS: Final = pathlib.Path("/proc/self/mountinfo")
UNIFIED: Final = "unified"
CPUSET: Final = ("cpuset.cpus", "cpuset.mems")
"""Empty in a new group, which can then hold no process."""
REMOVE_SECONDS: Final = 30


def hierarchies(mounts: str) -> dict[str, pathlib.Path]:
    """Where each controller is mounted, from the text of a mountinfo file.

    Version 2 is among them as `unified`: beside version 1 it has no controllers, and yet runc makes
    its groups there as well.
    """
    folders: dict[str, pathlib.Path] = {}
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        folder = pathlib.Path(before.split()[4])
        if kind == "cgroup":
            names = set(options.split(",")) - {"rw", "ro"}
            folders |= {name.removeprefix("name="): folder for name in names}
        elif kind == "cgroup2":
            folders[UNIFIED] = folder
    return folders


def required() -> dict[str, pathlib.Path]:
    """The machine's hierarchies. Raises ConditionError if they are not those of version 1."""
    folders = hierarchies(MOUNTS.read_text("utf-8"))
    if missing := REQUIRED - set(folders):
        raise errors.ConditionError(
            missing=f"cgroup version 1 with the controllers {', '.join(sorted(REQUIRED))}",
            found=f"no {', '.join(sorted(missing))} (version 2 alone is not supported)",
            remedy="boot with systemd.unified_cgroup_hierarchy=0, or use another machine",
        )
    return folders


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """A group of this name in every hierarchy."""

    name: str
    hierarchies: dict[str, pathlib.Path]

    @property
    def folders(self) -> list[pathlib.Path]:
        """One for each hierarchy; two controllers may share one."""
        return sorted({folder / self.name for folder in self.hierarchies.values()})

    def create(self) -> None:
        """Must not exist."""
        for folder in self.folders:
            folder.mkdir()
        cpuset = self.hierarchies["cpuset"]
        for file in CPUSET:
            (cpuset / self.name / file).write_text((cpuset / file).read_text("ascii"), "ascii")

    def remove(self) -> None:
        """Return when all are removed; killed processes need a moment to end."""
        waiting.until(
            lambda: all([_removed(folder) for folder in self.folders]),  # noqa: C419 - try each
            what=f"the control groups {self.name} are empty and removed",
            seconds=REMOVE_SECONDS,
        )

    def container(self, *, pod: str, container: str) -> Group:
        """The group of a container, by its pod's uid and its own id. Raises LookupError."""
        top = self.hierarchies["memory"] / self.name
        for folder in top.glob(f"kubepods/**/pod{pod}/{container}"):
            path = folder.relative_to(self.hierarchies["memory"])
            return Group(path=path, hierarchies=self.hierarchies)
        raise LookupError(f"no control group of container {container} of pod {pod} below {top}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What the kernel counts for one container."""

    path: pathlib.Path
    """Below each hierarchy."""
    hierarchies: dict[str, pathlib.Path]

    def processes(self) -> list[int]:
        """With their numbers on this machine."""
        return [int(line) for line in self._read("memory", "cgroup.procs").split()]

    def memory(self) -> int:
        """Bytes that cannot be reclaimed at once, as `kubectl top` counts them."""
        statistics = dict(line.split() for line in self._read("memory", "memory.stat").splitlines())
        used = int(self._read("memory", "memory.usage_in_bytes"))
        return used - int(statistics["total_inactive_file"])

    def cpu_seconds(self) -> float:
        """Since it was started."""
        return int(self._read("cpuacct", "cpuacct.usage")) / 1e9

    def _read(self, controller: str, file: str) -> str:
        return (self.hierarchies[controller] / self.path / file).read_text("ascii")


def _removed(folder: pathlib.Path) -> bool:
    """Remove a folder and those below it, the deepest first; false if one is still in use."""
    for top, _, _ in os.walk(folder, topdown=False):
        with contextlib.suppress(OSError):
            pathlib.Path(top).rmdir()
    return not folder.exists()
