"""`api.Api` over HTTPS, on the REST layer of the official client.

Only the REST layer is used: the typed models of that client drop fields that they do not know, and
convert each object.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import email.utils
import urllib.parse
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, Final, Self

import aiohttp
import yarl
from aiohttp import http_exceptions
from kubernetes.aio import config
from kubernetes.aio.client import configuration, rest

from sidecar_injector import __version__, names
from sidecar_injector.kube import api, calls, credentials, server_clock

REQUEST_TIMEOUT: Final = aiohttp.ClientTimeout(total=30, connect=10)
WATCH_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, connect=10, sock_read=100)
"""A watch has no total limit, but the API server sends a bookmark every 45 to 75 seconds.
https://github.com/kubernetes/apiserver/blob/master/pkg/storage/cacher/cache_watcher.go
"""
FAILURES: Final = (
    aiohttp.ClientError,
    # Of a body that cannot be decompressed.
    http_exceptions.HttpProcessingError,
    OSError,
    TimeoutError,
    # The text of a response is not UTF-8, or not JSON, or not what the API sends.
    ValueError,
    LookupError,
    # "Session is closed": another task has replaced the connection pool, or closed the client.
    RuntimeError,
)
"""What aiohttp raises while it sends a request and reads the response."""
MAX_DIGITS: Final = 9
"""Of the seconds in `Retry-After`; more are as good as this many."""


class Client(calls.Calls):
    """The API server of `source`, connected on first use; see `api.Api` for the calls.

    It is an async context manager; otherwise call `close`.
    """

    def __init__(
        self, source: credentials.CredentialsSource, *, clock: server_clock.Clock | None = None
    ) -> None:
        self._source, self._clock = source, clock or server_clock.Clock()
        self._rest: rest.RESTClientObject | None = None
        self._connecting = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections; a watch that still runs raises UnreachableError."""
        if self._rest is not None:
            await self._rest.close()
            self._rest = None

    async def watch(
        self,
        resource: api.Resource,
        *,
        resource_version: str,
        scope: api.Scope = api.EVERYTHING,
        timeout_seconds: int,
    ) -> AsyncGenerator[api.Json]:
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(timeout_seconds),
            **scope.query(),
        }
        request = self._request(
            "GET",
            calls.url_path(resource, namespace=scope.namespace),
            query=query,
            accept=calls.PARTIAL.format("") if scope.metadata_only else "",
            limits=WATCH_TIMEOUT,
        )
        async with request as response:
            yield api.OPENED
            # Not readline(): aiohttp limits the length of a line, and an event can be megabytes.
            rest_of_line = b""
            async for chunk in response.content.iter_any():
                *lines, rest_of_line = (rest_of_line + chunk).split(b"\n")
                for line in lines:
                    if line:
                        yield _event(line)

    async def _page(self, path: str, *, is_single: bool, **options: Any) -> tuple[api.Json, int]:
        """A page of a list and its bytes; PageTooLargeError if they are too many for one page."""
        async with self._request("GET", path, **options) as response:
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > calls.PAGE_BYTES and not is_single:
                    raise calls.PageTooLargeError
            return calls.json_object(bytes(body)), len(body)

    async def _json(self, method: str, path: str, **options: Any) -> api.Json:
        async with self._request(method, path, **options) as response:
            return calls.json_object(await response.read())

    @contextlib.asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        *,
        limits: aiohttp.ClientTimeout = REQUEST_TIMEOUT,
        **options: Any,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response to a request if it succeeds; every failure is a KubeError."""
        connection = await self._connect()
        try:
            sent_at = self._clock.local()
            response = await _send(connection, method, path, limits=limits, **options)
            self._clock.observe(response.headers.get("Date", ""), sent_at=sent_at)
            if response.status == api.UNAUTHORIZED:
                response.close()
                connection = await self._connect(refused=connection)
                response = await _send(connection, method, path, limits=limits, **options)
            # Closed, not released: a watch may go on sending, and nobody reads it any more.
            with contextlib.closing(response):
                if response.status >= 400:
                    raise await _refusal(path, response)
                yield response
        except aiohttp.SocketTimeoutError as error:
            host = connection.configuration.host
            kind = api.SilentError if limits is WATCH_TIMEOUT else api.UnreachableError
            raise kind(host=host, detail="nothing was heard in time") from error
        except FAILURES as error:
            detail = str(error) or type(error).__name__
            raise api.UnreachableError(host=connection.configuration.host, detail=detail) from error

    async def _connect(
        self, *, refused: rest.RESTClientObject | None = None
    ) -> rest.RESTClientObject:
        """The connection pool; a new one if there is none, or if `refused` is the present one.

        After a refusal the credentials are read again. A token is replaced in the present pool, so
        that its watches continue; a client certificate needs a new handshake, so a new pool.
        """
        async with self._connecting:
            if self._rest is not None and self._rest is not refused:
                return self._rest
            settings = await self._source.load()
            if refused is not None and _is_same_server(settings, refused.configuration):
                refused.configuration.api_key = settings.api_key
                refused.configuration.refresh_api_key_hook = settings.refresh_api_key_hook
                return refused
            await self.close()
            try:
                self._rest = rest.RESTClientObject(settings)
            except OSError as error:
                raise api.CredentialsError(source=self._source.label, detail=str(error)) from error
            return self._rest


async def _send(
    connection: rest.RESTClientObject,
    method: str,
    path: str,
    *,
    query: dict[str, str] | None = None,
    body: api.Json | list[api.Json] | None = None,
    content_type: str = "application/json",
    accept: str = "",
    limits: aiohttp.ClientTimeout,
) -> aiohttp.ClientResponse:
    settings = connection.configuration
    headers = {
        "Accept": accept or "application/json",
        "Content-Type": content_type,
        "User-Agent": f"{names.PRODUCT}/{__version__}",
    }
    try:
        token = (await settings.auth_settings()).get("BearerToken")
    except (config.ConfigException, OSError) as error:
        raise api.CredentialsError(source=credentials.IN_CLUSTER, detail=str(error)) from error
    if token:
        headers["Authorization"] = str(token["value"])
    url = settings.host + path + ("?" + urllib.parse.urlencode(query) if query else "")
    # Encoded already. yarl would decode `%2E%2E` in it, and then follow that to another object.
    url = yarl.URL(url, encoded=True)
    rest_response = await connection.request(  # type: ignore[no-untyped-call]  # not annotated there
        method, url, headers=headers, body=body, _request_timeout=limits
    )
    response: aiohttp.ClientResponse = rest_response.response
    return response


def _is_same_server(new: configuration.Configuration, old: configuration.Configuration) -> bool:
    return bool(new.api_key) and (new.host, new.ssl_ca_cert) == (old.host, old.ssl_ca_cert)


def _event(line: bytes) -> api.Json:
    event = calls.json_object(line)
    if not (isinstance(event.get("type"), str) and isinstance(event.get("object"), dict)):
        raise ValueError("the response is not an event of a watch")  # noqa: TRY004 - of its content
    return event


async def _refusal(path: str, response: aiohttp.ClientResponse) -> api.ApiError:
    """The error of the API server's Status object, or of another body (a proxy's, for example)."""
    try:
        body = await response.read()
    except FAILURES:
        # The status alone says what happened.
        body = b""
    return calls.refusal(
        path, status=response.status, body=body, retry_after=_retry_after(response.headers)
    )


def _retry_after(headers: Mapping[str, str]) -> float:
    """The seconds of the header `Retry-After`, which is a number or a date."""
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal() and text.isascii():
        return float(text[:MAX_DIGITS])
    try:
        moment = email.utils.parsedate_to_datetime(text)
        until = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
        return (until - server_clock.system()).total_seconds()
    except (ValueError, OverflowError):
        return 0.0
