"""One bounded attack on one replica, with a healthy client meanwhile, and what is wrong then."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from sidecar_injector import names
from tools.controlplane import operators, ports, release, webhook
from tools.fuzz import inputs

ANSWER_SECONDS: Final = 10
LINGER_SECONDS: Final = 0.01
"""How long a connection without an answer stays open before the next one."""
SENDERS: Final = 4
HEALTHY_EVERY_SECONDS: Final = 0.05
WARM_UP: Final = 0.2
"""The part of the inputs after which allocator, caches and pools are filled."""
GROWTH: Final = 1.15
"""What memory may have grown by from then on; the allocator's noise is a few percent."""


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
        for attempt in chosen:
            self.result.sent[attempt.kind] += 1
            try:
                status = await asyncio.wait_for(self._send(attempt), ANSWER_SECONDS)
            except (OSError, EOFError, TimeoutError, ValueError):
                status = 0
            self.result.statuses[status] += 1
            if attempt.answered and not status:
                self.result.unanswered.append(attempt)
            if status >= 500:
                self.result.failed.append(attempt)

    async def _send(self, attempt: inputs.Input) -> int:
        """The status of the answer; 0 if none must come."""
        reader, writer = await (
            webhook.connect(self._port)
            if attempt.tls
            else asyncio.open_connection(ports.LOOPBACK, self._port)
        )
        try:
            writer.write(attempt.data)
            if attempt.answered:
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
        reader, writer = await webhook.connect(self._port)
        try:
            writer.write(self._healthy)
            _, body = await webhook.read_answer(reader)
            answer: dict[str, Any] = json.loads(body)
            return answer
        finally:
            writer.transport.abort()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """How it ended."""

    result: Result
    running: bool
    ready: bool
    tracebacks: int
    rss: tuple[int, int]
    """Bytes of resident memory, after the warm-up and at the end."""

    def complaints(self) -> list[str]:
        """What must not have happened, as sentences; empty if the replica has survived."""
        result = self.result
        facts = {
            "the process ended": not self.running,
            "it is not ready any more": not self.ready,
            f"{self.tracebacks} tracebacks in its log": self.tracebacks,
            f"answered with 5xx, first {result.failed[:1]}": result.failed,
            f"valid HTTP without an answer, first {result.unanswered[:1]}": result.unanswered,
            f"healthy requests failed, first {result.unhealthy[:1]}": result.unhealthy,
            f"memory grew: {self.rss}": self.rss[1] > GROWTH * self.rss[0],
        }
        return [sentence for sentence, is_so in facts.items() if is_so]

    def lines(self) -> list[str]:
        """For people."""
        sent = ", ".join(f"{count} {kind}" for kind, count in sorted(self.result.sent.items()))
        codes = sorted(self.result.statuses.items())
        statuses = ", ".join(f"{status or 'none'}: {count}" for status, count in codes)
        times = [1000 * seconds for seconds in self.result.healthy]
        p50, worst = statistics.median(times), max(times)
        before, after = (size / 1e6 for size in self.rss)
        return [
            f"sent: {self.result.total} ({sent})",
            f"answers: {statuses}",
            f"healthy requests meanwhile: {len(times)}, p50 {p50:.1f} ms, worst {worst:.0f} ms",
            f"memory: {before:.1f} MB after the warm-up, {after:.1f} MB at the end",
        ]


def run(replica: operators.Replica, *, namespace: str, count: int, seed: int) -> Outcome:
    """Attack it; the namespace must be enabled and have an injection for every pod."""
    logged = replica.log.stat().st_size
    review = review_of(namespace)
    fighter = Attack(replica.backend.port, review=review)
    stream = inputs.stream(seed, review=review)
    first = int(count * WARM_UP)
    asyncio.run(fighter.run(stream, count=first))
    before = replica.rss()
    result = asyncio.run(fighter.run(stream, count=count - first))
    log = replica.log.read_bytes()[logged:]
    return Outcome(
        result=result,
        running=replica.running,
        ready=replica.ready(),
        tracebacks=log.count(b"Traceback"),
        rss=(before, replica.rss()),
    )


def review_of(namespace: str) -> dict[str, Any]:
    """What the API server sends about a pod with a bit of everything."""
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u"}
    pod = release.pod(
        name="app", namespace=namespace, labels={"app": "web"},
        annotations={names.INJECT_ANNOTATION: "yes"},
        ownerReferences=[{**owner, "controller": True}],
        spec={
            "volumes": [{"name": "data", "emptyDir": {}}],
            "serviceAccountName": "default",
            "restartPolicy": "Always",
        },
    )  # fmt: skip
    pod["spec"]["containers"][0] |= {
        "env": [{"name": "A", "value": "1"}],
        "ports": [{"containerPort": 80, "protocol": "TCP"}],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "resources": {"requests": {"cpu": "10m"}},
    }
    review = webhook.review(pod, namespace=namespace)
    review["request"]["dryRun"] = False
    return review


async def _status(reader: asyncio.StreamReader) -> int:
    """Of the status line. Raises EOFError where there is none."""
    line = await reader.readline()
    if not line:
        raise EOFError("closed without an answer")
    return int(line.split()[1])
