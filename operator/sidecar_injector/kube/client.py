"""`api.Api` over HTTPS, on the REST layer of the official client.

The REST layer alone is used: its typed models would drop fields that they do not know, and cost
a conversion per object.
"""

from __future__ import annotations

import asyncio
import contextlib
import urllib.parse
from collections.abc import AsyncGenerator, AsyncIterator
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import orjson
from kubernetes.aio import config
from kubernetes.aio.client import configuration, rest

from sidecar_injector import __version__, names
from sidecar_injector.kube import api, credentials, server_clock

REQUEST_TIMEOUT: Final = aiohttp.ClientTimeout(total=30, connect=10)
WATCH_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, connect=10, sock_read=100)
"""A watch lasts, but is never silent for long: the API server sends a bookmark every minute, give
or take a quarter.
https://github.com/kubernetes/apiserver/blob/master/pkg/storage/cacher/cache_watcher.go
"""
PARTIAL: Final = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1"
WRITES: Final = {"fieldManager": names.PRODUCT}


class Client:
    """The API server that `source` names, connected on first use; see `api.Api` for the calls.

    Use as an async context manager, or call `close`.
    """

    def __init__(
        self, source: credentials.CredentialsSource, *, time: server_clock.Clock | None = None
    ) -> None:
        self._source, self._clock = source, time or server_clock.Clock()
        self._rest: rest.RESTClientObject | None = None
        self._reading = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections; watches that still run raise UnreachableError."""
        if self._rest is not None:
            await self._rest.close()
            self._rest = None

    async def get(
        self, resource: api.Resource, *, name: str, namespace: str | None = None
    ) -> api.Json:
        return await self._json("GET", resource.path(namespace=namespace, name=name))

    async def pages(
        self, resource: api.Resource, *, scope: api.Scope = api.EVERYTHING, limit: int = 500
    ) -> AsyncGenerator[api.Page]:
        path = resource.path(namespace=scope.namespace)
        query = {"limit": str(limit), **scope.query()}
        accept = PARTIAL.format("List") if scope.metadata_only else ""
        more = True
        while more:
            answer = await self._json("GET", path, query=query, accept=accept)
            yield api.Page(answer.get("items") or [], api.resource_version(answer))
            query["continue"] = api.metadata(answer).get("continue", "")
            more = bool(query["continue"])

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
        answering = self._answer(
            "GET",
            resource.path(namespace=scope.namespace),
            query=query,
            accept=PARTIAL.format("") if scope.metadata_only else "",
            limits=WATCH_TIMEOUT,
        )
        async with answering as response:
            yield api.OPENED
            # Not readline(): aiohttp limits a line, and one event can be megabytes.
            rest_of_line = b""
            async for chunk in response.content.iter_any():
                *lines, rest_of_line = (rest_of_line + chunk).split(b"\n")
                for line in lines:
                    if line:
                        yield orjson.loads(line)

    async def create(
        self,
        resource: api.Resource,
        body: api.Json,
        *,
        namespace: str | None = None,
        dry_run: bool = False,
    ) -> api.Json:
        query = {**WRITES, "dryRun": "All"} if dry_run else WRITES
        return await self._json("POST", resource.path(namespace=namespace), query=query, body=body)

    async def replace(
        self, resource: api.Resource, body: api.Json, *, name: str, namespace: str | None = None
    ) -> api.Json:
        path = resource.path(namespace=namespace, name=name)
        return await self._json("PUT", path, query=WRITES, body=body)

    async def patch(
        self,
        resource: api.Resource,
        body: api.Json | list[api.Json],
        *,
        name: str,
        namespace: str | None = None,
        content_type: str = api.MERGE_PATCH,
        subresource: str = "",
    ) -> api.Json:
        path = resource.path(namespace=namespace, name=name, subresource=subresource)
        return await self._json("PATCH", path, query=WRITES, body=body, content_type=content_type)

    async def _json(self, method: str, path: str, **how: Any) -> api.Json:
        async with self._answer(method, path, **how) as response:
            answer: api.Json = orjson.loads(await response.read())
            return answer

    @contextlib.asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        *,
        limits: aiohttp.ClientTimeout = REQUEST_TIMEOUT,
        **how: Any,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response to a request if it is a success; every failure as a KubeError."""
        connection = await self._connected()
        try:
            asked = self._clock.own()
            response = await _send(connection, method, path, limits=limits, **how)
            self._clock.heard(response.headers.get("Date", ""), asked=asked)
            if response.status == api.UNAUTHORIZED:
                response.close()
                connection = await self._connected(refused=connection)
                response = await _send(connection, method, path, limits=limits, **how)
            # Closed, not released: what a watch has not sent yet is of no use to anybody.
            with contextlib.closing(response):
                if response.status >= 400:
                    raise _refusal(path, status=response.status, body=await response.read())
                yield response
        except aiohttp.SocketTimeoutError as error:
            host = connection.configuration.host
            kind = api.SilentError if limits is WATCH_TIMEOUT else api.UnreachableError
            raise kind(host=host, detail="nothing was heard in time") from error
        except (aiohttp.ClientError, OSError, TimeoutError, orjson.JSONDecodeError) as error:
            detail = str(error) or type(error).__name__
            raise api.UnreachableError(host=connection.configuration.host, detail=detail) from error

    async def _connected(
        self, *, refused: rest.RESTClientObject | None = None
    ) -> rest.RESTClientObject:
        """The connections in use; made anew if there are none or they are those that were refused.

        Those that were refused stay open for the watches on them, unless they carry an identity of
        their own (a client certificate), which only a new handshake can change.
        """
        async with self._reading:
            if self._rest is not None and self._rest is not refused:
                return self._rest
            fresh = await self._source.load()
            if refused is not None and _same_server(fresh, refused.configuration):
                refused.configuration.api_key = fresh.api_key
                refused.configuration.refresh_api_key_hook = fresh.refresh_api_key_hook
                return refused
            await self.close()
            try:
                self._rest = rest.RESTClientObject(fresh)
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
    answer = await connection.request(  # type: ignore[no-untyped-call]  # not annotated there
        method, url, headers=headers, body=body, _request_timeout=limits
    )
    response: aiohttp.ClientResponse = answer.response
    return response


def _same_server(one: configuration.Configuration, other: configuration.Configuration) -> bool:
    return bool(one.api_key) and (one.host, one.ssl_ca_cert) == (other.host, other.ssl_ca_cert)


def _refusal(path: str, *, status: int, body: bytes) -> api.ApiError:
    """The Status object of the API server, or what a proxy in between has said."""
    try:
        answer = orjson.loads(body)
        reason, message = str(answer["reason"]), str(answer["message"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        reason, message = "Unknown", body.decode(errors="replace").strip()[:200]
    return api.ApiError(status=status, reason=reason, message=message, path=path)
