"""What `plan` says about a cluster comes true when the change is made."""

from __future__ import annotations

import json
import pathlib

from sidecar_injector import names
from tests.kits import controlplane_cli as cli
from tests.kits import product as kit

RESTARTED = "kubectl.kubernetes.io/restartedAt"
REQUESTS = {"requests": {"cpu": "100m", "memory": "32Mi"}}


def apply(product: kit.Product, namespace: str, *manifests: kit.Json) -> None:
    for manifest in manifests:
        product.plane.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(manifest))


def deployment(name: str, *, container: str = "app", replicas: int = 1) -> kit.Json:
    own = {"name": container, "image": "app:1", "resources": REQUESTS}
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [own]}}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }  # fmt: skip


def injection(*, selecting: list[str]) -> kit.Json:
    parts = {"containers": [{"name": "sidecar", "image": "sidecar:1", "resources": REQUESTS}]}
    requirement = {"key": "app", "operator": "In", "values": selecting}
    return kit.injection(
        selector={"matchExpressions": [requirement]}, template={"spec": parts}
    )  # fmt: skip


def bind(product: kit.Product, namespace: str, name: str, role: str) -> None:
    subject = f"--serviceaccount={namespace}:stranger"
    product.plane.kubectl("create", "rolebinding", name, "-n", namespace, role, subject)


def containers(product: kit.Product, namespace: str, *, restarted: bool) -> dict[str, list[str]]:
    """The names of the containers of each Deployment's pod.

    The older pods stay beside those that come of a restart: no node makes these ready.
    """
    return {
        pod["metadata"]["labels"]["app"]: kit.containers(pod)
        for pod in product.pods(namespace)
        if (RESTARTED in (pod["metadata"].get("annotations") or {})) is restarted
    }


def test_what_a_plan_says_comes_true(
    product: kit.Product, enabled_namespace: str, tmp_path: pathlib.Path
) -> None:
    namespace, config = enabled_namespace, product.plane.kubeconfig
    product.create_injection(namespace, injection(selecting=["old", "clash"]))
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "compute"},
             "spec": {"hard": {"requests.cpu": "450m"}}}  # fmt: skip
    apply(
        product, namespace, quota, deployment("old"), deployment("new"),
        deployment("clash", container="sidecar"),
    )  # fmt: skip
    path = f"/api/v1/namespaces/{namespace}/resourcequotas/compute"

    def used() -> str:
        return str((product.plane.client.get(path)["status"].get("used") or {}).get("requests.cpu"))

    # The sidecar of `clash` is not in it: the pod has another container of that name.
    product.plane.wait("the quota counts all pods", lambda: used() == "400m")

    changed = injection(selecting=["new", "clash"])
    changed["metadata"]["namespace"] = namespace
    file = tmp_path / "new.yaml"
    file.write_text(json.dumps(changed))
    plan = cli.read(config, "plan", "-f", str(file))
    name = changed["metadata"]["name"]
    assert plan["message"].startswith(f"1 workload (1 pod) gains {name}; 1 loses {name}")
    said = {each["name"]: each["injections"][0]["effect"] for each in plan["workloads"]}
    assert said == {"new": "gains", "old": "loses"}
    assert plan["counts"] == {"workloads": 3, "pods": 3, "unchanged": 1}
    # One gains what another one loses.
    assert plan["added"] == {}
    assert plan["quotas"] == []

    wider = injection(selecting=["old", "new"])
    wider["metadata"]["namespace"] = namespace
    file.write_text(json.dumps(wider))
    (excess,) = cli.read(config, "plan", "-f", str(file), status=1)["quotas"]
    assert (excess["used"], excess["added"], excess["missing"]) == ("400m", "100m", "50m")

    before = containers(product, namespace, restarted=False)
    assert before == {"old": ["app", "sidecar"], "new": ["app"], "clash": ["sidecar"]}
    product.plane.kubectl("delete", "resourcequota", "compute", "-n", namespace)
    apply(product, namespace, changed)
    product.wait_known(namespace, name)
    product.plane.kubectl("rollout", "restart", "deployment", "-n", namespace)
    after = {"old": ["app"], "new": ["app", "sidecar"], "clash": ["sidecar"]}
    product.plane.wait(
        "pods are as planned", lambda: containers(product, namespace, restarted=True) == after
    )

    file.write_text(json.dumps(changed))
    plan = cli.read(config, "plan", "-f", str(file))
    assert plan["message"] == "nothing changes for 3 workloads (3 pods)"


def test_a_user_who_may_see_half_of_it_is_told_so(
    product: kit.Product, enabled_namespace: str, tmp_path: pathlib.Path
) -> None:
    namespace = enabled_namespace
    apply(product, namespace, deployment("web"))
    file = tmp_path / "new.yaml"
    manifest = injection(selecting=["web"])
    manifest["metadata"]["namespace"] = namespace
    file.write_text(json.dumps(manifest))
    config = cli.stranger(product.plane, tmp_path, namespace)
    resources = ("--resource=deployments.apps", f"--resource={names.PLURAL}.{names.GROUP}")
    product.plane.kubectl("create", "role", "half", "-n", namespace, "--verb=list", *resources)
    bind(product, namespace, "half", "--role=half")

    def answered() -> kit.Json:
        result = cli.run(config, "plan", "-f", str(file), "-o", "json")
        return json.loads(result.stdout) if result.stdout else {}

    # A right is in force a moment after it was given.
    plan = product.plane.wait("half of it may be seen", answered)
    assert plan["complete"] is False
    assert plan["message"].startswith("of what you may see: 1 workload (1 pod) gains")
    notes = " ".join(plan["notes"])
    for plural in ("statefulsets", "pods", "resourcequotas", "horizontalpodautoscalers"):
        assert plural in notes
    assert f"in namespace {namespace}: they are not in the plan" in notes

    bind(product, namespace, "whole", f"--clusterrole={names.PRODUCT}-cli")
    product.plane.wait("all of it may be seen", lambda: answered()["complete"])
    assert cli.read(config, "plan", "-f", str(file))["notes"] == []
