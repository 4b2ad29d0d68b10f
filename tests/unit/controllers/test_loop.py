"""A loop repeats its step, whatever the step raises, and no earlier than the API server allows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from sidecar_injector.controllers import loop
from sidecar_injector.kube import api
from tests.kits import fake_api


class Steps:
    """A loop without pauses of its own, whose steps raise errors, and how many there were."""

    def __init__(self, make_error: Callable[[], Exception], patch: pytest.MonkeyPatch) -> None:
        patch.setattr(loop, "FIRST_PAUSE", 0.0)
        patch.setattr(loop, "LONGEST_PAUSE", 0.0)
        self._make_error = make_error
        self.count = 0
        self.loop = loop.Loop(self.step, what="a test")
        self.task = asyncio.create_task(self.loop.run())

    async def step(self) -> float:
        self.count += 1
        raise self._make_error()


@pytest.mark.parametrize(
    "make_error", [lambda: fake_api.refusal(403, "Forbidden"), RuntimeError, KeyError]
)
async def test_no_error_ends_the_loop(
    make_error: Callable[[], Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps(make_error, monkeypatch)
    await fake_api.eventually(lambda: steps.count > 10)
    steps.task.cancel()


async def test_an_overloaded_server_gets_its_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    def busy() -> api.ApiError:
        return api.ApiError(status=429, reason="r", message="m", path="/", retry_after=50.0)

    steps = Steps(busy, monkeypatch)
    for _ in range(500):
        steps.loop.wake()
        await asyncio.sleep(0)
    assert steps.count == 1, "also if something wakes the loop"
    steps.task.cancel()
