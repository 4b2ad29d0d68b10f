"""How the operator is seen from outside: its log lines and its metrics.

Instruments live in a `Metrics` object that `app` makes and hands around; there is no global
registry, so two operators in one process (or test) do not mix their figures.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import logging
import platform
import sys
import time
from typing import Any, BinaryIO, Final

import orjson
import prometheus_client

from sidecar_injector import __version__, settings

FLUSH_SECONDS: Final = 0.05
"""How long a line may wait for others before all of them are written."""
NAMESPACE: Final = "sidecar_injector"
LATENCY_BUCKETS: Final = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
)  # fmt: skip
LAG_BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Nothing may hold the loop for longer than 20 ms: that is a pod's wait on top of its own."""
PATCH_BUCKETS: Final = (256, 512, 1024, 2048, 4096, 8192, 16_384, 65_536, 262_144)


class _Maker:
    """Instruments of one registry, named as ours."""

    def __init__(self, registry: prometheus_client.CollectorRegistry) -> None:
        self._registry = registry

    def counter(self, name: str, text: str, *labels: str) -> prometheus_client.Counter:
        return prometheus_client.Counter(
            name, text, labels, namespace=NAMESPACE, registry=self._registry
        )

    def gauge(self, name: str, text: str, *labels: str) -> prometheus_client.Gauge:
        return prometheus_client.Gauge(
            name, text, labels, namespace=NAMESPACE, registry=self._registry
        )

    def histogram(
        self, name: str, text: str, buckets: tuple[float, ...]
    ) -> prometheus_client.Histogram:
        return prometheus_client.Histogram(
            name, text, (), namespace=NAMESPACE, registry=self._registry, buckets=buckets
        )


class Metrics:
    """The operator's instruments; every label is bounded and present from the start."""

    def __init__(self) -> None:
        self.registry = registry = prometheus_client.CollectorRegistry()
        prometheus_client.ProcessCollector(registry=registry)
        prometheus_client.GCCollector(registry=registry)

        make = _Maker(registry)
        self.admission_requests = make.counter(
            "admission_requests_total", "Pods that the API server asked about.", "result"
        )
        self.decisions = make.counter("decisions_total", "Decisions by reason code.", "reason")
        self.admission_duration = make.histogram(
            "admission_duration_seconds", "From the whole request to its answer.", LATENCY_BUCKETS
        )
        self.patch_bytes = make.histogram("patch_bytes", "Size of the JSON patches.", PATCH_BUCKETS)
        self._make_operators(make)

    def _make_operators(self, make: _Maker) -> None:
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
        self.loop_lag = make.histogram(
            "loop_lag_seconds", "How late the event loop woke us.", LAG_BUCKETS
        )
        make.gauge(
            "build_info", "Always 1; the labels tell the version.", "version", "python"
        ).labels(version=__version__, python=platform.python_version()).set(1)

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes."""
        return prometheus_client.generate_latest(self.registry)


async def measure_lag(metrics: Metrics, *, every: float) -> None:
    """Record how much later than asked the event loop wakes us, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + every
        await asyncio.sleep(every)
        metrics.loop_lag.observe(max(loop.time() - due, 0.0))


_CONTROLS: Final = {
    code: repr(chr(code))[1:-1] for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)
}


def one_line(text: str) -> str:
    """The text without line breaks and terminal commands, which are written as escapes.

    A pod's author chooses some of the names that people read in a log or on a terminal.
    """
    return text.translate(_CONTROLS)


class TextFormatter(logging.Formatter):
    """One line a record, but for a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if record.exc_info else one_line(text)


def _rfc3339(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class JsonFormatter(logging.Formatter):
    """One JSON object a line. A record's `fields` (a dict given as `extra`) become its members."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return _dumped(line).decode()


def _dumped(line: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(line, default=str)
    except orjson.JSONEncodeError:
        # Half a surrogate pair, an integer of more than 64 bits: a line is never lost to one.
        return json.dumps(line, default=str).encode()


class Lines(logging.Handler):
    """Writes the log in blocks: what the event loop logs within some milliseconds at once.

    A write for each line costs more than the line. Warnings and errors, lines from other threads
    and from before the loop runs are written at once, with all that came before them.
    """

    def __init__(self, stream: BinaryIO, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.is_json = isinstance(formatter, JsonFormatter)
        self._stream = stream
        self._waiting: list[bytes] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record as the formatter has it."""
        try:
            text = self.format(record).encode(errors="backslashreplace")
        except Exception:  # noqa: BLE001 - what logging asks of every handler
            self.handleError(record)
        else:
            self._write(text + b"\n", at_once=record.levelno >= logging.WARNING)

    def write_json(self, line: dict[str, Any]) -> None:
        """Write a line that is no record, with the time before it."""
        self._write(_dumped({"time": _rfc3339(time.time()), **line}) + b"\n", at_once=False)

    def flush(self) -> None:
        """Write what is waiting; at the end of the process `logging` calls this."""
        waiting, self._waiting = self._waiting, []
        with contextlib.suppress(OSError, ValueError):
            # Nobody reads it any more. There is no better place to say so.
            self._stream.write(b"".join(waiting))
            self._stream.flush()

    def _write(self, line: bytes, *, at_once: bool) -> None:
        self._waiting.append(line)
        if len(self._waiting) > 1 and not at_once:
            return
        with contextlib.suppress(RuntimeError):
            if not at_once:
                asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)
                return
        self.flush()


def configure_logging(*, log_format: str, log_level: str) -> None:
    """Send every log line of the process to stderr; `auto` is text on a terminal, else JSON."""
    if log_format == "json" or (log_format == "auto" and not sys.stderr.isatty()):
        formatter: logging.Formatter = JsonFormatter()
    else:
        formatter = TextFormatter("%(asctime)s %(levelname)-7s %(message)s")

    assert log_level in settings.LOG_LEVELS
    root = logging.getLogger()
    root.handlers[:] = [Lines(sys.stderr.buffer, formatter)]
    root.setLevel(log_level.upper())
