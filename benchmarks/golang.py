"""Builds the comparators that are written in Go, once, and caches them for every checkout."""

from __future__ import annotations

import hashlib
import os
import pathlib
import subprocess
from typing import Final

from benchmarks import errors
from tools.controlplane import binaries, golang, progress

SOURCES: Final = pathlib.Path(__file__).parent / "comparators"
PROGRAMS: Final = ("go_tutorial", "go_runtime")


def ensure(report: progress.Progress) -> dict[str, pathlib.Path]:
    """The programs by name, built first where they are missing: 3 minutes from nothing.

    Raises BenchError if Go cannot build them, BuildError if there is no Go to be had.
    """
    cache = binaries.cache_folder(os.environ)
    folder = cache.with_name("comparators") / _key()
    built = {name: folder / name for name in PROGRAMS}
    if all(path.exists() for path in built.values()):
        return built
    folder.mkdir(parents=True, exist_ok=True)
    go = golang.find(environment=os.environ, cache=cache, report=report)
    for name, path in built.items():
        report.begin(f"building the comparator {name}: 2 min from nothing, once only")
        _build(go, name=name, target=path)
        report.say(f"built {name} in {progress.minutes(report.elapsed)}")
    return built


def _build(go: pathlib.Path, *, name: str, target: pathlib.Path) -> None:
    partial = target.with_suffix(".partial")
    answer = subprocess.run(
        [go, "build", "-trimpath", "-ldflags", "-s -w", "-o", partial, f"./{name}"],
        cwd=SOURCES,
        env={**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"},
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode != 0:
        raise errors.BenchError(f"go build {name}: {answer.stderr.strip()}")
    partial.replace(target)


def _key() -> str:
    """The folder's name in the cache: a hash of all that shapes the programs."""
    digest = hashlib.sha256()
    for pattern in ("go.*", "*/*.go"):
        for source in sorted(SOURCES.glob(pattern)):
            digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:12]
