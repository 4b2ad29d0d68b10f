"""The cluster under test, and the product installed on it as users do.

Without options it is a node of our own, whose programs and images must have been built (`make e2e`
does that first): without them tests fail, none is skipped. With --kubeconfig and --image it is a
cluster that somebody else runs: nothing is built, and the tests touch only what they created.
"""

import collections
import contextlib
import pathlib
import secrets
from collections.abc import Iterator

import pytest

from sidecar_injector import names
from tests.kits import e2e as kit
from tests.kits import e2e_load as steady
from tools.controlplane import access, errors, foreign, preflight
from tools.node import binaries, conditions, node, product

MARK = "own_node"
FIXTURE = "own_node"
_REASONS = pytest.StashKey[collections.Counter[tuple[str, str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("cluster under test")
    group.addoption("--kubeconfig", default="", help="of a cluster; without it, our own node")
    group.addoption("--image", default="", help="the operator's image for that cluster")
    group.addoption("--alpine", default="", help="what that cluster can pull in place of alpine")
    group.addoption("--nginx", default="", help="the same for nginx:1.12.2")


def pytest_configure(config: pytest.Config) -> None:
    if bool(config.getoption("--kubeconfig")) != bool(config.getoption("--image")):
        raise pytest.UsageError(
            "a foreign cluster needs both a kubeconfig and an image:"
            " make e2e KUBECONFIG=~/.kube/config IMAGE=registry.example.com/sidecar-injector:0.1.0"
        )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On a foreign cluster, deselect what needs the node itself, and keep the reasons."""
    config.stash[_REASONS] = collections.Counter()
    rest, deselected = [], []
    for item in items:
        marker = item.get_closest_marker(MARK)
        if marker is None and FIXTURE in getattr(item, "fixturenames", ()):
            raise pytest.UsageError(f"{item.nodeid} uses {FIXTURE} and has no mark {MARK}(why)")
        if marker is None or not config.getoption("--kubeconfig"):
            rest.append(item)
            continue
        deselected.append(item)
        config.stash[_REASONS][item.path.name, marker.args[0]] += 1
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = rest


@pytest.fixture(scope="session")
def images(request: pytest.FixtureRequest) -> product.Images:
    """What the cluster calls them."""
    option = request.config.getoption
    if not option("--image"):
        return product.OWN_IMAGES
    others = {name: text for name in ("alpine", "nginx") if (text := option(f"--{name}"))}
    return product.Images(operator=option("--image"), **others)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, images: product.Images) -> Iterator[access.Access]:
    """One for the session; logs of an own node are kept if any test failed."""
    kit.TABLE.unlink(missing_ok=True)
    if path := request.config.getoption("--kubeconfig"):
        with _foreign(pathlib.Path(path).expanduser(), images) as reached:
            yield reached
        return
    conditions.require()
    with node.Node(binaries.cached(), folder=kit.fresh_folder()) as started:
        product.import_images(started)
        yield started
        started.keep_logs = request.session.testsfailed > 0


@contextlib.contextmanager
def _foreign(kubeconfig: pathlib.Path, images: product.Images) -> Iterator[foreign.Foreign]:
    """Ends the whole run with one sentence if the cluster cannot be used."""
    try:
        settings = preflight.image_settings(images.operator)
        reached = foreign.Foreign(kubeconfig)
        reached.__enter__()
    except errors.ControlPlaneError as error:
        pytest.exit(str(error), returncode=2)
    with contextlib.closing(reached):
        try:
            check = preflight.Preflight(reached, settings)
            check.require()
            check.require_images(images.operator, images.alpine, images.nginx)
        except errors.ControlPlaneError as error:
            pytest.exit(str(error), returncode=2)
        yield reached


@pytest.fixture(scope="session")
def own_node(cluster: access.Access) -> node.Node:
    """For tests that reach into the node; each says why in its mark `own_node`."""
    assert isinstance(cluster, node.Node)
    return cluster


@pytest.fixture(scope="session")
def installed(cluster: access.Access, images: product.Images) -> Iterator[product.Product]:
    """The product, all replicas Ready; a test that changes it changes it back."""
    if isinstance(cluster, node.Node):
        release = product.Product(cluster, images=images)
        release.install()
        yield release
        return
    name = f"{names.PRODUCT}-e2e-{secrets.token_hex(3)}"
    release = product.Product(cluster, images=images, name=name)
    try:
        release.install()
        yield release
    finally:
        release.remove()


@pytest.fixture
def namespace(cluster: access.Access, installed: product.Product) -> Iterator[str]:
    """An opted-in namespace of the test's own; its pods end with the test."""
    name = kit.enabled_namespace(cluster, installed)
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
    cluster: access.Access, installed: product.Product, namespace: str, table: kit.Table
) -> steady.Steady:
    """Two replicas are Ready and at rest, and an injection is in force."""
    installed.settle()
    scene = kit.Scene(installed, namespace)
    scene.inject(scene.injection())
    return steady.Steady(cluster, namespace=namespace, table=table)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """The table of this run, and what was not run, whatever became of it."""
    if kit.TABLE.exists():
        terminalreporter.section("on the cluster")
        terminalreporter.write(kit.TABLE.read_text("utf-8"))
    if reasons := config.stash.get(_REASONS, None):
        terminalreporter.section("not run, as they need a node of our own")
        for (file, why), count in reasons.items():
            terminalreporter.write_line(f"{count:3} of {file}: {why}")
