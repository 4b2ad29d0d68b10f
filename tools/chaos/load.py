"""Pods, created at a steady pace through every API server."""

from __future__ import annotations

import collections
import contextlib
import http.client
import itertools
import json
import queue
import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Self

from tools.chaos import samples
from tools.controlplane import client, errors

WORKERS: Final = 40
"""For each API server: a pod that hangs holds one for the webhook's 5 s."""
BACKLOG: Final = 50
"""More pods than this are not kept waiting: nobody would create them either."""
KEPT: Final = 5
"""Of each worker's pods, before the oldest is deleted. In all that is what a small cluster has; ten
thousand would give the API servers, and the audit, more to do than the load."""
TIMEOUT_SECONDS: Final = 30
SIDECAR: Final = "sidecar"
Json = dict[str, Any]


def pod(**metadata: Any) -> Json:
    """One that is to be injected."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "load-", "labels": {"app": "load"}, **metadata},
        "spec": {"containers": [{"name": "app", "image": "app:1"}]},
    }


def injected(pod: Json) -> bool:
    """Whether it has what our injection adds."""
    return any(container["name"] == SIDECAR for container in pod["spec"]["containers"])


class Load:
    """A context manager. Every pod that is tried ends as one sample, whatever becomes of it."""

    def __init__(
        self,
        servers: Sequence[client.Client],
        *,
        namespace: str,
        per_second: float,
        spec: Mapping[str, Any] | None = None,
    ) -> None:
        """Servers take turns; `spec` is more of what the pods have."""
        self._spec = spec or {}
        self._servers = servers
        self._path = f"/api/v1/namespaces/{namespace}/pods"
        self._pause = 1 / per_second
        self._samples: list[samples.Sample] = []
        self._news = threading.Condition()
        self._due: list[queue.Queue[Json | None]] = [queue.Queue(maxsize=BACKLOG) for _ in servers]
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(server, due), daemon=True)
            for server, due in zip(servers, self._due, strict=True)
            for _ in range(WORKERS)
        ]
        if servers:
            self._threads.append(threading.Thread(target=self._pace, daemon=True))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        for due in self._due:
            with contextlib.suppress(queue.Empty):
                while True:
                    due.get_nowait()
            for _ in range(WORKERS):
                due.put(None)
        for thread in self._threads:
            thread.join()

    def taken(self) -> tuple[samples.Sample, ...]:
        """All samples so far."""
        with self._news:
            return tuple(self._samples)

    def wait(
        self, what: str, wanted: Callable[[samples.Sample], bool], *, seconds: float
    ) -> samples.Sample:
        """The first sample that is as wanted; WaitError if there is none in time."""
        # Each is looked at once: a row has tens of thousands, and those to come wait meanwhile.
        looked = 0

        def found() -> samples.Sample | None:
            nonlocal looked
            looked, begin = len(self._samples), looked
            return next(filter(wanted, self._samples[begin:]), None)

        with self._news:
            result = self._news.wait_for(found, timeout=seconds)
        if result is None:
            raise errors.WaitError(what=what, seconds=seconds, last=f"{len(self._samples)} pods")
        return result

    def more(self, count: float, *, seconds: float) -> None:
        """Return when so many more have been tried; WaitError if they have not in time."""
        with self._news:
            least = len(self._samples) + count
            if not self._news.wait_for(lambda: len(self._samples) >= least, timeout=seconds):
                last = f"{len(self._samples)} of {least:.0f} pods"
                raise errors.WaitError(what="pods to be tried", seconds=seconds, last=last)

    def _pace(self) -> None:
        begin = time.monotonic()
        for number, due in enumerate(itertools.cycle(self._due)):
            if self._ended.wait(max(begin + number * self._pause - time.monotonic(), 0)):
                return
            with contextlib.suppress(queue.Full):
                due.put_nowait(self._pod())

    def _pod(self) -> Json:
        wanted = pod()
        wanted["spec"] |= self._spec
        return wanted

    def _work(self, server: client.Client, due: queue.Queue[Json | None]) -> None:
        creator = Creator(server, self._path)
        while (wanted := due.get()) is not None:
            sample = creator.create(wanted)
            with self._news:
                self._samples.append(sample)
                self._news.notify_all()
            creator.tidy(KEPT)
        creator.tidy(0)
        creator.close()


class Creator:
    """Creates pods over one connection that is kept alive, and says what became of each."""

    def __init__(self, server: client.Client, path: str) -> None:
        address = urllib.parse.urlsplit(server.server)
        context = ssl.create_default_context(cafile=str(server.certificate_authority))
        self._path = path
        self._made: collections.deque[str] = collections.deque()
        self._headers = {
            "Authorization": f"Bearer {server.token}",
            "Content-Type": "application/json",
        }
        self._connection = http.client.HTTPSConnection(
            address.hostname or "", address.port, timeout=TIMEOUT_SECONDS, context=context
        )

    def create(self, pod: Json) -> samples.Sample:
        """Try once."""
        began = time.monotonic()
        outcome, detail = self._try(pod)
        return samples.Sample(began=began, ended=time.monotonic(), outcome=outcome, detail=detail)

    def tidy(self, keep: int) -> None:
        """Delete all but the last pods; one that cannot be deleted now stays."""
        while len(self._made) > keep:
            path = f"{self._path}/{self._made.popleft()}?gracePeriodSeconds=0"
            try:
                self._connection.request("DELETE", path, headers=self._headers)
                self._connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                self._connection.close()

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _try(self, pod: Json) -> tuple[samples.Outcome, str]:
        try:
            self._connection.request("POST", self._path, json.dumps(pod), self._headers)
            answer = self._connection.getresponse()
            body = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._connection.close()
            return samples.Outcome.LOST, str(error) or repr(error)
        if answer.status != http.client.CREATED:
            message = f"{answer.status}: {body.get('message', '')}"
            return samples.failure(message), message
        self._made.append(body["metadata"]["name"])
        done = injected(body)
        return (samples.Outcome.INJECTED if done else samples.Outcome.BARE), ""
