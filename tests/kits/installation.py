"""Installing the product for tests; no conftest, since those cannot be imported by name."""

from __future__ import annotations

import contextlib
import pathlib
import secrets
from collections.abc import Iterator

import pytest

from tests.kits import product as kit
from tools.controlplane import binaries, cluster, operators, ports, release

ROOT, CHART, VALUES = release.ROOT, release.CHART, release.VALUES
DRAIN = "settings.drainSeconds=1"
"""A balancer on loopback needs no longer to hear of it."""


def unused_name() -> str:
    """The name of a namespace of the test's own."""
    return f"test-{secrets.token_hex(4)}"


@contextlib.contextmanager
def installation(
    plane: cluster.ControlPlane,
    *values: str,
    replicas: int | None = None,
    chart: pathlib.Path = CHART,
) -> Iterator[kit.Product]:
    """`helm install` as in the README with more `--set` values, and everything gone afterwards."""
    port = ports.free()
    release.install(plane, f"service.port={port}", *values, chart=chart)
    try:
        with operators.Operators(plane, replicas=replicas) as running:
            running.wait_ready()
            yield kit.Product(plane=plane, operators=running, port=port)
    finally:
        plane.helm("uninstall", *release.RELEASE, "--wait", "--ignore-not-found")


@contextlib.contextmanager
def separate_product(
    programs: binaries.Binaries, request: pytest.FixtureRequest
) -> Iterator[kit.Product]:
    """One replica on a control plane of its own, for tests that would spoil the shared one."""
    with cluster.ControlPlane(programs) as plane:
        with installation(plane, DRAIN, replicas=1) as product:
            yield product
        plane.keep_logs = request.session.testsfailed > 0
