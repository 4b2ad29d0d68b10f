"""The worker thread's turns."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar_injector.webhook import worker


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


class Queue:
    """Tasks that wait for the turn while another one has it, and the order in which they get it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.worker = worker.Worker(lambda: self.now)
        self.order: list[int] = []
        self.release = asyncio.Event()
        self._running = 0

    async def hold(self) -> None:
        async with self.worker.turn(b"", cost=0):
            await self.release.wait()

    async def take(self, cost: int) -> None:
        async with self.worker.turn(b"", cost=cost):
            assert self._running == 0
            self._running += 1
            await asyncio.sleep(0)
            self.order.append(cost)
            self._running -= 1


@given(costs=st.lists(st.integers(0, 9), max_size=12), cancelled=st.sets(st.integers(0, 11)))
def test_the_cheapest_has_the_next_turn_and_nobody_is_left_behind(
    costs: list[int], cancelled: set[int]
) -> None:
    async def play() -> None:
        queue = Queue()
        holder = asyncio.create_task(queue.hold())
        await settle()
        tasks = [asyncio.create_task(queue.take(cost)) for cost in costs]
        await settle()
        assert not queue.order
        for number in cancelled & set(range(len(tasks))):
            tasks[number].cancel()
        queue.release.set()
        await asyncio.gather(holder, *tasks, return_exceptions=True)
        left = [cost for number, cost in enumerate(costs) if number not in cancelled]
        assert queue.order == sorted(left)
        await queue.take(10)

    asyncio.run(play())


async def test_a_large_one_does_not_wait_for_every_smaller_one() -> None:
    queue = Queue()
    async with queue.worker.turn(b"", cost=0):
        tasks = [asyncio.create_task(queue.take(10_000))]
        for _ in range(5):
            await settle()
            queue.now += 1
            tasks.append(asyncio.create_task(queue.take(2_500)))
        await settle()
    await asyncio.gather(*tasks)
    assert queue.order == [2_500, 10_000, 2_500, 2_500, 2_500, 2_500]


async def test_a_turn_that_comes_while_its_request_ends_goes_to_the_next() -> None:
    queue = Queue()
    async with queue.worker.turn(b"", cost=0):
        first, second = (asyncio.create_task(queue.take(cost)) for cost in (1, 2))
        await settle()
    # The first has the turn now, and has not run since.
    first.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    assert first.cancelled()
    assert queue.order == [2]


async def test_an_error_passes_the_turn_on() -> None:
    queue = Queue()

    async def fail() -> None:
        async with queue.worker.turn(b"", cost=0):
            await queue.worker.run(int, "no number")

    with pytest.raises(ValueError, match="no number"):
        await fail()
    await queue.take(1)
    assert queue.order == [1]


async def test_a_function_runs_in_the_thread_without_collections() -> None:
    def inspect() -> tuple[bool, bool]:
        return threading.current_thread() is threading.main_thread(), gc.isenabled()

    assert await worker.Worker().run(inspect) == (False, False)
    assert gc.isenabled()


async def test_bodies_count_while_they_wait_and_no_longer() -> None:
    long_work = worker.Worker()
    body = bytes(worker.MAX_WAITING_BYTES // 2 + 1)

    async def take(size: int) -> None:
        async with long_work.turn(bytes(size), cost=1):
            raise ZeroDivisionError

    assert long_work.has_room(body)
    async with long_work.turn(body, cost=0):
        assert not long_work.has_room(body)
        tasks = [asyncio.create_task(take(size)) for size in (1, 2)]
        await settle()
        assert long_work.waiting_bytes == len(body) + 3
        tasks[0].cancel()
        await settle()
        assert long_work.waiting_bytes == len(body) + 2
    await asyncio.gather(*tasks, return_exceptions=True)
    assert long_work.waiting_bytes == 0
