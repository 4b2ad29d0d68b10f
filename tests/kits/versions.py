"""On an older release of Kubernetes the tests that it is known to fail must fail.

Which these are, and why, is in the table of `tools.controlplane.compat`. A test that fails and is
not in the table is a failure, and one that is in the table and passes is, too.
"""

from __future__ import annotations

import functools
import re
import subprocess
from collections.abc import Iterable

import pytest

from tools.controlplane import binaries
from tools.controlplane.compat import differences

FOLDERS = ("tests/chart/", "tests/controlplane/")
"""The tests that start an API server."""


@functools.cache
def minor() -> int:
    """The minor version of the API server that the tests start."""
    command = [str(binaries.cached().apiserver), "--version"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    match = re.search(r"v1\.(\d+)\.", answer.stdout)
    assert match, answer.stdout
    return int(match[1])


def expect_differences(items: Iterable[pytest.Item]) -> None:
    """Mark the tests that this API server fails."""
    items = [item for item in items if item.nodeid.startswith(FOLDERS)]
    rows = [row for row in differences.table() if items and minor() in row.minors]
    for item in items:
        for row in rows:
            if row.concerns(item.nodeid):
                reason = f"Kubernetes 1.{minor()}: {row.what}"
                item.add_marker(pytest.mark.xfail(strict=True, reason=reason))
