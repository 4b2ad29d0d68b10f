"""Leader election: the replica that holds a Lease does the work that one replica should do.

It is client-go's protocol on the same object. We do not use the official Python client's leader
election: it compares wall clocks, cannot give the Lease an owner, does not release it at the end,
and needs the typed API.
https://github.com/kubernetes/client-go/blob/master/tools/leaderelection/leaderelection.go

A leader whose process was stopped for long continues for a moment beside the new leader. So a Lease
saves double work, but does not prevent two writers: each compares before it writes.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import logging
import secrets
import socket
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

from sidecar_injector import names
from sidecar_injector.kube import api, server_clock
from sidecar_injector.observability.metrics import Metrics

log = logging.getLogger(__name__)

LEASE_SECONDS: Final = 10
"""Another replica takes a Lease that was not renewed for this long."""
GIVE_UP_SECONDS: Final = 7.0
"""A leader that could not renew for this long stops, before another replica can start."""
RETRY_SECONDS: Final = 2.0
"""Between two attempts to take or renew the Lease."""
RELEASE_SECONDS: Final = 2.0
"""The time limit for releasing the Lease at the end."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRef:
    """Where the Lease is, and the Deployment that owns it, so that an uninstall deletes it."""

    namespace: str
    name: str
    deployment: str


def unique_identity(pod_name: str) -> str:
    """A name for the holder of a Lease that no other replica has.

    A pod has its own name, which a restarted container keeps. Outside a cluster all operators have
    the default name; they get the host's name and random digits, as with client-go.
    """
    if pod_name != names.PRODUCT:
        return pod_name
    return f"{socket.gethostname()}_{secrets.token_hex(4)}"


class Lease:
    """One replica's attempt to hold a Lease, under its name `identity`."""

    def __init__(
        self,
        client: api.Api,
        *,
        ref: LeaseRef,
        identity: str,
        metrics: Metrics,
        clocks: server_clock.Clocks,
    ) -> None:
        self._api, self._ref, self._identity = client, ref, identity
        self._writes, self._leader = metrics.writes, metrics.leader
        self._clocks = clocks
        self._observed: api.Json | None = None
        self._observed_at = 0.0
        """When we noticed its last change: clocks of other machines are not trusted."""
        self._problem = ""
        self._pause = RETRY_SECONDS

    async def lead(self, work: Callable[[], Awaitable[None]]) -> NoReturn:
        """Run `work` while this replica holds the Lease, and cancel it otherwise, until cancelled.

        An exception of `work` is raised here, after the Lease was released.
        """
        while True:
            while not await self._try():
                await self._clocks.sleep(self._pause)
            log.info("%s: leading as %s", self._ref.name, self._identity)
            self._leader.set(1)
            task = asyncio.ensure_future(work())
            try:
                await self._keep(task)
            finally:
                self._leader.set(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await self._release()
            if not task.cancelled():
                task.result()
            log.warning("%s: not leading any more", self._ref.name)
            await self._clocks.sleep(self._pause)

    async def _keep(self, task: asyncio.Future[None]) -> None:
        """Renew until that fails for too long, another replica holds the Lease, or work ends."""
        renewed_at = self._clocks.monotonic()
        while not task.done():
            left = renewed_at + GIVE_UP_SECONDS - self._clocks.monotonic()
            await self._clocks.sleep(min(self._pause, max(left, 0.0)))
            started_at = self._clocks.monotonic()
            if started_at - renewed_at >= GIVE_UP_SECONDS:
                return
            if await self._try():
                renewed_at = started_at
            elif not self._is_holder():
                return

    async def _try(self) -> bool:
        """Take or renew the Lease if that is allowed; returns whether this replica holds it.

        There is one attempt in `RETRY_SECONDS`, and none before the API server's `Retry-After`.
        """
        self._pause = RETRY_SECONDS
        try:
            async with asyncio.timeout(GIVE_UP_SECONDS / 2):
                return await self._take()
        except TimeoutError:
            self._report("the API server takes too long")
        except api.ApiError as error:
            self._pause = max(RETRY_SECONDS, error.retry_after)
            if error.status == api.CONFLICT:
                # Another replica was faster. The next read shows which.
                self._writes.labels("lease", "conflict").inc()
            else:
                self._report(str(error))
        except api.KubeError as error:
            self._report(str(error))
        return False

    async def _take(self) -> bool:
        ref = self._ref
        current = await api.get_or_none(
            self._api, api.LEASES, name=ref.name, namespace=ref.namespace
        )
        if current is None:
            owner = await api.owner_reference(
                self._api, api.DEPLOYMENTS, name=ref.deployment, namespace=ref.namespace
            )
            if owner is None:
                self._report(f"there is no Deployment {ref.deployment} to own it")
                return False
            body = self._body(None, holder=self._identity)
            body["metadata"]["ownerReferences"] = [owner]
            self._observe(await self._api.create(api.LEASES, body, namespace=ref.namespace))
        else:
            self._observe(current)
            if not self._may_take():
                return False
            await self._write(self._body(current, holder=self._identity))
        self._writes.labels("lease", "written").inc()
        self._problem = ""
        return True

    async def _write(self, body: api.Json) -> None:
        ref = self._ref
        self._observe(
            await self._api.replace(api.LEASES, body, name=ref.name, namespace=ref.namespace)
        )

    def _observe(self, lease: api.Json) -> None:
        last = self._observed
        if last is None or api.resource_version(lease) != api.resource_version(last):
            self._observed, self._observed_at = lease, self._clocks.monotonic()

    def _is_holder(self) -> bool:
        return _spec(self._observed).get("holderIdentity") == self._identity

    def _may_take(self) -> bool:
        if self._is_holder() or not _spec(self._observed).get("holderIdentity"):
            return True
        return self._clocks.monotonic() - self._observed_at >= LEASE_SECONDS

    def _body(self, current: api.Json | None, *, holder: str) -> api.Json:
        """The Lease to write; fields of others are preserved."""
        ref, spec = self._ref, _spec(current)
        now = self._clocks.now().astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        change = {"holderIdentity": holder, "renewTime": now, "leaseDurationSeconds": LEASE_SECONDS}
        if holder and spec.get("holderIdentity") != holder:
            change["acquireTime"] = now
            change["leaseTransitions"] = spec.get("leaseTransitions", -1) + 1
        metadata = {"name": ref.name, "namespace": ref.namespace}
        return {
            **(current or {"apiVersion": api.LEASES.api_version, "kind": api.LEASES.kind}),
            "metadata": dict(api.metadata(current)) if current else metadata,
            "spec": {**spec, **change},
        }

    async def _release(self) -> None:
        """Let another replica start at once instead of waiting until the Lease expires."""
        if self._observed is None or not self._is_holder():
            return
        body = self._body(self._observed, holder="")
        with contextlib.suppress(api.KubeError, TimeoutError):
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._write(body)

    def _report(self, problem: str) -> None:
        self._writes.labels("lease", "failed").inc()
        if problem != self._problem:
            self._problem = problem
            log.warning("Lease %s: %s", self._ref.name, problem)


def _spec(lease: api.Json | None) -> api.Json:
    spec: api.Json = (lease or {}).get("spec") or {}
    return spec
