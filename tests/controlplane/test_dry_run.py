"""Injections with `spec.dryRun` end to end: pods are bare, every place says what would become of
them, and then the dry run ends."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from sidecar_injector import names
from tests.controlplane.test_audit import await_counts, path_of
from tests.kits import controlplane_cli as cli
from tests.kits import product as kit
from tools.controlplane import errors

OF_CLUSTER = f"/apis/{names.API_VERSION}/{names.CLUSTER_PLURAL}"


def switch(product: kit.Product, path: str, *, on: bool) -> None:
    product.plane.client.request("PATCH", path, {"spec": {"dryRun": on}}, **kit.PATCH)


def chosen(pod: kit.Json) -> dict[str, Any]:
    """What injections could change in a pod, without what differs between any two."""
    pod = json.loads(json.dumps(pod).replace(pod["metadata"]["name"], "NAME"))
    metadata = {key: pod["metadata"].get(key) for key in ("labels", "annotations")}
    # The name of the token's volume is random.
    spec = json.dumps(pod["spec"]).replace(pod["spec"]["volumes"][0]["name"], "TOKEN")
    return {"metadata": metadata, "spec": spec}


def test_a_dry_run_changes_and_refuses_no_pod_and_every_place_says_what_it_would_do(
    product: kit.Product, enabled_namespace: str
) -> None:
    namespace, config = enabled_namespace, product.plane.kubeconfig
    product.plane.wait_for_service_account(namespace)
    before = product.create_pod(namespace, kit.pod("before"))
    cluster_path = f"{OF_CLUSTER}/guard-{namespace}"
    part = {"spec": {"containers": [{"name": "guard", "image": "guard:1"}]}}
    guard = kit.injection(
        f"guard-{namespace}", kind=names.CLUSTER_KIND, dryRun=True, template=part,
        namespaceSelector={"matchLabels": {"kubernetes.io/metadata.name": namespace}},
    )  # fmt: skip
    product.plane.client.request("POST", OF_CLUSTER, guard)
    try:
        product.create_injection(namespace, kit.injection(dryRun=True, failurePolicy="Fail"))
        product.wait_known(namespace, guard["metadata"]["name"])
        plain = product.create_pod(namespace, kit.pod("plain"))
        assert chosen(plain) == chosen(before)
        conflicting = product.create_pod(namespace, kit.conflicting(name="own"))
        assert conflicting["metadata"].get("annotations") is None
        check_answers(product, namespace, guard["metadata"]["name"])
        check_workload(product, namespace)
        check_places(product, namespace)

        result = cli.read(config, "explain", "pod/own", "-n", namespace)
        (proxy,) = [each for each in result["pods"][0]["injections"] if each["name"] == "proxy"]
        assert (proxy["reason"], proxy["would"]) == ("DryRun", "ContainerConflict")
        assert "otherwise the pod would be refused" in proxy["message"]
        assert cli.read(config, "restart", "--dry-run", "-n", namespace)["owners"] == []

        for path in (path_of(namespace), cluster_path):
            switch(product, path, on=False)
        check_injected(product, namespace)
    finally:
        product.plane.client.request("DELETE", cluster_path)


def check_answers(product: kit.Product, namespace: str, guard: str) -> None:
    """Nobody is warned; the audit log, our log and the metric have what would be."""
    metric = "sidecar_injector_dry_run_injections_total"
    counted = product.counted(metric, reason="ContainerConflict")
    for replica in product.replicas:
        answer = product.ask(replica, namespace, kit.conflicting(), dry_run=False)
        answer.pop("uid")
        would = f"cluster/{guard}=Injected,proxy=ContainerConflict"
        assert answer == {"allowed": True, "auditAnnotations": {"dryRun": would}}
    seen = product.counted(metric, reason="ContainerConflict")
    assert seen >= counted + len(product.replicas)
    product.flush()
    lines = [line for line in product.log() if line.get("namespace") == namespace]
    assert any("proxy=ContainerConflict" in line["message"] for line in lines)
    assert any("DryRun" in line.get("reasons", ()) for line in lines)


def check_workload(product: kit.Product, namespace: str) -> None:
    text = json.dumps(
        kit.workload("Deployment", containers=kit.conflicting()["spec"]["containers"])
    )
    command = ("create", "-n", namespace, "--dry-run=server", "-f", "-")
    assert product.plane.kubectl(*command, stdin=text).stderr == ""


def check_places(product: kit.Product, namespace: str) -> None:
    """The counts, the conditions and the columns of kubectl."""
    await_counts(product, path_of(namespace), wouldInject=3)
    for kind in ("Ready", "Effective"):
        assert product.condition(namespace, "proxy", kind, reason="DryRun")["status"] == "False"
    printed = product.plane.kubectl("get", "sinj", "-n", namespace, "-o", "wide").stdout
    header, line = printed.splitlines()
    first = header.index("SELECTED")
    row = dict(zip(header[first:].split(), line[first:].split(), strict=False))
    assert (row["SELECTED"], row["INJECTED"], row["WOULD-INJECT"]) == ("3", "0", "3")


def check_injected(product: kit.Product, namespace: str) -> None:
    """All that it said comes true."""

    def is_patched() -> bool:
        answers = [product.ask(replica, namespace, kit.pod()) for replica in product.replicas]
        patches = [base64.b64decode(answer.get("patch", "")).decode() for answer in answers]
        return all("sidecar:1" in patch and "guard:1" in patch for patch in patches)

    product.plane.wait("every replica knows the end of the dry runs", is_patched)
    await_counts(product, path_of(namespace), missing=3)
    created = product.create_pod(namespace, kit.pod("later"))
    assert sorted(kit.containers(created)) == ["app", "guard", "sidecar"]
    with pytest.raises(errors.ApiError, match="ContainerConflict"):
        product.create_pod(namespace, kit.conflicting(name="refused"))
    product.condition(namespace, "proxy", "Ready", reason="Active")
