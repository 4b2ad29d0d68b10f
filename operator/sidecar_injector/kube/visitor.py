"""The client of a person: it also reads what is no object, and hears the API server's warnings."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from sidecar_injector.kube import api, client, credentials


class Visitor(client.Client):
    """See `client.Client`; `warnings` are those of the last answer, as texts."""

    def __init__(self, source: credentials.CredentialsSource) -> None:
        super().__init__(source)
        self.warnings: list[str] = []

    async def document(self, path: str) -> api.Json:
        """What stands at a path that names no resource: `/version`, `/openapi/v3/…`."""
        return await self._json("GET", path)

    @contextlib.asynccontextmanager
    async def _answer(
        self, method: str, path: str, **how: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        async with super()._answer(method, path, **how) as response:
            self.warnings = [_text(one) for one in response.headers.getall("Warning", [])]
            yield response


def _text(header: str) -> str:
    """The text of a warning: `299 - "TEXT"`, https://www.rfc-editor.org/rfc/rfc7234#section-5.5."""
    quoted = header.partition('"')[2].rpartition('"')[0]
    return quoted.replace('\\"', '"').replace("\\\\", "\\") if quoted else header
