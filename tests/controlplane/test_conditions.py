"""What an injection says about itself, and what is refused before it is stored."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest

from sidecar_injector import names
from tests.kits import product as kit
from tools.controlplane import errors


def sidecar(**fields: Any) -> dict[str, Any]:
    """A template's spec with one container that has these fields."""
    return {"containers": [{"name": "sidecar", "image": "sidecar:1", **fields}]}


MOUNTS = [{"name": "data", "mountPath": path} for path in ("/data", "/data/")]
TWO_SOURCES = {"name": "data", "emptyDir": {}, "hostPath": {"path": "/data"}}
REFUSED = [
    pytest.param(
        {"selector": {"matchLabels": {"app": "no value"}}},
        "spec.selector.matchLabels[app]: value 'no value' is no label value",
        id="a label value that no pod can have",
    ),
    pytest.param(
        {"template": {"spec": {**sidecar(), "volumes": [TWO_SOURCES]}}},
        "spec.template.spec.volumes[0]: has 2 sources (emptyDir, hostPath), exactly one is"
        " accepted",
        id="a volume with two sources",
    ),
    pytest.param(
        {
            "template": {
                "spec": {
                    **sidecar(volumeMounts=MOUNTS),
                    "volumes": [{"name": "data", "emptyDir": {}}],
                }
            }
        },
        "spec.template.spec.containers[0].volumeMounts[1].mountPath: '/data' is mounted twice",
        id="one path mounted twice",
    ),
    pytest.param(
        {"template": {"spec": {"containers": [{"name": "sidecar"}]}}},
        "spec.template.spec.containers[0].image: is required",
        id="a container without an image",
    ),
]


@pytest.mark.parametrize(("spec", "sentence"), REFUSED)
@pytest.mark.parametrize("kind", [names.KIND, names.CLUSTER_KIND])
def test_what_can_never_be_applied_is_refused_by_the_webhook_and_the_field_named(
    product: kit.Product, enabled_namespace: str, kind: str, spec: dict[str, Any], sentence: str
) -> None:
    path = kit.injections_path(enabled_namespace)
    if kind == names.CLUSTER_KIND:
        path = f"/apis/{names.API_VERSION}/{names.CLUSTER_PLURAL}"
    with pytest.raises(errors.ApiError) as caught:
        product.plane.client.request("POST", path, kit.injection(kind=kind, **spec))
    assert caught.value.status == 422
    assert f'"{names.VALIDATE_WEBHOOK}" denied the request' in caught.value.message
    assert sentence in caught.value.message


def test_an_update_is_judged_like_a_creation(product: kit.Product, enabled_namespace: str) -> None:
    product.create_injection(enabled_namespace, kit.injection())
    volumes = {"spec": {"template": {"spec": {"volumes": [TWO_SOURCES]}}}}
    with pytest.raises(errors.ApiError, match="2 sources"):
        patch(product, enabled_namespace, volumes)
    patch(product, enabled_namespace, {"metadata": {"labels": {"fine": "too"}}})


def patch(product: kit.Product, namespace: str, change: dict[str, Any]) -> kit.Json:
    path = f"{kit.injections_path(namespace)}/proxy"
    return product.plane.client.request("PATCH", path, change, **kit.PATCH)


def test_an_injection_at_work_is_accepted_and_active(
    product: kit.Product, enabled_namespace: str
) -> None:
    created = product.create_injection(enabled_namespace, kit.injection())
    ready = product.condition(enabled_namespace, "proxy", "Ready", reason="Active")
    accepted = product.condition(enabled_namespace, "proxy", "Accepted", reason="Valid")
    for condition in (accepted, ready):
        assert condition["status"] == "True"
        assert condition["observedGeneration"] == created["metadata"]["generation"]
        assert is_recent(condition["lastTransitionTime"])
    stored = product.plane.client.get(f"{kit.injections_path(enabled_namespace)}/proxy")
    assert stored["status"]["observedGeneration"] == 1
    assert len(stored["status"]["templateHash"]) == 16
    # Nothing of ours stays on the object itself: no finalizer and no annotation.
    assert "finalizers" not in stored["metadata"]
    assert "annotations" not in stored["metadata"]


def is_recent(text: str) -> bool:
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(text)
    return abs(age) < datetime.timedelta(minutes=1)


def test_kubectl_waits_for_ready_and_shows_it(product: kit.Product, enabled_namespace: str) -> None:
    product.create_injection(enabled_namespace, kit.injection())
    where = ("-n", enabled_namespace)
    product.plane.kubectl("wait", *where, "sinj/proxy", "--for=condition=Ready", "--timeout=20s")
    header, row = product.plane.kubectl("get", *where, "sinj").stdout.splitlines()
    assert dict(zip(header.split(), row.split(), strict=False))["READY"] == "True"


def test_a_suspended_injection_says_so_until_it_is_resumed(
    product: kit.Product, enabled_namespace: str
) -> None:
    product.create_injection(enabled_namespace, kit.injection(suspend=True))
    suspended = product.condition(enabled_namespace, "proxy", "Ready", reason="Suspended")
    assert suspended["status"] == "False"
    assert kit.condition_of(product, enabled_namespace, "Accepted")["status"] == "True"
    assert kit.containers(product.create_pod(enabled_namespace, kit.pod("before"))) == ["app"]

    patch(product, enabled_namespace, {"spec": {"suspend": False}})
    active = product.condition(enabled_namespace, "proxy", "Ready", reason="Active")
    assert active["observedGeneration"] == 2
    pod = product.create_pod(enabled_namespace, kit.pod("after"))
    assert kit.containers(pod) == ["app", "sidecar"]


def test_a_namespace_that_is_not_enabled_is_named_with_the_command_that_enables_it(
    product: kit.Product, namespace: str
) -> None:
    product.plane.client.request("POST", kit.injections_path(namespace), kit.injection())
    waiting = product.condition(namespace, "proxy", "Ready", reason="NamespaceNotEnabled")
    assert waiting["status"] == "False"
    command = waiting["message"].partition(": ")[2].split()
    assert command[:2] == ["kubectl", "label"]

    product.plane.kubectl(*command[1:])
    product.condition(namespace, "proxy", "Ready", reason="Active")
    pod = product.create_pod(namespace, kit.pod())
    assert kit.containers(pod) == ["app", "sidecar"]

    product.plane.kubectl("label", "namespace", namespace, f"{names.INJECTION_LABEL}-")
    product.condition(namespace, "proxy", "Ready", reason="NamespaceNotEnabled")


def test_a_cluster_injection_becomes_ready_with_its_first_enabled_namespace(
    product: kit.Product, namespace: str
) -> None:
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    injection = kit.injection(namespace, kind=names.CLUSTER_KIND, namespaceSelector=selector)
    product.plane.kubectl("create", "-f", "-", stdin=json.dumps(injection))
    try:
        reason = "--for=jsonpath={.status.conditions[?(@.type=='Ready')].reason}=NoNamespace"
        product.plane.kubectl("wait", f"csinj/{namespace}", reason)
        assert kit.containers(product.create_pod(namespace, kit.pod("bare"))) == ["app"]
        product.plane.kubectl("label", "namespace", namespace, "sidecar-injection=enabled")
        pod = product.plane.wait("an injected pod", lambda: injected(product, namespace), seconds=5)
        product.plane.kubectl("wait", f"csinj/{namespace}", "--for=condition=Ready")
        provenance = json.loads(pod["metadata"]["annotations"][names.STATUS_ANNOTATION])
        assert provenance["injections"][0]["kind"] == names.CLUSTER_KIND
    finally:
        product.plane.kubectl("delete", "csinj", namespace)


def test_without_the_chart_s_value_a_compiled_injection_says_how_to_get_a_policy(
    product: kit.Product, namespace: str
) -> None:
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    fields = {"namespaceSelector": selector, "engine": "Policy"}
    injection = kit.injection(namespace, kind=names.CLUSTER_KIND, **fields)
    plane = product.plane
    plane.kubectl("create", "-f", "-", stdin=json.dumps(injection))
    try:
        where = "--for=jsonpath={.status.conditions[?(@.type=='Compiled')].reason}=NotManaged"
        plane.kubectl("wait", f"csinj/{namespace}", where, "--timeout=20s")
        plane.kubectl("label", "namespace", namespace, "sidecar-injection=enabled")
        plane.wait("by the webhook", lambda: injected(product, namespace), seconds=5)

        change = {"spec": {"engine": "Webhook"}}
        path = f"/apis/{names.API_VERSION}/{names.CLUSTER_PLURAL}/{namespace}"
        plane.client.request("PATCH", path, change, **kit.PATCH)
        plane.wait(
            "the condition is gone", lambda: not kit.condition(plane.client.get(path), "Compiled")
        )
    finally:
        plane.kubectl("delete", "csinj", namespace)


def injected(product: kit.Product, namespace: str) -> kit.Json:
    pod = product.create_pod(namespace, kit.pod(), dry_run=True)
    return pod if kit.containers(pod) == ["app", "sidecar"] else {}


def test_an_emptied_status_is_written_again(product: kit.Product, enabled_namespace: str) -> None:
    product.create_injection(enabled_namespace, kit.injection())
    product.condition(enabled_namespace, "proxy", "Ready", reason="Active")
    path = f"{kit.injections_path(enabled_namespace)}/proxy/status"
    product.plane.client.request("PATCH", path, {"status": None}, **kit.PATCH)
    product.condition(enabled_namespace, "proxy", "Ready", reason="Active")
