"""One replica's webhook (or another server of AdmissionReviews), called without an API server."""

from __future__ import annotations

import asyncio
import functools
import http.client
import json
import socket
import ssl
from typing import Any, Final, Self

from cryptography import x509

from sidecar_injector import names
from tools.controlplane import ports

SERVER_NAME: Final = names.verified_dns_name(service=names.PRODUCT, namespace=names.PRODUCT)
TIMEOUT_SECONDS: Final = 10
_LENGTH: Final = b"content-length:"
UID: Final = "6e9d9bd4-0000-4000-8000-{:012}"
Json = dict[str, Any]
StreamPair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Connection(http.client.HTTPConnection):
    """A context manager: a kept-alive connection to a port of loopback.

    With `authorities` (PEM), the certificate is verified as the API server does it; OSError if it
    is not valid. Without, any certificate is accepted.
    """

    sock: ssl.SSLSocket

    def __init__(self, port: int, *, authorities: str | None = None) -> None:
        super().__init__(SERVER_NAME, port, timeout=TIMEOUT_SECONDS)
        self._context = client_context(authorities)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def connect(self) -> None:
        """TLS for SERVER_NAME, on loopback."""
        plain = socket.create_connection((ports.LOOPBACK, self.port), TIMEOUT_SECONDS)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = self._context.wrap_socket(plain, server_hostname=SERVER_NAME)

    def post(self, body: bytes, path: str = names.MUTATE_PATH) -> Json:
        """The answer as JSON. Raises OSError for no answer and for another status than 200."""
        try:
            self.request("POST", path, body, {"Content-Type": "application/json"})
            response = self.getresponse()
            text = response.read()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error) or repr(error)) from error
        if response.status != http.client.OK:
            raise ConnectionError(f"{response.status}: {text.decode(errors='replace')}")
        return json.loads(text)  # type: ignore[no-any-return]  # every review is a JSON object

    def certificate(self) -> x509.Certificate:
        """The certificate that a new connection gets."""
        self.connect()
        content = self.sock.getpeercert(binary_form=True)
        if content is None:
            raise ConnectionError(f"port {self.port} sent no certificate")
        return x509.load_der_x509_certificate(content)


def review(pod: Json, *, namespace: str, number: int = 1) -> Json:
    """What an API server sends before it creates a pod, for a dry run."""
    request = {
        "uid": UID.format(number),
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": namespace,
        "operation": "CREATE",
        "object": pod,
        "dryRun": True,
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


async def connect(port: int) -> StreamPair:
    """A TLS connection for an event loop; any certificate is accepted."""
    return await asyncio.open_connection(ports.LOOPBACK, port, ssl=client_context(None))


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of an answer to a POST."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
    (length,) = (line for line in head if line.startswith(_LENGTH))
    return int(head[0].split()[1]), await reader.readexactly(int(length.removeprefix(_LENGTH)))


@functools.lru_cache(maxsize=8)
def client_context(authorities: str | None) -> ssl.SSLContext:
    """For clients of TLS; without `authorities`, any certificate is accepted."""
    # Not create_default_context(), which reads all of the system's authorities.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authorities is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(cadata=authorities)
    return context
