"""Builds the operator's image from the Dockerfile with buildah, once for each content."""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Mapping
from typing import Final

from tools.controlplane import errors, progress
from tools.image import archive, debian, recipe, steps, wheels

GOAL: Final = f"the image {recipe.NAME}"
MEBIBYTES: Final = 3072
"""Free space for base, wheels, archive, and a copy of every layer with the vfs driver."""
KEPT: Final = 3
"""Archives in the cache; older ones are removed."""
_BASE: Final = "localhost/debian-with-python:12"


def ensure(
    *, environment: Mapping[str, str] = os.environ, report: progress.Progress | None = None
) -> pathlib.Path:
    """The image as an OCI archive, built first if sources, locks or tools have changed.

    From nothing that takes about 3 minutes, Debian's and Python's packages from the network, and
    root. A second run at the same time waits for the first. Raises BuildError.
    """
    report = report or progress.Progress(sys.stderr)
    target = path(environment)
    if target.exists():
        os.utime(target)
        return target
    steps.require_root(GOAL)
    with steps.taken(
        target.parent / "building", goal=GOAL, environment=_plain(environment), report=report
    ) as runner:
        if not target.exists():
            steps.require_space(GOAL, folder=target.parent, mebibytes=MEBIBYTES)
            _build(target, runner=runner)
            _forget_old(target.parent)
    return target


def cached(environment: Mapping[str, str] = os.environ) -> pathlib.Path:
    """The same without a build: raises BuildError if it is missing."""
    target = path(environment)
    if not target.exists():
        raise errors.BuildError(
            name=GOAL,
            reason=f"{target} does not exist yet",
            remedy="run `make image` as root first",
        )
    return target


def path(environment: Mapping[str, str]) -> pathlib.Path:
    """Where the archive is, or will be."""
    name = recipe.NAME.replace(":", "-")
    return recipe.cache_folder(environment) / f"{name}-{recipe.image_key()}.oci.tar"


def _build(target: pathlib.Path, *, runner: steps.Steps) -> None:
    debian.require("buildah", "mmdebstrap", runner=runner)
    root = debian.base(target.parent, runner=runner)
    house = wheels.ensure(target.parent, runner=runner)
    context = runner.folder / "context"
    recipe.stage(context, wheels=house)

    runner.report.begin(f"building {GOAL} from the Dockerfile, about 1 min")
    container = _buildah(runner, "from", "scratch").split()[-1]
    _buildah(runner, "add", "--quiet", container, str(root), "/")
    _buildah(runner, "commit", "--quiet", container, _BASE)
    options = ("--pull-never", "--isolation", "chroot", "--build-arg", f"BASE={_BASE}")
    _buildah(runner, "bud", *options, "--tag", recipe.NAME, str(context))
    pushed = runner.folder / "pushed.tar"
    _buildah(runner, "push", recipe.NAME, f"oci-archive:{pushed}:{recipe.NAME}")

    # Only a complete archive gets its name, so an interrupted build is never used.
    partial = runner.folder / "image.tar"
    archive.rename(pushed, name=recipe.NAME, target=partial)
    partial.replace(target)
    size = target.stat().st_size // 1024**2
    runner.report.say(f"built {GOAL} in {progress.minutes(runner.report.elapsed)}: {size} MiB")


def _buildah(runner: steps.Steps, verb: str, *arguments: str) -> str:
    storage = runner.folder / "storage"
    # In its own mount namespace a killed build leaves no mounts. Buildah chooses the storage
    # driver: overlay if kernel and disk allow it, otherwise vfs, which copies every layer.
    storages = ("--root", str(storage), "--runroot", f"{storage}-run")
    command = ("unshare", "--mount", "buildah", *storages)
    return runner.run([*command, verb, *arguments], name=f"buildah-{verb}")


def _plain(environment: Mapping[str, str]) -> dict[str, str]:
    """Without the variables that change where buildah stores images."""
    strange = ("BUILDAH_", "CONTAINERS_", "STORAGE_")
    return {name: text for name, text in environment.items() if not name.startswith(strange)}


def _forget_old(folder: pathlib.Path) -> None:
    archives = sorted(folder.glob("*.oci.tar"), key=lambda path: path.stat().st_mtime)
    for old in archives[:-KEPT]:
        old.unlink()
