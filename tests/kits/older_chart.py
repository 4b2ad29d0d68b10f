"""The chart of an older commit, from the history of the repository."""

from __future__ import annotations

import io
import pathlib
import subprocess
import tarfile
from typing import Any

ROOT = pathlib.Path(__file__).parents[2]
COMMIT = "8e720b5"
"""The last one in whose chart a default had to be unset by `null`."""


def unpack(folder: pathlib.Path) -> pathlib.Path:
    """Write the chart into the folder; its path."""
    archive = _git("archive", "--format=tar", COMMIT, "charts/sidecar-injector")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    return folder / "charts" / "sidecar-injector"


def matrix() -> dict[str, dict[str, Any]]:
    """The values over which that chart was tested: all of them were accepted."""
    members: dict[str, Any] = {}
    exec(_git("show", f"{COMMIT}:tests/kits/chart_matrix.py"), members)
    return dict(members["MATRIX"])


def _git(*arguments: str) -> bytes:
    answer = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)
    assert answer.returncode == 0, (
        f"commit {COMMIT} is needed; a shallow clone gets it by `git fetch --unshallow`:"
        f" {answer.stderr.decode()}"
    )
    return answer.stdout
