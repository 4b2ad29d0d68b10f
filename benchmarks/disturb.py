"""`python -m benchmarks.disturb KIND PORT SECONDS`: what clients may do to others, each on its own.

A process of its own, so that it does not hold up those who are measured in another.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import uvloop

from benchmarks import pace, reviews

NEWCOMERS: Final = 200
BYTE_SECONDS: Final = 0.001
PAUSE_SECONDS: Final = 1.0
LARGEST: Final = 8 * 1024**2 - 16 * 1024
"""Just below what the product takes at all; the API server itself stops at 3 MiB."""


async def newcomers(port: int) -> None:
    """200 new connections at once with one request each, once a second."""
    message = pace.request(reviews.recorded())

    async def come() -> None:
        reader, writer = await pace.connect(port)
        writer.write(message)
        await pace.answer(reader)
        writer.close()

    while True:
        async with asyncio.TaskGroup() as group:
            for _ in range(NEWCOMERS):
                group.create_task(come())
        await asyncio.sleep(PAUSE_SECONDS)


async def bytewise(port: int) -> None:
    """One client whose requests come byte by byte, each in a TLS record of its own."""
    reader, writer = await pace.connect(port)
    message = pace.request(reviews.recorded())
    while True:
        for number in range(len(message)):
            writer.write(message[number : number + 1])
            await asyncio.sleep(BYTE_SECONDS)
        await pace.answer(reader)


async def large(port: int, size: int) -> None:
    """One client whose pods have as many variables as that many bytes hold."""
    reader, writer = await pace.connect(port)
    message = pace.request(reviews.of_size(size))
    while True:
        writer.write(message)
        await pace.answer(reader)
        await asyncio.sleep(PAUSE_SECONDS / 4)


async def nobody(_port: int) -> None:
    """For comparison."""
    await asyncio.Event().wait()


KINDS: Final[Mapping[str, Callable[[int], Awaitable[None]]]] = {
    "nothing else": nobody,
    "200 new TLS connections at once, every second": newcomers,
    "a client that sends byte by byte": bytewise,
    "pods of 1 MiB": lambda port: large(port, 1024**2),
    "bodies of 8 MiB": lambda port: large(port, LARGEST),
}


async def main() -> None:
    """Until the time is over."""
    kind, port, seconds = sys.argv[1:]
    try:
        async with asyncio.timeout(float(seconds)):
            await KINDS[kind](int(port))
    except TimeoutError:
        return


if __name__ == "__main__":
    uvloop.run(main())
