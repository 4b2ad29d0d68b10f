"""The metrics of the operator.

They live in a `Metrics` object that `app` creates and passes on; there is no global registry, so
two operators in one process (or test) do not mix their figures.
"""

from __future__ import annotations

import asyncio
import bisect
import dataclasses
import itertools
import math
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import prometheus_client
from prometheus_client import core

from sidecar_injector import __version__
from sidecar_injector.core import reasons

NAMESPACE: Final = "sidecar_injector"

LATENCY_BUCKETS: Final = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
)  # fmt: skip
LAG_BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Nothing may keep the event loop busy for more than 20 ms, as every pod waits so much longer."""
PATCH_BUCKETS: Final = (256, 512, 1024, 2048, 4096, 8192, 16_384, 65_536, 262_144)
AUDIT_BUCKETS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
WRITTEN: Final = (
    "secret", "mutatingwebhookconfigurations", "validatingwebhookconfigurations", "status", "pods",
    "lease", "mutatingadmissionpolicies", "mutatingadmissionpolicybindings",
    "validatingadmissionpolicies", "validatingadmissionpolicybindings",
)  # fmt: skip
"""What we write: `pods` are the counts in the status of an injection, `status` is the rest."""
WRITE_RESULTS: Final = ("written", "conflict", "failed")
EVENT_RESULTS: Final = ("posted", "counted", "dropped", "failed")
ERROR: Final = "error"
TOO_LARGE: Final = "TooLarge"
BUSY: Final = "Busy"
RESULTS: Final = (*(verdict.value for verdict in reasons.PodVerdict), ERROR, TOO_LARGE, BUSY)
"""What the answer to a review was. An error and a review that is too large admit the pod as it is;
while too many large ones wait, the API server is to ask again."""
REASONS: Final = tuple(reason.value for reason in reasons.Reason)
PODS, INJECTIONS, WORKLOADS = "pods", "injections", "workloads"
WEBHOOKS: Final = (PODS, INJECTIONS, WORKLOADS)
POD_STATES: Final = (
    "selected", "injected", "outdated", "skipped", "missing", "wouldInject", "optedOut",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class Instrument:
    """A metric as the manual lists it; counters have their suffix `_total`."""

    name: str
    kind: str
    text: str
    labels: tuple[str, ...]


# The client library's instruments take a lock for each observation: 0.5 µs for a counter and 1 µs
# for a histogram, against 0.1 µs and 0.3 µs for the two classes here. An admission that is answered
# from the response cache takes about 20 µs and needs two of each. Only for the event loop.


class Distribution:
    """A histogram without locks."""

    def __init__(self, name: str, text: str, bounds: tuple[float, ...]) -> None:
        self._name, self._text = name, text
        self._bounds = (*map(float, bounds), math.inf)
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value in the first bucket whose bound it does not exceed."""
        self._counts[bisect.bisect_left(self._bounds, value)] += 1
        self._sum += value

    def collect(self) -> Iterator[core.Metric]:
        """For the registry."""
        bounds = (*map(str, self._bounds[:-1]), "+Inf")
        buckets = list(zip(bounds, itertools.accumulate(self._counts), strict=True))
        yield core.HistogramMetricFamily(
            self._name, self._text, buckets=buckets, sum_value=self._sum
        )


class Tally:
    """A counter without locks, with one label whose values are all there from the start.

    rate() does not see the increase with which a new value appears.
    """

    def __init__(self, name: str, text: str, label: str, values: Iterable[str]) -> None:
        self._name, self._text, self._label = name, text, label
        self.counts = dict.fromkeys(values, 0)

    def collect(self) -> Iterator[core.Metric]:
        """For the registry."""
        family = core.CounterMetricFamily(self._name, self._text, labels=[self._label])
        for value, count in self.counts.items():
            family.add_metric([value], count)
        yield family


class Metrics:
    """The operator's instruments; every label is bounded and present from the start."""

    def __init__(self) -> None:
        self.registry = prometheus_client.CollectorRegistry()
        self._instruments: list[Instrument] = []
        prometheus_client.ProcessCollector(registry=self.registry)
        prometheus_client.GCCollector(registry=self.registry)
        self._add_admission()
        self._add_server()
        self._add_caches()
        self._add_certificates()
        self._add_writes()
        self._add_audit()

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """All metrics of ours."""
        return tuple(self._instruments)

    def count_loops(self, loops: Iterable[str]) -> Callable[[str], None]:
        """A function that counts a failure of one of these loops."""
        for loop in loops:
            self.loop_failures.labels(loop)
        return lambda loop: self.loop_failures.labels(loop).inc()

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes."""
        return prometheus_client.generate_latest(self.registry)

    def _add_admission(self) -> None:
        self.admission_requests = self._tally(
            "admission_requests_total", "Pods that the API server asked about.", "result", RESULTS
        )
        self.webhook_requests = self._tally(
            "webhook_requests_total", "Requests of API servers, by webhook.", "webhook", WEBHOOKS
        )
        self.decisions = self._tally(
            "decisions_total", "Decisions by reason code, without dry runs.", "reason", REASONS
        )
        self.dry_run_injections = self._tally(
            "dry_run_injections_total",
            "What would become of injections with spec.dryRun, by reason code.",
            "reason",
            REASONS,
        )
        self.admission_duration = self._histogram(
            "admission_duration_seconds", "From the whole request to its answer.", LATENCY_BUCKETS
        )
        self.unchecked_injections = self._counter(
            "unchecked_injections_total",
            "Injections admitted unjudged, as too many waited or one took too long.",
        )
        self.patch_bytes = self._histogram(
            "patch_bytes", "Size of the JSON patches.", PATCH_BUCKETS
        )

    def _add_server(self) -> None:
        """The HTTP server, the event loop and the process."""
        self.inflight_requests = self._gauge("inflight_requests", "Requests being answered now.")
        self.http_errors = self._counter(
            "http_errors_total", "Requests refused by status code.", "code"
        )
        self.handshake_failures = self._counter(
            "tls_handshake_failures_total",
            "TLS handshakes that failed, by OpenSSL reason.",
            "reason",
        )
        self.connections_evicted = self._counter(
            "connections_evicted_total", "Connections closed as there were too many."
        )
        self.loop_lag = self._histogram(
            "loop_lag_seconds", "How late the event loop woke us.", LAG_BUCKETS
        )
        self.loop_held = self._histogram(
            "loop_held_seconds",
            "How long our own work may have kept the event loop from waking us.",
            LAG_BUCKETS,
        )
        self.log_lines_dropped = self._counter(
            "log_lines_dropped_total", "Warnings and errors that came too often to be logged."
        )
        self.loop_failures = self._counter(
            "loop_failures_total", "How often a loop of the operator broke and began anew.", "loop"
        )
        self._gauge(
            "build_info", "Always 1; the labels tell the version.", "version", "python"
        ).labels(version=__version__, python=platform.python_version()).set(1)

    def _add_caches(self) -> None:
        self.cache_synced = self._gauge(
            "cache_synced", "1 once a cache has been filled by a whole list.", "resource"
        )
        self.injections_not_kept = self._gauge(
            "injections_not_kept",
            "Injections that are never applied, because there is no room for more in memory.",
            "kind",
        )
        self.cache_last_event = self._gauge(
            "cache_last_event_timestamp_seconds",
            "When a cache last heard from the API.",
            "resource",
        )

    def _add_certificates(self) -> None:
        self.certificate_expiration = self._gauge(
            "certificate_expiration_timestamp_seconds",
            "End of the certificate's life.",
            "certificate",
        )
        self.certificate_lifetime = self._gauge(
            "certificate_lifetime_seconds", "How long the serving certificate is valid in all."
        )
        self.certificate_problem = self._gauge(
            "certificate_problem", "1 while there is this problem; an Event tells more.", "problem"
        )
        self.certificate_rollbacks = self._counter(
            "certificate_rollbacks_total", "New certificates taken back as clients refused them."
        )
        self.clock_skew = self._gauge(
            "clock_skew_seconds", "How far our clock is ahead of the API server's, at least."
        )
        self.ca_bundle_in_sync = self._gauge(
            "ca_bundle_in_sync",
            "1 while the configuration carries our bundle or, if others write it, trusts us.",
            "configuration",
        )

    def _add_writes(self) -> None:
        self.writes = self._counter(
            "writes_total", "Writes to the API by object and result.", "object", "result"
        )
        for labels in itertools.product(WRITTEN, WRITE_RESULTS):
            self.writes.labels(*labels)
        self.policy_in_sync = self._gauge(
            "policy_in_sync",
            "0 while the leader cannot bring the admission policies to what injections ask for.",
        )
        self.events = self._counter("events_total", "Events by what became of them.", "result")
        for result in EVENT_RESULTS:
            self.events.labels(result)

    def _add_audit(self) -> None:
        self.leader = self._gauge("leader", "1 while this replica holds the Lease and audits.")
        self.audit_duration = self._histogram(
            "audit_duration_seconds", "How long an audit of all pods took.", AUDIT_BUCKETS
        )
        self.audit_last = self._gauge(
            "audit_last_success_timestamp_seconds",
            "When the leader last finished an audit of all pods; 0 on the others.",
        )
        self.audit_failures = self._counter(
            "audit_failures_total", "Audits that were given up as the API did not answer well."
        )
        self.audit_pods = self._gauge(
            "audit_pods", "Pods by state, summed over injections; 0 but on the leader.", "state"
        )
        for state in POD_STATES:
            self.audit_pods.labels(state)

    def _counter(self, name: str, text: str, *labels: str) -> prometheus_client.Counter:
        self._list(name, "counter", text, *labels)
        return prometheus_client.Counter(
            name, text, labels, namespace=NAMESPACE, registry=self.registry
        )

    def _tally(self, name: str, text: str, label: str, values: Iterable[str]) -> Tally:
        self._list(name, "counter", text, label)
        tally = Tally(f"{NAMESPACE}_{name}", text, label, values)
        self.registry.register(tally)
        return tally

    def _gauge(self, name: str, text: str, *labels: str) -> prometheus_client.Gauge:
        self._list(name, "gauge", text, *labels)
        return prometheus_client.Gauge(
            name, text, labels, namespace=NAMESPACE, registry=self.registry
        )

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Distribution:
        self._list(name, "histogram", text)
        distribution = Distribution(f"{NAMESPACE}_{name}", text, buckets)
        self.registry.register(distribution)
        return distribution

    def _list(self, name: str, kind: str, text: str, *labels: str) -> None:
        self._instruments.append(Instrument(f"{NAMESPACE}_{name}", kind, text, labels))


async def measure_lag(metrics: Metrics, *, every: float) -> None:
    """Record how much later than requested the event loop wakes us, until cancelled.

    It is late if a callback took long, or if the process got no processor. A callback takes
    processor time, so it kept the loop for at most the lag, and at most the processor time spent.
    """
    loop = asyncio.get_running_loop()
    while True:
        due, spent = loop.time() + every, time.process_time()
        await asyncio.sleep(every)
        late = max(loop.time() - due, 0.0)
        metrics.loop_lag.observe(late)
        metrics.loop_held.observe(min(late, time.process_time() - spent))
