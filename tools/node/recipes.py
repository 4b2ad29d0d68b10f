"""What is built for a node, from what, and under which name it is cached. Runs nothing."""

from __future__ import annotations

import pathlib
from typing import Final

from tools.controlplane import recipes

FOLDER: Final = pathlib.Path(__file__).parent
SOURCES: Final = ("go.mod", "go.sum", "helper/main.go")
HELPER: Final = "helper"
CONTAINERD: Final = "github.com/containerd/containerd/v2"
PLUGINS: Final = "github.com/containernetworking/plugins"
PACKAGES: Final = {
    "containerd": (CONTAINERD, "cmd/containerd", 4),
    "containerd-shim-runc-v2": (CONTAINERD, "cmd/containerd-shim-runc-v2", 1),
    "ctr": (CONTAINERD, "cmd/ctr", 1),
    "bridge": (PLUGINS, "plugins/main/bridge", 1),
    "host-local": (PLUGINS, "plugins/ipam/host-local", 1),
    "loopback": (PLUGINS, "plugins/main/loopback", 1),
}
"""By program: its module, its package in it, and minutes from nothing on 2 cores."""
_STRIP: Final = "-s -w"


def all_recipes() -> tuple[recipes.Recipe, ...]:
    """In the order in which they are built: the largest first, the others share its packages."""
    return (
        *(
            _recipe(
                name,
                version=recipes.required(module, folder=FOLDER),
                package=f"{module}/{package}",
                minutes=minutes,
            )
            for name, (module, package, minutes) in PACKAGES.items()
        ),
        _recipe(HELPER, version="of this checkout", package="./helper", minutes=1),
    )


def key() -> str:
    """The folder's name in the cache: versions for people, and a hash of all that shapes them."""
    versions = (
        f"{name}{recipes.required(module, folder=FOLDER)}"
        for name, module in (("containerd", CONTAINERD), ("cni", PLUGINS))
    )
    digest = recipes.digest(all_recipes(), folder=FOLDER, sources=SOURCES)
    return "-".join((*versions, digest))


def _recipe(name: str, *, version: str, package: str, minutes: int) -> recipes.Recipe:
    return recipes.Recipe(
        name=name,
        version=version,
        verb="build",
        package=package,
        flags=_STRIP,
        minutes=minutes,
        provides=(name,),
        source=FOLDER,
    )
