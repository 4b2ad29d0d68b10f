"""Which modules a version of Kubernetes is built from.

Kubernetes consists of some thirty modules, the staging modules, which are released together:
k8s.io/kubernetes v1.34.4 belongs to k8s.io/api v0.34.4. A module proxy may lack some of them.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

KUBERNETES: Final = "k8s.io/kubernetes"
_RELEASE: Final = re.compile(r"v(\d+)\.(\d+)\.(\d+)")

Go = Callable[[Sequence[str]], str]
"""Runs `go` with these arguments outside of any module; its output."""


class UnavailableError(Exception):
    """No module of this version is served."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Modules:
    """What one version is built from."""

    version: str
    """Of Kubernetes, without its `v`."""
    folder: pathlib.Path
    """Of the unpacked module k8s.io/kubernetes."""
    staging: Mapping[str, str]
    """Versions with their `v`, by module."""

    @property
    def neighbours(self) -> Sequence[str]:
        """The staging modules that are of another patch release, as path@version."""
        patch = self.version.split(".", 1)[1]
        return [
            f"{module}@{version}"
            for module, version in self.staging.items()
            if version.split(".", 1)[1] != patch
        ]

    def go_mod(self) -> str:
        """The go.mod of a module that builds programs of this version."""
        upstream = (self.folder / "go.mod").read_text("utf-8")
        workspace = (self.folder / "go.work").read_text("utf-8")
        go = re.search(r"^go \S+", upstream, re.MULTILINE)
        godebug = re.search(r"default=(\S+)", upstream) or re.search(r"default=(\S+)", workspace)
        lines = [
            "module sidecar-injector.dev/tools/controlplane/compat",
            go[0] if go else "",
            f"godebug default={godebug[1]}" if godebug else "",
            f"require {KUBERNETES} v{self.version}",
            *(f"replace {path} => {path} {version}" for path, version in self.staging.items()),
        ]
        return "\n".join(lines) + "\n"

    def go_sum(self) -> str:
        """Kubernetes' own checksums; Go adds those of the staging modules."""
        return (self.folder / "go.sum").read_text("utf-8")


def resolve(wanted: str, go: Go) -> Modules:
    """The modules of a version; of `1.34` the newest patch release, of `1.34.2` the nearest one.

    Only what is served counts. Raises UnavailableError.
    """
    minor, patch = _parse(wanted)
    released = _versions((KUBERNETES,), minor, go)[KUBERNETES]
    if not released:
        raise UnavailableError(f"no version {minor} of {KUBERNETES} is served")
    newest = max(released) if patch is None else nearest(patch, released)
    version = f"{minor}.{newest}"
    download = json.loads(go(("mod", "download", "-json", f"{KUBERNETES}@v{version}")))
    folder = pathlib.Path(download["Dir"])
    upstream = (folder / "go.mod").read_text("utf-8")
    staging = sorted(set(re.findall(r"^\s+(k8s\.io/\S+) v0\.0\.0\s", upstream, re.MULTILINE)))
    served = _versions(staging, minor, go)
    number = minor.split(".")[1]
    return Modules(
        version=version,
        folder=folder,
        # One that is not served at all may be a sample that nothing imports; else Go names it.
        staging={
            path: f"v0.{number}.{nearest(newest, served[path] or [newest])}" for path in staging
        },
    )


def nearest(patch: int, served: Iterable[int]) -> int:
    """The patch release itself, else the closest one, of two the newer."""
    return min(served, key=lambda other: (abs(other - patch), -other))


def _parse(wanted: str) -> tuple[str, int | None]:
    match = re.fullmatch(r"v?(1\.\d+)(?:\.(\d+))?", wanted)
    if match is None:
        raise UnavailableError(f"{wanted!r} is not a version of Kubernetes like 1.34 or 1.34.2")
    return match[1], int(match[2]) if match[2] else None


def _versions(modules: Sequence[str], minor: str, go: Go) -> Mapping[str, Sequence[int]]:
    """The patch releases of a minor version that are served, by module."""
    number = int(minor.split(".")[1])
    patches: dict[str, list[int]] = {module: [] for module in modules}
    for line in go(("list", "-m", "-e", "-versions", *modules)).splitlines():
        path, *versions = line.split()
        for version in versions:
            match = _RELEASE.fullmatch(version)
            if match and int(match[2]) == number:
                patches[path].append(int(match[3]))
    return patches
