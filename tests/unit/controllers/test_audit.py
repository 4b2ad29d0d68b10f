"""The leader's audit: what it requests from the API, when, and what it writes."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gc
import random
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from typing import Any

import pytest

from sidecar_injector import names, settings
from sidecar_injector.controllers import caches, rate_limit, status
from sidecar_injector.controllers.audit import controller, count, pod_watch, schedule
from sidecar_injector.core import audit
from sidecar_injector.core.injections import namespace_view
from sidecar_injector.kube import api, events, server_clock
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.webhook import cluster_state, judge
from tests.kits import fake_api
from tests.kits.samples import NAMESPACE, container, decided, injection, pod, resource

START = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
EVERY = 30.0


class Pauses(list[float]):
    """Records pauses instead of sleeping."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


class World:
    """One replica and a cluster in memory."""

    def __init__(self, server: fake_api.FakeApi | None = None) -> None:
        self.server = server or fake_api.FakeApi()
        self.server.seed(
            api.DEPLOYMENTS,
            {"metadata": {"name": names.PRODUCT, "namespace": names.PRODUCT, "uid": "owner"}},
        )
        self.seconds = 0.0
        self.metrics = Metrics()
        self.state = cluster_state.ClusterState(release_namespace=names.PRODUCT)
        self.recorder = events.Recorder(self.server, instance="r", now=self.now)
        self.auditor = controller.Auditor(
            self.server,
            settings=settings.Settings(audit_seconds=int(EVERY)),
            state=self.state,
            recorder=self.recorder,
            metrics=self.metrics,
            clocks=server_clock.Clocks(
                now=self.now, monotonic=lambda: self.seconds, sleep=self.sleep
            ),
        )
        writer = status.StatusWriter(
            self.server, state=self.state, injection_judge=judge.Judge(self.metrics),
            serving=lambda: True, metrics=self.metrics, clock=self.now,
        )  # fmt: skip
        self.informers = caches.make(
            self.server, state=self.state, writer=writer, auditor=self.auditor,
            injection_judge=judge.Judge(self.metrics), metrics=self.metrics,
        )  # fmt: skip
        self.slept: list[float] = []
        self.turns = 1
        """Turns of the event loop that a sleep takes."""
        self.tasks: list[asyncio.Task[None]] = []

    def now(self) -> datetime.datetime:
        return START + datetime.timedelta(seconds=self.seconds)

    async def sleep(self, seconds: float) -> None:
        """Let time pass a little; nothing here waits for real."""
        self.slept.append(seconds)
        self.seconds += seconds / 1000
        for _ in range(self.turns):
            await asyncio.sleep(0)

    async def follow(self) -> None:
        """Fill the informers and keep them filled."""
        self.start(*(informer.run() for informer in self.informers))
        for informer in self.informers:
            await informer.synced.wait()

    async def count(self) -> None:
        """Fill the informers, then count all pods."""
        await self.follow()
        await self.auditor.recount()

    def start(self, *work: Coroutine[Any, Any, None]) -> None:
        self.tasks += [asyncio.create_task(each) for each in work]

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def namespace(self, name: str = NAMESPACE, label: str = names.ENABLED) -> None:
        labels = {names.INJECTION_LABEL: label}
        self.server.seed(api.NAMESPACES, {"metadata": {"name": name, "labels": labels}})

    def pod(self, name: str, *, namespace: str = NAMESPACE, **spec: Any) -> None:
        running = {**pod(**spec), "status": {"phase": "Running"}}
        metadata = {**running["metadata"], "name": name, "namespace": namespace}
        self.server.seed(api.PODS, {**running, "metadata": metadata})

    def counts(self, name: str = "log", namespace: str = NAMESPACE) -> api.Json:
        stored = self.server.objects[api.INJECTIONS][namespace, name]
        counts: api.Json = (stored.get("status") or {}).get("pods") or {}
        return counts

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"sidecar_injector_{name}", labels)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    world.namespace()
    world.server.seed(api.INJECTIONS, resource())
    yield world
    await world.stop()


def numbers(counts: api.Json) -> list[int]:
    assert counts[audit.WOULD_INJECT] == 0
    states = (audit.INJECTED, audit.OUTDATED, audit.SKIPPED, audit.MISSING)
    return [counts[key] for key in (audit.SELECTED, *states)]


async def test_pods_are_counted_by_state_and_the_counts_written(world: World) -> None:
    world.pod("missing")
    world.pod("done")
    done = decided(pod(), injection()).pod
    world.server.seed(
        api.PODS,
        {**done, "metadata": {**done["metadata"], "name": "done", "namespace": NAMESPACE}},
    )
    world.pod("host", hostNetwork=True)
    await world.count()
    assert numbers(world.counts()) == [2, 1, 0, 0, 1]
    assert world.counts()["observedAt"] == "2030-01-01T00:00:00Z"
    assert world.value("audit_pods", state="selected") == 2
    assert world.value("audit_pods", state="missing") == 1
    assert world.value("writes_total", object="pods", result="written") == 1


async def test_opted_out_pods_and_the_reasons_of_skipped_ones_are_written(world: World) -> None:
    clash = pod(containers=[container("app"), container(image="other:1")])
    subjects = {
        "label": pod(labels={names.INJECTION_LABEL: names.DISABLED}),
        "annotation": pod(annotations={names.INJECT_ANNOTATION: "no"}),
        "clash": decided(clash, injection()).pod,
    }
    for name, subject in subjects.items():
        metadata = {**subject["metadata"], "name": name, "namespace": NAMESPACE}
        world.server.seed(api.PODS, {**subject, "metadata": metadata})
    await world.count()
    assert numbers(world.counts()) == [1, 0, 0, 1, 0]
    assert world.counts()["optedOut"] == 2
    assert world.counts()["skippedReasons"] == ["ContainerConflict"]
    assert world.value("audit_pods", state="optedOut") == 2
    assert world.value("audit_pods", state="selected") == 1


async def test_pods_that_are_being_deleted_are_not_counted(world: World) -> None:
    world.pod("stays")
    gone = {"name": "goes", "namespace": NAMESPACE, "deletionTimestamp": "2030-01-01T00:00:00Z"}
    world.server.seed(api.PODS, {**pod(), "metadata": gone})
    await world.count()
    assert numbers(world.counts()) == [1, 0, 0, 0, 1]


async def test_more_kinds_of_pods_than_are_remembered_are_counted_all(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(count, "MOST_REMEMBERED", 3)
    world.server.seed(api.INJECTIONS, resource(selector={"matchLabels": {"selected": "yes"}}))
    for number in range(20):
        labels = {"number": str(number), "selected": "yes" if number % 2 else "no"}
        world.pod(f"p-{number}", labels=labels)
        world.pod(f"same-{number}", labels={"selected": "yes"})
    await world.count()
    assert numbers(world.counts()) == [30, 0, 0, 0, 30]


async def test_when_the_tallies_of_namespaces_do_not_fit_everything_is_counted_only_together(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(count, "MOST_ENTRIES", 1)
    world.namespace("other")
    world.server.seed(api.CLUSTER_INJECTIONS, resource("all", cluster=True))
    for namespace in (NAMESPACE, "other"):
        world.pod("web", namespace=namespace)
    await world.count()
    await world.auditor.recount()
    assert numbers(world.counts()) == [1, 0, 0, 0, 1]
    stored = world.server.objects[api.CLUSTER_INJECTIONS]["", "all"]
    assert stored["status"]["pods"]["selected"] == 2
    assert len([line for line in caplog.messages if "counted only every 30 s" in line]) == 1

    lists = world.server.calls["list", "pods"]
    world.pod("more")
    await world.auditor.recount({NAMESPACE})
    assert world.server.calls["list", "pods"] == lists
    await world.auditor.recount()
    assert numbers(world.counts()) == [2, 0, 0, 0, 2]


def test_the_tally_of_all_namespaces_is_the_sum_of_theirs() -> None:
    tallies, draw = count.Tallies(), random.Random(7)
    keys = [(("kind", "", str(number)), "missing") for number in range(5)]
    latest: dict[str, audit.Tally] = {}
    for _ in range(300):
        name = str(draw.randrange(6))
        latest[name] = audit.Tally(draw.choices(keys, k=draw.randrange(4)))
        tallies.replace(name, audit.Tally(latest[name]))
        assert tallies.total == sum(latest.values(), audit.Tally())
        assert 0 not in tallies.total.values()


def placed(subject: api.Json) -> api.Json:
    """The pod as the API server has it."""
    return {**subject, "metadata": {**subject["metadata"], "namespace": NAMESPACE}}


async def test_pods_of_another_operating_system_do_not_miss_an_injection(world: World) -> None:
    windows = {"nodeSelector": {"kubernetes.io/os": "windows"}}
    for number in range(3):
        labels = {"windows": "yes"}
        world.pod(f"w-{number}", labels=labels, **windows)
        world.pod(f"l-{number}")
    world.server.seed(api.INJECTIONS, resource("for-windows", operatingSystem="Windows"))
    await world.count()
    assert numbers(world.counts()) == [3, 0, 0, 0, 3]
    assert numbers(world.counts("for-windows")) == [3, 0, 0, 0, 3]
    # Two lists of metadata, each of which may have one more page, and a pod of each kind.
    lists = world.server.calls["list", "pods"]
    world.pod("another", labels={"windows": "yes"}, **windows)
    await world.auditor.recount()
    assert numbers(world.counts()) == [3, 0, 0, 0, 3]
    assert world.server.calls["list", "pods"] == 2 * lists


async def test_only_so_many_pods_are_read_whole(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(count, "MOST_READ", 2)
    for number in range(5):
        world.pod(f"w-{number}", labels={"n": str(number)}, os={"name": "windows"})
    await world.count()
    assert numbers(world.counts()) == [3, 0, 0, 0, 3]


async def test_what_is_remembered_of_pods_does_not_grow_with_their_annotations() -> None:
    view = namespace_view.NamespaceView.of(
        namespace_view.Namespace.assumed(NAMESPACE), [injection()]
    )
    specs = count.SpecReader(fake_api.FakeApi(), schedule.Pace(sleep=Pauses()))
    classifier = count.Classifier(specs, host_network=False)
    await classifier.states(placed(pod()), view)
    tracemalloc.start()
    try:
        for number in range(300):
            await classifier.states(placed(pod(annotations={"a": f"{number}" * 10_000})), view)
        gc.collect()
        in_memory, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert in_memory < 300 * 400


async def test_pods_that_have_ended_are_not_counted(world: World) -> None:
    world.pod("running")
    for phase in ("Succeeded", "Failed"):
        ended = {"metadata": {"name": phase, "namespace": NAMESPACE}, "status": {"phase": phase}}
        world.server.seed(api.PODS, ended)
    await world.count()
    assert numbers(world.counts()) == [1, 0, 0, 0, 1]


async def test_counts_that_are_right_are_not_written_again(world: World) -> None:
    await world.count()
    await fake_api.eventually(lambda: status_is_cached(world))
    before, world.seconds = world.counts(), 100.0
    await world.auditor.recount()
    assert world.counts() == before
    assert world.value("writes_total", object="pods", result="written") == 1


def status_is_cached(world: World) -> bool:
    return "status" in world.informers[0].objects[NAMESPACE, "log"]


async def test_a_namespace_in_which_nothing_can_apply_costs_no_call(world: World) -> None:
    for number in range(20):
        world.namespace(f"empty-{number}")
        world.namespace(f"off-{number}", names.DISABLED)
    await world.count()
    assert world.server.calls["list", "pods"] <= 4


async def test_many_namespaces_are_one_list_of_the_cluster(world: World) -> None:
    most = count.MOST_SINGLE_LISTS
    for number in range(most):
        world.namespace(f"more-{number}")
        world.server.seed(
            api.INJECTIONS,
            {
                **resource(operatingSystem="Any"),
                "metadata": {"name": "log", "namespace": f"more-{number}"},
            },
        )
        world.pod("web", namespace=f"more-{number}")
    world.pod("elsewhere", namespace="not-enabled")
    await world.count()
    assert world.server.calls["list", "pods"] < 10
    assert all(numbers(world.counts(namespace=f"more-{n}")) == [1, 0, 0, 0, 1] for n in range(most))


async def test_between_audits_only_the_changed_namespace_is_counted(world: World) -> None:
    world.namespace("other")
    world.server.seed(
        api.INJECTIONS, {**resource(), "metadata": {"name": "log", "namespace": "other"}}
    )
    await world.count()
    world.pod("here")
    world.pod("there", namespace="other")
    await world.auditor.recount({"other"})
    assert numbers(world.counts(namespace="other")) == [1, 0, 0, 0, 1]
    assert numbers(world.counts()) == [0] * 5
    assert world.value("audit_pods", state="selected") == 1


async def test_counts_of_half_a_list_are_never_written(world: World) -> None:
    world.pod("one")
    await world.count()
    await fake_api.eventually(lambda: status_is_cached(world))
    world.pod("two")
    world.server.failures["list", "pods"] = [fake_api.refusal(410, "Expired")]
    with pytest.raises(api.ApiError):
        await world.auditor.recount()
    assert numbers(world.counts()) == [1, 0, 0, 0, 1]


async def test_an_injection_that_went_away_meanwhile_costs_nothing(world: World) -> None:
    await world.follow()
    world.server.failures["patch", "sidecarinjections"] = [fake_api.refusal(404, "NotFound")]
    await world.auditor.recount()
    assert world.value("writes_total", object="pods", result="failed") == 0


async def test_the_leader_audits_at_once_and_what_happens_afterwards_soon(world: World) -> None:
    world.pod("one")
    await world.follow()
    world.start(world.auditor.run(world.informers))
    await fake_api.eventually(lambda: world.counts().get("missing") == 1)
    assert world.value("leader") == 1
    await fake_api.eventually(lambda: world.server.calls["watch", "pods"])
    world.pod("two")
    await fake_api.eventually(lambda: world.counts().get("missing") == 2, "the watch reports it")
    change = {"spec": {**resource()["spec"], "suspend": True}, "metadata": {"generation": 2}}
    await world.server.patch(api.INJECTIONS, change, name="log", namespace=NAMESPACE)
    await fake_api.eventually(lambda: world.counts().get("missing") == 0, "the informer reports it")
    assert world.value("audit_duration_seconds_count") == 1


async def test_a_replica_that_does_not_lead_any_more_shows_no_counts(world: World) -> None:
    world.pod("one")
    await world.follow()
    running = asyncio.create_task(world.auditor.run(world.informers))
    await fake_api.eventually(lambda: world.value("audit_pods", state="missing") == 1)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert world.value("audit_pods", state="missing") == 0
    assert world.value("audit_last_success_timestamp_seconds") == 0
    assert world.value("leader") == 0


async def test_a_follower_remembers_nothing_of_what_happens(world: World) -> None:
    await world.follow()
    for number in range(100):
        world.auditor.mark(f"ci-{number}")
    assert not world.auditor.schedule.is_due
    world.auditor.schedule.start()
    assert world.auditor.schedule.take() is None
    assert not world.auditor.schedule.is_due


async def test_a_failed_audit_is_counted_and_done_again(world: World) -> None:
    world.pod("one")
    world.server.failures["list", "pods"] = [fake_api.refusal(500, "InternalError")]
    await world.follow()
    world.auditor.schedule.start()
    with pytest.raises(api.ApiError):
        await world.auditor.step()
    assert world.value("audit_failures_total") == 1
    await world.auditor.step()
    assert numbers(world.counts()) == [1, 0, 0, 0, 1]


async def test_a_refused_write_is_not_answered_with_another_list_of_pods(world: World) -> None:
    world.pod("one")
    world.server.failures["patch", "sidecarinjections"] = [fake_api.refusal(429, "TooMany")]
    await world.follow()
    world.auditor.schedule.start()
    with pytest.raises(api.ApiError):
        await world.auditor.step()
    lists = world.server.calls["list", "pods"]
    await world.auditor.step()
    assert world.server.calls["list", "pods"] == lists
    world.seconds += EVERY
    await world.auditor.step()
    assert numbers(world.counts()) == [1, 0, 0, 0, 1]


async def test_a_writer_that_changes_the_counts_is_answered_five_times_and_then_once_a_minute(
    world: World,
) -> None:
    world.pod("one")
    await world.count()
    writes = []
    for second in range(300):
        stored = world.server.objects[api.INJECTIONS][NAMESPACE, "log"]
        world.server.seed(api.INJECTIONS, {**stored, "status": {"pods": {"selected": 9}}})
        await fake_api.eventually(lambda: selected_in_cache(world) == 9)
        calls = world.server.calls["patch", "sidecarinjections"]
        await world.auditor.recount()
        writes += [second // 60] * (world.server.calls["patch", "sidecarinjections"] - calls)
        world.seconds = float(second + 1)
    assert [writes.count(minute) for minute in range(5)] == [rate_limit.FAST_TRIES - 1, 1, 1, 1, 1]
    world.pod("two")
    await world.auditor.recount()
    assert numbers(world.counts()) == [2, 0, 0, 0, 2], "other counts are written at once"


def selected_in_cache(world: World) -> int:
    cached = world.informers[0].objects[NAMESPACE, "log"].get("status") or {}
    return int(cached.get("pods", {}).get("selected", 0))


async def test_a_mistyped_label_is_reported_once_and_again_after_an_hour(world: World) -> None:
    world.namespace("typo", "true")
    world.namespace("off", names.DISABLED)
    await world.follow()
    for _ in range(3):
        await world.auditor.recount()
    await fake_api.run_until_idle(world.recorder.run)
    (event,) = world.server.objects[api.EVENTS].values()
    assert event["regarding"]["name"] == "typo"
    assert "series" not in event
    world.seconds = 3601.0
    await world.auditor.recount()
    await fake_api.run_until_idle(world.recorder.run)
    assert len(world.server.objects[api.EVENTS]) == 1
    assert world.server.calls["create", "events"] == 2


@pytest.mark.parametrize("is_noticed", [False, True])
async def test_a_namespace_that_is_created_again_is_reported_again(
    world: World, *, is_noticed: bool
) -> None:
    world.namespace("typo", "true")
    await world.follow()
    await world.auditor.recount()
    world.server.take(api.NAMESPACES, name="typo")
    if is_noticed:
        await fake_api.eventually(lambda: ("", "typo") not in world.informers[-1].objects)
        await world.auditor.recount()
    world.namespace("typo", "true")
    uid = world.server.objects[api.NAMESPACES]["", "typo"]["metadata"]["uid"]
    await fake_api.eventually(
        lambda: (
            ("", "typo") in (objects := world.informers[-1].objects)
            and objects["", "typo"]["metadata"]["uid"] == uid
        )
    )
    await world.auditor.recount()
    await fake_api.run_until_idle(world.recorder.run)
    regarding = [event["regarding"]["uid"] for event in world.server.objects[api.EVENTS].values()]
    assert len(regarding) == 2
    assert uid in regarding


@pytest.mark.parametrize(
    ("labels", "reason"),
    [({names.PRODUCT: "enabled"}, "UnknownLabel"), ({names.INJECTION_LABEL: "1"},
     "UnknownLabelValue")],
)  # fmt: skip
async def test_a_label_that_is_nearly_ours_is_an_event_of_the_namespace(
    world: World, labels: dict[str, str], reason: str
) -> None:
    world.server.seed(api.NAMESPACES, {"metadata": {"name": "near", "labels": labels}})
    await world.follow()
    await world.auditor.recount()
    await fake_api.run_until_idle(world.recorder.run)
    (event,) = world.server.objects[api.EVENTS].values()
    assert (event["regarding"]["name"], event["reason"]) == ("near", reason)
    assert "kubectl label namespace near sidecar-injection=enabled" in event["note"]


async def test_the_watch_keeps_no_pod_and_begins_again_where_the_server_has_forgotten(
    world: World,
) -> None:
    marked: list[str] = []
    watch = pod_watch.PodWatch(world.server, mark=marked.append, sleep=world.sleep)
    for number in range(1000):
        world.pod(f"p-{number}")
    world.start(watch.run())
    await fake_api.eventually(lambda: world.server.calls["watch", "pods"] == 1)
    world.pod("new")
    await fake_api.eventually(lambda: marked == [NAMESPACE])
    world.pod("new", hostNetwork=True)
    world.server.take(api.PODS, name="new", namespace=NAMESPACE)
    await fake_api.eventually(lambda: marked == [NAMESPACE] * 2)

    world.server.break_watches()
    await fake_api.eventually(lambda: world.server.calls["watch", "pods"] == 2)
    world.pod("p-0", hostNetwork=True)
    world.server.expire()
    world.server.bookmark()
    await fake_api.eventually(lambda: world.server.calls["watch", "pods"] == 3)
    world.pod("newer")
    await fake_api.eventually(lambda: marked == [NAMESPACE] * 3)


@pytest.mark.parametrize("code", [429, 500, 503])
async def test_a_refused_watch_of_pods_goes_on_without_a_list(world: World, code: int) -> None:
    world.server.failures["watch", "pods"] = [fake_api.refusal(code, "Busy")] * 20
    watch = pod_watch.PodWatch(world.server, mark=lambda _: None, sleep=world.sleep)
    world.start(watch.run())
    await fake_api.eventually(lambda: world.server.calls["watch", "pods"] == 21)
    assert world.server.calls["list", "pods"] == 1
    assert max(world.slept) > pod_watch.LONGEST_PAUSE / 3


async def test_counting_pauses_after_a_short_slice() -> None:
    now, slept = 0.0, Pauses()
    pace = schedule.Pace(clock=lambda: now, sleep=slept)
    now = schedule.SLICE_SECONDS / 2
    await pace.yield_if_due()
    assert slept == []
    now = schedule.SLICE_SECONDS
    await pace.yield_if_due()
    assert slept == [schedule.SLICE_SECONDS * schedule.SLICE_PAUSE_FACTOR]
    await pace.yield_if_due()
    assert len(slept) == 1


async def test_the_pause_between_pages_follows_the_response_time_up_to_a_limit() -> None:
    now, slept = 10.0, Pauses()
    pace = schedule.Pace(clock=lambda: now, sleep=slept)
    now = 10.005
    assert pace.restart() == pytest.approx(0.005)
    for seconds in (0.005, 5.0):
        await pace.throttle(response_seconds=seconds)
    assert slept == [0.005 * schedule.SERVER_PAUSE_FACTOR, schedule.LONGEST_SERVER_PAUSE]


async def test_there_is_a_pause_after_every_page(world: World) -> None:
    slept = Pauses()
    for number in range(count.PAGE + 1):
        world.pod(f"p-{number}")
    now = iter(range(10_000))
    pace = schedule.Pace(clock=lambda: float(next(now)), sleep=slept)
    view = namespace_view.NamespaceView(namespace=namespace_view.Namespace.assumed(NAMESPACE))
    await count.count(world.server, {NAMESPACE: view}, pace=pace)
    # Two of those that are not on the host network, and an empty one of those that are.
    assert slept.count(schedule.LONGEST_SERVER_PAUSE) == 3


class SlowApi(fake_api.FakeApi):
    """Lists of pods take `seconds` on the clock of `world`."""

    seconds = 0.0
    world: World

    async def pages(
        self, resource: api.Resource, *, scope: api.Scope = api.EVERYTHING, limit: int = 500
    ) -> AsyncGenerator[api.Page]:
        if resource == api.PODS:
            self.world.seconds += self.seconds / len(count.NETWORKS)
        async for page in super().pages(resource, scope=scope, limit=limit):
            yield page


@pytest.mark.parametrize(
    ("everything", "took", "pause"),
    [(False, 0.05, 1.5), (False, 1.0, 20.0), (False, 60.0, 30.0), (True, 60.0, 1.5)],
)
async def test_the_pause_before_the_next_count_follows_the_last_one(
    everything: bool, took: float, pause: float
) -> None:
    server = SlowApi()
    world = server.world = World(server)
    world.namespace()
    world.server.seed(api.INJECTIONS, resource())
    await world.follow()
    world.auditor.schedule.start()
    if not everything:
        await world.auditor.step()
        world.auditor.mark(NAMESPACE)
    world.slept.clear()
    server.seconds = took
    await world.auditor.step()
    world.auditor.mark(NAMESPACE)
    await world.auditor.step()
    assert world.slept[1] == pytest.approx(pause, rel=0.01)
    await world.stop()


def test_a_change_while_everything_is_counted_is_not_lost() -> None:
    plan = schedule.Schedule(every=EVERY, monotonic=lambda: 100.0)
    plan.start()
    assert plan.take() is None
    plan.recount_everything()
    plan.finished()
    assert plan.is_due
    assert plan.take() is None
    plan.mark(NAMESPACE)
    plan.finished()
    assert plan.take() == {NAMESPACE}


async def test_of_two_operators_outside_of_a_cluster_one_leads(world: World) -> None:
    other = World(world.server)
    world.turns = 20  # Time for the other one to write between two renewals.
    for each in (world, other):
        await each.follow()
    world.start(world.auditor.run(world.informers))
    await fake_api.eventually(lambda: world.value("leader"))
    other.start(other.auditor.run(other.informers))
    reads = world.server.calls["get", "leases"]
    await fake_api.eventually(lambda: world.server.calls["get", "leases"] > reads + 20)
    assert (world.value("leader"), other.value("leader")) == (1, 0)
    await other.stop()


async def test_counts_that_are_refused_for_one_injection_do_not_stop_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("before", "zlast"):
        world.server.seed(api.INJECTIONS, resource(name))
    world.pod("one")
    patch = world.server.patch

    async def refuse_one(kind: api.Resource, body: api.Json, **options: Any) -> api.Json:
        if options["name"] == "log":
            raise fake_api.refusal(422, "Invalid")
        return await patch(kind, body, **options)

    monkeypatch.setattr(world.server, "patch", refuse_one)
    await world.count()
    await world.auditor.recount()
    assert [numbers(world.counts(name))[0] for name in ("before", "zlast")] == [1, 1]
    assert world.counts() == {}
    assert caplog.text.count("cannot write the counts") == 1
    assert world.value("writes_total", object="pods", result="failed") == 2
