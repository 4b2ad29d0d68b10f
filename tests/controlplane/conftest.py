"""A real API server for every test of this folder, and the product installed on it.

The programs must have been built (`make test` does that first): without them tests fail, none is
skipped.
"""

import contextlib
import pathlib
import secrets
import sys
from collections.abc import Iterator

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import product_kit as kit

from sidecar_injector import names
from tools.controlplane import binaries, cluster, operators, ports

ROOT = pathlib.Path(__file__).parents[2]
CHART = ROOT / "charts" / "sidecar-injector"
VALUES = ROOT / "tools" / "controlplane" / "values.yaml"
DRAIN = "settings.drainSeconds=1"
"""A balancer on loopback needs no longer to hear of it."""


@pytest.fixture(scope="session")
def programs() -> binaries.Binaries:
    """Built before, or the test fails with the command that builds them."""
    return binaries.cached()


@pytest.fixture(scope="session")
def controlplane(
    programs: binaries.Binaries, request: pytest.FixtureRequest
) -> Iterator[cluster.ControlPlane]:
    """One for the session; its logs are kept if any test failed."""
    with cluster.ControlPlane(programs) as plane:
        yield plane
        plane.keep_logs = request.session.testsfailed > 0


def unused_name() -> str:
    return f"test-{secrets.token_hex(4)}"


@pytest.fixture
def namespace(controlplane: cluster.ControlPlane) -> str:
    """A namespace of the test's own, without our label."""
    name = unused_name()
    controlplane.create_namespace(name)
    return name


@pytest.fixture
def enabled_namespace(controlplane: cluster.ControlPlane) -> str:
    """The same, opted in."""
    name = unused_name()
    controlplane.create_namespace(name, labels={names.INJECTION_LABEL: names.ENABLED})
    return name


@contextlib.contextmanager
def installation(
    plane: cluster.ControlPlane, *values: str, replicas: int | None = None
) -> Iterator[kit.Product]:
    """`helm install` as in the README with more `--set` values, and everything gone afterwards."""
    release, port = names.PRODUCT, ports.free()
    where = ("-n", release)
    settings = [word for value in (f"service.port={port}", *values) for word in ("--set", value)]
    plane.helm(
        "install", release, str(CHART), *where, "--create-namespace", "-f", str(VALUES), *settings
    )
    try:
        with operators.Operators(plane, replicas=replicas) as running:
            running.wait_ready()
            yield kit.Product(plane=plane, operators=running, port=port)
    finally:
        plane.helm("uninstall", release, *where, "--wait", "--ignore-not-found")


@contextlib.contextmanager
def separate_product(
    programs: binaries.Binaries, request: pytest.FixtureRequest
) -> Iterator[kit.Product]:
    """One replica on a control plane of its own, for tests that would spoil the shared one."""
    with cluster.ControlPlane(programs) as plane:
        with installation(plane, DRAIN, replicas=1) as product:
            yield product
        plane.keep_logs = request.session.testsfailed > 0


@pytest.fixture(scope="session")
def shared_product(controlplane: cluster.ControlPlane) -> Iterator[kit.Product]:
    """The product with its two replicas, for all files: a test that breaks it mends it."""
    with installation(controlplane, DRAIN) as product:
        yield product


@pytest.fixture(scope="module")
def product(shared_product: kit.Product) -> Iterator[kit.Product]:
    """The same; whatever a file has asked of it, its rights were enough and nothing broke."""
    before = {one.name: one.process.log.stat().st_size for one in shared_product.replicas}
    yield shared_product
    for replica in shared_product.replicas:
        for line in kit.log_lines(replica, start=before[replica.name]):
            assert "traceback" not in line
            assert "forbidden" not in line["message"].lower()
