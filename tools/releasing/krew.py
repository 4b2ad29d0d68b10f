"""The kubectl plugin as krew installs it: an archive for each platform, and the manifest.

krew unpacks an archive and links one file into the PATH; it installs no dependencies. So an archive
contains the package, its dependencies, and those with compiled code once for each Python.
"""

from __future__ import annotations

import dataclasses
import email.parser
import gzip
import io
import pathlib
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from typing import Final

import yaml

from sidecar_injector import names
from tools.controlplane import release
from tools.image import wheels
from tools.releasing import files

LAUNCHER: Final = "kubectl-sidecar_injector"
PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14")
"""Those for which every compiled dependency has a wheel; the launcher names them."""
MANIFEST: Final = f"{names.PRODUCT}.yaml"
_LOCK: Final = release.ROOT / "requirements" / "run.txt"
_TEMPLATE: Final = pathlib.Path(__file__).with_name("krew.yaml")


@dataclasses.dataclass(frozen=True)
class Platform:
    """One that krew knows, in Go's words, with the tags of the wheels that run there."""

    os: str
    arch: str
    tags: tuple[str, ...]

    @property
    def archive(self) -> str:
        return f"{LAUNCHER}-{self.os}-{self.arch}.tar.gz"


def _linux(machine: str) -> tuple[str, ...]:
    return tuple(wheels.platforms(machine, glibc_minor=28))


def _macos(machine: str) -> tuple[str, ...]:
    releases = [*(f"{major}_0" for major in range(14, 10, -1)), "10_15", "10_13", "10_12", "10_9"]
    return tuple(f"macosx_{name}_{kind}" for name in releases for kind in (machine, "universal2"))


PLATFORMS: Final = (
    Platform("linux", "amd64", _linux("x86_64")),
    Platform("linux", "arm64", _linux("aarch64")),
    Platform("darwin", "amd64", _macos("x86_64")),
    Platform("darwin", "arm64", _macos("arm64")),
)


def archive(
    wheel: pathlib.Path,
    target: pathlib.Path,
    *,
    platform: Platform,
    pythons: Sequence[str] = PYTHONS,
) -> pathlib.Path:
    """Write the archive of one platform: launcher, licence, and what Python imports."""
    contents = {LAUNCHER: _launcher(pythons), "LICENSE": (release.ROOT / "LICENSE").read_bytes()}
    contents |= _unpacked(wheel, "lib/any")
    for python in pythons:
        with tempfile.TemporaryDirectory() as folder:
            _download(requirements(wheel), folder, platform=platform, python=python)
            for path in sorted(pathlib.Path(folder).glob("*.whl")):
                pure = path.name.endswith("-none-any.whl")
                contents |= _unpacked(path, "lib/any" if pure else f"lib/{python}")
    path = target / platform.archive
    path.write_bytes(_packed(contents))
    return path


def manifest(archives: dict[Platform, pathlib.Path], *, number: str, repository: str) -> str:
    """Fill in the template: version, addresses and checksums."""
    document = yaml.safe_load(_TEMPLATE.read_text(encoding="utf-8"))
    document["spec"]["version"] = f"v{number}"
    document["spec"]["homepage"] = repository
    document["spec"]["platforms"] = [
        {
            "selector": {"matchLabels": {"os": platform.os, "arch": platform.arch}},
            "uri": f"{repository}/releases/download/v{number}/{path.name}",
            "sha256": files.sha256(path),
            "bin": LAUNCHER,
        }
        for platform, path in archives.items()
    ]
    return yaml.safe_dump(document, sort_keys=False, width=100)


def requirements(wheel: pathlib.Path) -> list[str]:
    """What the package needs without any extra, from the wheel's metadata."""
    with zipfile.ZipFile(wheel) as opened:
        (name,) = [name for name in opened.namelist() if name.endswith(".dist-info/METADATA")]
        headers = email.parser.BytesParser().parsebytes(opened.read(name))
    lines: list[str] = headers.get_all("Requires-Dist", [])
    return [line for line in lines if "extra ==" not in line]


def _download(needed: Iterable[str], folder: str, *, platform: Platform, python: str) -> None:
    """The wheels of the lock file, checked against its hashes."""
    fixed = ("--quiet", "--only-binary=:all:", "--require-hashes")
    files.run(
        f"the wheels for {platform.os}/{platform.arch} and Python {python}",
        sys.executable, "-m", "pip", "download", *fixed,
        *wheels.tag_arguments(python, platform.tags),
        "--constraint", str(_LOCK), "--dest", folder, *needed,
    )  # fmt: skip


def _launcher(pythons: Sequence[str]) -> bytes:
    text = pathlib.Path(__file__).with_name("launcher.py").read_text(encoding="utf-8")
    return text.replace('"@PYTHONS@"', ", ".join(f'"{python}"' for python in pythons)).encode()


def _unpacked(wheel: pathlib.Path, prefix: str) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as opened:
        return {
            f"{prefix}/{name}": opened.read(name)
            for name in opened.namelist()
            if not name.endswith("/")
        }


def _packed(contents: dict[str, bytes]) -> bytes:
    """The same bytes for the same contents: no times, no owners, one order."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(contents):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(contents[name]), 0o755 if name == LAUNCHER else 0o644
            tar.addfile(entry, io.BytesIO(contents[name]))
    return gzip.compress(plain.getvalue(), mtime=0)
