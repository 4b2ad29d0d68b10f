"""Many objects in the API server, quickly: a few kept-alive connections at once."""

from __future__ import annotations

import concurrent.futures
import http.client
import json
import ssl
import threading
import urllib.parse
from collections.abc import Iterable, Sequence
from typing import Any, Final

from benchmarks import errors
from tools.controlplane import client, cluster, progress

WORKERS: Final = 4
Json = dict[str, Any]
Call = tuple[str, str, Json | None]
"""Method, path and body."""


class Writers:
    """Sends calls over connections that are kept, one for each worker."""

    def __init__(self, plane: cluster.ControlPlane) -> None:
        self._client = plane.client
        self._local = threading.local()

    def send(self, calls: Iterable[Call], *, what: str, report: progress.Progress) -> None:
        """Return when all have been answered. Raises BenchError at the first refusal."""
        waiting: Sequence[Call] = list(calls)
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            for number, _ in enumerate(pool.map(self._call, waiting)):
                report.tick(f"{what}: {number} of {len(waiting)}")

    def _call(self, call: Call) -> None:
        method, path, body = call
        content = client.MERGE_PATCH if method == "PATCH" else "application/json"
        headers = {"Authorization": f"Bearer {self._client.token}", "Content-Type": content}
        connection = self._connection()
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status >= http.client.BAD_REQUEST:
            raise errors.BenchError(f"{method} {path}: {answer.status} {text.decode()[:200]}")

    def _connection(self) -> http.client.HTTPSConnection:
        found: http.client.HTTPSConnection | None = getattr(self._local, "connection", None)
        if found is None:
            address = urllib.parse.urlsplit(self._client.server)
            context = ssl.create_default_context(cafile=str(self._client.certificate_authority))
            found = self._local.connection = http.client.HTTPSConnection(
                address.hostname or "", address.port, timeout=60, context=context
            )
        return found
