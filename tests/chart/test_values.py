"""Values that can be written in more than one way, and values that reach more than one object."""

from __future__ import annotations

import json
import pathlib
import re
import shutil
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from sidecar_injector import settings
from tests.kits import chart_matrix as matrix

Render = Callable[..., Any]

DURATIONS = {
    "settings": {
        "leafSeconds": (86_400, "24h"),
        "caSeconds": (31_536_000, "8760h"),
        "caRollWaitSeconds": (90, "1m30s"),
        "drainSeconds": (0, "0s"),
        "auditSeconds": (900, "15m"),
    },
    "webhook": {"timeoutSeconds": (7, "7s")},
}
CERT_MANAGER = {"mode": "certManager", "issuerRef": {"name": "ca"}}
MONITORED = {"podMonitor", "serviceMonitor"}


@pytest.fixture
def umbrella(tmp_path: pathlib.Path, bare_chart: pathlib.Path) -> Callable[..., pathlib.Path]:
    """A chart that has ours as a dependency, with the given values for it in its values.yaml."""

    def write(values: dict[str, Any], **others: Any) -> pathlib.Path:
        chart = tmp_path / "umbrella"
        shutil.copytree(bare_chart, chart / "charts" / "sidecar-injector")
        about = {"apiVersion": "v2", "name": "umbrella", "version": "1.0.0"}
        (chart / "Chart.yaml").write_text(yaml.safe_dump(about))
        (chart / "values.yaml").write_text(json.dumps({"sidecar-injector": values, **others}))
        return chart

    return write


@pytest.mark.parametrize("spelling", [0, 1], ids=["seconds", "durations"])
def test_every_spelling_of_a_duration_reaches_the_same_places(
    spelling: int, render: Render
) -> None:
    values: dict[str, Any] = {
        group: {key: spellings[spelling] for key, spellings in members.items()}
        for group, members in DURATIONS.items()
    }
    rendered = render({**values, "certificates": CERT_MANAGER, "prometheusRule": {"enabled": True}})
    environment = {item["name"]: item.get("value") for item in rendered.operator()["env"]}
    pod = rendered.one("Deployment")["spec"]["template"]["spec"]
    (group,) = rendered.one("PrometheusRule")["spec"]["groups"]
    expressions = {rule["alert"]: rule["expr"] for rule in group["rules"]}

    for key, (seconds, _) in DURATIONS["settings"].items():
        variable = settings.variable(re.sub(r"([A-Z])", r"_\1", key).lower())
        assert environment[variable] == str(seconds), key
    assert pod["terminationGracePeriodSeconds"] == 35
    assert rendered.one("Certificate")["spec"]["duration"] == "86400s"
    for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        assert rendered.one(kind)["webhooks"][0]["timeoutSeconds"] == 7
    assert f", {86_400 // 5})" in expressions["SidecarInjectorCertificateExpiring"]
    assert expressions["SidecarInjectorAuditStale"].endswith(f"> {5 * 900}")


@pytest.mark.parametrize("text", ["1h30m", "90m", "5400s", "5400", "30m1h", "1h1h", "001h", "24h"])
def test_the_chart_reads_a_duration_as_the_operator_does(text: str, render: Render) -> None:
    variable = settings.variable("audit_seconds")
    container = render({"settings": {"auditSeconds": text}}).operator()
    (rendered,) = (item["value"] for item in container["env"] if item["name"] == variable)

    read = settings.Settings.from_environment({variable: text})
    assert int(rendered) == read.audit_seconds


def test_the_admin_port_is_one_everywhere(render: Render) -> None:
    port = 18_080
    for monitor in MONITORED:
        values = {
            "settings": {"adminPort": port},
            "networkPolicy": {"enabled": True},
            monitor: {"enabled": True},
        }
        rendered = render(values)
        assert "8080" not in re.sub(str(port), "", json.dumps(rendered.objects))
        container = rendered.operator()
        environment = {item["name"]: item.get("value") for item in container["env"]}
        assert environment[settings.variable("admin_port")] == str(port)
        assert {"name": "admin", "containerPort": port, "protocol": "TCP"} in container["ports"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert container[probe]["httpGet"]["port"] == "admin"
        admin = rendered.one("NetworkPolicy")["spec"]["ingress"][1]
        assert admin["ports"] == [{"port": "admin", "protocol": "TCP"}]
        if monitor == "serviceMonitor":
            service = rendered.one("Service", name="sidecar-injector-metrics")
            assert [item["port"] for item in service["spec"]["ports"]] == [port]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, {"maxUnavailable": 1}),
        ({"minAvailable": 1}, {"minAvailable": 1}),
        ({"minAvailable": "50%"}, {"minAvailable": "50%"}),
        ({"maxUnavailable": 2}, {"maxUnavailable": 2}),
        ({"maxUnavailable": "34%"}, {"maxUnavailable": "34%"}),
        ({"minAvailable": 1, "maxUnavailable": None}, {"minAvailable": 1}),
    ],
)
def test_a_budget_says_one_thing(
    values: dict[str, Any], expected: dict[str, Any], render: Render
) -> None:
    spec = render({"podDisruptionBudget": values}).one("PodDisruptionBudget")["spec"]

    assert spec.items() >= expected.items()
    assert len({"minAvailable", "maxUnavailable"} & spec.keys()) == 1


@pytest.mark.parametrize("budget", [{}, {"minAvailable": 1}, {"maxUnavailable": 1}])
def test_one_replica_has_no_budget(budget: dict[str, Any], render: Render) -> None:
    rendered = render({"replicas": 1, "podDisruptionBudget": budget})

    assert rendered.all("PodDisruptionBudget") == []
    assert rendered.one("Deployment")["spec"]["replicas"] == 1


def test_an_umbrella_chart_can_choose_what_excludes_a_default(
    umbrella: Callable[..., pathlib.Path], render: Render
) -> None:
    """`null` in its values does not unset ours, so none may be needed."""
    values = {"podDisruptionBudget": {"minAvailable": 1}, "strategy": {"type": "Recreate"}}
    shared = {"global": {"imageRegistry": "example.com", "imagePullSecrets": ["pull"]}}
    rendered = render(chart=umbrella(values, **shared), release="blue")
    budget = rendered.one("PodDisruptionBudget")["spec"]

    assert (budget["minAvailable"], "maxUnavailable" in budget) == (1, False)
    assert rendered.one("Deployment")["spec"]["strategy"] == {"type": "Recreate"}
    assert rendered.operator()["image"] == "example.com/sidecar-injector:0.1.0"
    pod = rendered.one("Deployment")["spec"]["template"]["spec"]
    assert pod["imagePullSecrets"] == [{"name": "pull"}]


@pytest.mark.parametrize(
    ("of_all", "registry", "repository", "expected"),
    [
        ("", "", "sidecar-injector", "sidecar-injector"),
        ("", "example.com", "x/y", "example.com/x/y"),
        ("mirror:5000", "", "x/y", "mirror:5000/x/y"),
        ("mirror.local/hub/", "example.com", "x/y", "mirror.local/hub/x/y"),
        ("mirror.local", "", "ghcr.io/x/y", "ghcr.io/x/y"),
        ("mirror.local", "", "localhost/y", "localhost/y"),
        ("mirror.local", "", "registry:5000/y", "registry:5000/y"),
        ("mirror.local", "", "some.team", "mirror.local/some.team"),
    ],
)
def test_a_registry_goes_before_a_repository_that_names_none(
    of_all: str, registry: str, repository: str, expected: str, render: Render
) -> None:
    values = {
        "global": {"imageRegistry": of_all},
        "image": {"registry": registry, "repository": repository, "tag": "t"},
    }

    assert render(values).operator()["image"] == f"{expected}:t"


def test_secrets_of_all_charts_and_of_this_one_are_used_once(render: Render) -> None:
    values = {
        "global": {"imagePullSecrets": ["all", {"name": "own"}]},
        "imagePullSecrets": [{"name": "own"}, {"name": "more"}],
        "helmTest": {"enabled": True},
    }
    rendered = render(values, hooks=True)
    expected = [{"name": "all"}, {"name": "own"}, {"name": "more"}]

    pod = rendered.one("Deployment")["spec"]["template"]["spec"]
    assert pod["imagePullSecrets"] == expected
    assert rendered.one("Pod")["spec"]["imagePullSecrets"] == expected


def test_another_name_changes_the_names_and_no_label_that_the_webhook_reads(
    render: Render,
) -> None:
    usual = render(release="blue").one("Deployment")
    renamed = render({"nameOverride": "injector"}, release="blue").one("Deployment")
    within = render({"nameOverride": "blue"}, release="deep-blue").one("Deployment")

    assert renamed["metadata"]["name"] == "blue-injector"
    assert within["metadata"]["name"] == "deep-blue"
    assert renamed["spec"]["selector"] == usual["spec"]["selector"]
    assert renamed["spec"]["template"]["metadata"] == usual["spec"]["template"]["metadata"]


def test_selectors_and_conditions_are_added_and_never_put_in_place_of_ours(render: Render) -> None:
    def webhook(values: dict[str, Any]) -> dict[str, Any]:
        (entry,) = render({"webhook": values}).one("MutatingWebhookConfiguration")["webhooks"]
        return dict(entry)

    ours, more = webhook({}), matrix.EVERYTHING["webhook"]
    both = webhook({key: more[key] for key in ("namespaceSelector", "objectSelector")})
    conditioned = webhook({"matchConditions": more["matchConditions"]})

    for selector in ("namespaceSelector", "objectSelector"):
        own, added, all_of_them = ours[selector], more[selector], both[selector]
        labels = {**own.get("matchLabels", {}), **added["matchLabels"]}
        assert all_of_them["matchLabels"] == labels
        expressions = [*own["matchExpressions"], *added["matchExpressions"]]
        assert all_of_them["matchExpressions"] == expressions
    conditions = [*ours["matchConditions"], *more["matchConditions"]]
    assert conditioned["matchConditions"] == conditions


def test_more_containers_and_arguments_follow_the_operators(render: Render) -> None:
    rendered = render(matrix.EVERYTHING)
    pod = rendered.one("Deployment")["spec"]["template"]["spec"]

    assert [container["name"] for container in pod["containers"]] == ["operator", "proxy"]
    assert rendered.operator()["args"] == ["run", *matrix.EVERYTHING["extraArgs"]]


@pytest.mark.parametrize(("value", "expected"), [(None, 10), (0, 0), (3, 3)])
def test_old_replica_sets_are_kept(value: int | None, expected: int, render: Render) -> None:
    spec = render({"revisionHistoryLimit": value}).one("Deployment")["spec"]

    assert spec["revisionHistoryLimit"] == expected


def test_annotations_of_all_objects_are_on_each_and_yield_to_its_own(render: Render) -> None:
    rendered = render(matrix.EVERYTHING, hooks=True)
    extra = {"sidecar-injector-x", "sidecar-injector-y"}

    for item in rendered.objects:
        if item["metadata"]["name"] in extra:
            continue
        assert item["metadata"]["annotations"]["owner"] == "platform", item["kind"]
    for kind in ("ServiceAccount", "ServiceMonitor", "PrometheusRule"):
        (own, *_) = rendered.all(kind)
        assert own["metadata"]["annotations"]["a"] == "b"


def test_an_object_without_annotations_has_no_such_field(render: Render) -> None:
    for kind in ("Service", "ServiceAccount", "ClusterRole", "Role", "PodDisruptionBudget"):
        for item in render().all(kind):
            assert "annotations" not in item["metadata"]


def test_a_monitor_has_what_is_chosen_for_it(render: Render) -> None:
    chosen = matrix.EVERYTHING["serviceMonitor"]
    for kind, key, endpoints in (
        ("ServiceMonitor", "serviceMonitor", "endpoints"),
        ("PodMonitor", "podMonitor", "podMetricsEndpoints"),
    ):
        monitor = render({key: chosen}).one(kind)
        (endpoint,) = monitor["spec"][endpoints]
        assert monitor["metadata"]["labels"]["release"] == "prometheus"
        assert monitor["metadata"]["annotations"] == chosen["annotations"]
        for field in ("interval", "relabelings", "metricRelabelings"):
            assert endpoint[field] == chosen[field]
