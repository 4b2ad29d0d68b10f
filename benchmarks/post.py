"""One connection that is kept, to a server whose certificate is none of our business here."""

from __future__ import annotations

import http.client
import json
import ssl
from types import TracebackType
from typing import Any, Self

from tools.controlplane import ports

Json = dict[str, Any]


class Connection:
    """A context manager; `post` asks, again and again over the same connection."""

    def __init__(self, port: int, *, host: str = ports.LOOPBACK) -> None:
        # Trust is tested elsewhere; the load generator verifies nobody either.
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._connection = http.client.HTTPSConnection(host, port, timeout=30, context=context)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def post(self, path: str, body: bytes) -> Json:
        """The answer as JSON. Raises ConnectionError for a status other than 200."""
        self._connection.request("POST", path, body, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status != http.client.OK:
            raise ConnectionError(f"{answer.status}: {text.decode(errors='replace')}")
        return json.loads(text)  # type: ignore[no-any-return]
