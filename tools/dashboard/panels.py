"""The panels of the dashboard, in the order in which they are read."""

from __future__ import annotations

import dataclasses
from typing import Final

OURS: Final = '{namespace=~"$namespace"}'
WEBHOOK: Final = '{name=~"(opted-out[.])?pods[.]sidecar-injector[.]dev"}'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Panel:
    """One graph or number: what it answers, and its queries by what their lines are called."""

    title: str
    about: str
    queries: dict[str, str]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8


def _rate(metric: str, by: str) -> str:
    return f"sum by ({by}) (rate({metric}{OURS}[$__rate_interval]))"


def _quantile(quantile: float, metric: str, selector: str = OURS) -> str:
    rate = f"sum by (le) (rate({metric}_bucket{selector}[$__rate_interval]))"
    return f"histogram_quantile({quantile}, {rate})"


def _quantiles(metric: str, selector: str = OURS) -> dict[str, str]:
    return {"p50": _quantile(0.5, metric, selector), "p99": _quantile(0.99, metric, selector)}


PANELS: Final = (
    Panel(
        title="Replicas", kind="stat", width=4,
        about="Replicas that Prometheus reaches.",
        queries={"replicas": f"count(sidecar_injector_build_info{OURS})"},
    ),
    Panel(
        title="Certificate ends in", kind="stat", unit="s", width=4,
        about="The soonest end of the serving certificate over all replicas.",
        queries={
            "leaf": "min(sidecar_injector_certificate_expiration_timestamp_seconds"
            '{namespace=~"$namespace",certificate="leaf"}) - time()'
        },
    ),
    Panel(
        title="CA bundle in place", kind="stat", width=4,
        about="1 while every webhook configuration carries our CA, as every replica sees it.",
        queries={"bundle": f"min(sidecar_injector_ca_bundle_in_sync{OURS})"},
    ),
    Panel(
        title="Pods that were not asked about", kind="stat", width=6,
        about="The API server got no answer and created them without their sidecars, last day.",
        queries={
            "pods": f"sum(increase(apiserver_admission_webhook_fail_open_count{WEBHOOK}[1d]))"
        },
    ),
    Panel(
        title="Errors of our own", kind="stat", width=6,
        about="Pods that were admitted unchanged because of a bug, last day.",
        queries={
            "pods": "sum(increase(sidecar_injector_admission_requests_total"
            '{namespace=~"$namespace",result="error"}[1d]))'
        },
    ),
    Panel(
        title="Pods by result", unit="reqps",
        about="What became of the pods that the API server asked about.",
        queries={"{{result}}": _rate("sidecar_injector_admission_requests_total", "result")},
    ),
    Panel(
        title="Reasons", unit="reqps",
        about="Why pods were injected or not; docs/decision.md says what each means.",
        queries={"{{reason}}": _rate("sidecar_injector_decisions_total", "reason") + " > 0"},
    ),
    Panel(
        title="Time of an answer", unit="s",
        about="From the whole request to its answer, inside the operator.",
        queries=_quantiles("sidecar_injector_admission_duration_seconds"),
    ),
    Panel(
        title="Time as the API server sees it", unit="s",
        about="With network, TLS and waiting: what a pod's creation takes longer.",
        queries=_quantiles("apiserver_admission_webhook_admission_duration_seconds", WEBHOOK),
    ),
    Panel(
        title="Lateness of the event loop", unit="s",
        about="How late the loop woke; high means that something keeps a replica busy.",
        queries=_quantiles("sidecar_injector_loop_lag_seconds"),
    ),
    Panel(
        title="Size of patches", unit="bytes",
        about="Patches are small whatever the size of the pod.",
        queries=_quantiles("sidecar_injector_patch_bytes"),
    ),
    Panel(
        title="Requests that were refused", unit="reqps",
        about="Malformed or too large requests by status code; an API server causes none.",
        queries={"{{code}}": _rate("sidecar_injector_http_errors_total", "code")},
    ),
    Panel(
        title="Failed TLS handshakes", unit="reqps",
        about="By reason: an alert such as bad certificate is a client that does not trust us.",
        queries={"{{reason}}": _rate("sidecar_injector_tls_handshake_failures_total", "reason")},
    ),
    Panel(
        title="Pods by their sidecars",
        about="What the last audit counted, summed over injections.",
        queries={"{{state}}": f"sum by (state) (sidecar_injector_audit_pods{OURS})"},
    ),
    Panel(
        title="Trouble with certificates",
        about="1 while there is this problem on some replica; an Event on the Secret tells more.",
        queries={"{{problem}}": f"max by (problem) (sidecar_injector_certificate_problem{OURS})"},
    ),
    Panel(
        title="Silence of the caches", unit="s",
        about="Seconds since a cache last heard from the API server.",
        queries={
            "{{resource}}": "time() - min by (resource) "
            f"(sidecar_injector_cache_last_event_timestamp_seconds{OURS})"
        },
    ),
    Panel(
        title="Writes to the API", unit="wps",
        about="Statuses, Events, Secret and bundles, by result.",
        queries={"{{object}} {{result}}": _rate("sidecar_injector_writes_total", "object, result")},
    ),
    Panel(
        title="Memory", unit="bytes",
        about="Resident memory of each replica.",
        queries={"{{pod}}": f"process_resident_memory_bytes{OURS}"},
    ),
    Panel(
        title="CPU",
        about="Cores that each replica uses.",
        queries={"{{pod}}": f"rate(process_cpu_seconds_total{OURS}[$__rate_interval])"},
    ),
)  # fmt: skip
