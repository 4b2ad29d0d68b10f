"""The control groups of a node: a parent in every hierarchy, and what the kernel counts in them.

Version 1, where controllers have hierarchies of their own, and version 2, where all share one:
https://docs.kernel.org/admin-guide/cgroup-v1/ and https://docs.kernel.org/admin-guide/cgroup-v2.html
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Collection, Mapping
from typing import Final

from tools.controlplane import waiting
from tools.node import errors

V1: Final = frozenset({"cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", "pids"})
V2: Final = frozenset({"cpu", "cpuset", "memory", "pids"})
"""The kubelet demands these of the group that it gets; freezing and devices need no controller:
https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/cm/cgroup_v2_manager_linux.go"""
MOUNTS: Final = pathlib.Path("/proc/self/mountinfo")
TOP: Final = pathlib.Path("/sys/fs/cgroup")
"""kubelet, containerd and runc use version 2 if, and only if, it is mounted here."""
UNIFIED: Final = "unified"
CONTROLLERS: Final = "cgroup.controllers"
ENABLED: Final = "cgroup.subtree_control"
CPUSET: Final = ("cpuset.cpus", "cpuset.mems")
"""Empty in a new group of version 1, which can then hold no process."""
REMOVE_SECONDS: Final = 30


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hierarchies:
    """Where each controller is mounted; with version 2 it is one folder for all of them."""

    version: int
    folders: Mapping[str, pathlib.Path]


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


def required(versions: Collection[int] = (1, 2)) -> Hierarchies:
    """The machine's. Raises ConditionError if a controller is missing, or the version is not one.

    With version 2 beside version 1 (systemd calls it hybrid) everything on a machine uses 1.
    """
    folders = hierarchies(MOUNTS.read_text("utf-8"))
    unified = folders.get(UNIFIED)
    if unified == TOP and 2 in versions:
        controllers = set((unified / CONTROLLERS).read_text("ascii").split())
        if missing := V2 - controllers:
            raise errors.ConditionError(
                missing=f"cgroup version 2 with the controllers {', '.join(sorted(V2))}",
                found=f"no {', '.join(sorted(missing))} in {unified / CONTROLLERS}",
                remedy="delegate them to this machine or container, or use another one",
            )
        return Hierarchies(version=2, folders=dict.fromkeys((UNIFIED, *controllers), unified))
    if missing := V1 - set(folders):
        raise errors.ConditionError(
            missing=f"cgroup version {' or '.join(map(str, versions))}, of version 1 with the"
            f" controllers {', '.join(sorted(V1))}",
            found=f"no {', '.join(sorted(missing))}, and version 2"
            f" {'at' if unified == TOP else 'not at'} {TOP}",
            remedy=f"mount it below {TOP}, or use another machine",
        )
    return Hierarchies(version=1, folders=folders)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """A group of this name in every hierarchy."""

    name: str
    hierarchies: Hierarchies

    @property
    def folders(self) -> list[pathlib.Path]:
        """One for each hierarchy; two controllers may share one."""
        return sorted({folder / self.name for folder in self.hierarchies.folders.values()})

    def create(self) -> None:
        """Must not exist."""
        for folder in self.folders:
            folder.mkdir()
        if self.hierarchies.version == 2:
            _enable(V2, self.hierarchies.folders[UNIFIED])
            return
        cpuset = self.hierarchies.folders["cpuset"]
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
        memory = self.hierarchies.folders["memory"]
        top = memory / self.name
        for folder in top.glob(f"kubepods/**/pod{pod}/{container}"):
            return Group(path=folder.relative_to(memory), hierarchies=self.hierarchies)
        raise LookupError(f"no control group of container {container} of pod {pod} below {top}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What the kernel counts for one container."""

    path: pathlib.Path
    """Below each hierarchy."""
    hierarchies: Hierarchies

    def processes(self) -> list[int]:
        """With their numbers on this machine."""
        return [int(line) for line in self._read("memory", "cgroup.procs").split()]

    def memory(self) -> int:
        """Bytes that cannot be reclaimed at once, as `kubectl top` counts them."""
        names = {1: ("memory.usage_in_bytes", "total_inactive_file"),
                 2: ("memory.current", "inactive_file")}  # fmt: skip
        used, reclaimable = names[self.hierarchies.version]
        return int(self._read("memory", used)) - self._statistic(
            "memory", "memory.stat", reclaimable
        )

    def cpu_seconds(self) -> float:
        """Since it was started."""
        if self.hierarchies.version == 2:
            return self._statistic("cpu", "cpu.stat", "usage_usec") / 1e6
        return int(self._read("cpuacct", "cpuacct.usage")) / 1e9

    def _statistic(self, controller: str, file: str, name: str) -> int:
        return int(dict(line.split() for line in self._read(controller, file).splitlines())[name])

    def _read(self, controller: str, file: str) -> str:
        return (self.hierarchies.folders[controller] / self.path / file).read_text("ascii")


def _enable(controllers: frozenset[str], folder: pathlib.Path) -> None:
    """Let the groups in this folder use the controllers; others may rely on it from then on.

    Raises ConditionError if processes are in the folder itself: then only the root of all groups
    may do it: https://docs.kernel.org/admin-guide/cgroup-v2.html#no-internal-process-constraint
    """
    file = folder / ENABLED
    missing = controllers - set(file.read_text("ascii").split())
    if not missing:
        return
    try:
        file.write_text(" ".join(f"+{name}" for name in sorted(missing)), "ascii")
    except OSError as error:
        raise errors.ConditionError(
            missing=f"to enable {', '.join(sorted(missing))} in {file}",
            found=error.strerror,
            remedy="run it where the root of all control groups is mounted"
            " (docker run --cgroupns=host)",
        ) from error


def _removed(folder: pathlib.Path) -> bool:
    """Remove a folder and those below it, the deepest first; false if one is still in use."""
    for top, _, _ in os.walk(folder, topdown=False):
        with contextlib.suppress(OSError):
            pathlib.Path(top).rmdir()
    return not folder.exists()
