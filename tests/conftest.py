"""For all tests: which ones an older release of Kubernetes is known to fail."""

from __future__ import annotations

import pytest

from tests.kits import versions


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    versions.expect_differences(items)
