"""CycloneDX's own validator, in an environment of its own: nothing else depends on it."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
from typing import Final

from tools.controlplane import errors
from tools.image import recipe

LOCK: Final = "requirements/sbom.txt"
GOAL: Final = "the bill of materials"
_INVALID: Final = 3
_PROGRAM: Final = f"""
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
version = SchemaVersion.from_version(sys.argv[1])
error = JsonStrictValidator(version).validate_str(sys.stdin.read())
if error is not None:
    print(str(error).splitlines()[0])
    sys.exit({_INVALID})
"""


def check(text: str, *, version: str) -> None:
    """Raise BuildError if this is no valid CycloneDX JSON of that version."""
    answer = subprocess.run(
        [str(_python()), "-c", _PROGRAM, version],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode == _INVALID:
        raise errors.BuildError(
            name=GOAL,
            reason=f"it is not valid CycloneDX {version}: {answer.stdout.strip()}",
            remedy="tools/image/sbom.py writes it",
        )
    if answer.returncode != 0:
        raise _broken(answer.stderr)


def _python() -> pathlib.Path:
    """The interpreter of the validator's environment, made first where it is missing."""
    folder = recipe.cache_folder(os.environ) / f"sbom-{recipe.key(LOCK)}"
    python = folder / "bin" / "python"
    if python.exists():
        return python
    print(f"installing CycloneDX's validator into the cache: {folder}", file=sys.stderr)
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    # A moved environment's scripts would not start; its interpreter does, and nothing else is used.
    install = ["-m", "pip", "install", "--quiet", "--require-hashes"]
    for command in (
        [sys.executable, "-m", "venv", str(partial)],
        [str(partial / "bin/python"), *install, "--requirement", str(recipe.ROOT / LOCK)],
    ):
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode != 0:
            raise _broken(answer.stderr)
    partial.rename(folder)
    return python


def _broken(stderr: str) -> errors.BuildError:
    lines = stderr.strip().splitlines() or ["no reason given"]
    return errors.BuildError(
        name=GOAL,
        reason=f"its validator does not work: {lines[-1]}",
        remedy="check the network and the disk space, then run `make sbom` again",
    )
