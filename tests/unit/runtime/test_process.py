"""Logging in, and the life of the process, without a cluster or a clock."""

from __future__ import annotations

import asyncio
import getpass
import logging
import resource
from collections.abc import Awaitable, Callable

import kopf
import pytest
from kubernetes.aio.client import configuration

from sidecar_injector.kube import api
from sidecar_injector.observability import logs
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.runtime import kopf_login, kopf_setup, process


class Source:
    """Returns one of `tokens` after the other; None means that no credentials are found."""

    def __init__(self, *tokens: str | None) -> None:
        self._tokens = list(tokens)

    async def load(self) -> configuration.Configuration:
        token = self._tokens.pop(0)
        if token is None:
            raise api.CredentialsError(source="a test", detail="nothing there")
        loaded = configuration.Configuration()
        loaded.api_key = {"authorization": f"Bearer {token}"}
        return loaded


class Pauses(list[float]):
    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


async def test_kopf_gets_a_new_token_at_once_and_the_same_one_only_after_a_pause() -> None:
    pauses = Pauses()
    login = kopf_login.Login(Source("a", "b", "b", "b"), sleep=pauses)  # type: ignore[arg-type]
    assert [(await login.renew()).token for _ in range(2)] == ["a", "b"]
    assert pauses == []
    assert (await login.renew()).token == "b"
    assert pauses == [kopf_login.RETRY_SECONDS]


async def test_the_same_credentials_never_look_the_same_to_kopf() -> None:
    loaded = await Source("a").load()
    assert kopf_login.connection(loaded) != kopf_login.connection(loaded)


@pytest.mark.parametrize("header", ["Bearer token", "bearer token", "token"])
def test_kopf_gets_the_token_alone_however_the_loader_writes_it(header: str) -> None:
    loaded = configuration.Configuration()
    loaded.api_key["BearerToken"] = header
    connection = kopf_login.connection(loaded)
    assert (connection.scheme, connection.token) == ("Bearer", "token")


async def test_missing_credentials_are_waited_for_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pauses = Pauses()
    loaded = await kopf_login.retry_until_found(Source(None, None, None, "a").load, sleep=pauses)
    assert loaded.api_key == {"authorization": "Bearer a"}
    assert pauses == [kopf_login.RETRY_SECONDS] * 3
    (record,) = caplog.records
    assert "nothing there" in record.getMessage()


def attempt(number: int, problem: str, *, at: float) -> logging.LogRecord:
    text = f"Request attempt #{number} failed; will retry: {problem}"
    record = logging.LogRecord("kopf", logging.ERROR, "", 0, text, None, None)
    record.created = at
    return record


def test_the_same_problem_of_kopf_is_logged_once_in_ten_minutes() -> None:
    passes = kopf_setup.RepetitionFilter().filter
    assert passes(attempt(1, "GET /a", at=0))
    assert not passes(attempt(2, "GET /a", at=1))
    assert passes(attempt(2, "GET /b", at=2))
    assert not passes(attempt(1, "GET /a", at=kopf_setup.REPEAT_SECONDS - 1))
    assert passes(attempt(9, "GET /a", at=kopf_setup.REPEAT_SECONDS))


def test_other_lines_are_always_let_through() -> None:
    passes = kopf_setup.RepetitionFilter().filter
    record = logging.LogRecord("kopf", logging.ERROR, "", 0, "something else", None, None)
    assert passes(record)
    assert passes(record)


@pytest.mark.parametrize(
    ("error", "has_traceback"), [(OSError("port is taken"), False), (ValueError("a bug"), True)]
)
async def test_an_attempt_that_breaks_is_made_again(
    error: Exception,
    has_traceback: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(process, "RESTART_SECONDS", 0)
    attempts = 0

    async def attempt() -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise error

    await process.until_stopped(attempt, asyncio.Event(), what="it")
    assert attempts == 2
    assert (caplog.records[0].exc_info is not None) == has_traceback


async def test_after_the_signal_to_stop_nothing_is_waited_for() -> None:
    stop = asyncio.Event()
    stop.set()
    assert await process.unless_stopped(asyncio.Event().wait(), stop) is None


async def test_it_runs_as_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 65532")

    monkeypatch.setattr(getpass, "getuser", nameless)
    handlers = kopf.OperatorRegistry()
    stop = asyncio.Event()

    @kopf.on.login(registry=handlers)
    def log_in(**_: object) -> kopf.ConnectionInfo:
        stop.set()
        return kopf_login.connection(configuration.Configuration())

    await process.operate(handlers, {}, stop, count_failure=fail)


def fail(loop: str) -> None:
    raise AssertionError(f"the loop {loop} broke")


async def forgotten() -> None:
    """Wait for something that another task cancels."""
    waited_for = asyncio.get_running_loop().create_future()
    waited_for.cancel()
    await waited_for


async def bug(value: str = "canary") -> None:
    raise ValueError(value)


async def group() -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(bug())


@pytest.mark.parametrize("ending", [forgotten, bug, group])
async def test_a_loop_that_dies_is_counted_and_begins_anew(
    ending: Callable[[], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(process, "RESTART_SECONDS", 0)
    metrics, lives = Metrics(), 0

    async def loop() -> None:
        nonlocal lives
        lives += 1
        if lives < 3:
            await ending()

    async with asyncio.timeout(5):
        await process.restart_forever("status", loop, metrics.count_loops(["status", "audit"]))
    assert lives == 3
    name = "sidecar_injector_loop_failures_total"
    assert metrics.registry.get_sample_value(name, {"loop": "status"}) == 2
    assert metrics.registry.get_sample_value(name, {"loop": "audit"}) == 0
    assert [record.getMessage()[:23] for record in caplog.records] == [
        "the loop 'status' broke"
    ] * 2
    assert "Error: canary" not in "".join(map(logs.JsonFormatter().format, caplog.records))


async def test_a_loop_that_is_cancelled_at_the_end_of_the_process_does_not_begin_anew() -> None:
    async def loop() -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(process.restart_forever("status", loop, fail))
    await asyncio.sleep(0)
    task.cancel()
    assert await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()


def test_the_process_may_open_as_many_files_as_the_kernel_lets_it():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        assert process.raise_file_limit() == hard
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
