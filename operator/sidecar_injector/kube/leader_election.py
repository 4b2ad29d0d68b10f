"""Who of the replicas does what must not be done twice: the holder of a Lease.

Our own rather than the official client's leader election: that one compares wall clocks, has no
owner to give the Lease, does not give it up at the end, and needs the typed API. It is the same
protocol, that of client-go, on the same object:
https://github.com/kubernetes/client-go/blob/master/tools/leaderelection/leaderelection.go

A leader that was halted for long goes on for a moment beside the new one. So a Lease keeps work
from being done twice for nothing; it does not keep two from writing, who compare before they do.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import logging
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

from sidecar_injector.kube import api, server_clock
from sidecar_injector.observability.metrics import Metrics

log = logging.getLogger(__name__)

LEASE_SECONDS: Final = 10
"""For so long a Lease that is not renewed is respected; then somebody else takes it."""
GIVE_UP_SECONDS: Final = 7.0
"""A leader who could not renew for so long stops, well before another one begins."""
RETRY_SECONDS: Final = 2.0
"""Between two looks at the Lease, the leader's renewals included."""
RELEASE_SECONDS: Final = 2.0
"""How long giving it up may take at the end."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRef:
    """Where the Lease is, and the Deployment that owns it: it ends with an uninstall."""

    namespace: str
    name: str
    deployment: str


class Lease:
    """One replica's claim to a Lease, under its name `identity`."""

    def __init__(
        self,
        client: api.Api,
        *,
        place: LeaseRef,
        identity: str,
        metrics: Metrics,
        clocks: server_clock.Clocks,
    ) -> None:
        self._api, self._place, self._identity = client, place, identity
        self._writes, self._leader = metrics.writes, metrics.leader
        self._clocks = clocks
        self._seen: api.Json | None = None
        self._seen_at = 0.0
        """When it last changed, as far as we saw: clocks of other machines are not trusted."""
        self._complaint = ""

    async def lead(self, work: Callable[[], Awaitable[None]]) -> NoReturn:
        """Run `work` whenever the Lease is ours, and cancel it when it is not, until cancelled.

        Whatever `work` raises passes, after the Lease was given up.
        """
        while True:
            while not await self._try():
                await self._clocks.sleep(RETRY_SECONDS)
            log.info("%s: leading as %s", self._place.name, self._identity)
            self._leader.set(1)
            working = asyncio.ensure_future(work())
            try:
                await self._keep(working)
            finally:
                self._leader.set(0)
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)
                await self._release()
            if not working.cancelled():
                working.result()
            log.warning("%s: not leading any more", self._place.name)

    async def _keep(self, working: asyncio.Future[None]) -> None:
        """Renew until that fails for too long, somebody else has it, or the work has ended."""
        renewed = self._clocks.monotonic()
        while not working.done():
            await self._clocks.sleep(RETRY_SECONDS)
            began = self._clocks.monotonic()
            if began - renewed >= GIVE_UP_SECONDS:
                return
            if await self._try():
                renewed = began
            elif not self._is_ours():
                return

    async def _try(self) -> bool:
        """Take or renew the Lease if that is allowed; says whether it is ours now."""
        try:
            async with asyncio.timeout(GIVE_UP_SECONDS / 2):
                return await self._take()
        except TimeoutError:
            self._complain("the API server takes too long")
        except api.ApiError as error:
            if error.status == api.CONFLICT:
                # Somebody was faster. Who, the next look tells.
                self._writes.labels("lease", "conflict").inc()
            else:
                self._complain(str(error))
        except api.KubeError as error:
            self._complain(str(error))
        return False

    async def _take(self) -> bool:
        place = self._place
        live = await self._read()
        if live is None:
            owner = await self._owner()
            if owner is None:
                self._complain(f"there is no Deployment {place.deployment} to own it")
                return False
            body = self._body(None, holder=self._identity)
            body["metadata"]["ownerReferences"] = [owner]
            self._observe(await self._api.create(api.LEASES, body, namespace=place.namespace))
        else:
            self._observe(live)
            if not self._may_take():
                return False
            await self._write(self._body(live, holder=self._identity))
        self._writes.labels("lease", "written").inc()
        self._complaint = ""
        return True

    async def _read(self) -> api.Json | None:
        place = self._place
        try:
            return await self._api.get(api.LEASES, name=place.name, namespace=place.namespace)
        except api.ApiError as error:
            if error.status != api.NOT_FOUND:
                raise
            return None

    async def _write(self, body: api.Json) -> None:
        place = self._place
        self._observe(
            await self._api.replace(api.LEASES, body, name=place.name, namespace=place.namespace)
        )

    def _observe(self, live: api.Json) -> None:
        if self._seen is None or api.resource_version(live) != api.resource_version(self._seen):
            self._seen, self._seen_at = live, self._clocks.monotonic()

    def _is_ours(self) -> bool:
        return _spec(self._seen).get("holderIdentity") == self._identity

    def _may_take(self) -> bool:
        if self._is_ours() or not _spec(self._seen).get("holderIdentity"):
            return True
        return self._clocks.monotonic() - self._seen_at >= LEASE_SECONDS

    def _body(self, live: api.Json | None, *, holder: str) -> api.Json:
        """The Lease as it is to be written; all that is not ours is kept."""
        place, before = self._place, _spec(live)
        now = self._clocks.now().astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        change = {"holderIdentity": holder, "renewTime": now, "leaseDurationSeconds": LEASE_SECONDS}
        if holder and before.get("holderIdentity") != holder:
            change["acquireTime"] = now
            change["leaseTransitions"] = before.get("leaseTransitions", -1) + 1
        metadata = {"name": place.name, "namespace": place.namespace}
        return {
            **(live or {"apiVersion": api.LEASES.api_version, "kind": "Lease"}),
            "metadata": dict(api.metadata(live)) if live else metadata,
            "spec": {**before, **change},
        }

    async def _owner(self) -> api.Json | None:
        """The reference to the Deployment; None while there is none, or it is being deleted."""
        place = self._place
        try:
            found = await self._api.get(
                api.DEPLOYMENTS, name=place.deployment, namespace=place.namespace
            )
        except api.ApiError as error:
            if error.status != api.NOT_FOUND:
                raise
            return None
        if "deletionTimestamp" in api.metadata(found):
            return None
        return {
            "apiVersion": api.DEPLOYMENTS.api_version,
            "kind": "Deployment",
            "name": place.deployment,
            "uid": api.metadata(found)["uid"],
        }

    async def _release(self) -> None:
        """Let the next one begin at once instead of waiting for the Lease to run out."""
        if self._seen is None or not self._is_ours():
            return
        body = self._body(self._seen, holder="")
        with contextlib.suppress(api.KubeError, TimeoutError):
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._write(body)

    def _complain(self, what: str) -> None:
        self._writes.labels("lease", "failed").inc()
        if what != self._complaint:
            self._complaint = what
            log.warning("Lease %s: %s", self._place.name, what)


def _spec(lease: api.Json | None) -> api.Json:
    spec: api.Json = (lease or {}).get("spec") or {}
    return spec
