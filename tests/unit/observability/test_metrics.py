"""Log lines that machines and people can read, and metrics that are there from the start."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys

import prometheus_client.parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar_injector import __version__
from sidecar_injector.observability import logs
from sidecar_injector.observability.metrics import Metrics, measure_lag, time

METRICS = {
    "admission_requests": "counter",
    "decisions": "counter",
    "dry_run_injections": "counter",
    "admission_duration_seconds": "histogram",
    "patch_bytes": "histogram",
    "inflight_requests": "gauge",
    "http_errors": "counter",
    "tls_handshake_failures": "counter",
    "connections_evicted": "counter",
    "cache_synced": "gauge",
    "injections_not_kept": "gauge",
    "cache_last_event_timestamp_seconds": "gauge",
    "certificate_expiration_timestamp_seconds": "gauge",
    "certificate_lifetime_seconds": "gauge",
    "certificate_problem": "gauge",
    "certificate_rollbacks": "counter",
    "clock_skew_seconds": "gauge",
    "ca_bundle_in_sync": "gauge",
    "policy_in_sync": "gauge",
    "writes": "counter",
    "loop_lag_seconds": "histogram",
    "loop_held_seconds": "histogram",
    "log_lines_dropped": "counter",
    "loop_failures": "counter",
    "build_info": "gauge",
    "events": "counter",
    "leader": "gauge",
    "audit_duration_seconds": "histogram",
    "audit_last_success_timestamp_seconds": "gauge",
    "audit_failures": "counter",
    "audit_pods": "gauge",
    "unchecked_injections": "counter",
    "webhook_requests": "counter",
}


def record(message="hello", *, level=logging.INFO, exc_info=None, **fields):
    result = logging.LogRecord("some.logger", level, __file__, 1, message, (), exc_info)
    if fields:
        result.fields = fields
    return result


def raised(text):
    error = ValueError(text)
    return type(error), error, None


def families(metrics):
    text = metrics.exposition().decode()
    parsed = prometheus_client.parser.text_string_to_metric_families(text)
    return {family.name: family for family in parsed}


def test_every_metric_is_exposed_from_the_start_with_its_type_and_help():
    exposed = families(Metrics())
    for name, kind in METRICS.items():
        family = exposed[f"sidecar_injector_{name}"]
        assert family.type == kind
        assert family.documentation.endswith(".")


def test_every_metric_of_ours_is_in_this_list():
    ours = {name for name in families(Metrics()) if name.startswith("sidecar_injector_")}
    created = {name for name in ours if name.endswith("_created")}
    assert ours - created == {f"sidecar_injector_{name}" for name in METRICS}


def test_the_list_of_instruments_is_what_is_exposed():
    metrics = Metrics()
    exposed = families(metrics)
    listed = {
        instrument.name.removesuffix("_total"): instrument for instrument in metrics.instruments
    }
    assert set(listed) == {f"sidecar_injector_{name}" for name in METRICS}
    for name, instrument in listed.items():
        assert exposed[name].type == instrument.kind
        assert exposed[name].documentation == instrument.text


def test_every_write_and_event_is_counted_from_nothing():
    exposed = families(Metrics())
    for name, values in (("writes", 30), ("events", 4), ("audit_pods", 7)):
        samples = [
            sample for sample in exposed[f"sidecar_injector_{name}"].samples
            if not sample.name.endswith("_created")
        ]  # fmt: skip
        assert [sample.value for sample in samples] == [0] * values


def test_the_process_and_its_version_are_exposed():
    exposed = families(Metrics())
    assert "process_resident_memory_bytes" in exposed
    (sample,) = exposed["sidecar_injector_build_info"].samples
    assert (sample.value, sample.labels["version"]) == (1, __version__)


def test_two_operators_in_one_process_do_not_mix_their_figures():
    first, other = Metrics(), Metrics()
    first.inflight_requests.set(5)
    assert other.registry.get_sample_value("sidecar_injector_inflight_requests") == 0


@given(st.text(), st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2))
def test_a_json_line_is_one_line_that_parses(message, fields):
    line = logs.JsonFormatter().format(record(message.replace("%", ""), a=fields))
    assert len(line.splitlines()) == 1 or "\n" not in line
    assert json.loads(line)["a"] == fields


def test_a_json_line_has_the_members_that_people_filter_by():
    line = json.loads(logs.JsonFormatter().format(record(level=logging.WARNING, pod="web")))
    assert line.pop("time")
    assert line == {
        "level": "warning", "logger": "some.logger", "message": "hello", "pod": "web",
    }  # fmt: skip


def test_a_json_line_carries_the_traceback_as_a_member():
    line = logs.JsonFormatter().format(record(exc_info=raised("why")))
    assert "\n" not in line
    assert "ValueError: why" in json.loads(line)["traceback"]


def test_a_field_of_any_type_does_not_cost_the_line():
    values = {"set": {1, 2}, "whole": 2**80, "half": "\ud800"}
    line = json.loads(logs.JsonFormatter().format(record(**values)))
    assert (line["message"], line["whole"], line["half"]) == ("hello", 2**80, "\ud800")


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "\x1b[2J", "\x85", "\u2028", "\x7f", "\x00"])
def test_a_text_line_stays_one_line_without_commands_for_the_terminal(text):
    line = logs.TextFormatter("%(message)s").format(record(text))
    assert len(line.splitlines()) == 1
    assert line.isprintable()


def test_a_text_line_keeps_what_people_write():
    assert logs.one_line("pod demo/wéb: injected 'a'…") == "pod demo/wéb: injected 'a'…"


def test_a_traceback_of_a_text_line_stays_readable():
    line = logs.TextFormatter("%(message)s").format(record(exc_info=raised("why")))
    assert line.splitlines()[0] == "hello"
    assert line.endswith("ValueError: why")


@pytest.fixture
def root_logger():
    """The real one, put back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize(
    ("log_format", "on_terminal", "formatter"),
    [
        ("auto", True, logs.TextFormatter),
        ("auto", False, logs.JsonFormatter),
        ("json", True, logs.JsonFormatter),
        ("text", False, logs.TextFormatter),
    ],
)
def test_the_format_follows_the_setting_and_auto_the_terminal(
    monkeypatch, root_logger, log_format, on_terminal, formatter
):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: on_terminal, raising=False)
    logs.configure_logging(log_format=log_format, log_level="warning")
    (handler,) = root_logger.handlers
    assert type(handler.formatter) is formatter
    assert root_logger.level == logging.WARNING


async def test_the_lag_of_the_event_loop_is_measured_until_cancelled():
    metrics = Metrics()
    count = "sidecar_injector_loop_lag_seconds_count"
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.05):
            await measure_lag(metrics, every=0)
    assert metrics.registry.get_sample_value(count) > 1
    assert metrics.registry.get_sample_value("sidecar_injector_loop_lag_seconds_sum") >= 0


@pytest.mark.parametrize(
    ("late", "worked", "held"), [(0.3, 0.2, 0.2), (0.3, 0.4, 0.3), (0.3, 0.0, 0.0)]
)
async def test_the_loop_was_held_for_no_longer_than_it_was_late_and_than_we_worked(
    monkeypatch, late, worked, held
):
    metrics, loop = Metrics(), asyncio.get_running_loop()
    moments, spent = iter([10.0, 10.02 + late]), iter([5.0, 5.0 + worked])
    real = loop.time

    async def slept(seconds):
        assert seconds == 0.02
        monkeypatch.setattr(asyncio, "sleep", stopped)

    async def stopped(_):
        raise asyncio.CancelledError

    monkeypatch.setattr(asyncio, "sleep", slept)
    monkeypatch.setattr(time, "process_time", lambda: next(spent, 0.0))
    monkeypatch.setattr(loop, "time", lambda: next(moments, real()), raising=False)
    with pytest.raises(asyncio.CancelledError):
        await measure_lag(metrics, every=0.02)

    def total(name):
        return metrics.registry.get_sample_value(f"sidecar_injector_loop_{name}_seconds_sum")

    assert total("lag") == pytest.approx(late)
    assert total("held") == pytest.approx(held)


class Stream:
    """Remembers every write."""

    def __init__(self):
        self.writes = []

    def write(self, block):
        self.writes.append(block)

    def flush(self):
        pass


def logger(stream):
    log = logging.getLogger("blocks")
    log.setLevel(logging.INFO)
    log.propagate = False
    log.handlers[:] = [logs.Lines(stream, logs.JsonFormatter())]
    return log, log.handlers[0]


async def test_lines_of_one_moment_are_written_together_and_in_order():
    stream = Stream()
    log, handler = logger(stream)
    log.info("one")
    handler.write_members(b'"message":"two"')
    assert stream.writes == []
    log.warning("three")
    (block,) = stream.writes
    lines = [json.loads(line) for line in block.splitlines()]
    assert [line["message"] for line in lines] == ["one", "two", "three"]
    assert all(line["time"].endswith("Z") for line in lines)


async def test_a_line_does_not_wait_for_another_one():
    stream = Stream()
    written = asyncio.Event()
    stream.flush = written.set
    log, _ = logger(stream)
    log.info("alone")
    async with asyncio.timeout(5):
        await written.wait()
    assert b"alone" in stream.writes[0]


def test_without_an_event_loop_a_line_is_written_at_once():
    stream = Stream()
    log, _ = logger(stream)
    log.info("early")
    assert b"early" in stream.writes[0]


def test_a_closed_log_pipe_breaks_nothing():
    stream = Stream()

    def gone(_):
        raise BrokenPipeError

    stream.write = gone
    log, _ = logger(stream)
    log.error("unheard")
    assert stream.writes == []
