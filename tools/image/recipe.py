"""What the image is made of, and under which name it is cached. Reads files, runs nothing."""

from __future__ import annotations

import hashlib
import os
import pathlib
import shutil
from collections.abc import Iterable, Mapping
from typing import Final

import sidecar_injector
from sidecar_injector import names
from tools.controlplane import binaries, release

ROOT: Final = release.ROOT
LOCKS: Final = ("requirements/build.txt", "requirements/run.txt")
CONTEXT: Final = ("LICENSE", "README.md", "operator", "pyproject.toml", *LOCKS)
"""What .dockerignore lets through; a test compares both."""
INSTRUCTIONS: Final = ("Dockerfile", ".dockerignore")
WHEELS: Final = "requirements/wheels"
"""Where the Dockerfile looks for a wheel house before it asks the index."""
NAME: Final = f"{names.PRODUCT}:{sidecar_injector.__version__}"

SUITE: Final = "bookworm"
"""Debian 12, as in the Dockerfile."""
PYTHON: Final = "3.11"
"""Debian 12's. The wheels are for it, whichever Python fetches them."""
GLIBC_MINOR: Final = 36
"""Debian 12 has glibc 2.36: https://packages.debian.org/bookworm/libc6"""


def cache_folder(environment: Mapping[str, str]) -> pathlib.Path:
    """The user's cache, shared by all checkouts."""
    return binaries.cache_folder(environment).with_name("image")


def key(*paths: str) -> str:
    """Changes when one of these files or folders of the repository does."""
    digest = hashlib.sha256()
    for path in _files(paths):
        digest.update(f"{path.relative_to(ROOT)}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def image_key() -> str:
    """Of the operator's image: its instructions, its sources and the tools that build it."""
    return key(*INSTRUCTIONS, *CONTEXT, "tools/image/debian.py", "tools/image/build.py")


def stage(folder: pathlib.Path, *, wheels: pathlib.Path) -> None:
    """Make the folder a build context: the sources as they are now, with a wheel house."""
    for path in _files((*INSTRUCTIONS, *CONTEXT)):
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    # Copied: a builder does not follow links that lead out of its context.
    shutil.copytree(wheels, folder / WHEELS)


def _files(paths: Iterable[str]) -> list[pathlib.Path]:
    """Sorted, without what Python or a wheel house leaves between them."""
    every: list[pathlib.Path] = []
    for top in map(ROOT.joinpath, paths):
        if top.is_file():
            every.append(top)
        for folder, folders, files in os.walk(top):
            folders[:] = [name for name in folders if name not in {"__pycache__", "wheels"}]
            every += (pathlib.Path(folder, name) for name in files)
    return sorted(every)
