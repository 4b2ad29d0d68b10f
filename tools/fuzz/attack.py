"""Who sends the inputs, and who asks in between whether healthy requests are still answered."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import ssl
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from tools.controlplane import ports
from tools.fuzz import inputs

ANSWER_SECONDS: Final = 10
LINGER_SECONDS: Final = 0.01
"""How long what is owed no answer is left standing before the next one."""
SENDERS: Final = 4
HEALTHY_EVERY_SECONDS: Final = 0.05


@dataclasses.dataclass
class Result:
    """What came back."""

    sent: Counter[str] = dataclasses.field(default_factory=Counter)
    statuses: Counter[int] = dataclasses.field(default_factory=Counter)
    unanswered: list[inputs.Input] = dataclasses.field(default_factory=list)
    """Valid HTTP that got no answer."""
    failed: list[inputs.Input] = dataclasses.field(default_factory=list)
    """What was answered with 500 or more."""
    healthy: list[float] = dataclasses.field(default_factory=list)
    """Seconds that each healthy request took."""
    unhealthy: list[str] = dataclasses.field(default_factory=list)
    """What went wrong with the others."""

    @property
    def total(self) -> int:
        return sum(self.sent.values())


class Attack:
    """Senders and one healthy client on a port of loopback, in one event loop."""

    def __init__(self, port: int, *, review: dict[str, Any]) -> None:
        self._port = port
        self._healthy = inputs.request(inputs.MUTATE, json.dumps(review).encode())
        self._context = ssl.create_default_context()
        # Whom it talks to is not what is tested here.
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE
        self.result = Result()

    async def run(self, stream: Iterator[inputs.Input], *, count: int) -> Result:
        """Send so many; all of them have ended when it returns."""
        healthy = asyncio.create_task(self._stay_healthy())
        chosen = (next(stream) for _ in range(count))
        async with asyncio.TaskGroup() as group:
            for _ in range(SENDERS):
                group.create_task(self._send_all(chosen))
        healthy.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await healthy
        return self.result

    async def _send_all(self, chosen: Iterator[inputs.Input]) -> None:
        for one in chosen:
            self.result.sent[one.kind] += 1
            try:
                status = await asyncio.wait_for(self._send(one), ANSWER_SECONDS)
            except (OSError, EOFError, TimeoutError, ValueError):
                status = 0
            self.result.statuses[status] += 1
            if one.answered and not status:
                self.result.unanswered.append(one)
            if status >= 500:
                self.result.failed.append(one)

    async def _send(self, one: inputs.Input) -> int:
        """The status of the answer; 0 where none is waited for."""
        context = self._context if one.tls else None
        reader, writer = await asyncio.open_connection(ports.LOOPBACK, self._port, ssl=context)
        try:
            writer.write(one.data)
            if one.answered:
                return await _status(reader)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(1), LINGER_SECONDS)
            return 0
        finally:
            writer.transport.abort()

    async def _stay_healthy(self) -> None:
        while True:
            begin = time.perf_counter()
            try:
                answer = await asyncio.wait_for(self._ask(), ANSWER_SECONDS)
                assert answer["response"]["allowed"] is True, answer
                assert "patch" in answer["response"], answer
                self.result.healthy.append(time.perf_counter() - begin)
            except (OSError, EOFError, TimeoutError, ValueError, AssertionError) as error:
                self.result.unhealthy.append(f"{type(error).__name__}: {error}")
            await asyncio.sleep(HEALTHY_EVERY_SECONDS)

    async def _ask(self) -> dict[str, Any]:
        reader, writer = await asyncio.open_connection(
            ports.LOOPBACK, self._port, ssl=self._context
        )
        try:
            writer.write(self._healthy)
            await _status(reader)
            length = 0
            while line := (await reader.readline()).strip():
                name, _, value = line.decode().partition(":")
                length = int(value) if name.lower() == "content-length" else length
            answer: dict[str, Any] = json.loads(await reader.readexactly(length))
            return answer
        finally:
            writer.transport.abort()


async def _status(reader: asyncio.StreamReader) -> int:
    """Of the status line. Raises EOFError where there is none."""
    line = await reader.readline()
    if not line:
        raise EOFError("closed without an answer")
    return int(line.split()[1])
