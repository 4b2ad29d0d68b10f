"""A small JSON client of the API server, for tools that poll: kubectl takes 100 ms a call."""

from __future__ import annotations

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
"""An API object. The tools look at a few fields of many kinds; a type for each would not pay."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Client:
    """Requests as one user. Every request is a connection of its own, so restarts do not hurt."""

    server: str
    """https://HOST:PORT"""
    certificate_authority: pathlib.Path
    """Need not exist before the first request."""
    token: str

    def get(self, path: str) -> Json:
        """Raises ApiError if the answer is a failure, OSError if there is none."""
        return self.request("GET", path)

    def request(
        self, method: str, path: str, body: Json | None = None, *, content: str = "application/json"
    ) -> Json:
        """The same for any method."""
        answer, text = self.text(method, path, body, content=content)
        if answer >= http.client.BAD_REQUEST:
            raise errors.ApiError(method=method, path=path, status=answer, message=_message(text))
        return json.loads(text)  # type: ignore[no-any-return]  # every API object is a JSON object

    def text(
        self, method: str, path: str, body: Json | None = None, *, content: str = "application/json"
    ) -> tuple[int, str]:
        """The status code and the body as it came, for endpoints that speak no JSON."""
        address = urllib.parse.urlsplit(self.server)
        connection = http.client.HTTPSConnection(
            address.hostname or "",
            address.port,
            timeout=TIMEOUT_SECONDS,
            context=ssl.create_default_context(cafile=str(self.certificate_authority)),
        )
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": content}
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, body=data, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except http.client.HTTPException as error:
            # An API server that dies in the middle of an answer is a connection that broke.
            raise ConnectionError(str(error) or repr(error)) from error
        finally:
            connection.close()

    def write_kubeconfig(self, path: pathlib.Path) -> None:
        """A file that needs no other one."""
        cluster = {
            "server": self.server,
            "certificate-authority": str(self.certificate_authority),
        }
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


def _message(text: str) -> str:
    """A Status object's message, or the text itself if it is none."""
    try:
        status = json.loads(text)
    except ValueError:
        return text.strip()
    return str(status.get("message", text)) if isinstance(status, dict) else text
