"""Following rollouts to their end, with a bar for each on a terminal and a line each in a pipe."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Final

import click
import rich.progress

from sidecar_injector.cli.cluster import client, objects, owners, rollouts
from sidecar_injector.cli.output import tables

PAUSE: Final = 1.0
"""Seconds between two looks at all of them."""

Tell = Callable[[owners.Owner, rollouts.Rollout], None]


async def follow(
    asked: client.Cluster, wanted: Sequence[owners.Owner], *, seconds: float
) -> Mapping[owners.Owner, rollouts.Rollout]:
    """What became of each: complete, stuck, or neither if time ran out."""
    found: dict[owners.Owner, rollouts.Rollout] = {}
    end = time.monotonic() + seconds
    with _telling(wanted) as tell:
        async for one in _looks(wanted, found, end=end):
            seen = await _look(asked, one)
            if found.get(one) != seen:
                tell(one, seen)
            found[one] = seen
    return found


async def _looks(
    wanted: Sequence[owners.Owner],
    found: Mapping[owners.Owner, rollouts.Rollout],
    *,
    end: float,
) -> AsyncIterator[owners.Owner]:
    """Whom to look at next, until all are done or time is up; each is looked at once at least."""
    while True:
        left = [one for one in wanted if not _is_over(found.get(one))]
        for one in left:
            yield one
        if all(_is_over(found.get(one)) for one in left) or time.monotonic() >= end:
            return
        await asyncio.sleep(PAUSE)


def _is_over(seen: rollouts.Rollout | None) -> bool:
    return seen is not None and (seen.complete or seen.stuck)


async def _look(asked: client.Cluster, one: owners.Owner) -> rollouts.Rollout:
    resource = objects.RESOURCES[one.kind]
    thing = await objects.found(asked, resource, name=one.name, namespace=one.namespace)
    return rollouts.judge(one.kind, thing) if thing else rollouts.GONE


@contextlib.contextmanager
def _telling(wanted: Sequence[owners.Owner]) -> Iterator[Tell]:
    console = tables.console(stderr=True)
    if not console.is_terminal:
        yield lambda one, seen: click.echo(f"{one}: {seen.says}", err=True)
        return
    columns = (
        rich.progress.TextColumn("{task.description}", markup=False),
        rich.progress.BarColumn(),
        rich.progress.TextColumn("{task.fields[says]}", markup=False),
    )
    with rich.progress.Progress(*columns, console=console) as progress:
        bars = {one: progress.add_task(str(one), total=None, says="") for one in wanted}

        def tell(one: owners.Owner, seen: rollouts.Rollout) -> None:
            # A bar of nothing would move to and fro for ever.
            total, done = (seen.wanted, seen.done) if seen.wanted else (1, int(seen.complete))
            progress.update(bars[one], total=total, completed=done, says=seen.says)

        yield tell
