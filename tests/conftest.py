"""For all tests: how many examples a property gets, and what older Kubernetes is known to fail."""

from __future__ import annotations

import hypothesis
import pytest

from tests.kits import random_pods, versions


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--search",
        type=int,
        metavar="TIMES",
        help="draw other examples for properties in each run, and so many times as many",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Without --search a run says the same of a commit each time.

    No example has a deadline: how long it takes says more about the machine.
    """
    times = config.getoption("--search")
    hypothesis.settings.register_profile(
        "tests",
        derandomize=times is None,
        max_examples=100 * (times or 1),
        deadline=None,
        database=None,
        print_blob=times is not None,
    )
    hypothesis.settings.load_profile("tests")


def pytest_report_header() -> str:
    return f"random pods: PODS_SEED={random_pods.SEED}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    versions.expect_differences(items)
