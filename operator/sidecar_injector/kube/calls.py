"""The calls of `api.Api`, of whatever sends the requests: paths, queries and responses."""

from __future__ import annotations

import abc
from collections.abc import AsyncGenerator
from typing import Any, Final

import orjson

from sidecar_injector import names
from sidecar_injector.kube import api

PARTIAL: Final = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1"
PAGE_BYTES: Final = 1024 * 1024
"""Of a page of a list; parsed it takes ten times as much memory, and 10 ms of the event loop. One
object can have 1.5 MiB."""
WRITES: Final = {"fieldManager": names.PRODUCT}


class PageTooLargeError(Exception):
    """A page of a list is too large: request fewer objects at once."""


class Calls(abc.ABC):
    """All calls of `api.Api` but `watch`."""

    async def get(
        self,
        resource: api.Resource,
        *,
        name: str,
        namespace: str | None = None,
        metadata_only: bool = False,
    ) -> api.Json:
        accept = PARTIAL.format("") if metadata_only else ""
        path = url_path(resource, namespace=namespace, name=name)
        return await self._json("GET", path, accept=accept)

    async def pages(
        self, resource: api.Resource, *, scope: api.Scope = api.EVERYTHING, limit: int = 500
    ) -> AsyncGenerator[api.Page]:
        path = url_path(resource, namespace=scope.namespace)
        query = scope.query()
        accept = PARTIAL.format("List") if scope.metadata_only else ""
        size, more = limit, True
        while more:
            query["limit"] = str(size)
            try:
                page, length = await self._page(
                    path, query=query, accept=accept, is_single=size == 1
                )
            except PageTooLargeError:
                # People with rights in one namespace decide how large its objects are.
                size = max(size // 10, 1)
                continue
            # The next one has half of the bytes, if its objects are as large as these.
            size = min(max(size * PAGE_BYTES // (2 * length), 1), limit)
            yield api.Page(page.get("items") or [], api.resource_version(page))
            query["continue"] = api.metadata(page).get("continue", "")
            more = bool(query["continue"])

    async def create(
        self,
        resource: api.Resource,
        body: api.Json,
        *,
        namespace: str | None = None,
        dry_run: bool = False,
    ) -> api.Json:
        path = url_path(resource, namespace=namespace)
        return await self._json("POST", path, query=_writes(dry_run=dry_run), body=body)

    async def replace(
        self,
        resource: api.Resource,
        body: api.Json,
        *,
        name: str,
        namespace: str | None = None,
        dry_run: bool = False,
    ) -> api.Json:
        path = url_path(resource, namespace=namespace, name=name)
        return await self._json("PUT", path, query=_writes(dry_run=dry_run), body=body)

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
        path = url_path(resource, namespace=namespace, name=name, subresource=subresource)
        return await self._json("PATCH", path, query=WRITES, body=body, content_type=content_type)

    async def document(self, path: str, *, accept: str = "") -> api.Json:
        return await self._json("GET", path, accept=accept)

    @abc.abstractmethod
    async def _page(self, path: str, *, is_single: bool, **options: Any) -> tuple[api.Json, int]:
        """A page of a list and its bytes; it may raise PageTooLargeError unless it `is_single`."""

    @abc.abstractmethod
    async def _json(self, method: str, path: str, **options: Any) -> api.Json:
        """The response to a request; every failure is a KubeError."""


def _writes(*, dry_run: bool) -> dict[str, str]:
    return {**WRITES, "dryRun": "All"} if dry_run else WRITES


def url_path(
    resource: api.Resource,
    *,
    namespace: str | None = None,
    name: str | None = None,
    subresource: str = "",
) -> str:
    """The URL path; InvalidNameError instead of the path of another object."""
    if namespace is not None:
        api.check_segment(namespace, limit=api.NAMESPACE_BYTES)
    if name is not None:
        api.check_segment(name)
    return resource.path(namespace=namespace, name=name, subresource=subresource)


def json_object(text: bytes) -> api.Json:
    """A JSON object; ValueError if it is something else, as a proxy may send it."""
    value = orjson.loads(text)
    if not isinstance(value, dict):
        raise ValueError("the response is not an object of the API")  # noqa: TRY004 - of its content
    return value


def refusal(path: str, *, status: int, body: bytes, retry_after: float = 0.0) -> api.ApiError:
    """The error of the API server's Status object, or of another body (a proxy's, for example)."""
    try:
        api_status = orjson.loads(body)
        reason, message = str(api_status["reason"]), str(api_status["message"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        reason, message = "Unknown", body.decode(errors="replace").strip()[:200]
    return api.ApiError(
        status=status, reason=reason, message=message, path=path, retry_after=retry_after
    )
