"""Python environments of their own for programs whose dependencies are not ours."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys
from typing import Final

PIP_INSTALL: Final = ("-m", "pip", "install", "--quiet", "--require-hashes")


class InstallError(Exception):
    """The last line that venv or pip has printed."""


def python(folder: pathlib.Path, *, lock: pathlib.Path) -> pathlib.Path:
    """The interpreter of the environment in this folder, with what the lock names.

    It is created first if it is missing. Raises InstallError.
    """
    if (interpreter := folder / "bin" / "python").exists():
        return interpreter
    print(f"installing {lock.name} into the cache: {folder}", file=sys.stderr)
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    # Scripts of a moved environment do not start, but its interpreter does.
    for command in (
        (sys.executable, "-m", "venv", str(partial)),
        (str(partial / "bin" / "python"), *PIP_INSTALL, "--requirement", str(lock)),
    ):
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode != 0:
            raise InstallError(last_line(answer.stderr))
    partial.rename(folder)
    return interpreter


def last_line(text: str) -> str:
    """Of what a program has printed; a line with ERROR is better than another."""
    lines = text.strip().splitlines() or ["no reason given"]
    return ([line for line in lines if "ERROR" in line] or lines)[-1].strip()
