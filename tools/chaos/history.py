"""Every state of one object of the API, with the moment at which it arrived."""

from __future__ import annotations

import dataclasses
import pathlib
import threading
import time
from collections.abc import Callable
from typing import Any, Self

from sidecar_injector.kube import api, client, credentials, informer
from sidecar_injector.observability.metrics import Metrics
from tools.controlplane import errors, loops

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """The object at a moment (monotonic seconds); None if it did not exist."""

    at: float
    thing: Json | None


class History(loops.LoopThread):
    """A context manager. It records with the operator's own informer, in a thread."""

    def __init__(
        self,
        kubeconfig: pathlib.Path,
        resource: api.Resource,
        *,
        name: str,
        namespace: str | None = None,
    ) -> None:
        super().__init__(f"history of {name}")
        self._source = credentials.CredentialsSource(kubeconfig=str(kubeconfig))
        self._resource, self._scope = resource, api.by_name(name, namespace=namespace)
        self._states: list[State] = []
        self._changed = threading.Condition()

    def __enter__(self) -> Self:
        super().__enter__()
        self.start(self._follow())
        return self

    def latest(self) -> Json | None:
        """The object as it was seen last."""
        return self._states[-1].thing if self._states else None

    def since(self, moment: float) -> tuple[State, ...]:
        """Every state that arrived from then on."""
        with self._changed:
            return tuple(state for state in self._states if state.at >= moment)

    def wait(
        self, what: str, wanted: Callable[[Json | None], bool], *, since: float, seconds: float
    ) -> State:
        """The first state since a moment that is as wanted; WaitError if none comes in time."""

        def first() -> State | None:
            return next((state for state in self.since(since) if wanted(state.thing)), None)

        with self._changed:
            # An RLock: `since` takes it again.
            state = self._changed.wait_for(first, timeout=seconds)
        if state is None:
            last = f"{self._states[-1].at - since:.1f} s" if self._states else "nothing"
            raise errors.WaitError(what=what, seconds=seconds, last=last)
        return state

    async def _follow(self) -> None:
        async with client.Client(self._source) as connected:
            cached = informer.Informer(
                connected, self._resource, metrics=Metrics(), scope=self._scope,
                on_change=lambda _key, _before, thing: self._record(thing),
            )  # fmt: skip
            await cached.run()

    def _record(self, thing: Json | None) -> None:
        with self._changed:
            self._states.append(State(time.monotonic(), thing))
            self._changed.notify_all()
