"""An older chart, as it was before its values were widened, and what it was tested over.

    git archive 8e720b5 charts/sidecar-injector tests/kits/chart_matrix.py | gzip -9n

It is a file, since not every checkout has the history of the repository.
"""

from __future__ import annotations

import pathlib
import tarfile
from typing import Any

FILE = pathlib.Path(__file__).with_name("older_chart.tar.gz")
"""Of the last commit in whose chart a default had to be unset by `null`."""


def unpack(folder: pathlib.Path) -> pathlib.Path:
    """Write the chart into the folder; its path."""
    with tarfile.open(FILE) as tar:
        tar.extractall(folder, filter="data")
    return folder / "charts" / "sidecar-injector"


def matrix() -> dict[str, dict[str, Any]]:
    """The values over which that chart was tested: all of them were accepted."""
    members: dict[str, Any] = {}
    with tarfile.open(FILE) as tar:
        source = tar.extractfile("tests/kits/chart_matrix.py")
        assert source
        exec(source.read(), members)
    return dict(members["MATRIX"])
