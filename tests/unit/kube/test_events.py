"""Events are queued, counted instead of repeated, and never cause an error."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime

import hypothesis
import pytest
from hypothesis import strategies as st

from sidecar_injector.kube import api, events
from sidecar_injector.observability.metrics import Metrics
from tests.kits import fake_api

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
POD = events.ObjectRef(api_version="v1", kind="Pod", name="web", namespace="demo", uid="u1")
CLUSTER = events.ObjectRef(
    api_version="admissionregistration.k8s.io/v1", kind="MutatingWebhookConfiguration", name="si"
)


def event(message: str = "no volume", regarding: events.ObjectRef = POD) -> events.Event:
    return events.Event(
        regarding=regarding, reason="MissingVolume", message=message, action="Inject"
    )


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime.datetime:
        return self.now


@pytest.fixture
def server() -> fake_api.FakeApi:
    return fake_api.FakeApi()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def recorder(server: fake_api.FakeApi, clock: Clock) -> events.Recorder:
    return events.Recorder(server, instance="pod-0", now=clock, sleep=no_pause)


async def no_pause(_: float) -> None:
    await asyncio.sleep(0)


async def post(recorder: events.Recorder, *recorded: events.Event) -> None:
    """Record these, and post all that wait."""
    for each in recorded:
        recorder.record(each)
    await fake_api.run_until_idle(recorder.run)


def posted(server: fake_api.FakeApi) -> list[api.Json]:
    return list(server.objects.get(api.EVENTS, {}).values())


async def test_an_event_has_the_reporter_the_reason_and_the_object(
    server: fake_api.FakeApi, recorder: events.Recorder
) -> None:
    await post(recorder, event())
    (only,) = posted(server)
    assert only["metadata"]["namespace"] == "demo"
    assert only["reportingController"] == "sidecar-injector"
    assert only["reportingInstance"] == "pod-0"
    assert only["eventTime"] == "2026-01-01T00:00:00.000000Z"
    assert only["regarding"] == {
        "apiVersion": "v1", "kind": "Pod", "name": "web", "namespace": "demo", "uid": "u1",
    }  # fmt: skip
    assert (only["reason"], only["note"], only["type"]) == ("MissingVolume", "no volume", "Warning")
    assert "series" not in only


async def test_events_of_cluster_scoped_objects_are_in_default(
    server: fake_api.FakeApi, recorder: events.Recorder
) -> None:
    await post(recorder, event(regarding=CLUSTER))
    (only,) = posted(server)
    assert only["metadata"]["namespace"] == "default"
    assert "namespace" not in only["regarding"]


async def test_the_same_event_is_counted_and_another_message_is_another_event(
    server: fake_api.FakeApi, recorder: events.Recorder, clock: Clock
) -> None:
    await post(recorder, event())
    clock.now += datetime.timedelta(seconds=30)
    await post(recorder, *[event()] * 3, event("another"))
    first, second = posted(server)
    assert first["series"] == {"count": 4, "lastObservedTime": "2026-01-01T00:00:30.000000Z"}
    assert second["note"] == "another"
    assert server.calls["patch", "events"] == 1


async def test_another_replica_s_event_is_counted_rather_than_doubled(
    server: fake_api.FakeApi, recorder: events.Recorder, clock: Clock
) -> None:
    await post(recorder, event())
    other = events.Recorder(server, instance="pod-1", now=clock)
    await post(other, event())
    (only,) = posted(server)
    assert only["series"]["count"] == 2


async def test_the_queue_is_bounded(
    server: fake_api.FakeApi, recorder: events.Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    await post(recorder, *(event(str(number)) for number in range(events.QUEUE_LIMIT + 5)))
    assert len(posted(server)) == events.QUEUE_LIMIT
    assert caplog.text.count("dropped") == 1


async def test_events_about_many_pods_do_not_hide_another_one(
    server: fake_api.FakeApi, recorder: events.Recorder
) -> None:
    crowd = [event(str(number)) for number in range(events.QUEUE_LIMIT + 5)]
    await post(recorder, *crowd, event("about a cluster injection", regarding=CLUSTER))
    assert posted(server)[0]["note"] == "about a cluster injection"
    assert len(posted(server)) == events.QUEUE_LIMIT + 1


async def test_a_failure_is_logged_once_and_the_event_dropped(
    server: fake_api.FakeApi, recorder: events.Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    server.failures["create", "events"] = [fake_api.refusal(403, "Forbidden")] * 2
    await post(recorder, *(event(message) for message in ("one", "two", "three")))
    assert [only["note"] for only in posted(server)] == ["three"]
    assert caplog.text.count("dropped") == 1


async def test_a_deleted_event_is_posted_again(
    server: fake_api.FakeApi, recorder: events.Recorder
) -> None:
    await post(recorder, event())
    server.objects[api.EVENTS].clear()
    await post(recorder, *[event()] * 2)
    (only,) = posted(server)
    assert only["series"]["count"] == 2


async def test_a_failure_is_logged_again_only_after_all_have_been_posted(
    server: fake_api.FakeApi, recorder: events.Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    refusals = [fake_api.refusal(403, "Forbidden")]
    for failures, logged in ((refusals, 1), (refusals, 1), ([], 1), (refusals, 2)):
        server.failures["create", "events"] = list(failures)
        await post(recorder, event(f"attempt {len(posted(server))}"))
        assert caplog.text.count("dropped") == logged


async def test_an_event_that_repeats_after_long_is_a_new_one(
    server: fake_api.FakeApi, recorder: events.Recorder, clock: Clock
) -> None:
    await post(recorder, event())
    server.objects[api.EVENTS].clear()
    clock.now += events.WINDOW + datetime.timedelta(seconds=1)
    await post(recorder, event())
    (only,) = posted(server)
    assert "series" not in only


async def test_a_long_note_is_cut_to_what_the_api_takes(
    server: fake_api.FakeApi, recorder: events.Recorder
) -> None:
    await post(recorder, event("x" * 5000))
    assert len(posted(server)[0]["note"]) == events.NOTE_LIMIT


@hypothesis.given(text=st.text(), limit=st.integers(0, 40))
def test_a_text_is_cut_between_characters_as_late_as_possible(text: str, limit: int) -> None:
    cut = api.cut(text, limit)
    size = len(cut.encode())
    assert text.startswith(cut)
    assert size <= limit
    assert cut == text or size + len(text[len(cut)].encode()) > limit


@hypothesis.given(
    message=st.text(alphabet=st.characters(), min_size=200).map(lambda text: text * 20),
    instance=st.text(max_size=300),
)
def test_no_field_is_longer_than_the_api_takes_whatever_the_language(
    message: str, instance: str
) -> None:
    server = fake_api.FakeApi()
    recorder = events.Recorder(server, instance=instance, now=Clock(), sleep=no_pause)
    long = events.Event(regarding=POD, reason="理由" * 50, message=message, action="行" * 99)

    async def post_it() -> None:
        recorder.record(long)
        running = asyncio.create_task(recorder.run())
        await fake_api.eventually(lambda: posted(server))
        running.cancel()

    asyncio.run(post_it())
    (only,) = posted(server)
    limits = {"note": 1024, "reason": 128, "action": 128, "reportingInstance": 128}
    assert all(len(only[field].encode()) <= limit for field, limit in limits.items())
    assert len(only["note"].encode()) > 1024 - 4


@pytest.mark.parametrize("end", ["-", ".", "-.-"])
async def test_the_name_of_an_event_about_a_long_name_is_a_dns_name(
    server: fake_api.FakeApi, recorder: events.Recorder, end: str
) -> None:
    name = "a" * (events.NAME_LIMIT - len(end)) + "-" * len(end) + "b" * 40
    name = name.replace("-" * len(end), end) if end == "." else name
    await post(recorder, event(regarding=dataclasses.replace(POD, name=name)))
    (only,) = posted(server)
    assert api.is_name(only["metadata"]["name"])


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../../../namespaces/kube-system/pods/victim?x=", "a/b", "a%2fb", "A", "a\nb",
     "é", "a" * 254, "-a", "a..b", "\ud800"],
)  # fmt: skip
async def test_nothing_is_posted_about_what_no_object_can_be_called(
    server: fake_api.FakeApi, recorder: events.Recorder, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    await post(
        recorder,
        event(regarding=dataclasses.replace(POD, name=name)),
        event(regarding=dataclasses.replace(POD, namespace=name or "/")),
    )
    assert posted(server) == []
    assert not server.calls
    assert caplog.text.count("Events are being dropped") == 1
    assert caplog.text.isascii()


async def test_an_overloaded_server_gets_its_pause(server: fake_api.FakeApi) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    recorder = events.Recorder(server, instance="pod-0", now=Clock(), sleep=sleep)
    busy = api.ApiError(status=429, reason="r", message="m", path="/", retry_after=30.0)
    server.failures["create", "events"] = [busy]
    await post(recorder, event("a"), event("b"))
    assert pauses == [0.0, 30.0, 0.0]
    assert [only["note"] for only in posted(server)] == ["b"]


async def test_a_bug_with_one_event_does_not_end_the_others(
    server: fake_api.FakeApi, recorder: events.Recorder
) -> None:
    server.failures["create", "events"] = [RuntimeError("a bug")]  # type: ignore[list-item]
    await post(recorder, event("a"), event("b"))
    assert [only["note"] for only in posted(server)] == ["b"]


async def test_a_storm_of_refused_pods_is_a_handful_of_calls(server: fake_api.FakeApi) -> None:
    """Ten thousand decisions about as many owners, in the tenth of a second."""
    passed, enough = 0.0, asyncio.Event()

    async def sleep(seconds: float) -> None:
        nonlocal passed
        passed += seconds
        if passed > 60:
            enough.set()
        await asyncio.sleep(0)

    metrics = Metrics()
    recorder = events.Recorder(
        server, instance="pod-0", now=Clock(), metrics=metrics,
        monotonic=lambda: passed, sleep=sleep,
    )  # fmt: skip
    for number in range(10_000):
        regarding = events.ObjectRef(api_version="batch/v1", kind="Job", name=f"job-{number}")
        recorder.record(event(regarding=regarding))
    running = asyncio.create_task(recorder.run())
    await enough.wait()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running

    calls = server.calls["create", "events"] + server.calls["patch", "events"]
    assert events.BURST <= calls <= events.BURST + 61 * events.PER_SECOND
    value = metrics.registry.get_sample_value
    assert value("sidecar_injector_events_total", {"result": "dropped"}) == 9000
    assert value("sidecar_injector_events_total", {"result": "posted"}) == calls


async def test_one_owner_s_storm_is_one_event_with_its_count(
    server: fake_api.FakeApi, recorder: events.Recorder
) -> None:
    await post(recorder, *[event()] * 10_000)
    (only,) = posted(server)
    assert only["series"]["count"] == 10_000
    assert server.calls["create", "events"] == 1
    assert server.calls["patch", "events"] == 0


def test_a_budget_grows_back_but_not_beyond_its_burst() -> None:
    now = 0.0
    budget = events.Budget(lambda: now)
    now = 1000.0
    waits = [budget.spend() for _ in range(events.BURST + 2)]
    assert waits[: events.BURST] == [0] * events.BURST
    assert waits[events.BURST :] == [1 / events.PER_SECOND, 2 / events.PER_SECOND]
