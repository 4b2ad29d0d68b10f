"""Builds the files that a release consists of."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from typing import Final

import sidecar_injector
from sidecar_injector import names
from tools import environments, goprograms
from tools.controlplane import errors, release

NOTES: Final = "NOTES.md"
CHECKSUMS: Final = "SHA256SUMS"
_REGISTRY: Final = re.compile(r'(?m)^(image:\n(?:  .*\n)*?  registry: )""$')
_IMAGE: Final = re.compile(rf"(?m)^( +image: )(?={names.PRODUCT}:)")
"""Where values.yaml and Chart.yaml name the image without a registry."""


def version(wanted: str = "") -> str:
    """The version of the sources. Raises BuildError if a release is to have another one."""
    if wanted and wanted != sidecar_injector.__version__:
        raise errors.BuildError(
            name=f"release {wanted}",
            reason=f"the version of the sources is {sidecar_injector.__version__}",
            remedy="set the same version in all files that docs/releasing.md names",
        )
    return sidecar_injector.__version__


def notes(text: str, number: str) -> str:
    """What CHANGELOG says about a version. Raises BuildError if it has no section of it."""
    heading = re.compile(rf"(?m)^## \[?{re.escape(number)}\b.*\n")
    if (match := heading.search(text)) is None:
        raise errors.BuildError(
            name=f"the notes of release {number}",
            reason="CHANGELOG.md has no section of this version",
            remedy=f"rename its section Unreleased to {number} and add the date",
        )
    return re.split(r"(?m)^## ", text[match.end() :], maxsplit=1)[0].strip() + "\n"


def python(target: pathlib.Path) -> pathlib.Path:
    """Build source distribution and wheel; the path of the wheel."""
    build = (sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-t", "wheel")
    run("the Python package", *build, "-d", str(target))
    (wheel,) = target.glob("*.whl")
    return wheel


def chart(target: pathlib.Path, *, registry: str = "", repository: str = "") -> pathlib.Path:
    """Package the chart, with the addresses under which image and sources are published."""
    helm = goprograms.helm()
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder, names.PRODUCT)
        shutil.copytree(release.CHART, copy)
        if registry:
            # References of images have no capital letters, owners of repositories may.
            _replace(copy / "values.yaml", _REGISTRY, rf"\g<1>{registry.lower()}")
            _replace(copy / "Chart.yaml", _IMAGE, rf"\g<1>{registry.lower()}/")
        if repository:
            with (copy / "Chart.yaml").open("a", encoding="utf-8") as file:
                file.write(f"home: {repository}\nsources:\n  - {repository}\n")
        run("the chart", str(helm), "package", str(copy), "--destination", str(target))
    return target / f"{names.PRODUCT}-{version()}.tgz"


def _replace(path: pathlib.Path, pattern: re.Pattern[str], text: str) -> None:
    replaced, count = pattern.subn(text, path.read_text(encoding="utf-8"))
    if count != 1:
        raise errors.BuildError(
            name="the chart",
            reason=f"{path.name} has {count} places for the image's registry",
            remedy="correct the pattern in tools/releasing/files.py",
        )
    path.write_text(replaced, encoding="utf-8")


def checksums(folder: pathlib.Path) -> None:
    """Write SHA256SUMS of all files there, as `sha256sum --check` reads it."""
    paths = sorted(path for path in folder.iterdir() if path.name not in {NOTES, CHECKSUMS})
    lines = [f"{sha256(path)}  {path.name}\n" for path in paths]
    (folder / CHECKSUMS).write_text("".join(lines), encoding="utf-8")


def sha256(path: pathlib.Path) -> str:
    """In hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def clear(folder: pathlib.Path, *, keep: Iterable[str] = ("sbom.cdx.json",)) -> None:
    """Remove what an earlier run left, so that no old file is published."""
    with contextlib.suppress(FileNotFoundError):
        for path in folder.iterdir():
            if path.is_file() and path.name not in keep:
                path.unlink()
    folder.mkdir(exist_ok=True)


def run(name: str, *command: str) -> None:
    """Run a command in the repository's folder. Raises BuildError with its last line."""
    environment = {**os.environ, "PYTHONSAFEPATH": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    answer = subprocess.run(
        command, cwd=release.ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if answer.returncode:
        reason = environments.last_line(answer.stderr or answer.stdout)
        raise errors.BuildError(name=name, reason=reason, remedy="check the network")
