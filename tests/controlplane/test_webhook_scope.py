"""Which pods the API server sends: an administrator's selectors, and mandatory injections."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from sidecar_injector import names
from sidecar_injector.core.reasons import Reason
from sidecar_injector.webhook import validate
from tests.kits import installation as installing
from tests.kits import product as kit
from tools.controlplane import cluster, errors
from tools.crds import rules

ENABLED = {names.INJECTION_LABEL: names.ENABLED}
WEB = {"tier": "web"}
ADDED = (
    "webhook.namespaceSelector.matchLabels.tier=web",
    "webhook.objectSelector.matchLabels.tier=web",
    "webhook.matchConditions[0].name=not-of-the-ci",
    "webhook.matchConditions[0].expression=!('ci' in object.metadata.labels)",
    "webhook.optedOutPods=true",
)
OPTED_OUT = {names.INJECTION_LABEL: names.DISABLED}
AUDIT = "audit"
CLUSTER_PATH = f"/apis/{names.API_VERSION}/{names.CLUSTER_PLURAL}"


@pytest.fixture(scope="module")
def narrowed(plane: cluster.ControlPlane) -> Iterator[kit.Product]:
    plane.create_namespace("inside", labels={**ENABLED, **WEB})
    plane.create_namespace("outside", labels=ENABLED)
    plane.create_namespace("elsewhere", labels=WEB)
    with installing.installation(plane, installing.DRAIN, *ADDED, replicas=1) as product:
        for namespace in ("inside", "outside", "elsewhere"):
            product.create_injection(namespace, kit.injection())
        yield product


def injected(product: kit.Product, namespace: str, name: str, **labels: str) -> bool:
    pod = kit.with_metadata(kit.pod(name), labels=labels)
    return kit.containers(product.create_pod(namespace, pod)) == kit.BOTH


def test_a_pod_must_meet_what_is_added_and_what_the_chart_asks_for(narrowed: kit.Product) -> None:
    assert injected(narrowed, "inside", "met", **WEB)
    assert not injected(narrowed, "inside", "no-label")
    assert not injected(narrowed, "inside", "of-the-ci", ci="yes", **WEB)
    assert not injected(narrowed, "outside", "met", **WEB)
    assert not injected(narrowed, "elsewhere", "met", **WEB)
    assert not injected(narrowed, "inside", "opted-out", **WEB, **OPTED_OUT)
    assert not injected(narrowed, "inside", "ours", **WEB, **{names.APP_NAME_LABEL: names.PRODUCT})


@pytest.fixture(scope="module")
def mandatory(narrowed: kit.Product) -> kit.Product:
    """With an injection that no pod may opt out of."""
    template = {"spec": {"containers": [{"name": AUDIT, "image": "audit:1"}]}}
    body = kit.injection(
        AUDIT, kind=names.CLUSTER_KIND, optOut="Forbidden", template=template, failurePolicy="Fail"
    )
    narrowed.plane.client.request("POST", CLUSTER_PATH, body)
    narrowed.wait_known("inside", AUDIT)
    return narrowed


def test_a_mandatory_injection_holds_and_each_pod_is_sent_once(mandatory: kit.Product) -> None:
    opting_out = [
        (OPTED_OUT, {}),
        (OPTED_OUT, {names.INJECT_ANNOTATION: "yes"}),
        ({}, {names.INJECT_ANNOTATION: "no"}),
        ({}, {names.INJECT_ANNOTATION: "only: another"}),
    ]
    before = sent_and_left_out(mandatory)
    for labels, words in opting_out:
        # Without a token: the API server mounts it into what is injected, and sends the pod again.
        pod = kit.pod(installing.unused_name(), automountServiceAccountToken=False)
        pod = kit.with_metadata(pod, labels=WEB | labels, annotations=words)
        created = mandatory.create_pod("inside", pod)
        assert kit.containers(created) == [*kit.ALONE, AUDIT], (labels, words)
    counted = sent_and_left_out(mandatory)
    assert [new - old for new, old in zip(counted, before, strict=True)] == [4, 3, 1]


def sent_and_left_out(product: kit.Product) -> list[float]:
    reasons = (Reason.OPTED_OUT, Reason.NOT_LISTED)
    return [
        product.counted(kit.REQUESTS),
        *(product.counted(kit.DECISIONS, reason=reason.value) for reason in reasons),
    ]


def test_a_pod_that_opts_out_must_meet_the_same_selectors(mandatory: kit.Product) -> None:
    sent = mandatory.counted(kit.REQUESTS)
    own = {names.APP_NAME_LABEL: names.PRODUCT}
    for namespace, labels in (
        ("elsewhere", WEB), ("outside", WEB), ("inside", {}), ("inside", WEB | own),
    ):  # fmt: skip
        pod = kit.with_metadata(kit.pod(installing.unused_name()), labels=labels | OPTED_OUT)
        assert kit.containers(mandatory.create_pod(namespace, pod)) == kit.ALONE
    assert mandatory.counted(kit.REQUESTS) == sent


def test_a_refusal_by_a_mandatory_injection_names_no_way_round(mandatory: kit.Product) -> None:
    taken = kit.pod("taken", containers=[{"name": AUDIT, "image": "mine:1"}])
    pod = kit.with_metadata(taken, labels=WEB | OPTED_OUT)
    with pytest.raises(errors.ApiError, match="ContainerConflict") as refused:
        mandatory.create_pod("inside", pod)
    assert names.INJECTION_LABEL not in str(refused.value)


def test_a_mandatory_injection_must_be_automatic(narrowed: kit.Product) -> None:
    body = kit.injection(
        "on-request", kind=names.CLUSTER_KIND, optOut="Forbidden", activation="OnRequest"
    )
    with pytest.raises(errors.ApiError, match=rules.OPT_OUT_MESSAGE):
        narrowed.plane.client.request("POST", CLUSTER_PATH, body)


def test_kubectl_warns_where_the_label_would_still_opt_out(
    narrowed: kit.Product, product: kit.Product
) -> None:
    body = json.dumps(kit.injection(AUDIT, kind=names.CLUSTER_KIND, optOut="Forbidden"))
    for installed, warned in ((narrowed, False), (product, True)):
        applied = installed.plane.kubectl("apply", "-f", "-", "--dry-run=server", stdin=body)
        assert (f"Warning: {validate.NOT_CALLED}" in applied.stderr) is warned


def test_the_audit_counts_a_pod_that_is_kept_out_as_missing(narrowed: kit.Product) -> None:
    injected(narrowed, "outside", "counted", **WEB)
    path = f"{kit.injections_path('outside')}/proxy"

    def missing() -> bool:
        status = narrowed.plane.client.get(path).get("status") or {}
        return bool((status.get("pods") or {}).get("missing"))

    narrowed.plane.wait("the pod is counted as missing", missing)
