"""The admission policies that the chart creates, for the operator to write into."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from sidecar_injector import names
from sidecar_injector.controllers import policy_objects
from tools.controlplane import release

Render = Callable[..., Any]
MANAGED = {"policies": {"managed": True}}
FULLNAME = "blue-sidecar-injector"
KINDS = {resource.kind for resource in policy_objects.object_names(FULLNAME)}


def policies(rendered: Any) -> list[dict[str, Any]]:
    return [item for item in rendered.objects if item["kind"] in KINDS]


def variable(rendered: Any) -> str:
    env = {each["name"]: each.get("value") for each in rendered.operator()["env"]}
    return str(env["SIDECAR_INJECTOR_POLICIES"])


def test_without_the_value_there_is_neither_a_policy_nor_a_right(render: Render) -> None:
    rendered = render(release="blue")
    (rules,) = [
        role["rules"]
        for role in rendered.all("ClusterRole")
        if role["metadata"]["name"] == FULLNAME
    ]

    assert policies(rendered) == []
    assert variable(rendered) == "Unmanaged"
    assert not any("policies" in resource for rule in rules for resource in rule["resources"])


def test_with_the_value_they_do_what_the_operator_writes_for_nothing(render: Render) -> None:
    rendered = render(MANAGED, release="blue")
    named = policy_objects.object_names(FULLNAME)
    nothing = policy_objects.placeholders(FULLNAME)

    assert variable(rendered) == "Managed"
    assert len(policies(rendered)) == len(named)
    for resource, name in named.items():
        item = rendered.one(resource.kind)
        assert item["apiVersion"] == resource.api_version
        assert item["metadata"]["name"] == name
        assert item["spec"] == nothing[resource]["spec"]
        assert policy_objects.OURS.items() <= item["metadata"]["labels"].items()


@pytest.mark.parametrize(("version", "number"), [("1.35.9", 0), ("v1.36.0-eks-1", 4)])
def test_without_a_cluster_its_release_says_whether_it_has_them(
    version: str, number: int, render: Render
) -> None:
    rendered = render(MANAGED, release="blue", kube_version=version)

    assert len(policies(rendered)) == number
    assert variable(rendered) == ("Managed" if number else "Unmanaged")


@pytest.mark.parametrize("is_served", [True, False])
def test_where_the_kinds_are_known_the_kind_decides(is_served: bool, helm: Any) -> None:
    kind = "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"
    known = ["v1/Pod", *([kind] if is_served else [])]
    text = helm.run(
        "template", names.PRODUCT, str(release.CHART), "--kube-version=1.37.0",
        "--set=policies.managed=true", *(f"--api-versions={each}" for each in known),
    ).stdout  # fmt: skip
    kinds = {item["kind"] for item in yaml.safe_load_all(text) if item}

    assert (kinds >= KINDS) is is_served
