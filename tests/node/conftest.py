"""A real node for the tests of this folder, and the product installed on it as users do.

What it takes must have been built (`make e2e` does that first): without it tests fail, none is
skipped.
"""

from collections.abc import Iterator

import pytest

from tests.kits import node as kit
from tests.kits import node_load as steady
from tools.node import binaries, conditions, node, product


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[node.Node]:
    """One for the session, with all images; its logs are kept if any test failed."""
    kit.TABLE.unlink(missing_ok=True)
    conditions.require()
    with node.Node(binaries.cached(), folder=kit.fresh_folder()) as started:
        product.import_images(started)
        yield started
        started.keep_logs = request.session.testsfailed > 0


@pytest.fixture(scope="session")
def installed(cluster: node.Node) -> product.Product:
    """The product, all replicas Ready; a test that changes it changes it back."""
    release = product.Product(cluster)
    release.install()
    return release


@pytest.fixture
def namespace(cluster: node.Node, installed: product.Product) -> Iterator[str]:
    """An opted-in namespace of the test's own; its pods end with the test."""
    name = kit.enabled_namespace(cluster)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def table() -> Iterator[kit.Table]:
    """What the load tests found; printed at the end and kept in .run/e2e/."""
    rows = kit.Table()
    yield rows
    rows.write()


@pytest.fixture
def under_load(
    cluster: node.Node, installed: product.Product, namespace: str, table: kit.Table
) -> steady.Steady:
    """Two replicas are Ready and at rest, and an injection is in force."""
    installed.settle()
    scene = kit.Scene(cluster, namespace)
    scene.inject(kit.injection())
    return steady.Steady(cluster, namespace=namespace, table=table)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of this run, whatever became of it."""
    if kit.TABLE.exists():
        terminalreporter.section("on the node")
        terminalreporter.write(kit.TABLE.read_text("utf-8"))
