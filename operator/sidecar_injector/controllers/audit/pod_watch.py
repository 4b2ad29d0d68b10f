"""Finds the namespaces in which pods come and go, with a watch that keeps no pods.

It starts at the present without a list, and after a break again at the present: the next count of
everything includes what was missed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

from sidecar_injector.controllers.audit import count
from sidecar_injector.kube import api, backoff

log = logging.getLogger(__name__)

WATCH_SECONDS: Final = 300
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
SCOPE: Final = api.Scope(field_selector=count.ALIVE, metadata_only=True)


class PodWatch:
    """Calls `mark` with the namespace of every pod that was created, has ended or was deleted.

    A changed pod is ignored: only its labels and annotations count, and they rarely change.
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
        self._backoff = backoff.Backoff(first=FIRST_PAUSE, longest=LONGEST_PAUSE)

    async def run(self) -> NoReturn:
        """Watch until cancelled; start again after every error."""
        while True:
            try:
                if self._version is None:
                    self._version = await self._present()
                await self._follow(self._version)
            except api.KubeError as error:
                # Only debug: the audit uses the same API server and reports its problems.
                log.debug("the watch of pods begins again: %s", error)
                if api.needs_list(error):
                    self._version = None
                pause = self._backoff.next(error)
            else:
                pause = self._backoff.next()
            await self._sleep(pause)

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
                if event["type"] == "ERROR":
                    raise api.error_of(event["object"], path=api.PODS.path())
                pod = event["object"]
                self._version = api.resource_version(pod)
                self._backoff.reset()
                if event["type"] in {"ADDED", "DELETED"}:
                    self._mark(api.metadata(pod)["namespace"])
