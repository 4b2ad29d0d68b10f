"""Situations in which an alert of the chart should fire, or should not."""

from __future__ import annotations

import dataclasses

OURS = '{namespace="sidecar-injector",pod="a"%s}'
WEBHOOK = '{name="pods.sidecar-injector.dev"%s}'
NOW = 1200
"""Seconds since the beginning when the alerts are looked at, unless a situation says otherwise."""
LEAF_SECONDS = 10_000
SOON, LATER = NOW + LEAF_SECONDS // 10, NOW + LEAF_SECONDS
"""When certificates end: with a tenth of their life left, and right after they were renewed."""


@dataclasses.dataclass(frozen=True)
class Situation:
    """Series by name, as promtool writes them (`0+6x30` is 0, 6, 12, ... a minute apart)."""

    alert: str
    when: str
    series: dict[str, str]
    fires: bool
    minutes: int = NOW // 60
    labels: dict[str, str] = dataclasses.field(default_factory=dict)
    """What the alert takes from the series."""


def ours(name: str, labels: str = "") -> str:
    return f"sidecar_injector_{name}{OURS % (labels and f',{labels}')}"


def webhook(name: str, labels: str = "") -> str:
    return f"apiserver_admission_webhook_{name}{WEBHOOK % (labels and f',{labels}')}"


def leaf(*, ends: int, lifetime: int) -> dict[str, str]:
    """The series of a serving certificate."""
    return {
        ours("certificate_expiration_timestamp_seconds", 'certificate="leaf"'): f"{ends}x60",
        ours("certificate_lifetime_seconds"): f"{lifetime}x60",
    }


SITUATIONS = (
    Situation("Down", "nothing is scraped", {}, True, labels={"namespace": "sidecar-injector"}),
    Situation("Down", "one replica is", {ours("build_info"): "1x60"}, False),
    Situation("Down", "it has just gone", {ours("build_info"): "1x12 _x20"}, False, 18),
    Situation("FailingOpen", "a pod was missed",
        {webhook("fail_open_count"): "0x15 1x10"}, True, 17),
    Situation("FailingOpen", "the first one ever was missed",
        {webhook("fail_open_count"): "_x15 1x10", "up": "1x40"}, True, 17),
    Situation("FailingOpen", "Prometheus has just begun to scrape a server that missed some",
        {webhook("fail_open_count"): "_x15 7x10", "up": "_x15 1x10"}, False, 17),
    Situation("FailingOpen", "a pod that opts out was missed",
        {'apiserver_admission_webhook_fail_open_count{name="opted-out.pods.sidecar-injector.dev"}':
         "0x15 1x10"}, True, 17),
    Situation("FailingOpen", "that was long ago", {webhook("fail_open_count"): "0 1x40"}, False),
    Situation("FailingOpen", "another webhook was not answered",
        {'apiserver_admission_webhook_fail_open_count{name="x"}': "0x15 1x10"}, False, 17),
    Situation("RefusingPods", "calls fail",
        {webhook("rejection_count", 'error_type="calling_webhook_error"'): "0x15 1x10"}, True, 17),
    Situation("RefusingPods", "the first call ever fails",
        {webhook("rejection_count", 'error_type="calling_webhook_error"'): "_x15 1x10",
         "up": "1x40"}, True, 17),
    Situation("RefusingPods", "an injection refuses",
        {webhook("rejection_count", 'error_type="no_error"'): "0x15 1x10"}, False, 17),
    Situation("PodsRefused", "a controller tries again and again",
        {ours("admission_requests_total", 'result="Refused"'): "0x5 1+1x40"}, True),
    Situation("PodsRefused", "one pod was refused, half an hour ago",
        {ours("admission_requests_total", 'result="Refused"'): "0x5 1x60"}, False, 40),
    Situation("PodsRefused", "pods are injected",
        {ours("admission_requests_total", 'result="Refused"'): "0x60",
         ours("admission_requests_total", 'result="Injected"'): "0+6x60"}, False),
    Situation("UnknownNames", "a name does not exist",
        {ours("decisions_total", 'reason="UnknownInjection"'): "0x5 1x60"},
        True, labels={"reason": "UnknownInjection"}),
    Situation("UnknownNames", "a value cannot be read",
        {ours("decisions_total", 'reason="InvalidAnnotation"'): "0x5 1x60"},
        True, labels={"reason": "InvalidAnnotation"}),
    Situation("UnknownNames", "pods have other reasons",
        {ours("decisions_total", 'reason="NotRequested"'): "0+1x60"}, False),
    Situation("Errors", "one in ten",
        {ours("admission_requests_total", 'result="error"'): "0+6x60",
         ours("admission_requests_total", 'result="Injected"'): "0+54x60"}, True),
    Situation("Errors", "one in a thousand",
        {ours("admission_requests_total", 'result="error"'): "0+6x60",
         ours("admission_requests_total", 'result="Injected"'): "0+5994x60"}, False),
    Situation("Errors", "nobody asks",
        {ours("admission_requests_total", 'result="error"'): "0x60"}, False),
    Situation("Slow", "one in ten takes a second",
        {ours("admission_duration_seconds_bucket", 'le="0.5"'): "0+54x60",
         ours("admission_duration_seconds_bucket", 'le="1.0"'): "0+60x60",
         ours("admission_duration_seconds_bucket", 'le="+Inf"'): "0+60x60"}, True),
    Situation("Slow", "all take a millisecond",
        {ours("admission_duration_seconds_bucket", 'le="0.001"'): "0+60x60",
         ours("admission_duration_seconds_bucket", 'le="+Inf"'): "0+60x60"}, False),
    Situation("CertificateExpiring", "a tenth of its life is left",
        leaf(ends=SOON, lifetime=LEAF_SECONDS), True),
    Situation("CertificateExpiring", "it was renewed",
        leaf(ends=LATER, lifetime=LEAF_SECONDS), False),
    Situation("CertificateExpiring", "another issuer's lives for a short time, a quarter is left",
        leaf(ends=SOON, lifetime=LEAF_SECONDS * 2 // 5), False),
    Situation("CertificateExpiring", "another issuer's lives for a short time, a tenth is left",
        leaf(ends=NOW + LEAF_SECONDS // 25, lifetime=LEAF_SECONDS * 2 // 5), True),
    Situation("CertificateExpiring", "the administrator's lives for years, a tenth is left",
        leaf(ends=LATER, lifetime=10 * LEAF_SECONDS), False),
    Situation("CertificateExpiring", "an old CA ends",
        {ours("certificate_expiration_timestamp_seconds", 'certificate="previous"'): "1x60",
         ours("certificate_lifetime_seconds"): f"{LEAF_SECONDS}x60"},
        False),
    Situation("BundleOutOfSync", "one replica sees a foreign one",
        {ours("ca_bundle_in_sync", 'configuration="mutating"'): "0x60"},
        True, labels={"configuration": "mutating"}),
    Situation("BundleOutOfSync", "it was wiped and mended",
        {ours("ca_bundle_in_sync", 'configuration="mutating"'): "1x16 0 1x30"}, False),
    Situation("PolicyStale", "the leader has no right to write it",
        {ours("policy_in_sync"): "0x60"}, True),
    Situation("PolicyStale", "it was changed by hand and mended",
        {ours("policy_in_sync"): "1x16 0 1x30"}, False),
    Situation("CacheNotSynced", "a list fails",
        {ours("cache_synced", 'resource="namespaces"'): "0x60"},
        True, labels={"resource": "namespaces"}),
    Situation("CacheNotSynced", "all is listed",
        {ours("cache_synced", 'resource="namespaces"'): "1x60"}, False),
    Situation("CertificateProblem", "a pair cannot be loaded",
        {ours("certificate_problem", 'problem="CertificateNotLoaded"'): "0x5 1x60"},
        True, labels={"problem": "CertificateNotLoaded"}),
    Situation("CertificateProblem", "it is over",
        {ours("certificate_problem", 'problem="ClockSkew"'): "1x15 0x60"}, False),
    Situation("LoopBroken", "it breaks once a minute",
        {ours("loop_failures_total", 'loop="status"'): "0+1x60"}, True, labels={"loop": "status"}),
    Situation("LoopBroken", "it broke once",
        {ours("loop_failures_total", 'loop="status"'): "0x15 1x60"}, False),
    Situation("AuditStale", "the last one was at the beginning",
        {ours("audit_last_success_timestamp_seconds"): "1x60"}, True),
    Situation("AuditStale", "the other replica is the leader",
        {ours("audit_last_success_timestamp_seconds"): "0x60",
         ours("audit_last_success_timestamp_seconds", 'replica="b"'): "0+60x60"}, False),
    Situation("PodsMissing", "for more than an hour",
        {ours("audit_pods", 'state="missing"'): "3x90"}, True, minutes=80),
    Situation("PodsMissing", "others are outdated",
        {ours("audit_pods", 'state="outdated"'): "3x90"}, False, minutes=80),
)  # fmt: skip
