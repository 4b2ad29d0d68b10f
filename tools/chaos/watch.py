"""One object of the API followed by a watch, with the moment at which each state was heard."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import socket
import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any, Final, Self

from tools.controlplane import client, errors, ports

Json = dict[str, Any]
_PAUSE: Final = 0.1


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """A state of the object; None is its absence."""

    at: float
    state: Json | None


class Watch:
    """A context manager around a thread. A broken stream is begun anew, as a client would do."""

    def __init__(self, asked: client.Client, *, path: str, name: str) -> None:
        """`path` is that of the collection."""
        self._client, self._name = asked, name
        self._path = f"{path}?fieldSelector=metadata.name%3D{name}"
        self._history: list[Seen] = []
        self._news = threading.Condition()
        self._ended = threading.Event()
        self._connection: http.client.HTTPSConnection | None = None
        self._thread = threading.Thread(target=self._run, name=f"watch of {name}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._hang_up()
        self._thread.join()

    @property
    def latest(self) -> Seen | None:
        """What it was when last heard of."""
        return self._history[-1] if self._history else None

    def since(self, moment: float) -> tuple[Seen, ...]:
        """Every state that was heard from then on."""
        with self._news:
            return tuple(seen for seen in self._history if seen.at >= moment)

    def wait(
        self, what: str, wanted: Callable[[Json | None], bool], *, since: float, seconds: float
    ) -> Seen:
        """The first state since a moment that is as wanted; WaitError if none comes in time."""

        def found() -> Seen | None:
            return next((seen for seen in self.since(since) if wanted(seen.state)), None)

        with self._news:
            # An RLock: `since` takes it again.
            result = self._news.wait_for(found, timeout=seconds)
        if result is None:
            last = self.latest
            text = "nothing" if last is None else f"{self._name} as of {last.at - since:.1f} s"
            raise errors.WaitError(what=what, seconds=seconds, last=text)
        return result

    def _run(self) -> None:
        while not self._ended.wait(_PAUSE if self._history else 0):
            # OSError, a Status instead of a list, a line that was cut: the stream begins anew.
            with contextlib.suppress(OSError, errors.ControlPlaneError, ValueError, KeyError):
                self._follow()

    def _follow(self) -> None:
        listed = self._client.get(self._path)
        self._tell(next(iter(listed["items"]), None))
        version = listed["metadata"]["resourceVersion"]
        for event in self._events(f"{self._path}&watch=1&resourceVersion={version}"):
            if event["type"] == "ERROR":
                return
            self._tell(None if event["type"] == "DELETED" else event["object"])

    def _events(self, path: str) -> Iterator[Json]:
        address = urllib.parse.urlsplit(self._client.server)
        context = ssl.create_default_context(cafile=str(self._client.certificate_authority))
        connection = http.client.HTTPSConnection(ports.LOOPBACK, address.port, context=context)
        try:
            connection.request(
                "GET", path, headers={"Authorization": f"Bearer {self._client.token}"}
            )
            self._connection = connection
            answer = connection.getresponse()
            while not self._ended.is_set() and (line := answer.readline()):
                yield json.loads(line)
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()

    def _tell(self, state: Json | None) -> None:
        with self._news:
            last = self.latest
            if last is None or last.state != state:
                self._history.append(Seen(time.monotonic(), state))
                self._news.notify_all()

    def _hang_up(self) -> None:
        """Wake the thread out of its read."""
        sock = self._connection.sock if self._connection else None
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
