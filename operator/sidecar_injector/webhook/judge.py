"""Reads and validates injections beside the event loop, in one thread, and each of them once.

An injection of the largest size takes a fraction of a second, and pods must not wait for it. What
an injection is by itself is remembered: the status writer gets what `/validate` found. How many may
wait is limited, and for how long: beyond that the injection is admitted unjudged, and its status
follows when there is time.
"""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import dataclasses
import functools
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import orjson

from sidecar_injector.core.injections import model, namespace_view, schema
from sidecar_injector.core.linting import validate
from sidecar_injector.core.pods import lenient
from sidecar_injector.core.validity import pod_security
from sidecar_injector.observability import logs
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.webhook import cluster_state

Json = Mapping[str, Any]
Result = TypeVar("Result")

MOST_WAITING: Final = 32
"""Reviews of injections at the same time; those of a chart or of a repository are fewer."""
JUDGE_SECONDS: Final = 2.5
"""How long a review may wait for its turn and its judgement, of the API server's five seconds."""
INLINE_BYTES: Final = 4 * 1024
"""Of a spec that is read on the event loop: most are smaller, and it takes few milliseconds."""
REMEMBERED_BYTES: Final = 1 << 20

_log = logging.getLogger(__name__)


class UncheckedError(Exception):
    """An injection is not judged; the text says why."""


class Judge:
    """The one place where injections are judged."""

    def __init__(self, metrics: Metrics) -> None:
        self.kubernetes_minor: int | None = None
        """The release of the cluster, 32 for 1.32; None until it is known."""
        self._worker = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="judge")
        self._waiting = 0
        self._memory = _Memory(REMEMBERED_BYTES)
        self._read_ahead: dict[str, tuple[Json, model.Injection]] = {}
        self._unchecked = metrics.unchecked_injections

    async def findings(
        self,
        resource: Json,
        *,
        kind: str,
        others: Callable[[], Sequence[model.Injection]],
        namespaces: Callable[[], Sequence[namespace_view.Namespace]],
    ) -> validate.Findings:
        """What `/validate` says about an injection. Raises UncheckedError.

        `others` returns the injections that it may meet on a pod, `namespaces` where it may work.
        """

        def judge(
            competing: Sequence[model.Injection], reached: Sequence[namespace_view.Namespace]
        ) -> validate.Findings:
            injection = cluster_state.read(resource, kind)
            return validate.with_surroundings(
                injection,
                self._by_itself(injection),
                others=competing,
                namespaces=reached,
                enforcing=cluster_state.enforcing(injection, reached),
            )

        if self._waiting >= MOST_WAITING:
            raise self._gave_up(f"{self._waiting} others wait to be checked")
        self._waiting += 1
        try:
            async with asyncio.timeout(JUDGE_SECONDS):
                return await self._in_thread(functools.partial(judge, others(), namespaces()))
        except TimeoutError:
            raise self._gave_up(f"not within {JUDGE_SECONDS:g} s") from None
        except Exception as error:  # our own bug must not refuse an injection
            raise self._gave_up("cannot judge an injection", bug=error) from error
        finally:
            self._waiting -= 1

    async def errors(self, injection: model.Injection) -> tuple[schema.Problem, ...]:
        """Why an injection is not accepted, for its status."""
        if injection.errors:
            return injection.errors
        # A copy: what the trials find out about an injection is in memory as long as it is.
        judged = dataclasses.replace(injection)
        findings = await self._in_thread(lambda: self._by_itself(judged))
        return findings.errors

    async def forbidden(
        self, injection: model.Injection, namespace: namespace_view.Namespace | None
    ) -> str:
        """Why its namespace's Pod Security level forbids an injection; empty if it does not."""
        if namespace is None or injection.errors:
            return ""
        newest = self.kubernetes_minor or pod_security.NEWEST
        policy = pod_security.Policy.of(namespace.labels, newest=newest)
        if policy.level == pod_security.PRIVILEGED:
            return ""
        judged = dataclasses.replace(injection)
        return await self._in_thread(lambda: self._forbidden(judged, policy))

    def _forbidden(self, injection: model.Injection, policy: pod_security.Policy) -> str:
        minor = self.kubernetes_minor
        key = _key(injection, minor, *policy)
        if (findings := self._memory.get(key)) is None:
            text = validate.forbidden(injection, policy, minor=minor)
            findings = validate.Findings((schema.Problem("spec.template", text),) if text else ())
            self._memory.put(key, findings)
        return findings.errors[0].expectation if findings.errors else ""

    async def read_ahead(self, resource: Json, *, kind: str) -> None:
        """Read an injection before the cache takes it over, if it takes long; then `read` returns
        what was read. One of a kind at a time."""
        if lenient.size(resource.get("spec")) > INLINE_BYTES:
            injection = await self._in_thread(lambda: cluster_state.read(resource, kind))
            self._read_ahead[kind] = resource, injection

    def read(self, resource: Json, kind: str) -> model.Injection:
        """The injection in a resource of this kind."""
        ahead = self._read_ahead.pop(kind, None)
        return ahead[1] if ahead and ahead[0] is resource else cluster_state.read(resource, kind)

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)

    def _by_itself(self, injection: model.Injection) -> validate.Findings:
        """The findings about an injection without others. Only in the thread."""
        if injection.errors:
            return validate.Findings(injection.errors)
        minor = self.kubernetes_minor
        key = _key(injection, minor)
        if (findings := self._memory.get(key)) is None:
            findings = validate.validate(injection, minor=minor)
            self._memory.put(key, findings)
        return findings

    def _gave_up(self, why: str, *, bug: Exception | None = None) -> UncheckedError:
        self._unchecked.inc()
        level = logging.ERROR if bug else logging.WARNING
        bug_info = logs.unquoted(bug) if bug else None
        _log.log(level, "an injection is admitted unjudged: %s", why, exc_info=bug_info)
        return UncheckedError(why)


class _Memory:
    """Findings by what was judged, the latest up to a number of bytes."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes, self._bytes = most_bytes, 0
        self._findings: collections.OrderedDict[bytes, validate.Findings] = (
            collections.OrderedDict()
        )

    def get(self, key: bytes) -> validate.Findings | None:
        if findings := self._findings.get(key):
            self._findings.move_to_end(key)
        return findings

    def put(self, key: bytes, findings: validate.Findings) -> None:
        self._findings[key] = findings
        self._bytes += _bytes(findings)
        while self._bytes > self._most_bytes:
            _, oldest = self._findings.popitem(last=False)
            self._bytes -= _bytes(oldest)


def _key(injection: model.Injection, minor: int | None, *policy: str | int) -> bytes:
    """A hash of all of an injection that is judged, and of what it is judged for."""
    judged = [minor, *policy, injection.kind, injection.namespace, injection.name, injection.spec]
    return hashlib.sha256(orjson.dumps(judged, option=orjson.OPT_SORT_KEYS)).digest()


def _bytes(findings: validate.Findings) -> int:
    """About how many bytes they take in memory."""
    problems = (*findings.errors, *findings.warnings)
    return 512 + sum(
        256 + len(problem.path) + len(problem.expectation) + len(problem.value)
        for problem in problems
    )
