"""Values that make no sense are refused before anything reaches a cluster, with a sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

Refusal = Callable[..., str]

TOGETHER = {
    "one replica that may refuse pods": (
        {"replicas": 1, "webhook": {"failurePolicy": "Fail"}},
        ("replicas: 1", "webhook.failurePolicy: Fail", "set replicas to 2"),
    ),
    "a budget that says it twice": (
        {"podDisruptionBudget": {"minAvailable": 1, "maxUnavailable": "50%"}},
        (
            "podDisruptionBudget",
            "minAvailable: 1",
            "maxUnavailable: 50%",
            "leave one of them empty",
        ),
    ),
    "a budget that lets no replica go": (
        {"podDisruptionBudget": {"minAvailable": 2}},
        ("podDisruptionBudget.minAvailable: 2", "replicas: 2", "below replicas"),
    ),
    "a budget whose percentage lets no replica go": (
        {"podDisruptionBudget": {"minAvailable": "51%"}},
        ("podDisruptionBudget.minAvailable: 51%", "replicas: 2", "below replicas"),
    ),
    "both ports the same": (
        {"settings": {"adminPort": 9443}},
        ("webhook.securePort and settings.adminPort", "9443", "only one listener"),
    ),
    "the default of the other port": (
        {"webhook": {"securePort": 8080}},
        ("webhook.securePort and settings.adminPort", "8080", "only one listener"),
    ),
    "a label that the webhook selects by": (
        {"webhook": {"namespaceSelector": {"matchLabels": {"sidecar-injection": "on"}}}},
        ("webhook.namespaceSelector.matchLabels", "sidecar-injection", "leave it out"),
    ),
    "two registries of one image": (
        {"image": {"registry": "example.com", "repository": "ghcr.io/x/y"}},
        ("image.registry: example.com", "image.repository: ghcr.io/x/y", "leave one"),
    ),
    "a duration past the range of its setting": (
        {"settings": {"drainSeconds": "1h"}},
        ("settings.drainSeconds: 1h", "3600 seconds", "from 0 to 600 seconds"),
    ),
    "a duration past the API's limit": (
        {"webhook": {"timeoutSeconds": "1m"}},
        ("webhook.timeoutSeconds: 1m", "60 seconds", "from 1 to 29 seconds"),
    ),
    "a certificate that outlives its CA by a duration": (
        {"settings": {"leafSeconds": "2h", "caSeconds": "90m"}},
        ("settings.leafSeconds: 2h", "settings.caSeconds: 90m", "cannot outlive"),
    ),
    "provided certificates without a Secret": (
        {"certificates": {"mode": "provided"}},
        ("certificates.mode: provided", "certificates.secretName", "tls.crt, tls.key and ca.crt"),
    ),
    "cert-manager without an issuer": (
        {"certificates": {"mode": "certManager"}},
        ("certificates.mode: certManager", "certificates.issuerRef.name", "ClusterIssuer"),
    ),
    "an issuer without cert-manager": (
        {"certificates": {"issuerRef": {"name": "ca"}}},
        ("certificates.issuerRef.name: ca", "selfSigned", "certManager"),
    ),
    "a certificate that outlives its CA": (
        {"settings": {"leafSeconds": 7200, "caSeconds": 3600}},
        ("settings.leafSeconds: 7200", "settings.caSeconds: 3600", "cannot outlive"),
    ),
    "a Service that points nowhere": (
        {"service": {"type": "ExternalName"}},
        ("service.type: ExternalName", "service.externalName"),
    ),
    "a pointer that no Service uses": (
        {"service": {"externalName": "localhost"}},
        ("service.externalName: localhost", "service.type: ClusterIP"),
    ),
    "both monitors": (
        {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}},
        ("serviceMonitor.enabled", "podMonitor.enabled", "one of them"),
    ),
    "the default ServiceAccount": (
        {"serviceAccount": {"create": False}},
        ("serviceAccount.create: false", "serviceAccount.name"),
    ),
    "a setting past the settings": (
        {"extraEnv": [{"name": "SIDECAR_INJECTOR_LOG_LEVEL", "value": "debug"}]},
        ("extraEnv", "SIDECAR_INJECTOR_LOG_LEVEL", "settings"),
    ),
}
NODE_PORTS = {
    2379: "etcd",
    2380: "etcd",
    2381: "etcd",
    6443: "the API server",
    10248: "the kubelet",
    10249: "kube-proxy",
    10250: "the kubelet",
    10255: "the kubelet",
    10256: "kube-proxy",
    10257: "the controller manager",
    10258: "the cloud controller manager",
    10259: "the scheduler",
}
DURATIONS = (
    "settings.leafSeconds",
    "settings.caSeconds",
    "settings.caRollWaitSeconds",
    "settings.drainSeconds",
    "settings.auditSeconds",
    "webhook.timeoutSeconds",
)
SINGLE = {
    "an unknown key": ({"replicaCount": 2}, "replicaCount"),
    "an unknown key below": ({"image": {"name": "x"}}, "/image"),
    "an unknown setting": ({"settings": {"leafDays": 30}}, "leafDays"),
    "no replicas": ({"replicas": 0}, "/replicas"),
    "replicas as text": ({"replicas": "2"}, "/replicas"),
    "half a replica": ({"replicas": 1.5}, "/replicas"),
    "an unknown failure policy": (
        {"webhook": {"failurePolicy": "ignore"}},
        "/webhook/failurePolicy",
    ),
    "a timeout over the API's limit": (
        {"webhook": {"timeoutSeconds": 30}},
        "/webhook/timeoutSeconds",
    ),
    "a port that needs a capability": ({"webhook": {"securePort": 443}}, "/webhook/securePort"),
    "an admin port that needs a capability": (
        {"settings": {"adminPort": 80}},
        "/settings/adminPort",
    ),
    "a strategy of another kind of workload": (
        {"strategy": {"type": "OnDelete"}},
        "/strategy/type",
    ),
    "a selector with a field that no selector has": (
        {"webhook": {"objectSelector": {"matchLables": {}}}},
        "/webhook/objectSelector",
    ),
    "a registry with a scheme": (
        {"global": {"imageRegistry": "https://example.com"}},
        "/global/imageRegistry",
    ),
    "an unknown mode": ({"certificates": {"mode": "vault"}}, "/certificates/mode"),
    "a digest that is none": ({"image": {"digest": "latest"}}, "/image/digest"),
    "a negative drain": ({"settings": {"drainSeconds": -1}}, "/settings/drainSeconds"),
    "an endless drain": ({"settings": {"drainSeconds": 601}}, "/settings/drainSeconds"),
    "an unknown log level": ({"settings": {"logLevel": "trace"}}, "/settings/logLevel"),
    "a label that is a number": ({"podLabels": {"a": 1}}, "/podLabels/a"),
    "a budget of zero": (
        {"podDisruptionBudget": {"maxUnavailable": 0}},
        "/podDisruptionBudget/maxUnavailable",
    ),
    "an interval that is none": (
        {"serviceMonitor": {"interval": "often"}},
        "/serviceMonitor/interval",
    ),
}


@pytest.mark.parametrize(("values", "expected"), list(TOGETHER.values()), ids=list(TOGETHER))
def test_values_that_contradict_each_other_are_refused_with_a_remedy(
    values: dict[str, Any], expected: tuple[str, ...], refusal: Refusal
) -> None:
    message = refusal(values)

    for part in expected:
        assert part in message


@pytest.mark.parametrize("port", NODE_PORTS)
@pytest.mark.parametrize("key", ["webhook.securePort", "settings.adminPort"])
def test_a_port_of_the_node_is_refused_on_its_network_only(
    key: str, port: int, template: Callable[..., Any]
) -> None:
    group, name = key.split(".")
    values = {group: {name: port}}

    assert template(values).returncode == 0
    refused = template({**values, "hostNetwork": True})
    assert refused.returncode != 0
    for part in (f"{key}: {port}", "hostNetwork: true", NODE_PORTS[port], "another port"):
        assert part in refused.stderr


@pytest.mark.parametrize("text", ["90d", "1.5h", "1H", "-1h", "1h ", "h", "", "1h1h1h1h", "soon"])
@pytest.mark.parametrize("key", DURATIONS)
def test_a_duration_of_another_form_is_refused_by_its_path(
    key: str, text: str, refusal: Refusal
) -> None:
    group, name = key.split(".")

    assert f"'/{group}/{name}'" in refusal({group: {name: text}})


@pytest.mark.parametrize(("values", "expected"), list(SINGLE.values()), ids=list(SINGLE))
def test_a_value_outside_the_schema_is_refused_by_its_path(
    values: dict[str, Any], expected: str, refusal: Refusal
) -> None:
    message = refusal(values)

    assert "don't meet the specifications of the schema" in message
    assert re.search(rf"{re.escape(expected)}\b", message), message


def test_clusters_that_are_too_old_are_refused(refusal: Refusal) -> None:
    assert "1.31.9" in refusal({}, kube_version="1.31.9")
