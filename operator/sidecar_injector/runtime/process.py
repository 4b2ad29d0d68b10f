"""The life of the process: what runs beside Kopf, and in which order all of it ends."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, TypeVar

import kopf

from sidecar_injector import names

Result = TypeVar("Result")
Loops = Mapping[str, Callable[[], Awaitable[None]]]
RESTART_SECONDS: Final = 5.0
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

_log = logging.getLogger(__name__)


def obey_signals(stop: asyncio.Event) -> None:
    """Have SIGTERM and SIGINT set `stop`.

    As the first process of a container we are not ended by a signal that we do not handle.
    """
    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


async def until_stopped(
    attempt: Callable[[], Awaitable[None]], stop: asyncio.Event, *, what: str
) -> None:
    """Make attempts, one after the other, until one returns or the process is told to end."""
    while not stop.is_set():
        try:
            await attempt()
        except OSError as error:
            # A port that is taken, no bug: the sentence is enough.
            _log.error("%s: %s; starting anew in %g s", what, error, RESTART_SECONDS)
        except Exception:  # noqa: BLE001 - a bug in here or in Kopf must not end the process
            _log.exception("%s broke; starting anew in %g s", what, RESTART_SECONDS)
        else:
            return
        await unless_stopped(asyncio.sleep(RESTART_SECONDS), stop)


async def unless_stopped(work: Coroutine[Any, Any, Result], stop: asyncio.Event) -> Result | None:
    """The result; None, and the work cancelled, if the process is told to end before."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        working.cancel()
        stopping.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)


async def operate(handlers: kopf.OperatorRegistry, loops: Loops, stop: asyncio.Event) -> None:
    """Run Kopf and the loops until `stop` is set. The loops go on while the server drains."""
    ignored = asyncio.all_tasks()
    running = [
        asyncio.create_task(_kept_running(name, loop), name=name) for name, loop in loops.items()
    ]

    # Kopf calls this when all that is its own has ended. It waits 5 s for every other task that
    # was started after it, which those of our loops were.
    # https://github.com/nolar/kopf/blob/main/kopf/_core/reactor/running.py
    @kopf.on.cleanup(registry=handlers, id="loops")
    async def end(**_: Any) -> None:
        await _end(running)

    try:
        tasks = await kopf.spawn_tasks(
            registry=handlers,
            standalone=True,
            clusterwide=True,
            stop_flag=stop,
            # Of no use without peers, but left out Kopf asks for the user's name, which the numeric
            # user of a container does not have, and gives up.
            # https://github.com/nolar/kopf/blob/main/kopf/_core/engines/peering.py
            identity=names.PRODUCT,  # type: ignore[arg-type]  # a NewType that Kopf does not export
        )
        # Kopf has put its own handlers there, which know nothing of `stop`.
        obey_signals(stop)
        await kopf.run_tasks(tasks, ignored=ignored)
    finally:
        await _end(running)


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _kept_running(name: str, loop: Callable[[], Awaitable[None]]) -> None:
    """Run a loop for ever, anew if it breaks."""
    while True:
        try:
            return await loop()
        except Exception:  # noqa: BLE001 - a bug must not end the process that serves pods
            # Cancellation is no Exception and passes.
            _log.exception("the loop %r broke, it starts anew in %g s", name, RESTART_SECONDS)
        await asyncio.sleep(RESTART_SECONDS)
