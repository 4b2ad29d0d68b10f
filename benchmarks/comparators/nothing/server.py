"""The least that any Python injector must do: TLS, HTTP, parse the review, write a patch.

The operations are always the same ones, whatever the pod is; a pod that has them gets none, since
the API server asks again once its own plugins have completed what was added. What this leaves of a
second is all that an injector has for matching, merging, checking, logging and metrics.
Arguments: port, certificate, key.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import sys
from typing import cast

import httptools
import orjson
import uvloop

STATUS = "sidecar-injector-webhook.morven.me/status"
CONTAINER = {
    "name": "sidecar-nginx",
    "image": "nginx:1.12.2",
    "ports": [{"containerPort": 80}],
    "volumeMounts": [{"name": "nginx-conf", "mountPath": "/etc/nginx"}],
}
VOLUME = {"name": "nginx-conf", "configMap": {"name": "nginx-configmap"}}
OPERATIONS = [
    {"op": "add", "path": "/spec/containers/-", "value": CONTAINER},
    {"op": "add", "path": "/spec/volumes/-", "value": VOLUME},
    {"op": "add", "path": "/metadata/annotations", "value": {STATUS: "injected"}},
]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


class Nothing(asyncio.Protocol):
    """One connection."""

    _transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._parser = httptools.HttpRequestParser(self)
        self._body: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, part: bytes) -> None:
        self._body.append(part)

    def on_message_complete(self) -> None:
        review = orjson.loads(b"".join(self._body))
        self._body.clear()
        request = review.pop("request")
        review["response"] = response = {"uid": request["uid"], "allowed": True}
        if STATUS not in request["object"]["metadata"].get("annotations", ()):
            response["patchType"] = "JSONPatch"
            response["patch"] = base64.b64encode(orjson.dumps(OPERATIONS)).decode()
        answer = orjson.dumps(review)
        self._transport.write(HEAD % len(answer) + answer)


async def serve(port: int, certificate: str, key: str) -> None:
    """Until killed."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Nothing, "127.0.0.1", port, ssl=context)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
