"""What pods of a real API server keep for themselves: credentials, variables, systems, accounts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar_injector import names
from tests.kits import product as kit

TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
CLOUD = {"serviceAccountToken": {"audience": "sts.amazonaws.com", "path": "token"}}
POD_NAME = {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}


def own(**fields: Any) -> list[kit.Json]:
    return [{"name": "app", "image": "app:1", **fields}]


def inject(product: kit.Product, namespace: str, pod: kit.Json, **spec: Any) -> kit.Json:
    """The pod that the API server stores, with this injection."""
    product.create_injection(namespace, kit.injection(**spec))
    return product.create_pod(namespace, pod)


def sidecar(pod: kit.Json) -> kit.Json:
    return pod["spec"]["containers"][-1]


def entry(pod: kit.Json) -> kit.Json:
    (only,) = json.loads(pod["metadata"]["annotations"][names.STATUS_ANNOTATION])["injections"]
    return only


def test_an_inherited_mount_brings_the_variables_of_its_path(product, enabled_namespace) -> None:
    mount = {"name": "logs", "mountPath": "/var/log/app", "subPathExpr": "$(POD_NAME)"}
    pod = kit.pod(
        containers=own(env=[POD_NAME], volumeMounts=[mount]),
        volumes=[{"name": "logs", "emptyDir": {}}],
    )
    created = inject(product, enabled_namespace, pod, inherit={"volumeMounts": {}})
    assert mount in sidecar(created)["volumeMounts"]
    assert sidecar(created)["env"] == created["spec"]["containers"][0]["env"]
    assert product.ask(product.replicas[0], enabled_namespace, created).get("patch") is None


def test_no_token_of_the_author_is_inherited(product, enabled_namespace) -> None:
    mounts = [
        {"name": "aws", "mountPath": "/var/run/secrets/eks.amazonaws.com/serviceaccount"},
        {"name": "aws", "mountPath": "/aws"},
        {"name": "data", "mountPath": "/data"},
    ]
    pod = kit.pod(
        automountServiceAccountToken=False,
        containers=own(volumeMounts=mounts),
        volumes=[
            {"name": "aws", "projected": {"sources": [CLOUD]}},
            {"name": "data", "emptyDir": {}},
        ],
    )
    created = inject(product, enabled_namespace, pod, inherit={"volumeMounts": {}})
    assert sidecar(created)["volumeMounts"] == mounts[2:]


def test_a_variable_that_may_come_from_a_config_map_is_left_out(product, enabled_namespace) -> None:
    pod = kit.pod(containers=own(envFrom=[{"configMapRef": {"name": "own"}}]))
    applied = {"env": [{"name": "LOG_LEVEL", "value": "info"}]}
    created = inject(product, enabled_namespace, pod, applicationContainers=applied)
    assert "env" not in created["spec"]["containers"][0]
    assert entry(created)["leftOut"] == ["/spec/containers/app/env/LOG_LEVEL"]
    assert product.ask(product.replicas[0], enabled_namespace, created).get("patch") is None


@pytest.mark.parametrize(
    ("fields", "native"),
    [
        ({"restartPolicy": "Never"}, True),
        (
            {
                "restartPolicy": "OnFailure",
                "restartPolicyRules": [
                    {"action": "Restart", "exitCodes": {"operator": "In", "values": [0]}}
                ],
            },
            False,
        ),
    ],
    ids=["ends", "never ends"],
)
def test_a_container_that_can_end_gets_a_native_sidecar(
    product, enabled_namespace, fields, native
) -> None:
    created = inject(product, enabled_namespace, kit.pod(containers=own(**fields)))
    init = [each["name"] for each in created["spec"].get("initContainers", ())]
    assert init == (["sidecar"] if native else [])


@pytest.mark.parametrize("field", ["os", "nodeSelector", "affinity"])
def test_a_pod_of_windows_gets_what_is_for_windows(product, enabled_namespace, field) -> None:
    expression = {"key": "kubernetes.io/os", "operator": "In", "values": ["windows"]}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    value = {
        "os": {"name": "windows"},
        "nodeSelector": {"kubernetes.io/os": "windows"},
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}},
    }[field]
    for system in ("Linux", "Windows"):
        spec = {"containers": [{"name": f"for-{system.lower()}", "image": "sidecar:1"}]}
        product.create_injection(
            enabled_namespace,
            kit.injection(system.lower(), operatingSystem=system, template={"spec": spec}),
        )
    created = product.create_pod(enabled_namespace, kit.pod(**{field: value}))
    assert kit.containers(created) == ["app", "for-windows"]


@pytest.mark.parametrize("default_secrets", [["of-default"], []], ids=str)
def test_an_account_comes_without_what_the_api_server_takes_from_the_default_one(
    product, enabled_namespace, default_secrets
) -> None:
    """As docs/surprises.md says."""
    accounts = f"/api/v1/namespaces/{enabled_namespace}/serviceaccounts"
    request = product.plane.client.request
    robot = {
        "metadata": {"name": "robot"},
        "automountServiceAccountToken": False,
        "imagePullSecrets": [{"name": "of-robot"}],
    }
    request("POST", accounts, robot)
    default = request("GET", f"{accounts}/default")
    secrets = [{"name": name} for name in default_secrets]
    request("PUT", f"{accounts}/default", {**default, "imagePullSecrets": secrets})
    template = {"spec": {"serviceAccountName": "robot", "containers": [
        {"name": "sidecar", "image": "sidecar:1"}]}}  # fmt: skip
    product.create_injection(enabled_namespace, kit.injection(template=template))

    def as_robot() -> kit.Json | None:
        created = product.create_pod(enabled_namespace, kit.pod(), dry_run=True)
        has_secrets = created["spec"].get("imagePullSecrets") == (secrets or [{"name": "of-robot"}])
        return created if created["spec"]["serviceAccountName"] == "robot" and has_secrets else None

    # The API server and the replicas hear of the accounts a moment later.
    created = product.plane.wait("the pod is of the account", as_robot)
    mounts = [mount["mountPath"] for mount in created["spec"]["containers"][0]["volumeMounts"]]
    assert mounts == [TOKEN_PATH]
