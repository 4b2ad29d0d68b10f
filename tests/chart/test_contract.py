"""What the chart and the operator must agree on, held against the operator's own declarations."""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from sidecar_injector import names, settings
from sidecar_injector.kube import api
from sidecar_injector.observability.metrics import NAMESPACE, Metrics
from sidecar_injector.pki import issue, keys
from tests.kits import chart_matrix as matrix

Render = Callable[..., Any]

CHOSEN = {
    "clusterDomain": "example.org",
    "leafSeconds": 86_400,
    "caSeconds": 31_536_001,
    "caRollWaitSeconds": 90,
    "drainSeconds": 10,
    "maxRequestsPerConnection": 1_000_000,
    "maxConnections": 0,
    "clientCa": issue.ca(
        fresh=keys.generate(),
        generation=1,
        now=datetime.datetime.now(datetime.UTC),
        seconds=3600,
    ).certificate.decode(),
    "auditSeconds": 60,
    "logFormat": "json",
    "logLevel": "debug",
}


@pytest.mark.parametrize("release", ["sidecar-injector", "blue"])
def test_the_environment_of_the_pod_is_exactly_the_settings(release: str, render: Render) -> None:
    environment = _environment(render(release=release, namespace="injection"))
    fullname = environment["SIDECAR_INJECTOR_FULLNAME"]
    # An empty value is left out: the API server would not keep it.
    variables = {
        settings.variable(field.name)
        for field in dataclasses.fields(settings.Settings)
        if field.default != ""
    }

    assert set(environment) == {"POD_NAME", *variables}
    assert settings.Settings.from_environment(environment) == settings.Settings(
        namespace="injection",
        fullname=fullname,
        pod_name="pod-0",
        secret_name=names.secret_name(fullname),
    )


def test_every_value_under_settings_reaches_the_operator(render: Render) -> None:
    read = settings.Settings.from_environment(_environment(render({"settings": CHOSEN})))

    for key, value in CHOSEN.items():
        assert getattr(read, _snake(key)) == value, key


def test_the_ports_of_the_pod_are_those_of_the_settings(render: Render) -> None:
    rendered = render({"webhook": {"securePort": 10250}})
    read = settings.Settings.from_environment(_environment(rendered))
    ports = {port["name"]: port["containerPort"] for port in rendered.operator()["ports"]}

    assert ports == {"webhook": read.webhook_port, "admin": read.admin_port}
    assert rendered.one("Service")["spec"]["ports"][0]["targetPort"] == "webhook"


def test_the_scratch_folder_is_writable_and_in_memory(render: Render) -> None:
    rendered = render()
    read = settings.Settings.from_environment(_environment(rendered))
    (mount,) = rendered.operator()["volumeMounts"]
    (volume,) = rendered.one("Deployment")["spec"]["template"]["spec"]["volumes"]

    assert mount == {"name": volume["name"], "mountPath": read.scratch_folder}
    assert volume["emptyDir"]["medium"] == "Memory"


def test_no_service_of_the_namespace_becomes_an_unknown_setting(render: Render) -> None:
    with pytest.raises(settings.SettingError):
        settings.Settings.from_environment({"SIDECAR_INJECTOR_SERVICE_HOST": "10.96.0.7"})

    assert render().one("Deployment")["spec"]["template"]["spec"]["enableServiceLinks"] is False


def test_the_entry_point_is_that_of_the_package(render: Render) -> None:
    container = render().operator()

    assert (container["command"], container["args"]) == ([names.PRODUCT], ["run"])


def test_pods_are_sent_to_the_mutating_path(render: Render) -> None:
    (webhook,) = render(namespace="injection").one("MutatingWebhookConfiguration")["webhooks"]

    assert webhook["name"] == names.MUTATE_WEBHOOK
    assert webhook["clientConfig"]["service"] == {
        "name": names.PRODUCT,
        "namespace": "injection",
        "path": names.MUTATE_PATH,
        "port": 443,
    }
    assert webhook["rules"] == [
        {
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "operations": ["CREATE"],
            "resources": ["pods"],
            "scope": "Namespaced",
        }
    ]
    assert webhook["failurePolicy"] == "Ignore"
    assert webhook["timeoutSeconds"] == 5
    assert webhook["reinvocationPolicy"] == "IfNeeded"
    assert webhook["matchPolicy"] == "Equivalent"
    assert webhook["sideEffects"] == "None"


def test_the_webhook_leaves_out_what_the_operator_would_leave_out(render: Render) -> None:
    rendered = render(namespace="injection")
    (webhook,) = rendered.one("MutatingWebhookConfiguration")["webhooks"]
    (excluded,) = webhook["namespaceSelector"]["matchExpressions"]
    (condition,) = webhook["matchConditions"]

    assert webhook["namespaceSelector"]["matchLabels"] == {names.INJECTION_LABEL: names.ENABLED}
    assert excluded["key"] == names.NAMESPACE_NAME_LABEL
    assert excluded["operator"] == "NotIn"
    assert set(excluded["values"]) == {*names.SYSTEM_NAMESPACES, "injection"}
    assert webhook["objectSelector"]["matchExpressions"] == [
        {"key": names.INJECTION_LABEL, "operator": "NotIn", "values": [names.DISABLED]},
        {"key": names.APP_NAME_LABEL, "operator": "NotIn", "values": [names.PRODUCT]},
    ]
    assert f"'{names.MIRROR_ANNOTATION}'" in condition["expression"]


def test_pods_that_opt_out_by_label_have_an_entry_that_differs_in_nothing_else(
    render: Render,
) -> None:
    configuration = render(matrix.EVERYTHING).one("MutatingWebhookConfiguration")
    usual, opted_out = configuration["webhooks"]

    assert (usual.pop("name"), opted_out.pop("name")) == (
        names.MUTATE_WEBHOOK,
        names.OPTED_OUT_WEBHOOK,
    )
    label, *others = opted_out["objectSelector"].pop("matchExpressions")
    assert label == {"key": names.INJECTION_LABEL, "operator": "In", "values": [names.DISABLED]}
    excluded, *usual_others = usual["objectSelector"].pop("matchExpressions")
    assert excluded == {**label, "operator": "NotIn"}
    assert others == usual_others
    assert {"key": names.APP_NAME_LABEL, "operator": "NotIn", "values": [names.PRODUCT]} in others
    assert opted_out == usual


def test_the_operators_own_pods_are_left_out(render: Render) -> None:
    labels = render().one("Deployment")["spec"]["template"]["metadata"]["labels"]

    assert labels[names.APP_NAME_LABEL] == names.PRODUCT


def test_injections_are_sent_to_the_validating_path_and_never_blocked(render: Render) -> None:
    values = {"webhook": {"failurePolicy": "Fail"}}
    webhook, _ = render(values).one("ValidatingWebhookConfiguration")["webhooks"]
    (rule,) = webhook["rules"]

    assert webhook["name"] == names.VALIDATE_WEBHOOK
    assert webhook["clientConfig"]["service"]["path"] == names.VALIDATE_PATH
    assert webhook["failurePolicy"] == "Ignore"
    assert rule["apiGroups"] == [names.GROUP]
    assert rule["apiVersions"] == [names.VERSION]
    assert rule["operations"] == ["CREATE", "UPDATE"]
    assert rule["resources"] == [names.PLURAL, names.CLUSTER_PLURAL]


def workloads_of(render: Render, **values: Any) -> list[Any]:
    """The entries for workloads."""
    webhook = {"failurePolicy": "Fail", "timeoutSeconds": 20, **values}
    entries = render({"webhook": webhook}).one("ValidatingWebhookConfiguration")["webhooks"]
    return [entry for entry in entries if entry["name"] == names.WORKLOADS_WEBHOOK]


def test_workloads_are_sent_to_a_path_of_their_own_and_never_blocked(render: Render) -> None:
    (webhook,) = workloads_of(render)
    assert webhook["clientConfig"]["service"]["path"] == names.WORKLOADS_PATH
    assert (webhook["failurePolicy"], webhook["timeoutSeconds"]) == ("Ignore", 2)
    assert webhook["sideEffects"] == "None"
    assert {tuple(rule["operations"]) for rule in webhook["rules"]} == {("CREATE", "UPDATE")}
    resources = [(group, resource) for rule in webhook["rules"] for group in rule["apiGroups"]
                 for resource in rule["resources"]]  # fmt: skip
    built_in = {(each.group, each.plural) for each in api.WORKLOADS.values()}
    assert {*resources} == built_in - {("", "pods")}
    (pods,) = render().one("MutatingWebhookConfiguration")["webhooks"]
    assert webhook["namespaceSelector"] == pods["namespaceSelector"]


def test_the_webhook_for_workloads_can_be_left_out_and_take_more_kinds(render: Render) -> None:
    assert workloads_of(render, workloads={"enabled": False}) == []
    rollouts = {
        "apiGroups": ["argoproj.io"],
        "apiVersions": ["v1alpha1"],
        "resources": ["rollouts"],
    }
    things = {"apiGroups": ["a.b"], "apiVersions": ["v1"], "resources": ["things"],
              "template": "spec.work.template"}  # fmt: skip
    (webhook,) = workloads_of(render, workloads={"extra": [rollouts, things]})
    assert [rule["resources"] for rule in webhook["rules"][-2:]] == [["rollouts"], ["things"]]
    _, changed = webhook["matchConditions"]
    assert "['things'] ? object.spec.work.template :" in changed["expression"].replace('"', "'")


def test_both_configurations_contain_the_services_port(render: Render) -> None:
    values = {"service": {"type": "ExternalName", "externalName": "localhost", "port": 34567}}
    rendered = render(values)

    assert rendered.one("Service")["spec"]["ports"][0]["port"] == 34567
    for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        for webhook in rendered.one(kind)["webhooks"]:
            assert webhook["clientConfig"]["service"]["port"] == 34567


def test_cert_manager_signs_for_the_names_that_the_operator_would(render: Render) -> None:
    values = {
        "certificates": {"mode": "certManager", "issuerRef": {"name": "ca"}},
        "settings": {"clusterDomain": "example.org"},
    }
    rendered = render(values, release="blue", namespace="injection")
    spec = rendered.one("Certificate")["spec"]
    fullname = "blue-sidecar-injector"

    assert spec["secretName"] == names.secret_name(fullname)
    assert tuple(spec["dnsNames"]) == names.service_dns_names(
        service=fullname, namespace="injection", cluster_domain="example.org"
    )
    for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        annotations = rendered.one(kind)["metadata"]["annotations"]
        assert annotations["cert-manager.io/inject-ca-from"] == f"injection/{fullname}"


def test_alerts_ask_for_figures_that_exist(render: Render) -> None:
    exported = set()
    for family in Metrics().registry.collect():
        exported |= {family.name + suffix for suffix in ("", "_total", "_bucket", "_count", "_sum")}
    (group,) = render({"prometheusRule": {"enabled": True}}).one("PrometheusRule")["spec"]["groups"]

    for rule in group["rules"]:
        for metric in re.findall(rf"\b{NAMESPACE}_\w+", rule["expr"]):
            assert metric in exported, rule["alert"]


def test_alerts_watch_the_webhooks_by_their_names(render: Render) -> None:
    (group,) = render({"prometheusRule": {"enabled": True}}).one("PrometheusRule")["spec"]["groups"]
    expressions = [rule["expr"] for rule in group["rules"] if "apiserver_" in rule["expr"]]

    assert expressions
    for expression in expressions:
        (pattern,) = set(re.findall(r'name=~"([^"]+)"', expression))
        for name in (names.MUTATE_WEBHOOK, names.OPTED_OUT_WEBHOOK):
            assert re.fullmatch(pattern, name)
        assert not re.fullmatch(pattern, f"other.{names.MUTATE_WEBHOOK}")


def _environment(rendered: Any) -> Mapping[str, str]:
    """The variables as the kubelet would set them for a pod named pod-0."""
    namespace = rendered.one("Deployment")["metadata"]["namespace"]
    fields = {"metadata.name": "pod-0", "metadata.namespace": namespace}
    return {
        item["name"]: item["value"]
        if "value" in item
        else fields[item["valueFrom"]["fieldRef"]["fieldPath"]]
        for item in rendered.operator()["env"]
    }


def _snake(key: str) -> str:
    return re.sub(r"([A-Z])", r"_\1", key).lower()
