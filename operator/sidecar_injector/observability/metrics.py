"""How the operator is seen from outside, in figures.

Instruments live in a `Metrics` object that `app` makes and hands around; there is no global
registry, so two operators in one process (or test) do not mix their figures.
"""

from __future__ import annotations

import asyncio
import itertools
import platform
import time
from typing import Final

import prometheus_client

from sidecar_injector import __version__
from sidecar_injector.core import reasons
from sidecar_injector.observability import instruments

LATENCY_BUCKETS: Final = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
)  # fmt: skip
LAG_BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Nothing may hold the loop for longer than 20 ms: that is a pod's wait on top of its own."""
PATCH_BUCKETS: Final = (256, 512, 1024, 2048, 4096, 8192, 16_384, 65_536, 262_144)
AUDIT_BUCKETS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
WRITTEN: Final = (
    "secret", "mutatingwebhookconfigurations", "validatingwebhookconfigurations", "status", "pods",
    "lease",
)  # fmt: skip
"""What we write: `pods` are the counts in the status of an injection, `status` is the rest."""
WRITE_RESULTS: Final = ("written", "conflict", "failed")
EVENT_RESULTS: Final = ("posted", "counted", "dropped", "failed")
ERROR: Final = "error"
RESULTS: Final = (*(verdict.value for verdict in reasons.PodVerdict), ERROR)
"""What the answer to a review was; an error admits the pod as it is."""
REASONS: Final = tuple(reason.value for reason in reasons.Reason)
POD_STATES: Final = ("selected", "injected", "outdated", "skipped", "missing")


class Metrics:
    """The operator's instruments; every label is bounded and present from the start."""

    def __init__(self) -> None:
        self.registry = registry = prometheus_client.CollectorRegistry()
        prometheus_client.ProcessCollector(registry=registry)
        prometheus_client.GCCollector(registry=registry)

        make = instruments.Maker(registry)
        self.admission_requests = make.tally(
            "admission_requests_total", "Pods that the API server asked about.", "result", RESULTS
        )
        self.decisions = make.tally(
            "decisions_total", "Decisions by reason code.", "reason", REASONS
        )
        self.admission_duration = make.histogram(
            "admission_duration_seconds", "From the whole request to its answer.", LATENCY_BUCKETS
        )
        self.patch_bytes = make.histogram("patch_bytes", "Size of the JSON patches.", PATCH_BUCKETS)
        self._make_operators(make)
        self._make_auditors(make)
        self.instruments = tuple(make.made)

    def _make_operators(self, make: instruments.Maker) -> None:
        """Those that are about the operator rather than about pods."""
        self.inflight_requests = make.gauge("inflight_requests", "Requests being answered now.")
        self.http_errors = make.counter(
            "http_errors_total", "Requests refused by status code.", "code"
        )
        self.handshake_failures = make.counter(
            "tls_handshake_failures_total",
            "TLS handshakes that failed, by OpenSSL reason.",
            "reason",
        )
        self.connections_evicted = make.counter(
            "connections_evicted_total", "Connections closed as there were too many."
        )
        self.loop_lag = make.histogram(
            "loop_lag_seconds", "How late the event loop woke us.", LAG_BUCKETS
        )
        self.loop_held = make.histogram(
            "loop_held_seconds",
            "How long our own work may have kept the event loop from waking us.",
            LAG_BUCKETS,
        )
        make.gauge(
            "build_info", "Always 1; the labels tell the version.", "version", "python"
        ).labels(version=__version__, python=platform.python_version()).set(1)
        self._make_keepers(make)

    def _make_keepers(self, make: instruments.Maker) -> None:
        """Those of what is kept: caches, certificates, and what is written to the API."""
        self.cache_synced = make.gauge(
            "cache_synced", "1 once a cache has been filled by a whole list.", "resource"
        )
        self.cache_last_event = make.gauge(
            "cache_last_event_timestamp_seconds",
            "When a cache last heard from the API.",
            "resource",
        )
        self.certificate_expiration = make.gauge(
            "certificate_expiration_timestamp_seconds",
            "End of the certificate's life.",
            "certificate",
        )
        self.certificate_problem = make.gauge(
            "certificate_problem", "1 while there is this problem; an Event tells more.", "problem"
        )
        self.certificate_rollbacks = make.counter(
            "certificate_rollbacks_total", "New certificates taken back as clients refused them."
        )
        self.clock_skew = make.gauge(
            "clock_skew_seconds", "How far our clock is ahead of the API server's, at least."
        )
        self.ca_bundle_in_sync = make.gauge(
            "ca_bundle_in_sync", "1 while the configuration carries our bundle.", "configuration"
        )
        self.writes = make.counter(
            "writes_total", "Writes to the API by object and result.", "object", "result"
        )

    def _make_auditors(self, make: instruments.Maker) -> None:
        """Those of the leader's work, and of what is told to people."""
        for labels in itertools.product(WRITTEN, WRITE_RESULTS):
            self.writes.labels(*labels)
        self.events = make.counter("events_total", "Events by what became of them.", "result")
        for result in EVENT_RESULTS:
            self.events.labels(result)
        self.leader = make.gauge("leader", "1 while this replica holds the Lease and audits.")
        self.audit_duration = make.histogram(
            "audit_duration_seconds", "How long an audit of all pods took.", AUDIT_BUCKETS
        )
        self.audit_last = make.gauge(
            "audit_last_success_timestamp_seconds",
            "When the leader last finished an audit of all pods; 0 on the others.",
        )
        self.audit_failures = make.counter(
            "audit_failures_total", "Audits that were given up as the API did not answer well."
        )
        self.audit_pods = make.gauge(
            "audit_pods", "Pods by state, summed over injections; 0 but on the leader.", "state"
        )
        for state in POD_STATES:
            self.audit_pods.labels(state)

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes."""
        return prometheus_client.generate_latest(self.registry)


async def measure_lag(metrics: Metrics, *, every: float) -> None:
    """Record how much later than asked the event loop wakes us, until cancelled.

    It is late where a callback has held it, and where the process got no processor. The first takes
    processor time: it held the loop for no longer than we were late, nor than we have worked.
    """
    loop = asyncio.get_running_loop()
    while True:
        due, spent = loop.time() + every, time.process_time()
        await asyncio.sleep(every)
        late = max(loop.time() - due, 0.0)
        metrics.loop_lag.observe(late)
        metrics.loop_held.observe(min(late, time.process_time() - spent))
