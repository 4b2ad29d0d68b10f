"""Values that make no sense are refused before anything reaches a cluster, with a sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

Refusal = Callable[..., str]

ONE_REPLICA = {"replicas": 1, "podDisruptionBudget": {"enabled": False}}
TOGETHER = {
    "one replica that may refuse pods": (
        {**ONE_REPLICA, "webhook": {"failurePolicy": "Fail"}},
        ("replicas: 1", "webhook.failurePolicy: Fail", "set replicas to 2"),
    ),
    "a budget for one replica": (
        {"replicas": 1},
        (
            "podDisruptionBudget.enabled: true",
            "replicas: 1",
            "podDisruptionBudget.enabled to false",
        ),
    ),
    "a budget that says it twice": (
        {"podDisruptionBudget": {"minAvailable": 1}},
        ("podDisruptionBudget", "exactly one of minAvailable and maxUnavailable"),
    ),
    "a budget that says nothing": (
        {"podDisruptionBudget": {"maxUnavailable": None}},
        ("exactly one of minAvailable and maxUnavailable",),
    ),
    "a budget that lets no replica go": (
        {"podDisruptionBudget": {"minAvailable": 2, "maxUnavailable": None}},
        ("podDisruptionBudget.minAvailable: 2", "replicas: 2", "below replicas"),
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
    "the admin port twice": ({"webhook": {"securePort": 8080}}, "/webhook/securePort"),
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


@pytest.mark.parametrize(("values", "expected"), list(SINGLE.values()), ids=list(SINGLE))
def test_a_value_outside_the_schema_is_refused_by_its_path(
    values: dict[str, Any], expected: str, refusal: Refusal
) -> None:
    message = refusal(values)

    assert "don't meet the specifications of the schema" in message
    assert re.search(rf"{re.escape(expected)}\b", message), message


def test_clusters_that_are_too_old_are_refused(refusal: Refusal) -> None:
    assert "1.31.9" in refusal({}, kube_version="1.31.9")
