"""Kopf's credentials: the same as ours, whatever becomes of them."""

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

Read = TypeVar("Read")
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class KopfConnection(kopf.ConnectionInfo):
    """Credentials that equal no others, not even those that were refused.

    Kopf ends the operator when a login gives it credentials that have met a 401 before. A token is
    refused for a while, too: while an API server starts, or cannot ask the one who knows.
    https://github.com/nolar/kopf/blob/main/kopf/_cogs/structs/credentials.py
    """

    # `eq=False` alone would leave the parent's, which compares the fields.
    __eq__ = object.__eq__
    __hash__ = object.__hash__


class Login:
    """Credentials for Kopf, as often as it asks: it asks when the last ones were refused."""

    def __init__(
        self,
        source: credentials.CredentialsSource,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._source, self._sleep = source, sleep
        self._last: dict[str, Any] | None = None

    async def renew(self, **_: Any) -> KopfConnection:
        """What `source` has, however long that takes; the same again only after a pause."""
        fresh = connection(await patiently(self._source.load, sleep=self._sleep))
        if dataclasses.asdict(fresh) == self._last:
            await self._sleep(RETRY_SECONDS)
            fresh = connection(await patiently(self._source.load, sleep=self._sleep))
        self._last = dataclasses.asdict(fresh)
        return fresh


async def patiently(
    read: Callable[[], Awaitable[Read]],
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Read:
    """Look for credentials again and again until there are some; says once what is wrong."""
    complaint = ""
    while True:
        try:
            return await read()
        except api.CredentialsError as error:
            if str(error) != complaint:
                complaint = str(error)
                _log.warning("%s; looking again every %g s", error, RETRY_SECONDS)
        await sleep(RETRY_SECONDS)


def connection(loaded: configuration.Configuration) -> KopfConnection:
    """The credentials in the form that Kopf's own client takes."""
    # "Bearer TOKEN" out of a kubeconfig, "bearer TOKEN" in a pod.
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
