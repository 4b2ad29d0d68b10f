"""Who applies a workload is told at once what its pods will lack, and its controller's pods say it
again as Events. The API server is real, and its audit log says for what it calls us.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from sidecar_injector import names
from sidecar_injector.core.reasons import Reason
from tests.kits import audit_log
from tests.kits import installation as installing
from tests.kits import product as kit
from tools.controlplane import binaries, cluster

INJECT, LABEL = names.INJECT_ANNOTATION, names.INJECTION_LABEL
TEAM = "team"
CONFLICTING = [{"name": "sidecar", "image": "own:1"}]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> audit_log.Log:
    return audit_log.Log(folder=tmp_path_factory.mktemp("audit"))


@pytest.fixture(scope="module")
def product(
    programs: binaries.Binaries, log: audit_log.Log, request: pytest.FixtureRequest
) -> Iterator[kit.Product]:
    """One replica, an enabled namespace, and the injection `proxy` for pods that ask for it."""
    with cluster.ControlPlane(programs, apiserver_flags=log.flags()) as plane:
        with installing.installation(plane, installing.DRAIN, replicas=1) as product:
            plane.create_namespace(TEAM, labels={LABEL: names.ENABLED})
            plane.wait_for_service_account(TEAM)
            product.create_injection(TEAM, kit.injection(activation="OnRequest"))
            yield product
        plane.keep_logs = request.session.testsfailed > 0


def workload(
    name: str, kind: str = "Deployment", *, own: kit.Json | None = None,
    template: kit.Json | None = None, **spec: object,
) -> kit.Json:  # fmt: skip
    """A workload with this metadata of its own and of its template."""
    inner = "Job" if kind == "CronJob" else kind
    if inner == "Job":
        spec["restartPolicy"] = "Never"
    thing = kit.workload(inner, **spec)
    metadata = thing["spec"]["template"]["metadata"]
    for field, values in (template or {}).items():
        metadata[field] = {**metadata.get(field, {}), **values}
    if kind == "CronJob":
        job = {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": thing["spec"]}}
        thing |= {"kind": kind, "spec": job}
    return kit.with_metadata(thing, name=name, **(own or {}))


def warned(product: kit.Product, *arguments: str, body: kit.Json | None = None) -> list[str]:
    """What kubectl prints on stderr."""
    text = json.dumps(body) if body else None
    ran: subprocess.CompletedProcess[str] = product.plane.kubectl(
        *arguments, "-n", TEAM, *(["-f", "-"] if body else []), stdin=text
    )
    return ran.stderr.splitlines()


def annotated(value: str) -> kit.Json:
    return {"annotations": {INJECT: value}}


MISTAKES = {
    "UnknownInjection": workload("typo", template=annotated("porxy")),
    "InvalidAnnotation": workload("upper", template=annotated("Proxy")),
    "UnknownAnnotation": workload(
        "key", template={"annotations": {f"{names.GROUP}/injekt": "proxy"}}
    ),
    "MisplacedAnnotation": workload("label", template={"labels": {INJECT: "proxy"}}),
    "UnknownLabelValue": workload("opt-out", template={"labels": {LABEL: "false"}}),
    "MisplacedLabel": workload("no-label", template={"annotations": {LABEL: "disabled"}}),
    "ContainerConflict": workload("conflict", template=annotated("proxy"), containers=CONFLICTING),
}
OTHERS = [
    workload("own", own=annotated("proxy")),
    workload("daemon", "DaemonSet", template=annotated("porxy")),
    workload("stateful", "StatefulSet", template=annotated("porxy")),
    workload("once", "Job", template=annotated("porxy")),
    workload("nightly", "CronJob", template=annotated("porxy")),
    workload("set", "ReplicaSet", template=annotated("porxy")),
]
RIGHT = workload("right", template=annotated("proxy"))


def test_each_mistake_draws_one_warning_and_an_event_of_the_deployment(
    product: kit.Product,
) -> None:
    for reason, manifest in MISTAKES.items():
        dry = warned(product, "apply", "--dry-run=server", body=manifest)
        assert dry == warned(product, "create", body=manifest), reason
        (warning,) = dry
        assert warning.startswith(f"Warning: {names.PRODUCT}: ")
        assert reason in warning or Reason(reason).remedy in warning
    path = f"/apis/events.k8s.io/v1/namespaces/{TEAM}/events"
    expected = {(manifest["metadata"]["name"], reason) for reason, manifest in MISTAKES.items()}

    def told() -> bool:
        items = product.plane.client.get(path)["items"]
        return expected == {
            (event["regarding"]["name"], event["reason"])
            for event in items
            if event.get("reportingController") == names.PRODUCT
            and event["regarding"]["kind"] == "Deployment"
        }

    product.plane.wait("an Event of each Deployment", told)


def test_every_kind_of_workload_is_looked_at(product: kit.Product) -> None:
    for manifest in OTHERS:
        (warning,) = warned(product, "apply", "--dry-run=server", body=manifest)
        kind = manifest["kind"]
        assert ("did you mean 'proxy'?" in warning) == (kind != "Deployment"), kind
    assert warned(product, "create", body=OTHERS[4]) != []
    product.plane.kubectl("create", "job", "run", "--from=cronjob/nightly", "-n", TEAM)
    path = f"/apis/events.k8s.io/v1/namespaces/{TEAM}/events"

    def told() -> bool:
        about = [event["regarding"] for event in product.plane.client.get(path)["items"]]
        return any((each["kind"], each["name"]) == ("CronJob", "nightly") for each in about)

    product.plane.wait("an Event of the CronJob", told)


def test_what_is_right_draws_none_until_it_is_made_wrong(product: kit.Product) -> None:
    assert warned(product, "create", body=RIGHT) == []
    assert warned(product, "scale", "deployment/right", "--replicas=2") == []
    assert warned(product, "label", "deployment/right", "tier=web") == []
    (warning,) = warned(product, "annotate", "deployment/right", f"{INJECT}=no")
    assert warning.endswith(
        "MisplacedAnnotation: 'no' on the Deployment is ignored; move it to spec.template.metadata"
    )
    template = {"spec": {"template": {"metadata": annotated("Proxy")}}}
    patch = ("--type=merge", f"--patch={json.dumps(template)}")
    warnings = warned(product, "patch", "deployment/right", *patch)
    assert ["write 'proxy'" in warning for warning in warnings] == [True, False]


def test_a_dead_operator_changes_nothing_and_only_templates_are_sent_to_us(
    product: kit.Product, log: audit_log.Log
) -> None:
    """A call that nobody answers is in the audit log. This test is the last one of the file."""
    product.replicas[0].terminate()
    seen: list[audit_log.Request] = []

    def called(
        *arguments: str, body: kit.Json | None = None, pods: int = 0
    ) -> set[tuple[str, str]]:
        """What the API server has called us for until there are so many pods."""
        start = len(log.requests())
        assert warned(product, *arguments, body=body) == []
        path = f"/apis/apps/v1/namespaces/{TEAM}/deployments/unheard/status"
        product.plane.wait(
            "the pods are counted",
            lambda: product.plane.client.get(path)["status"].get("replicas", 0) == pods,
        )
        requests = log.requests()[start:]
        seen.extend(requests)
        return {
            request.right for request in requests
            if names.WORKLOADS_WEBHOOK in request.failed_open and request.right
        }  # fmt: skip

    manifest = workload("unheard", template=annotated("porxy"))
    deployments = "apps/deployments"
    assert called("create", body=manifest, pods=1) == {("create", deployments)}
    assert called("scale", "deployment/unheard", "--replicas=2", pods=2) == set()
    assert called("label", "deployment/unheard", "tier=web", pods=2) == set()
    assert called("annotate", "deployment/unheard", f"{INJECT}=no", pods=2) == {
        ("patch", deployments)
    }
    rights = {request.right for request in seen}
    assert rights >= {
        ("create", "/pods"), ("create", "apps/replicasets"), ("patch", f"{deployments}/scale"),
        ("update", f"{deployments}/status"), ("update", "apps/replicasets"),
    }  # fmt: skip
    assert any(names.MUTATE_WEBHOOK in request.failed_open for request in seen), "of the pods"
