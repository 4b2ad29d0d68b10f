"""What the API server passes on of the webhook's judgement: warnings, and refusals of the probe."""

from __future__ import annotations

import json
from typing import Any

from sidecar_injector import names
from tests.kits import product as kit

TELLING = {"resources": {"requests": {"cpu": "10m", "memory": "16Mi"}}}


def container(image: str = "sidecar:1", **fields: Any) -> dict[str, Any]:
    return {"name": "sidecar", "image": image, **TELLING, **fields}


def apply(product: kit.Product, namespace: str, name: str, **spec: Any) -> str:
    """What kubectl prints beside the answer."""
    injection = kit.with_metadata(kit.injection(name, **spec), namespace=namespace)
    answer = product.plane.kubectl("apply", "-f", "-", stdin=json.dumps(injection), check=False)
    return answer.stderr


def test_kubectl_shows_the_warnings(product: kit.Product, enabled_namespace: str) -> None:
    volumes = [{"name": "idle", "emptyDir": {}}]
    bare = {"name": "sidecar", "image": "sidecar:1"}
    printed = apply(
        product, enabled_namespace, "log",
        template={"spec": {"containers": [bare], "volumes": volumes}},
    )  # fmt: skip
    assert "Warning: spec.template.spec.containers[0].resources: set requests of cpu" in printed
    assert "Warning: spec.template.spec.volumes[0]: 'idle' is only added to pods" in printed
    assert "Pod Security" not in printed


def test_a_pod_security_level_is_a_warning_where_it_is_enforced(product: kit.Product) -> None:
    level = {names.POD_SECURITY_ENFORCE_LABEL: "restricted"}
    product.plane.create_namespace("strict", labels={names.INJECTION_LABEL: names.ENABLED, **level})
    bare = {"spec": {"containers": [{"name": "sidecar", "image": "sidecar:1"}]}}

    def warned() -> bool:
        # Until the replica that is asked knows the namespace.
        printed = apply(product, "strict", "log", template=bare)
        return "namespace strict enforces Pod Security restricted, so pods start" in printed

    product.plane.wait("the namespace is known", warned)


def test_the_second_of_two_competing_injections_gets_a_warning(
    product: kit.Product, enabled_namespace: str
) -> None:
    apply(product, enabled_namespace, "a", template={"spec": {"containers": [container()]}})
    product.wait_known(enabled_namespace, "a")

    printed = apply(
        product, enabled_namespace, "b", template={"spec": {"containers": [container("other:2")]}}
    )
    assert "a also has container 'sidecar', but another one: pods that both select" in printed


def test_one_that_selects_other_pods_is_no_rival(
    product: kit.Product, enabled_namespace: str
) -> None:
    for name, image in (("web", "sidecar:1"), ("db", "other:2")):
        printed = apply(
            product, enabled_namespace, name, selector={"matchLabels": {"app": name}},
            template={"spec": {"containers": [container(image)]}},
        )  # fmt: skip
        product.wait_known(enabled_namespace, name)
        assert "but another one" not in printed


def test_what_would_make_every_pod_invalid_is_refused(
    product: kit.Product, enabled_namespace: str
) -> None:
    ports = [{"containerPort": 70000}]
    printed = apply(
        product, enabled_namespace, "log",
        template={"spec": {"containers": [container(ports=ports)]}},
    )  # fmt: skip
    assert f'"{names.VALIDATE_WEBHOOK}" denied the request' in printed
    assert "spec: cannot be injected into a pod: PodWouldBeInvalid" in printed
    assert "containerPort 70000" in printed


def test_a_quantity_that_is_none_is_refused(product: kit.Product, enabled_namespace: str) -> None:
    parameter = {"name": "memory", "type": "Quantity", "from": {"podAnnotation": "example.com/m"}}
    template = {"spec": {"containers": [container()]}}
    for field, value in (("default", "five"), ("enum", ["1Gi", "five"])):
        printed = apply(
            product, enabled_namespace, "log", template=template,
            parameters=[{**parameter, field: value}],
        )  # fmt: skip
        assert f'"{names.VALIDATE_WEBHOOK}" denied the request' in printed
        assert f"spec.parameters[0].{field}" in printed
        assert "'five' must be a quantity such as 500m or 64Mi" in printed
