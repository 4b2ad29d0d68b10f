"""Least rights: the operator lives its whole life with what the chart grants, and needs all of it.

In each mode of certificates: where it does not make them it is granted less. The API server's audit
log is the witness; the operator has the token of the chart's ServiceAccount.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
from collections.abc import Callable, Iterator, Sequence

import pytest

from sidecar_injector import names
from tests.kits import audit_log, managed_policies
from tests.kits import certificate_modes as modes
from tests.kits import installation as installing
from tests.kits import product as kit
from tools.controlplane import binaries, cluster, errors

pytestmark = pytest.mark.timeout(600)
"""The first test waits for the whole life."""
ACCOUNT = f"system:serviceaccount:{names.PRODUCT}:{names.PRODUCT}"
CORE = "/api/v1/namespaces"
SECRET = f"{CORE}/{names.PRODUCT}/secrets/{names.secret_name(names.PRODUCT)}"
LEASE = (
    f"/apis/coordination.k8s.io/v1/namespaces/{names.PRODUCT}/leases/"
    f"{names.lease_name(names.PRODUCT)}"
)
DEPLOYMENT = f"/apis/apps/v1/namespaces/{names.PRODUCT}/deployments/{names.PRODUCT}"
ROLES = "/apis/rbac.authorization.k8s.io/v1"
TEAM = "team"
SLOW_SECONDS = 60


@dataclasses.dataclass(frozen=True, kw_only=True)
class Life:
    """The granted rights and the used ones."""

    granted: set[audit_log.Right]
    requests: list[audit_log.Request]


@pytest.fixture(scope="module", params=["selfSigned", "provided", "certManager", "policies"])
def life(
    programs: binaries.Binaries,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Life]:
    """From an empty cluster to the uninstall, all of it once."""
    log = audit_log.Log(folder=tmp_path_factory.mktemp("audit"), user=ACCOUNT)
    with cluster.ControlPlane(programs, apiserver_flags=log.flags()) as plane:
        with INSTALLATIONS[request.param](plane) as chapters:
            rights = set(granted(plane))
            for chapter in chapters:
                chapter()
        yield Life(granted=rights, requests=log.requests())
        plane.keep_logs = request.session.testsfailed > 0


Chapters = Sequence[Callable[[], None]]


@contextlib.contextmanager
def self_signed(plane: cluster.ControlPlane) -> Iterator[Chapters]:
    with installing.installation(plane, *VALUES) as product:
        yield [functools.partial(chapter, product) for chapter in OWN_CHAPTERS]


@contextlib.contextmanager
def provided(plane: cluster.ControlPlane) -> Iterator[Chapters]:
    with modes.install(plane, "certificates.mode=provided") as mode:
        chapters = [
            functools.partial(another_pair_is_given, mode),
            # Only the replica that comes second reads one, and that may be the same one each time.
            *[functools.partial(the_bundles_are_wiped, mode.product)] * WIPES,
        ]
        yield [
            *others(mode.product),
            *chapters,
            functools.partial(the_deployment_goes, mode.product),
        ]


@contextlib.contextmanager
def cert_manager(plane: cluster.ControlPlane) -> Iterator[Chapters]:
    values = ("certificates.mode=certManager", "certificates.issuerRef.name=own")
    with modes.installed_with_cert_manager(plane, *values) as mode:
        chapters = [functools.partial(another_pair_is_given, mode)]
        yield [
            *others(mode.product),
            *chapters,
            functools.partial(the_deployment_goes, mode.product),
        ]


@contextlib.contextmanager
def policies(plane: cluster.ControlPlane) -> Iterator[Chapters]:
    with installing.installation(plane, *VALUES, "policies.managed=true") as product:
        written = [functools.partial(the_policies_are_mended, product)]
        yield [*written, *[functools.partial(chapter, product) for chapter in OWN_CHAPTERS]]


def the_policies_are_mended(product: kit.Product) -> None:
    for resource in managed_policies.EDITS:
        managed_policies.edit_until_mended(product, resource)


def others(product: kit.Product) -> Chapters:
    return [functools.partial(chapter, product) for chapter in CHAPTERS]


def another_pair_is_given(mode: modes.Mode) -> None:
    """Then one that cannot be used, which an Event reports."""
    mode.give(renewed := modes.leaf(mode.ca))
    mode.wait_shown(renewed)
    mode.give(modes.leaf(mode.ca, name="elsewhere.svc"))
    mode.wait("an Event says why", lambda: bool(modes.events(mode.product)))


def granted(plane: cluster.ControlPlane) -> Iterator[audit_log.Right]:
    for path in (
        f"clusterroles/{names.PRODUCT}",
        f"namespaces/{names.PRODUCT}/roles/{names.PRODUCT}",
    ):
        yield from audit_log.granted(plane.client.get(f"{ROLES}/{path}"))


def pods_are_injected(product: kit.Product) -> None:
    plane = product.plane
    plane.create_namespace(TEAM, labels={names.INJECTION_LABEL: names.ENABLED})
    product.create_injection(TEAM, kit.injection())
    everywhere = kit.injection("everywhere", kind=names.CLUSTER_KIND, activation="OnRequest")
    path = f"/apis/{names.API_VERSION}/{names.CLUSTER_PLURAL}"
    plane.client.request("POST", path, everywhere)
    plane.wait("its status", lambda: plane.client.get(f"{path}/everywhere").get("status"))
    assert kit.containers(product.create_pod(TEAM, kit.pod())) == kit.BOTH


def conflicts_are_told(product: kit.Product) -> None:
    """Of a Deployment, often enough that equal Events become one that counts, and of a Job."""
    plane = product.plane
    containers = [{"name": "sidecar", "image": "own:1"}]
    work = kit.workload("Deployment", containers=containers)
    work["spec"]["replicas"] = 4
    plane.kubectl("create", "-n", TEAM, "-f", "-", stdin=json.dumps(work))
    once = kit.workload("Job", containers=containers, restartPolicy="Never")
    plane.kubectl("create", "-n", TEAM, "-f", "-", stdin=json.dumps(once))
    path = f"/apis/events.k8s.io/v1/namespaces/{TEAM}/events"

    def counted(kind: str) -> bool:
        items = plane.client.get(path)["items"]
        return any(
            event.get("series") or kind == "Job"
            for event in items
            if event["regarding"]["kind"] == kind and event["reason"] == "ContainerConflict"
        )

    for kind in ("Deployment", "Job"):
        plane.wait(f"an Event of the {kind}", lambda kind=kind: counted(kind), seconds=SLOW_SECONDS)


def the_pods_are_counted(product: kit.Product) -> None:
    """By the holder of a Lease that is deleted and then given up."""
    plane = product.plane
    path = f"{kit.injections_path(TEAM)}/proxy"
    plane.wait(
        "the counts", lambda: plane.client.get(path)["status"].get("pods", {}).get("injected")
    )
    uid = plane.client.get(LEASE)["metadata"]["uid"]
    plane.client.request("DELETE", LEASE)
    plane.wait("another Lease", lambda: is_another(plane, LEASE, uid))


def an_account_is_set(product: kit.Product) -> None:
    template = {"spec": {"serviceAccountName": "robot"}}
    product.plane.kubectl("create", "serviceaccount", "robot", "-n", TEAM)
    product.create_injection(TEAM, kit.injection("account", template=template, priority=5))

    def set_in_a_pod() -> bool:
        pod = product.create_pod(TEAM, kit.pod("asks"), dry_run=True)
        return bool(pod["spec"]["serviceAccountName"] == "robot")

    product.plane.wait("a pod with the account", set_in_a_pod)


def a_leaf_is_asked_for(product: kit.Product) -> None:
    rotate(product, "leaf", key=names.TLS_CERT)


def a_ca_is_asked_for(product: kit.Product) -> None:
    rotate(product, "ca", key=names.CA_CERT)


def rotate(product: kit.Product, what: str, *, key: str) -> None:
    plane = product.plane
    before = plane.client.get(SECRET)["data"][key]
    change = {"metadata": {"annotations": {names.ROTATE_ANNOTATION: what}}}
    plane.client.request("PATCH", SECRET, change, **kit.PATCH)
    plane.wait(
        f"another {what}",
        lambda: plane.client.get(SECRET)["data"][key] != before,
        seconds=SLOW_SECONDS,
    )


def the_secret_is_deleted(product: kit.Product) -> None:
    plane = product.plane
    uid = plane.client.get(SECRET)["metadata"]["uid"]
    plane.client.request("DELETE", SECRET)
    plane.wait("another Secret", lambda: is_another(plane, SECRET, uid))


def the_bundles_are_wiped(product: kit.Product) -> None:
    wipe = [{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]
    for path in (kit.MUTATING, kit.VALIDATING):
        product.plane.client.request("PATCH", path, wipe, content="application/json-patch+json")
    product.plane.wait(
        "both are back", lambda: product.ca_bundle() and product.ca_bundle(kit.VALIDATING)
    )


def is_another(plane: cluster.ControlPlane, path: str, uid: str) -> bool:
    try:
        return bool(plane.client.get(path)["metadata"]["uid"] != uid)
    except errors.ApiError:
        return False


def the_deployment_goes(product: kit.Product, *owned: str) -> None:
    """An uninstall takes it first, and the roles while the last replica may still live."""
    plane = product.plane
    plane.client.request("DELETE", DEPLOYMENT)
    plane.wait(
        "the garbage collector took what it owned",
        lambda: {plane.client.text("GET", path)[0] for path in (LEASE, *owned)} == {404},
        seconds=SLOW_SECONDS,
    )
    for replica in product.replicas:
        replica.terminate()


def the_deployment_goes_with_the_secret(product: kit.Product) -> None:
    the_deployment_goes(product, SECRET)


WIPES = 4
"""One less than the operator takes for a fight."""
VALUES = (installing.DRAIN, "settings.caRollWaitSeconds=1")
CHAPTERS = (pods_are_injected, conflicts_are_told, the_pods_are_counted, an_account_is_set)
OWN_CHAPTERS = (
    *CHAPTERS,
    a_leaf_is_asked_for,
    a_ca_is_asked_for,
    the_secret_is_deleted,
    the_bundles_are_wiped,
    the_deployment_goes_with_the_secret,
)
INSTALLATIONS = {
    "selfSigned": self_signed,
    "provided": provided,
    "certManager": cert_manager,
    "policies": policies,
}


def test_nothing_that_the_operator_asks_for_is_forbidden(life: Life) -> None:
    assert len(life.requests) > len(life.granted), "the log has seen the operator"
    assert [request for request in life.requests if not request.allowed] == []


def test_every_right_that_the_chart_grants_is_used(life: Life) -> None:
    assert sorted(life.granted - {request.right for request in life.requests}) == []
