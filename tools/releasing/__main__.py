"""`python -m tools.releasing` writes the files of a release to dist/."""

from __future__ import annotations

import argparse
import sys

from tools.controlplane import errors, release
from tools.releasing import files, krew

NOWHERE = "https://example.com/sidecar-injector"
"""In the krew manifest of a build that is not published."""


def main() -> int:
    """Exit status 1 and one line if a file cannot be built."""
    parser = argparse.ArgumentParser(prog="make dist", description=__doc__)
    parser.add_argument("--release", default="", help="the version that is released: checked")
    parser.add_argument("--registry", default="", help="where the image is published")
    parser.add_argument("--repository", default="", help="address of the repository with releases")
    arguments = parser.parse_args()
    try:
        build(arguments.release, arguments.registry, arguments.repository)
    except errors.BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def build(wanted: str, registry: str, repository: str) -> None:
    """Only a release needs notes: between two of them, CHANGELOG has no section of the version."""
    target = release.ROOT / "dist"
    number = files.version(wanted)
    files.clear(target)
    if wanted:
        text = (release.ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
        (target / files.NOTES).write_text(files.notes(text, number), encoding="utf-8")
    wheel = files.python(target)
    files.chart(target, registry=registry, repository=repository)
    archives = {
        platform: krew.archive(wheel, target, platform=platform) for platform in krew.PLATFORMS
    }
    manifest = krew.manifest(archives, number=number, repository=repository or NOWHERE)
    (target / krew.MANIFEST).write_text(manifest, encoding="utf-8")
    files.checksums(target)
    for path in sorted(target.iterdir()):
        print(f"{path.stat().st_size / 1e6:7.2f} MB  dist/{path.name}")


if __name__ == "__main__":
    sys.exit(main())
