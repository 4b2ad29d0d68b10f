"""A real API server for every test of this folder, and the product installed on it.

The programs must have been built (`make test` does that first): without them tests fail, none is
skipped.
"""

from collections.abc import Iterator

import pytest

from sidecar_injector import names
from tests.kits import installation as installing
from tests.kits import product as kit
from tools.controlplane import binaries, cluster


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


@pytest.fixture(scope="module")
def plane(
    programs: binaries.Binaries, request: pytest.FixtureRequest
) -> Iterator[cluster.ControlPlane]:
    """One for a file that must not share the other."""
    with cluster.ControlPlane(programs) as plane:
        yield plane
        plane.keep_logs = request.session.testsfailed > 0


@pytest.fixture
def namespace(controlplane: cluster.ControlPlane) -> str:
    """A namespace of the test's own, without our label."""
    name = installing.unused_name()
    controlplane.create_namespace(name)
    return name


@pytest.fixture
def enabled_namespace(controlplane: cluster.ControlPlane) -> str:
    """The same, opted in."""
    name = installing.unused_name()
    controlplane.create_namespace(name, labels={names.INJECTION_LABEL: names.ENABLED})
    return name


@pytest.fixture(scope="session")
def shared_product(controlplane: cluster.ControlPlane) -> Iterator[kit.Product]:
    """The product with its two replicas, for all files: a test that breaks it mends it."""
    with installing.installation(controlplane, installing.DRAIN) as product:
        yield product


@pytest.fixture(scope="module")
def product(shared_product: kit.Product) -> Iterator[kit.Product]:
    """The same; whatever a file has asked of it, its rights were enough and nothing broke."""
    before = {replica.name: replica.log.stat().st_size for replica in shared_product.replicas}
    yield shared_product
    for replica in shared_product.replicas:
        for line in kit.log_lines(replica, start=before[replica.name]):
            assert "traceback" not in line
            assert "403 Forbidden" not in line["message"]


@pytest.fixture
def injecting_namespace(product: kit.Product, enabled_namespace: str) -> str:
    """An enabled namespace with an injection that is in force."""
    product.create_injection(enabled_namespace, kit.injection())
    return enabled_namespace
