"""A web server on loopback with answers that a test chooses, as an API server or a proxy."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import ipaddress
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

from cryptography import x509

from tests.kits import server_certificates as certificates

LOOPBACK = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))


@dataclasses.dataclass
class Request:
    """A request as it was received."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: Any


@dataclasses.dataclass
class Answer:
    """Status, JSON and further headers of a response."""

    status: int = 200
    body: Any = dataclasses.field(default_factory=lambda: {"metadata": {"name": "x"}})
    headers: dict[str, str] = dataclasses.field(default_factory=dict)


class Server:
    """Keeps what it was sent; `respond` makes each answer."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.respond: Callable[[Request], Answer] = lambda _: Answer()
        self.port = 0


def _handler(server: Server) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            request = Request(self.command, self.path, list(self.headers.items()), body)
            server.requests.append(request)
            answer = server.respond(request)
            content = (
                answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            )
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_PUT = do_CONNECT = answer  # noqa: N815 - the library's names

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextlib.contextmanager
def serving(
    leaf: certificates.Pair | None, folder: Any, *, client_ca: certificates.Pair | None = None
) -> Iterator[Server]:
    """Serves HTTPS with this certificate, or HTTP, until the block ends."""
    server = Server()

    class Quiet(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that refuses the certificate is no failure of the test."""

    with Quiet(("127.0.0.1", 0), _handler(server)) as listening:
        if leaf:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            path = folder / "serving.pem"
            path.write_bytes(leaf.cert_pem + leaf.key_pem)
            context.load_cert_chain(path)
            if client_ca:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(cadata=client_ca.cert_pem.decode())
            listening.socket = context.wrap_socket(
                listening.socket, server_side=True, do_handshake_on_connect=False
            )
        server.port = listening.server_port
        thread = threading.Thread(target=listening.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown()
            thread.join()


def kubeconfig(path: Any, *, user: Any = None, name: str = "here", **cluster: Any) -> str:
    """A file of one context; its cluster, user and context have one name, its namespace is
    `of-NAME`."""
    context = {"cluster": name, "user": name, "namespace": f"of-{name}"}
    content = {
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": {"token": "t"} if user is None else user}],
        "contexts": [{"name": name, "context": context}],
        "current-context": name,
    }
    path.write_text(json.dumps(content))
    return str(path)
