"""What the chart renders, over a matrix of values."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sidecar_injector.httpserver import listener
from tests.kits import chart_matrix as matrix

Render = Callable[..., Any]

ENDING_SECONDS = 20
"""For all that comes after the drain: handlers, tasks and the interpreter."""
SELECTED = ("PodDisruptionBudget", "NetworkPolicy", "PodMonitor")


@pytest.fixture(params=list(matrix.MATRIX.values()), ids=list(matrix.MATRIX))
def rendered(request: pytest.FixtureRequest, render: Render) -> Any:
    return render(request.param)


def test_no_object_is_rendered_twice(rendered: Any) -> None:
    names = [(item["kind"], item["metadata"]["name"]) for item in rendered.objects]

    assert len(names) == len(set(names))


def test_nothing_that_the_operator_writes_is_rendered(rendered: Any) -> None:
    assert rendered.all("Secret") == []
    assert rendered.all("Lease") == []
    assert "caBundle" not in set(_keys(rendered.objects))


def test_every_object_carries_the_labels_of_the_release(rendered: Any) -> None:
    extra = {"sidecar-injector-x", "sidecar-injector-y"}
    ours = [item for item in rendered.objects if item["metadata"]["name"] not in extra]

    for item in ours:
        labels = item["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "sidecar-injector", item["kind"]
        assert labels["app.kubernetes.io/version"] == "0.1.0", item["kind"]


def test_every_selector_finds_the_pods_of_the_operator(rendered: Any) -> None:
    deployment = rendered.one("Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()

    selectors = [deployment["spec"]["selector"]["matchLabels"]]
    for item in rendered.objects:
        if item["kind"] in SELECTED:
            selector = item["spec"].get("selector") or item["spec"]["podSelector"]
            selectors.append(selector["matchLabels"])
        elif item["kind"] == "Service" and item["spec"].get("type") != "ExternalName":
            selectors.append(item["spec"]["selector"])
    for selector in selectors:
        assert selector.items() <= labels


def test_no_variable_and_no_volume_is_declared_twice(rendered: Any) -> None:
    container = rendered.operator()
    pod = rendered.one("Deployment")["spec"]["template"]["spec"]

    for items in (container["env"], pod["volumes"], container["volumeMounts"]):
        names = [item["name"] for item in items]
        assert len(names) == len(set(names))


def test_the_pod_meets_the_restricted_pod_security_level(render: Render) -> None:
    pod = render().one("Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert all(set(volume) <= {"name", "emptyDir"} for volume in pod["volumes"])


def test_a_rollout_never_takes_a_replica_away_before_its_successor_is_ready(render: Render) -> None:
    deployment = render().one("Deployment")

    assert deployment["spec"]["replicas"] == 2
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


@pytest.mark.parametrize("drain", [0, 5, 600])
def test_a_draining_replica_is_not_killed_early(drain: int, render: Render) -> None:
    deployment = render({"settings": {"drainSeconds": drain}}).one("Deployment")

    longest = 2 * drain + listener.FINISH_SECONDS
    grace = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace >= longest + ENDING_SECONDS


def test_every_spread_constraint_counts_the_pods_of_the_operator(render: Render) -> None:
    own = {"maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}
    chosen = {**own, "topologyKey": "row", "labelSelector": {"matchLabels": {"a": "b"}}}
    spec = render({"topologySpreadConstraints": [own, chosen]}).one("Deployment")["spec"]
    ours, theirs = spec["template"]["spec"]["topologySpreadConstraints"]

    assert ours["labelSelector"] == spec["selector"]
    assert theirs == chosen


def test_a_digest_goes_before_the_tag(render: Render) -> None:
    image = {"repository": "r", "tag": "t"}
    digest = f"sha256:{'a' * 64}"

    assert render().operator()["image"] == "sidecar-injector:0.1.0"
    assert render({"image": image}).operator()["image"] == "r:t"
    assert render({"image": {**image, "digest": digest}}).operator()["image"] == f"r@{digest}"


def test_large_numbers_stay_whole(render: Render) -> None:
    container = render({"settings": {"caSeconds": 315360000}}).operator()
    env = {item["name"]: item.get("value") for item in container["env"]}

    assert env["SIDECAR_INJECTOR_CA_SECONDS"] == "315360000"
    assert env["SIDECAR_INJECTOR_LEAF_SECONDS"] == "2592000"


def test_names_follow_the_release(render: Render) -> None:
    for release, expected in {
        "sidecar-injector": "sidecar-injector",
        "blue": "blue-sidecar-injector",
        "my-sidecar-injector": "my-sidecar-injector",
    }.items():
        assert render(release=release).one("Deployment")["metadata"]["name"] == expected
    overridden = render({"fullnameOverride": "injector"}).one("Deployment")
    assert overridden["metadata"]["name"] == "injector"


def test_names_that_look_like_numbers_stay_names(render: Render) -> None:
    rendered = render(release="1e3", namespace="42")

    assert rendered.one("Deployment")["metadata"]["namespace"] == "42"
    labels = rendered.one("Deployment")["spec"]["selector"]["matchLabels"]
    assert labels["app.kubernetes.io/instance"] == "1e3"


@pytest.mark.parametrize("kube_version", ["1.32.0", "v1.33.1-eks-1", "1.40.0"])
def test_supported_clusters_are_accepted(kube_version: str, render: Render) -> None:
    assert render(kube_version=kube_version).one("Deployment")


def test_extra_objects_may_contain_templates(render: Render) -> None:
    names = {item["metadata"]["name"] for item in render(matrix.EVERYTHING).all("ConfigMap")}

    assert {"sidecar-injector-x", "sidecar-injector-y"} <= names


def test_objects_of_the_chart_keep_their_own_labels_and_annotations(render: Render) -> None:
    template = render(matrix.EVERYTHING).one("Deployment")["spec"]["template"]["metadata"]

    assert template["labels"]["app.kubernetes.io/name"] == "sidecar-injector"
    assert template["labels"]["zone"] == "a"
    assert template["annotations"] == {
        "a": "b",
        "kubectl.kubernetes.io/default-container": "operator",
    }


def test_the_network_policy_lets_in_two_ports_and_out_the_api_server_and_dns(
    render: Render,
) -> None:
    policy = render({"networkPolicy": {"enabled": True}}).one("NetworkPolicy")["spec"]

    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert [_ports(rule) for rule in policy["ingress"]] == [["webhook"], ["admin"]]
    assert [_ports(rule) for rule in policy["egress"]] == [[443, 6443], [53, 53]]
    assert not any("from" in rule or "to" in rule for rule in policy["ingress"] + policy["egress"])


def test_either_port_can_be_kept_to_some_peers(render: Render) -> None:
    policy = matrix.EVERYTHING["networkPolicy"]
    webhook, admin = render({"networkPolicy": policy}).one("NetworkPolicy")["spec"]["ingress"]

    assert (_ports(webhook), webhook["from"]) == (["webhook"], policy["webhookFrom"])
    assert (_ports(admin), admin["from"]) == (["admin"], policy["metricsFrom"])


def _ports(rule: dict[str, Any]) -> list[str | int]:
    return [port["port"] for port in rule["ports"]]


def _keys(value: object) -> Iterator[str]:
    for item in value.values() if isinstance(value, dict) else ():
        yield from _keys(item)
    for item in value if isinstance(value, list | tuple) else ():
        yield from _keys(item)
    if isinstance(value, dict):
        yield from (json.dumps(key).strip('"') for key in value)
