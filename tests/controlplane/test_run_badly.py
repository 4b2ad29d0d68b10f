"""`run` while something is wrong: it says what, once, goes on, and is well when that is over.

On a control plane of its own, since most of these break it for everybody. What is wrong is put
where a real replica meets it: into its kubeconfig, its rights, the API server, its environment.
"""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterator

import pytest
import yaml

from sidecar_injector import names
from tests.kits import installation as installing
from tests.kits import product as kit
from tools.controlplane import binaries, operators

WATCHED_SECONDS = 3
"""Long enough for some attempts at everything: pauses begin with a tenth of a second."""
CRDS = installing.ROOT / "crds"
PROGRAM = operators.PROGRAMS / names.PRODUCT


@pytest.fixture(scope="module")
def lone(programs: binaries.Binaries, request: pytest.FixtureRequest) -> Iterator[kit.Product]:
    """A product of one replica."""
    with installing.separate_product(programs, request) as product:
        yield product


@pytest.fixture
def namespace(lone: kit.Product) -> str:
    name = installing.unused_name()
    lone.plane.create_namespace(name, labels={names.INJECTION_LABEL: names.ENABLED})
    return name


class Watched:
    """The replica, and what it logs from now on."""

    def __init__(self, product: kit.Product) -> None:
        self.product, self.replica = product, product.replicas[0]
        environment = self.replica.environment
        assert environment is not None
        self.kubeconfig = pathlib.Path(environment["KUBECONFIG"])
        self._start = self.replica.log.stat().st_size

    def stop(self) -> None:
        if self.replica.running:
            assert self.replica.terminate() == 0
        self._start = self.replica.log.stat().st_size

    def messages(self) -> list[str]:
        return [line["message"] for line in kit.log_lines(self.replica, start=self._start)]

    def says(self, text: str) -> None:
        """Wait for a line with this text, then see that it is said no second time."""
        process = self.replica
        self.product.plane.wait(text, lambda: any(text in line for line in self.messages()))
        kit.stays(lambda: process.running, seconds=WATCHED_SECONDS, what="it runs")
        lines = kit.log_lines(self.replica, start=self._start)
        # Lines about decisions do not count: there is one for each call of the webhook.
        messages = [line["message"] for line in lines if "verdict" not in line]
        assert sorted(messages) == sorted(set(messages))
        assert [line for line in lines if "traceback" in line] == []
        # A kubelet would restart it otherwise, again and again, and nothing would be better.
        assert self.replica.get("/healthz")[0] == 200

    def is_well(self, namespace: str) -> None:
        """Ready, and every part of it does its work: caches, webhook and status."""
        self.product.operators.wait_ready()
        self.product.create_injection(namespace, kit.injection())
        self.product.condition(namespace, "proxy", "Ready", reason="Active")
        pod = self.product.create_pod(namespace, kit.pod())
        assert kit.containers(pod) == ["app", "sidecar"]
        assert "Traceback" not in self.replica.log.read_text()


@pytest.fixture
def watched(lone: kit.Product) -> Watched:
    return Watched(lone)


@contextlib.contextmanager
def kubeconfig(watched: Watched, change: Callable[[pathlib.Path], None]) -> Iterator[None]:
    """With its kubeconfig changed; then as it was."""
    right = watched.kubeconfig.read_text()
    change(watched.kubeconfig)
    try:
        yield
    finally:
        watched.kubeconfig.write_text(right)


def with_token(token: str) -> Callable[[pathlib.Path], None]:
    def change(path: pathlib.Path) -> None:
        content = yaml.safe_load(path.read_text())
        content["users"][0]["user"]["token"] = token
        path.write_text(yaml.safe_dump(content))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(pathlib.Path.unlink, "there is no such file", id="missing"),
        pytest.param(
            lambda path: path.write_text("{"), "it is not valid YAML: line 1", id="garbage"
        ),
        pytest.param(with_token("refused"), "does not accept our token", id="token refused"),
    ],
)
def test_a_bad_kubeconfig_at_the_start(
    watched: Watched, namespace: str, change: Callable[[pathlib.Path], None], message: str
) -> None:
    watched.stop()
    with kubeconfig(watched, change):
        watched.replica.start()
        watched.says(message)
    watched.is_well(namespace)


def test_no_rights_at_the_start(watched: Watched, namespace: str) -> None:
    token = watched.product.plane.kubectl("create", "token", "default", "-n", "default").stdout
    watched.stop()
    with kubeconfig(watched, with_token(token.strip())):
        watched.replica.start()
        watched.says("RBAC does not let us list and watch sidecarinjections.sidecar-injector.dev")
        watched.stop()
    watched.replica.start()
    watched.is_well(namespace)


def test_rights_that_are_taken_away_and_given_back(watched: Watched, namespace: str) -> None:
    plane = watched.product.plane
    path = f"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{names.PRODUCT}"
    binding = plane.client.get(path)
    watched.stop()
    plane.client.request("DELETE", path)
    try:
        watched.replica.start()
        watched.says("RBAC does not let us list and watch namespaces")
    finally:
        del binding["metadata"]["resourceVersion"], binding["metadata"]["uid"]
        plane.client.request("POST", path.rpartition("/")[0], binding)
    watched.is_well(namespace)


@pytest.mark.parametrize("at_start", [True, False], ids=["at the start", "later"])
def test_missing_definitions(watched: Watched, namespace: str, *, at_start: bool) -> None:
    plane = watched.product.plane
    if at_start:
        watched.stop()
    plane.kubectl("delete", "-f", str(CRDS))
    try:
        if at_start:
            watched.replica.start()
        watched.says("no sidecarinjections.sidecar-injector.dev: is its CRD installed?")
    finally:
        plane.kubectl("create", "-f", str(CRDS))
        plane.wait_for_definitions("-f", str(CRDS))
    watched.is_well(namespace)


@pytest.mark.parametrize("at_start", [True, False], ids=["at the start", "later"])
def test_an_api_server_that_is_away(watched: Watched, namespace: str, *, at_start: bool) -> None:
    plane = watched.product.plane
    if at_start:
        watched.stop()
    plane.apiserver.kill()
    try:
        if at_start:
            watched.replica.start()
        watched.says("is unreachable")
        if not at_start:
            # Its own state is as good as it was, and the API server may need it at once.
            assert watched.replica.ready()
    finally:
        plane.apiserver.start()
        plane.wait_ready()
    watched.is_well(namespace)
