"""What a machine needs to run a node; missing packages of Debian are installed."""

from __future__ import annotations

import os
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Mapping
from typing import Final

from tools.controlplane import progress
from tools.image import debian, recipe, steps
from tools.node import cgroups, errors

PACKAGES: Final = ("runc", "nftables", "iproute2", "util-linux")
MEBIBYTES: Final = 2048
"""Free space for unpacked images, etcd and logs; a whole run of the tests has used 1 GiB."""
FILESYSTEMS: Final = pathlib.Path("/proc/filesystems")
GOAL: Final = "a node"


def require(
    *, environment: Mapping[str, str] = os.environ, report: progress.Progress | None = None
) -> None:
    """Raises ConditionError or BuildError for the first that is missing and cannot be installed."""
    require_machine(platform=sys.platform, user=os.geteuid())
    cgroups.required()
    require_space(pathlib.Path(tempfile.gettempdir()))
    with steps.taken(
        recipe.cache_folder(environment).with_name("node") / "packages",
        goal=GOAL,
        environment=environment,
        report=report or progress.Progress(sys.stderr),
    ) as runner:
        debian.require(*PACKAGES, runner=runner)


def require_machine(*, platform: str, user: int) -> None:
    """Raises ConditionError unless it is root on a Linux with overlay mounts."""
    if platform != "linux":
        raise errors.ConditionError(
            missing="Linux", found=platform, remedy="`make test` runs everywhere"
        )
    if user != 0:
        raise errors.ConditionError(
            missing="root, for namespaces and mounts",
            found=f"user {user}",
            remedy="run the same as root; `make test` needs no rights",
        )
    if "overlay" not in FILESYSTEMS.read_text("ascii").split():
        raise errors.ConditionError(
            missing="overlay mounts", found=f"none in {FILESYSTEMS}", remedy="run: modprobe overlay"
        )


def require_space(folder: pathlib.Path) -> None:
    """Raises ConditionError if the folder's disk is nearly full."""
    free = shutil.disk_usage(folder).free // 1024**2
    if free < MEBIBYTES:
        raise errors.ConditionError(
            missing=f"{MEBIBYTES} MiB of disk",
            found=f"{free} MiB free on that of {folder}",
            remedy="free some, or set TMPDIR to a larger disk",
        )
