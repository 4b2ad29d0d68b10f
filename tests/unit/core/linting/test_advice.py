"""What `lint` says about injections that work."""

from __future__ import annotations

import pytest

from sidecar_injector.core.linting import advice
from tests.kits.samples import Json, container, injection
from tests.kits.validate import sentences, template

EQUAL = {"limits": {"cpu": "1", "memory": "1Gi"}}


def advised(*, cluster: bool = True, **spec: Json) -> list[str]:
    subject = injection(cluster=cluster, **spec)
    assert subject.errors == ()
    return sentences(advice.warnings(subject))


def equal(**fields: object) -> Json:
    return container(resources=EQUAL, **fields)


def value_from(field: str) -> Json:
    return {"env": [{"name": "A", "valueFrom": {field: {"name": "x", "key": "a"}}}]}


def test_a_container_that_ends_the_guaranteed_class_is_named() -> None:
    small = container("small", resources={"limits": {"cpu": "1"}})
    subject = template(containers=[equal(), small], initContainers=[container("first")])
    assert advised(template=subject) == [
        (
            "spec.template.spec: makes a pod of class Guaranteed Burstable: its class needs limits"
            " of cpu and memory that equal the requests, in small, first too"
        )
    ]
    assert advised(template=template(containers=[equal()])) == []


@pytest.mark.parametrize(
    ("volume", "needed"),
    [
        ({"configMap": {"name": "x"}}, "ConfigMap"),
        ({"secret": {"secretName": "x"}}, "Secret"),
        ({"persistentVolumeClaim": {"claimName": "x"}}, "PersistentVolumeClaim"),
        ({"projected": {"sources": [{"configMap": {"name": "x"}}]}}, "ConfigMap"),
        ({"projected": {"sources": [{"secret": {"name": "x"}}]}}, "Secret"),
        ({"configMap": {"name": "x", "optional": True}}, ""),
        ({"projected": {"sources": [{"secret": {"name": "x", "optional": True}}]}}, ""),
        ({"emptyDir": {}}, ""),
    ],
)
def test_a_volume_of_a_cluster_injection_needs_its_object_in_each_namespace(
    volume: Json, needed: str
) -> None:
    mounts = [{"name": "v", "mountPath": "/v"}]
    subject = template(containers=[equal(volumeMounts=mounts)], volumes=[{"name": "v", **volume}])
    path = "spec.template.spec.volumes[0]"
    expected = [f"{path}: needs {needed} 'x' in the namespace of each pod"] if needed else []
    assert advised(template=subject) == expected
    # The author of a namespace's own injection knows what is in it.
    assert advised(template=subject, cluster=False) == []


@pytest.mark.parametrize(
    ("variables", "needed"),
    [
        ({"envFrom": [{"configMapRef": {"name": "x"}}]}, "ConfigMap"),
        ({"envFrom": [{"secretRef": {"name": "x"}}]}, "Secret"),
        ({"envFrom": [{"secretRef": {"name": "x", "optional": True}}]}, ""),
        (value_from("secretKeyRef"), "Secret"),
        (value_from("configMapKeyRef"), "ConfigMap"),
        ({"env": [{"name": "A", "value": "x"}]}, ""),
    ],
)
def test_variables_of_a_cluster_injection_need_their_object(variables: Json, needed: str) -> None:
    where = {
        "spec.template.spec.containers[0]": {"template": template(containers=[equal(**variables)])}
    }
    if needed:
        where["spec.applicationContainers"] = {
            "template": template(containers=[equal()]), "applicationContainers": variables,
        }  # fmt: skip
    for path, spec in where.items():
        expected = [f"{path}: needs {needed} 'x' in the namespace of each pod"] if needed else []
        assert advised(**spec) == expected


def test_a_service_account_of_a_cluster_injection_is_needed() -> None:
    subject = template(containers=[equal()], serviceAccountName="robot")
    assert advised(template=subject) == [
        (
            "spec.template.spec.serviceAccountName: needs ServiceAccount 'robot' in the namespace"
            " of each pod"
        )
    ]
