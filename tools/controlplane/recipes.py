"""What is built, from what, and under which name it is cached. Reads files, runs nothing."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import re
from collections.abc import Iterable
from typing import Final

FOLDER: Final = pathlib.Path(__file__).parent
SOURCES: Final = ("go.mod", "go.sum", "kubernetes/main.go")
HELM: Final = "helm.sh/helm/v4/cmd/helm@v4.3.1"
"""Helm is a module of its own: together with Kubernetes its requirements would move both."""
COMPONENTS: Final = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubectl",
    "kubelet",
)
"""The names of the one Kubernetes binary."""

_STRIP: Final = "-s -w"
_VERSION_PACKAGE: Final = "k8s.io/component-base/version"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How Go makes one program."""

    name: str
    version: str
    verb: str
    """`build` (of this module) or `install` (of another)."""
    package: str
    flags: str
    minutes: int
    """On 2 cores with nothing cached, for the message before the build."""
    provides: tuple[str, ...]
    """The commands that it is."""
    source: pathlib.Path = FOLDER
    """The module in which Go is run."""

    def arguments(self, output: pathlib.Path) -> tuple[str, ...]:
        """Of `go`. An install takes its folder from GOBIN instead, and its own name."""
        target = ("-o", str(output)) if self.verb == "build" else ()
        return (self.verb, "-v", "-trimpath", "-ldflags", self.flags, *target, self.package)


def required(module: str, *, folder: pathlib.Path = FOLDER) -> str:
    """The version of a module in go.mod, without its `v`. Raises LookupError if it is not there."""
    return _from_go_mod(rf"^\s*{re.escape(module)} v(\S+)", folder=folder)


def go_version() -> tuple[int, int]:
    """The oldest Go that go.mod accepts."""
    major, minor = _from_go_mod(r"^go (\d+\.\d+)", folder=FOLDER).split(".")
    return int(major), int(minor)


def all_recipes() -> tuple[Recipe, ...]:
    """In the order in which they are built."""
    etcd = required("go.etcd.io/etcd/server/v3")
    return (
        Recipe(
            name="etcd", version=etcd, verb="build", package="go.etcd.io/etcd/server/v3",
            flags=_STRIP, minutes=2, provides=("etcd",),
        ),
        kubernetes(required("k8s.io/kubernetes"), package="./kubernetes", provides=COMPONENTS),
        Recipe(
            name="helm", version=HELM.rpartition("@v")[2], verb="install", package=HELM,
            flags=_STRIP, minutes=3, provides=("helm",),
        ),
    )  # fmt: skip


def kubernetes(
    version: str, *, package: str, provides: tuple[str, ...], source: pathlib.Path = FOLDER
) -> Recipe:
    """Some components of Kubernetes in one binary."""
    major, minor, _ = version.split(".", 2)
    variables = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor}
    stamps = " ".join(f"-X {_VERSION_PACKAGE}.{key}={text}" for key, text in variables.items())
    return Recipe(
        name="kubernetes", version=version, verb="build", package=package,
        flags=f"{_STRIP} {stamps}", minutes=11, provides=provides, source=source,
    )  # fmt: skip


def key() -> str:
    """The folder's name in the cache: versions for people, and a hash of all that shapes them."""
    versions = (recipe.name + recipe.version for recipe in all_recipes())
    return "-".join((*versions, digest(all_recipes(), folder=FOLDER, sources=SOURCES)))


def digest(recipes: Iterable[Recipe], *, folder: pathlib.Path, sources: Iterable[str]) -> str:
    """Twelve hex digits over the sources in a folder and how they are built."""
    digested = hashlib.sha256()
    for source in sources:
        digested.update((folder / source).read_bytes())
    for recipe in recipes:
        digested.update(f"{recipe.package}\0{recipe.flags}".encode())
    return digested.hexdigest()[:12]


def _from_go_mod(pattern: str, *, folder: pathlib.Path) -> str:
    text = (folder / "go.mod").read_text("utf-8")
    match = re.search(pattern, text, re.MULTILINE)
    if match is None:
        raise LookupError(f"{folder / 'go.mod'}: nothing matches {pattern}")
    return match[1]
