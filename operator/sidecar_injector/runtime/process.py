"""The life of the process: the loops that run beside Kopf, and the order in which all end."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, TypeVar

import kopf

from sidecar_injector import names
from sidecar_injector.observability import logs

Result = TypeVar("Result")
Loops = Mapping[str, Callable[[], Awaitable[None]]]
RESTART_SECONDS: Final = 5.0
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

_log = logging.getLogger(__name__)


def raise_file_limit() -> int:
    """Open as many files as the kernel lets this process; returns how many that is.

    Containers start with a limit of 1,024, which is there for programs that use `select`.
    https://github.com/containerd/containerd/blob/main/docs/containerd-2.0.md (LimitNOFILE)
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def obey_signals(stop: asyncio.Event) -> None:
    """Make SIGTERM and SIGINT set `stop`.

    The first process of a container is not ended by a signal that it does not handle.
    https://man7.org/linux/man-pages/man7/pid_namespaces.7.html
    """
    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


async def until_stopped(
    attempt: Callable[[], Awaitable[None]], stop: asyncio.Event, *, what: str
) -> None:
    """Repeat `attempt` until it returns without an error, or `stop` is set."""
    while not stop.is_set():
        try:
            await attempt()
        except OSError as error:
            # For example a port that is in use, which needs no traceback.
            _log.error("%s: %s; retrying in %g s", what, error, RESTART_SECONDS)
        except Exception:  # noqa: BLE001 - a bug in here or in Kopf must not end the process
            _log.exception("%s failed; retrying in %g s", what, RESTART_SECONDS)
        else:
            return
        await unless_stopped(asyncio.sleep(RESTART_SECONDS), stop)


async def unless_stopped(work: Coroutine[Any, Any, Result], stop: asyncio.Event) -> Result | None:
    """The result of `work`. If `stop` is set before, `work` is cancelled and the result is None."""
    work_task, stop_task = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({work_task, stop_task}, return_when=asyncio.FIRST_COMPLETED)
        return work_task.result() if work_task.done() else None
    finally:
        await _cancel([work_task, stop_task])


async def operate(
    handlers: kopf.OperatorRegistry,
    loops: Loops,
    stop: asyncio.Event,
    *,
    count_failure: Callable[[str], None],
) -> None:
    """Run Kopf and the loops until `stop` is set. The loops go on while the server drains.

    `count_failure` is called with the name of a loop that broke.
    """
    ignored = asyncio.all_tasks()
    tasks = [
        asyncio.create_task(restart_forever(name, loop, count_failure), name=name)
        for name, loop in loops.items()
    ]

    # Kopf calls this after its own tasks have ended. Then it waits 5 s for all tasks that are not
    # in `ignored`, so our loops must have ended by then.
    # https://github.com/nolar/kopf/blob/main/kopf/_core/reactor/running.py
    @kopf.on.cleanup(registry=handlers, id="loops")
    async def end(**_: Any) -> None:
        await _cancel(tasks)

    try:
        kopf_tasks = await kopf.spawn_tasks(
            registry=handlers,
            standalone=True,
            clusterwide=True,
            stop_flag=stop,
            # Unused without peering. Without it Kopf looks up the name of the user, and fails: the
            # numeric user of a container has no name.
            # https://github.com/nolar/kopf/blob/main/kopf/_core/engines/peering.py
            identity=names.PRODUCT,  # type: ignore[arg-type]  # a NewType that Kopf does not export
        )
        # Kopf has replaced the signal handlers by its own, which do not set `stop`.
        obey_signals(stop)
        await kopf.run_tasks(kopf_tasks, ignored=ignored)
    finally:
        await _cancel(tasks)


async def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def restart_forever(
    name: str, loop: Callable[[], Awaitable[None]], count_failure: Callable[[str], None]
) -> None:
    """Run a loop until it returns or this task is cancelled; start it again whenever it breaks."""
    task = asyncio.current_task()
    while True:
        try:
            return await loop()
        except asyncio.CancelledError as error:
            if task is None or task.cancelling():
                raise
            # Something that the loop waited for was cancelled, not the loop.
            broken_by: BaseException = error
        except Exception as error:  # noqa: BLE001 - a bug must not end the process that serves pods
            broken_by = error
        count_failure(name)
        message = "the loop %r broke, it starts anew in %g s"
        _log.error(message, name, RESTART_SECONDS, exc_info=logs.unquoted(broken_by))
        await asyncio.sleep(RESTART_SECONDS)
