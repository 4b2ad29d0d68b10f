"""A small JSON client of the API server, for tools that poll: kubectl takes 100 ms a call."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import pathlib
import ssl
import urllib.parse
from typing import Any, Final

import yaml

from tools.controlplane import errors

TIMEOUT_SECONDS: Final = 30
MERGE_PATCH: Final = "application/merge-patch+json"
Json = dict[str, Any]
"""An API object. The tools read a few fields of many kinds, without a type for each."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Client:
    """Requests as one user. Each has its own connection: a restart of the server does no harm."""

    server: str
    """https://HOST:PORT"""
    certificate_authority: pathlib.Path
    """It may be created before the first request only."""
    token: str

    def get(self, path: str) -> Json:
        """Raises ApiError if the answer is a failure, OSError if there is none."""
        return self.request("GET", path)

    def request(
        self, method: str, path: str, body: Json | None = None, *, content: str = "application/json"
    ) -> Json:
        """The same for any method."""
        status, text = self.text(method, path, body, content=content)
        if status >= http.client.BAD_REQUEST:
            raise errors.ApiError(method=method, path=path, status=status, message=message(text))
        return json.loads(text)  # type: ignore[no-any-return]  # every API object is a JSON object

    def text(
        self, method: str, path: str, body: Json | None = None, *, content: str = "application/json"
    ) -> tuple[int, str]:
        """The status code and the body as text, for endpoints that do not send JSON."""
        with contextlib.closing(self.connect()) as connection:
            return self.send(connection, method, path, body, content=content)

    def connect(self) -> http.client.HTTPConnection:
        """A connection for several calls of `send`; it is opened with the first one."""
        address = urllib.parse.urlsplit(self.server)
        context = ssl.create_default_context(cafile=str(self.certificate_authority))
        return http.client.HTTPSConnection(
            address.hostname or "", address.port, timeout=TIMEOUT_SECONDS, context=context
        )

    def send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        content: str = "application/json",
        accept: str = "*/*",
    ) -> tuple[int, str]:
        """The same as `text`, over a connection that is kept."""
        headers = {**self._identity(), "Content-Type": content}
        data = None if body is None else json.dumps(body)
        try:
            connection.request(method, path, data, headers={**headers, "Accept": accept})
            response = connection.getresponse()
            return response.status, response.read().decode()
        except http.client.HTTPException as error:
            # An API server that dies in the middle of an answer is a connection that broke.
            raise ConnectionError(str(error) or repr(error)) from error

    def _identity(self) -> dict[str, str]:
        """Headers that say who asks."""
        return {"Authorization": f"Bearer {self.token}"}

    def write_kubeconfig(self, path: pathlib.Path) -> None:
        """Write a kubeconfig for this user."""
        cluster = {"server": self.server, "certificate-authority": str(self.certificate_authority)}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "local", "cluster": cluster}],
            "users": [{"name": "user", "user": {"token": self.token}}],
            "contexts": [{"name": "local", "context": {"cluster": "local", "user": "user"}}],
            "current-context": "local",
        }
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")


def message(text: str) -> str:
    """The message of a Status object, or the text itself if it is something else."""
    try:
        status = json.loads(text)
    except ValueError:
        return text.strip()
    return str(status.get("message", text)) if isinstance(status, dict) else text
