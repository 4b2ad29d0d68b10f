"""Programs that come from Debian packages, installed where they are missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import Final

from tools.controlplane import errors
from tools.image import steps

_APT: Final = "apt-get"
_PROGRAMS: Final = {"nftables": "nft", "iproute2": "ip", "util-linux": "unshare"}
"""Of packages that are not called like what they are needed for."""


def require(*packages: str, runner: steps.Steps, goal: str) -> None:
    """Install the packages whose programs are missing.

    Raises BuildError where that is impossible, with the command for people.
    """
    path = runner.environment.get("PATH", os.defpath)
    # Debian keeps what only root can use out of other users' paths.
    path = os.pathsep.join((path, "/usr/sbin", "/sbin"))
    missing = [
        package
        for package in packages
        if shutil.which(_PROGRAMS.get(package, package), path=path) is None
    ]
    if not missing:
        return
    command = f"{_APT} install {' '.join(missing)}"
    if os.geteuid() != 0 or shutil.which(_APT, path=path) is None:
        raise errors.BuildError(
            name=goal,
            reason=f"{' and '.join(missing)} cannot be found on the PATH",
            remedy=f"install them: {command}",
        )
    runner.report.say(f"installing {' and '.join(missing)} ({command})")
    _install(missing, runner=runner, goal=goal)


def _install(packages: Sequence[str], *, runner: steps.Steps, goal: str) -> None:
    # A fresh machine has no package lists, an old one has stale ones.
    runner.run([_APT, "update"], name="apt-update", goal=goal)
    options = ("--yes", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0")
    runner.run([_APT, "install", *options, *packages], name="apt-install", goal=goal)
