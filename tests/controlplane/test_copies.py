"""Pods that carry our annotation already: copied, restored, or made from such a template."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar_injector import names
from tests.kits import product as kit

SERVER_SIDE = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields")
VOLUME = {"name": "data", "emptyDir": {}}
TEMPLATE = {
    "metadata": {"labels": {"injected": "yes"}},
    "spec": {
        "containers": [
            {
                "name": "sidecar",
                "image": "sidecar:1",
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            }
        ],
        "volumes": [VOLUME],
    },
}


@pytest.fixture
def created(product, enabled_namespace) -> kit.Json:
    """A pod that the API server stored with the sidecar."""
    product.plane.wait_for_service_account(enabled_namespace)
    product.create_injection(enabled_namespace, kit.injection(template=TEMPLATE))
    pod = product.create_pod(enabled_namespace, kit.pod())
    assert kit.containers(pod) == ["app", "sidecar"]
    return pod


def renamed(pod: kit.Json, name: str) -> kit.Json:
    """As people copy pods: without what only the API server writes."""
    copied = {key: value for key, value in pod.items() if key != "status"}
    return kit.with_metadata(copied, name=name, **dict.fromkeys(SERVER_SIDE))


def annotation(pod: kit.Json) -> str:
    text: str = pod["metadata"]["annotations"][names.STATUS_ANNOTATION]
    return text


def test_a_copied_pod_comes_out_as_it_is(product, enabled_namespace, created) -> None:
    copied = product.create_pod(enabled_namespace, renamed(created, "copied"))
    assert copied["spec"] == created["spec"]
    assert copied["metadata"]["annotations"] == created["metadata"]["annotations"]
    assert copied["metadata"]["labels"] == created["metadata"]["labels"]


@pytest.mark.parametrize("lost", ["containers", "volumes", "labels"])
def test_a_restored_pod_gets_what_it_lost(product, enabled_namespace, created, lost) -> None:
    """A backup tool that drops what it does not like leaves the annotation, which says that all is
    there; the pod is believed, not the annotation."""
    restored = renamed(created, "restored")
    if lost == "labels":
        restored["metadata"].pop("labels")
    elif lost == "containers":
        restored["spec"]["containers"] = restored["spec"]["containers"][:1]
    else:
        spec = restored["spec"]
        spec["volumes"] = [volume for volume in spec["volumes"] if volume["name"] != "data"]
    back = product.create_pod(enabled_namespace, restored)
    assert kit.containers(back) == ["app", "sidecar"]
    assert VOLUME in back["spec"]["volumes"]
    mark = {names.INJECTED_LABEL: names.INJECTED_LABEL_VALUE}
    assert back["metadata"]["labels"] == {"injected": "yes", **mark}
    assert annotation(back) == annotation(created)


def test_a_deployment_made_from_an_injected_pod_gets_the_sidecar_once(
    product, enabled_namespace, created
) -> None:
    """`kubectl get pod -o yaml` is where many Deployments begin."""
    labels = {"app": "work"}
    template = {
        "metadata": {"labels": labels, "annotations": created["metadata"]["annotations"]},
        "spec": {"containers": kit.pod()["spec"]["containers"]},
    }
    work: dict[str, Any] = kit.workload("Deployment")
    work["spec"]["template"] = template
    path = f"/apis/apps/v1/namespaces/{enabled_namespace}/deployments"
    product.plane.client.request("POST", path, work)

    def made() -> list[kit.Json]:
        return [
            pod
            for pod in product.pods(enabled_namespace)
            if (pod["metadata"].get("labels") or {}).get("app") == "work"
        ]

    (pod,) = product.plane.wait("the Deployment's pod", made)
    assert kit.containers(pod) == ["app", "sidecar"]
