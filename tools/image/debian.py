"""Debian packages: programs that are installed if they are missing, and the base of the image.

The base is made without a registry, as slim as `debian:12-slim`.
"""

from __future__ import annotations

import os
import pathlib
import shutil
from collections.abc import Sequence
from typing import Final

from tools.controlplane import errors
from tools.image import recipe, steps

_APT: Final = "apt-get"
_PROGRAMS: Final = {"nftables": "nft", "iproute2": "ip", "util-linux": "unshare"}
"""By package, where the program has another name."""
_SLIM: Final = (
    # As the published slim images: no manuals, no translations, but every licence.
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
)
_HOOK: Final = "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr"


def require(*packages: str, runner: steps.Steps) -> None:
    """Install the packages whose programs are missing.

    Raises BuildError if that is impossible, with the command that would do it.
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
            name=runner.goal,
            reason=f"{' and '.join(missing)} cannot be found on the PATH",
            remedy=f"install them: {command}",
        )
    runner.report.say(f"installing {' and '.join(missing)} ({command})")
    # A fresh machine has no package lists, an old one has stale ones.
    runner.run([_APT, "update"], name="apt-update")
    options = ("--yes", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0")
    runner.run([_APT, "install", *options, *missing], name="apt-install")


def base(cache: pathlib.Path, *, runner: steps.Steps) -> pathlib.Path:
    """A tar file of Debian with its Python, from the cache if it is there.

    The package versions are those of the day of its creation: remove the file for newer ones.
    """
    target = cache / f"base-{recipe.SUITE}-{recipe.key('tools/image/debian.py')}.tar"
    if not target.exists():
        runner.report.say(f"making the base from Debian's packages, about 1 min: {target}")
        partial = runner.folder / "base.tar"
        debootstrap(partial, variant="minbase", packages=["python3"], runner=runner)
        partial.replace(target)
    return target


def debootstrap(
    target: pathlib.Path, *, variant: str, packages: Sequence[str], runner: steps.Steps
) -> None:
    """Write a tar file with these packages and what they need."""
    # Not usrmerge, which brings 50 MB of Perl to do what the hook has done.
    included = ",".join(("usr-is-merged", *packages))
    command = ["mmdebstrap", f"--variant={variant}", _HOOK, f"--include={included}"]
    command += [f"--dpkgopt={option}" for option in _SLIM]
    runner.run([*command, recipe.SUITE, str(target)], name="mmdebstrap")
