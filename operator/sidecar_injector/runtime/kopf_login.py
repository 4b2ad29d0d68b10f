"""Gives Kopf the same credentials that our own client uses."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import kopf
from kubernetes.aio.client import configuration

from sidecar_injector.kube import api, credentials

RETRY_SECONDS = 5.0

Result = TypeVar("Result")
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class KopfConnection(kopf.ConnectionInfo):
    """Credentials that are equal to no others, not even to the same ones.

    Kopf ends the operator when a login returns credentials that have met a 401 before. But a good
    token may be refused for a while: an API server that starts cannot verify it yet.
    https://github.com/nolar/kopf/blob/main/kopf/_cogs/structs/credentials.py
    """

    # `eq=False` alone would inherit `__eq__` of the parent, which compares the fields.
    __eq__ = object.__eq__
    __hash__ = object.__hash__


class Login:
    """Kopf's login handler. Kopf calls it again whenever the API server refuses the credentials."""

    def __init__(
        self,
        source: credentials.CredentialsSource,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._source, self._sleep = source, sleep
        self._last: dict[str, Any] | None = None

    async def renew(self, **_: Any) -> KopfConnection:
        """The credentials of `source`, once there are any; unchanged ones only after a pause."""
        current = await self._load()
        if dataclasses.asdict(current) == self._last:
            await self._sleep(RETRY_SECONDS)
            current = await self._load()
        self._last = dataclasses.asdict(current)
        return current

    async def _load(self) -> KopfConnection:
        return connection(await retry_until_found(self._source.load, sleep=self._sleep))


async def retry_until_found(
    load: Callable[[], Awaitable[Result]],
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Result:
    """Call `load` until it finds credentials. The same problem is logged only once."""
    logged = ""
    while True:
        try:
            return await load()
        except api.CredentialsError as error:
            if str(error) != logged:
                logged = str(error)
                _log.warning("%s; looking again every %g s", error, RETRY_SECONDS)
        await sleep(RETRY_SECONDS)


def connection(loaded: configuration.Configuration) -> KopfConnection:
    """The credentials in the form that Kopf's own client takes."""
    # A kubeconfig leads to "Bearer TOKEN", a pod's files to "bearer TOKEN".
    header = next(iter((loaded.api_key or {}).values()), "")
    token = header.rpartition(" ")[2] or None
    return KopfConnection(
        server=loaded.host,
        ca_path=loaded.ssl_ca_cert,
        insecure=not loaded.verify_ssl,
        scheme="Bearer" if token else None,
        token=token,
        certificate_path=loaded.cert_file,
        private_key_path=loaded.key_file,
    )
