"""Pods, created at a steady rate through every API server."""

from __future__ import annotations

import collections
import http
import json
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Self

from tools.chaos import samples
from tools.controlplane import client, errors, release

WORKERS: Final = 40
"""For each API server: a pod that hangs keeps one busy for the webhook's 5 s."""
KEPT: Final = 5
"""Of each worker's pods, before the oldest is deleted. In all that is what a small cluster has; ten
thousand would give the API servers, and the audit, more to do than the load."""
Json = dict[str, Any]


def pod(**metadata: Any) -> Json:
    """A pod that the injection applies to."""
    return release.pod(generateName="load-", labels={"app": "load"}, **metadata)


def injected(pod: Json) -> bool:
    """Whether the pod has the container of the injection."""
    return any(container["name"] == release.SIDECAR for container in pod["spec"]["containers"])


class Load:
    """A context manager. Every pod that is tried becomes one sample, whatever happens to it."""

    def __init__(
        self,
        servers: Sequence[client.Client],
        *,
        namespace: str,
        per_second: float,
        spec: Mapping[str, Any] | None = None,
    ) -> None:
        """Servers take turns; `spec` has more fields of the pods."""
        self._path, self._spec = release.pods(namespace), spec or {}
        self._samples: list[samples.Sample] = []
        self._changed = threading.Condition()
        self._ended = threading.Event()
        workers = [server for _ in range(WORKERS) for server in servers]
        self._every = len(workers) / per_second
        self._threads = [
            threading.Thread(target=self._work, args=(server, number / per_second), daemon=True)
            for number, server in enumerate(workers)
        ]

    def __enter__(self) -> Self:
        self._begun = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def taken(self) -> tuple[samples.Sample, ...]:
        """All samples so far."""
        with self._changed:
            return tuple(self._samples)

    def wait(
        self, what: str, wanted: Callable[[samples.Sample], bool], *, seconds: float
    ) -> samples.Sample:
        """The first sample that is as wanted; WaitError if there is none in time."""
        # Each is checked once: a row has tens of thousands, and new ones wait meanwhile.
        checked = 0

        def first() -> samples.Sample | None:
            nonlocal checked
            checked, begin = len(self._samples), checked
            return next(filter(wanted, self._samples[begin:]), None)

        with self._changed:
            sample = self._changed.wait_for(first, timeout=seconds)
        if sample is None:
            raise errors.WaitError(what=what, seconds=seconds, last=f"{len(self._samples)} pods")
        return sample

    def more(self, count: float, *, seconds: float) -> None:
        """Return when so many more have been tried; WaitError if they have not in time."""
        with self._changed:
            least = len(self._samples) + count
            if not self._changed.wait_for(lambda: len(self._samples) >= least, timeout=seconds):
                last = f"{len(self._samples)} of {least:.0f} pods"
                raise errors.WaitError(what="pods to be tried", seconds=seconds, last=last)

    def _work(self, server: client.Client, due: float) -> None:
        """Create a pod when it is due; one that is due while another hangs is not created."""
        creator = Creator(server, self._path)
        while not self._ended.wait(max(due - self._passed(), 0)):
            body = pod()
            body["spec"] |= self._spec
            sample = creator.create(body)
            with self._changed:
                self._samples.append(sample)
                self._changed.notify_all()
            creator.tidy(KEPT)
            due += self._every * max(math.ceil((self._passed() - due) / self._every), 1)
        creator.tidy(0)
        creator.close()

    def _passed(self) -> float:
        return time.monotonic() - self._begun


class Creator:
    """Creates pods over one connection that is kept, and says what happened to each."""

    def __init__(self, server: client.Client, path: str) -> None:
        self._server, self._path = server, path
        self._created: collections.deque[str] = collections.deque()
        self._connection = server.connect()

    def create(self, pod: Json) -> samples.Sample:
        """Try once."""
        began = time.monotonic()
        outcome, detail = self._try(pod)
        return samples.Sample(began=began, ended=time.monotonic(), outcome=outcome, detail=detail)

    def answer(self, pod: Json) -> tuple[int, str]:
        """Try a pod that is not deleted afterwards, such as a dry run: status and body."""
        return self._server.send(self._connection, "POST", self._path, pod)

    def tidy(self, keep: int) -> None:
        """Delete all but the last pods; one that cannot be deleted now stays."""
        while len(self._created) > keep:
            path = f"{self._path}/{self._created.popleft()}?gracePeriodSeconds=0"
            try:
                self._server.send(self._connection, "DELETE", path)
            except OSError:
                self._connection.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _try(self, pod: Json) -> tuple[samples.Outcome, str]:
        try:
            status, text = self._server.send(self._connection, "POST", self._path, pod)
            body = json.loads(text)
        except (OSError, ValueError) as error:
            self._connection.close()
            return samples.Outcome.LOST, str(error) or repr(error)
        if status != http.HTTPStatus.CREATED:
            message = f"{status}: {body.get('message', '')}"
            return samples.failure(message), message
        self._created.append(body["metadata"]["name"])
        return (samples.Outcome.INJECTED if injected(body) else samples.Outcome.BARE), ""
