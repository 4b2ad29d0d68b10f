"""Where pods come and go: a watch that keeps nothing but names of namespaces.

It begins at the present instead of with a list, and after a break again at the present: what was
missed is found by the next audit of everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

from sidecar_injector.controllers.audit import count
from sidecar_injector.kube import api

log = logging.getLogger(__name__)

WATCH_SECONDS: Final = 300
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
SCOPE: Final = api.Scope(field_selector=count.ALIVE, metadata_only=True)


class PodWatch:
    """Calls `mark` with the namespace of every pod that was created, has ended or was deleted.

    Changes are not told: of what is counted only labels and annotations can change, and rarely do.
    """

    def __init__(
        self,
        client: api.Api,
        *,
        mark: Callable[[str], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._api, self._mark, self._sleep = client, mark, sleep
        self._version: str | None = None
        self._pause = FIRST_PAUSE

    async def run(self) -> NoReturn:
        """Until cancelled; begins again after whatever happens."""
        while True:
            try:
                if self._version is None:
                    self._version = await self._present()
                await self._follow(self._version)
            except api.KubeError as error:
                # The audit asks the same server and says what is wrong with it.
                log.debug("the watch of pods begins again: %s", error)
                self._version = None
            await self._sleep(self._pause)
            self._pause = min(self._pause * 2, LONGEST_PAUSE)

    async def _present(self) -> str:
        async with contextlib.aclosing(self._api.pages(api.PODS, scope=SCOPE, limit=1)) as pages:
            async for page in pages:
                return page.resource_version
        return ""

    async def _follow(self, version: str) -> None:
        stream = self._api.watch(
            api.PODS, resource_version=version, scope=SCOPE, timeout_seconds=WATCH_SECONDS
        )
        async with contextlib.aclosing(stream) as events:
            async for event in events:
                if event is api.OPENED:
                    continue
                thing, kind = event["object"], event["type"]
                if kind == "ERROR":
                    self._version = None
                    return
                self._version = api.resource_version(thing)
                self._pause = FIRST_PAUSE
                if kind in {"ADDED", "DELETED"}:
                    self._mark(api.metadata(thing)["namespace"])
