"""Builds a node's programs once and caches them for every checkout of the user."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import sys
from collections.abc import Mapping
from typing import Final

from tools.controlplane import binaries, progress
from tools.controlplane import recipes as controlplane_recipes
from tools.node import recipes

_ASSETS: Final = "KUBEBUILDER_ASSETS"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Programs:
    """Where the programs are."""

    controlplane: binaries.Binaries
    folder: pathlib.Path
    """Of containerd, its shim, ctr and the helper."""

    @property
    def plugins(self) -> pathlib.Path:
        """The folder of the CNI plugins."""
        return self.folder

    @property
    def helper(self) -> pathlib.Path:
        """See helper/main.go."""
        return self.folder / recipes.HELPER

    def kubernetes(self, name: str) -> str:
        """A component of the one Kubernetes binary that a control plane does not need."""
        return str(self.controlplane.apiserver.with_name(name))


def ensure(
    *, environment: Mapping[str, str] = os.environ, report: progress.Progress | None = None
) -> Programs:
    """The programs, built first where they are missing: 3 minutes beside the control plane's.

    A second run at the same time waits for the first. Raises BuildError.
    """
    environment = _without_assets(environment)
    report = report or progress.Progress(sys.stderr)
    controlplane = binaries.ensure(environment=environment, report=report)
    folder = _folder(environment)
    binaries.build(folder, missing=lambda: _missing(folder), environment=environment, report=report)
    return Programs(controlplane=controlplane, folder=folder)


def cached(environment: Mapping[str, str] = os.environ) -> Programs:
    """The same without a build: raises BuildError if one is missing."""
    environment = _without_assets(environment)
    folder = _folder(environment)
    binaries.require(_missing(folder), folder=folder, target="node")
    return Programs(controlplane=binaries.cached(environment), folder=folder)


def _without_assets(environment: Mapping[str, str]) -> dict[str, str]:
    """A folder of test assets has no kubelet, and its API server may be of another version."""
    return {name: text for name, text in environment.items() if name != _ASSETS}


def _folder(environment: Mapping[str, str]) -> pathlib.Path:
    return binaries.cache_folder(environment).with_name("node") / recipes.key()


def _missing(folder: pathlib.Path) -> list[controlplane_recipes.Recipe]:
    return [recipe for recipe in recipes.all_recipes() if not (folder / recipe.name).exists()]
