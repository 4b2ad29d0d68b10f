"""An informer reports the API server's objects in order, whatever happens to the connection."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest

from sidecar_injector.controllers import caches
from sidecar_injector.kube import api, informer, yielding
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.webhook import readiness
from tests.kits import fake_api


def namespace(name: str, **annotations: str) -> api.Json:
    return {"metadata": {"name": name, "annotations": annotations, "managedFields": [{}]}}


class World:
    """A server, an informer of its namespaces, and the changes that it reported."""

    def __init__(self, **options: Any) -> None:
        self.server = fake_api.FakeApi()
        self.metrics = Metrics()
        self.changes: list[tuple[str, str]] = []
        self.pauses: list[float] = []
        self._tasks: list[asyncio.Task[None]] = []
        options.setdefault("on_change", self.record)
        self.informer = informer.Informer(
            self.server, api.NAMESPACES, metrics=self.metrics, sleep=self.pause, **options
        )

    def record(self, key: informer.Key, old: api.Json | None, new: api.Json | None) -> None:
        verb = "added" if old is None else "deleted" if new is None else "changed"
        self.changes.append((verb, key[1]))

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)

    async def start(self) -> None:
        self._tasks.append(asyncio.create_task(self.informer.run()))
        await asyncio.sleep(0)

    async def sync(self) -> None:
        await self.start()
        await self.informer.synced.wait()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def names(self) -> set[str]:
        return {name for _, name in self.informer.objects}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.stop()


async def test_it_has_the_complete_list_once_it_is_synced(world: World) -> None:
    for number in range(1100):  # Three pages.
        world.server.seed(api.NAMESPACES, namespace(f"n{number}"))
    await world.sync()
    assert len(world.informer.objects) == 1100
    assert world.metrics.registry.get_sample_value(
        "sidecar_injector_cache_synced", {"resource": "namespaces"}
    )


async def test_other_tasks_run_while_a_whole_list_is_reported() -> None:
    turns, turns_before = 0, []

    def take_long(*_: object) -> None:
        turns_before.append(turns)
        end = time.perf_counter() + yielding.SLICE_SECONDS
        while time.perf_counter() <= end:
            pass

    world = World(on_change=take_long)
    for number in range(10):
        world.server.seed(api.NAMESPACES, namespace(f"n{number}"))
    await world.start()
    while not world.informer.synced.is_set():
        turns += 1
        await asyncio.sleep(0)
    await world.stop()
    assert len(set(turns_before)) == 10


async def test_changes_are_reported_in_order(world: World) -> None:
    await world.sync()
    world.server.seed(api.NAMESPACES, namespace("a"))
    world.server.seed(api.NAMESPACES, namespace("b"))
    world.server.seed(api.NAMESPACES, namespace("a", note="new"))
    world.server.take(api.NAMESPACES, name="b")
    await fake_api.eventually(lambda: len(world.changes) == 4)
    assert "managedFields" not in world.informer.objects["", "a"]["metadata"]
    assert world.changes == [("added", "a"), ("added", "b"), ("changed", "a"), ("deleted", "b")]


async def test_missed_changes_are_reported_after_a_410_deletions_included(world: World) -> None:
    world.server.seed(api.NAMESPACES, namespace("stays"))
    world.server.seed(api.NAMESPACES, namespace("goes"))
    await world.sync()
    world.changes.clear()
    world.server.take(api.NAMESPACES, name="goes")
    world.server.seed(api.NAMESPACES, namespace("comes"))
    world.server.expire()
    world.server.break_watches()
    await fake_api.eventually(lambda: world.names() == {"stays", "comes"})
    assert sorted(world.changes) == [("added", "comes"), ("deleted", "goes")]
    assert world.informer.lists == 2


async def test_a_broken_connection_loses_nothing_and_needs_no_list(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.sync()
    world.server.break_watches()
    world.server.seed(api.NAMESPACES, namespace("meanwhile"))
    await fake_api.eventually(lambda: world.names() == {"meanwhile"})
    assert world.server.calls["list", "namespaces"] == 2  # A list of one page is two calls.
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_silent_watch_leads_to_a_new_list(world: World) -> None:
    silent = api.SilentError(host="fake", detail="nothing was heard")
    world.server.failures["watch", "namespaces"] = [silent]
    await world.start()
    await fake_api.eventually(lambda: world.informer.lists == 2)


def refusal(status: int, *, retry_after: float = 0.0, message: str = "no") -> api.ApiError:
    return api.ApiError(
        status=status, reason="r", message=message, path="/fake", retry_after=retry_after
    )


@pytest.mark.parametrize(("status", "waits"), [(429, True), (403, False), (500, False)])
async def test_nobody_is_ready_while_the_first_watch_may_only_be_too_early(
    world: World, status: int, *, waits: bool
) -> None:
    """Otherwise a replica serves, and does not see what is created in that second."""
    world.server.failures["watch", "namespaces"] = [refusal(status)] * 5
    attempts: list[int] = []
    await world.start()
    await asyncio.wait_for(
        caches.set_ready_when_synced(
            [world.informer],
            readiness.Readiness(),
            filled=lambda: attempts.append(world.server.calls["watch", "namespaces"]),
        ),
        10,
    )
    assert (attempts[0] > 5) == waits


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 502, 503, 504])
async def test_a_refused_watch_goes_on_from_its_version_without_a_list(
    world: World, status: int
) -> None:
    world.server.failures["watch", "namespaces"] = [refusal(status)] * 20
    await world.sync()
    world.server.seed(api.NAMESPACES, namespace("meanwhile"))
    await fake_api.eventually(lambda: world.names() == {"meanwhile"})
    assert world.informer.lists == 1
    assert world.server.calls["watch", "namespaces"] == 21


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_an_error_event_other_than_gone_needs_no_list_and_pauses_grow(
    world: World, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    async def refuses(*_: object, **__: object) -> AsyncGenerator[api.Json]:
        yield api.OPENED
        yield {"type": "ERROR", "object": {"kind": "Status", "code": status, "message": "no"}}

    monkeypatch.setattr(world.server, "watch", refuses)
    await world.start()
    await fake_api.eventually(lambda: len(world.pauses) > 20)
    assert world.informer.lists == 1
    assert max(world.pauses) > informer.LONGEST_PAUSE


@pytest.mark.parametrize(
    "error",
    [
        refusal(410),
        refusal(400, message="invalid resource version"),
        refusal(504, message="Too large resource version: 9, current: 3"),
    ],
    ids=lambda error: str(error.status),
)
async def test_a_version_that_cannot_be_used_leads_to_a_new_list(
    world: World, error: api.ApiError
) -> None:
    world.server.failures["watch", "namespaces"] = [error]
    await world.start()
    await fake_api.eventually(lambda: world.informer.lists == 2)


async def test_the_server_s_retry_after_is_obeyed(world: World) -> None:
    world.server.failures["list", "namespaces"] = [refusal(429, retry_after=7.0)]
    world.server.failures["watch", "namespaces"] = [refusal(503, retry_after=9.0)]
    await world.sync()
    await fake_api.eventually(lambda: len(world.pauses) == 2)
    assert 7.0 <= world.pauses[0] <= 10.5
    assert 9.0 <= world.pauses[1] <= 13.5


async def test_refused_lists_back_off(world: World) -> None:
    world.server.failures["list", "namespaces"] = [refusal(503)] * 20
    await world.sync()
    assert sum(world.pauses) > 60


@pytest.mark.parametrize(
    "event", [{"type": "ADDED", "object": {}}, {"type": "ADDED", "object": {"metadata": {}}}]
)
async def test_an_object_that_cannot_be_read_does_not_end_the_informer(
    world: World, monkeypatch: pytest.MonkeyPatch, event: api.Json
) -> None:
    watch = world.server.watch

    async def strange(*_: object, **__: object) -> AsyncGenerator[api.Json]:
        monkeypatch.setattr(world.server, "watch", watch)
        yield api.OPENED
        yield event

    monkeypatch.setattr(world.server, "watch", strange)
    await world.sync()
    await fake_api.eventually(lambda: world.pauses)
    world.server.seed(api.NAMESPACES, namespace("a"))
    await fake_api.eventually(lambda: world.names() == {"a"})


async def test_a_list_that_cannot_be_read_counts_as_tried() -> None:
    def keep(item: api.Json) -> api.Json:
        raise KeyError(item["kind"])

    world = World(keep=keep)
    world.server.seed(api.NAMESPACES, namespace("a"))
    await world.start()
    await fake_api.eventually(world.informer.tried.is_set)
    assert not world.informer.synced.is_set()
    await world.stop()


async def test_a_list_that_expires_between_two_pages_is_started_again(world: World) -> None:
    world.server.seed(api.NAMESPACES, namespace("a"))
    world.server.failures["list", "namespaces"] = [fake_api.refusal(410, "Expired")]
    await world.sync()
    assert world.names() == {"a"}
    assert world.informer.problem is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(
            fake_api.refusal(403, "Forbidden", "cannot list"),
            "RBAC does not let us list and watch namespaces: cannot list",
            id="missing-rbac",
        ),
        pytest.param(
            fake_api.refusal(404, "NotFound"),
            "the API server has no namespaces: is its CRD installed?",
            id="missing-crd",
        ),
        pytest.param(
            fake_api.refusal(401, "Unauthorized"),
            "the API server does not accept our token; it is read again each time",
            id="bad-token",
        ),
        pytest.param(
            api.UnreachableError(host="https://1.2.3.4", detail="refused"),
            "the API server https://1.2.3.4 is unreachable: refused",
            id="away",
        ),
    ],
)
async def test_a_problem_is_logged_once_and_again_when_it_is_over(
    world: World, error: api.KubeError, expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    world.server.failures["list", "namespaces"] = [error] * 50
    await world.start()
    await fake_api.eventually(lambda: world.informer.problem)
    assert world.informer.problem == expected
    await world.informer.synced.wait()
    await fake_api.eventually(lambda: world.informer.problem is None)
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [f"namespaces: {expected}", "namespaces: watch started, 0 objects"]
    assert not any(record.exc_info for record in caplog.records)


async def test_an_api_server_that_has_just_got_the_definition_is_no_warning(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    busy = fake_api.refusal(429, "TooManyRequests", "storage is (re)initializing")
    world.server.failures["list", "namespaces"] = [busy]
    await world.sync()
    assert [record.levelno for record in caplog.records if "429" in record.message] == [
        logging.INFO
    ]
    await fake_api.eventually(lambda: world.server.calls["watch", "namespaces"] == 1)
    await asyncio.sleep(0)
    caplog.clear()
    world.server.failures["watch", "namespaces"] = [busy] * 3
    world.server.break_watches()
    await fake_api.eventually(lambda: "429" in caplog.text)
    assert caplog.records[-1].levelno == logging.WARNING


async def test_pauses_grow_are_capped_and_are_cut_down_when_the_server_is_back(
    world: World,
) -> None:
    away = api.UnreachableError(host="fake", detail="refused")
    world.server.failures["list", "namespaces"] = [away] * 30
    await world.sync()
    assert world.pauses[0] <= informer.FIRST_PAUSE
    assert all(pause <= informer.LONGEST_PAUSE for pause in world.pauses)
    assert sum(world.pauses) > 20 * informer.LONGEST_PAUSE / 2
    world.pauses.clear()
    await fake_api.eventually(lambda: world.server.calls["watch", "namespaces"] == 1)
    await asyncio.sleep(0)
    world.server.break_watches()
    await fake_api.eventually(lambda: world.pauses)
    assert world.pauses[-1] <= informer.REOPEN_PAUSE


async def test_a_watch_that_always_ends_at_once_is_not_opened_in_a_tight_loop(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ends_at_once(*_: object, **__: object) -> AsyncGenerator[api.Json]:
        yield api.OPENED

    monkeypatch.setattr(world.server, "watch", ends_at_once)
    await world.start()
    await fake_api.eventually(lambda: len(world.pauses) > 30)
    assert min(world.pauses[5:]) >= informer.REOPEN_PAUSE / 2
    assert max(world.pauses) <= informer.REOPEN_PAUSE


async def test_a_failing_listener_does_not_stop_later_changes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    world = World(on_change=fail)
    await world.sync()
    world.server.seed(api.NAMESPACES, namespace("a"))
    world.server.seed(api.NAMESPACES, namespace("b"))
    await fake_api.eventually(lambda: world.names() == {"a", "b"})
    assert "could not be taken over" in caplog.text
    await world.stop()


async def test_only_what_is_in_scope_is_seen() -> None:
    world = World(scope=api.by_name("mine"))
    await world.sync()
    world.server.seed(api.NAMESPACES, namespace("theirs"))
    world.server.seed(api.NAMESPACES, namespace("mine"))
    await fake_api.eventually(lambda: world.changes)
    assert world.changes == [("added", "mine")]
    await world.stop()
