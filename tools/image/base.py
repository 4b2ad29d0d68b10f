"""The base of the image without a registry: Debian's packages, as slim as `debian:12-slim`."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Final

from tools.image import recipe, steps

_SLIM: Final = (
    # As the published slim images: no manuals, no translations, but every licence.
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
)
_HOOK: Final = "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr"


def ensure(cache: pathlib.Path, *, runner: steps.Steps, goal: str) -> pathlib.Path:
    """A tar file of Debian with its Python, from the cache if it is there.

    The package versions are those of the day on which it was made: remove the file for newer ones.
    """
    target = cache / f"base-{recipe.SUITE}-{recipe.key('tools/image/base.py')}.tar"
    if not target.exists():
        runner.report.say(f"making the base from Debian's packages, about 1 min: {target}")
        partial = runner.folder / "base.tar"
        debootstrap(partial, variant="minbase", packages=["python3"], runner=runner, goal=goal)
        partial.replace(target)
    return target


def debootstrap(
    target: pathlib.Path,
    *,
    variant: str,
    packages: Sequence[str],
    runner: steps.Steps,
    goal: str,
) -> None:
    """Write a tar file with these packages and what they need."""
    # Not usrmerge, which brings 50 MB of Perl to do what the hook has done.
    included = ",".join(("usr-is-merged", *packages))
    command = ["mmdebstrap", f"--variant={variant}", _HOOK, f"--include={included}"]
    command += [f"--dpkgopt={option}" for option in _SLIM]
    runner.run([*command, recipe.SUITE, str(target)], name="mmdebstrap", goal=goal)
