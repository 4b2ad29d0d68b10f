"""Who may ask the page's server, and how much: a browser of this machine that knows the token.

A page of another site can make a browser send requests to loopback, also under a name of its own
(DNS rebinding). It does not know the token, and it can change neither `Host` nor `Origin`: all
three must be right. Nothing is logged, because what is sent may be private.
"""

from __future__ import annotations

import http.server
import importlib.resources
import secrets
import sys
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson

from sidecar_injector import names

LOOPBACK: Final = "127.0.0.1"
MOST_BYTES: Final = 256 * 1024
"""Of a request's body."""
CONNECTIONS: Final = 16
"""At once; a further one is closed."""
SECONDS: Final = 10.0
"""Until a client must have sent its next bytes, or have read some."""
WAIT: Final = 5.0
"""How long a request waits for the one that is worked on; then it has to come again."""
TYPES: Final[Mapping[str, str]] = {
    "page.html": "text/html", "page.css": "text/css", "page.js": "text/javascript",
}  # fmt: skip
HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'; require-trusted-types-for 'script'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

Operation = Callable[[Mapping[str, str]], Mapping[str, Any]]
"""Makes a JSON object of the texts of a request."""


class Refusal(Exception):
    """HTTP status and sentence."""


class PlaygroundServer(http.server.ThreadingHTTPServer):
    """Serves the page and the operations, one operation at a time."""

    daemon_threads, block_on_close = True, False

    def __init__(self, operations: Mapping[str, Operation]) -> None:
        self.operations, self.work = operations, threading.Lock()
        self.token = secrets.token_urlsafe(24)
        self._slots = threading.BoundedSemaphore(CONNECTIONS)
        super().__init__((LOOPBACK, 0), Handler)

    @property
    def address(self) -> str:
        """Where a browser finds the page."""
        return f"http://{LOOPBACK}:{self.server_port}/{self.token}/"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, while there are not too many."""
        if self._slots.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """The thread of a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """One line without a value: a message or a traceback could contain what was sent."""
        error = sys.exc_info()[0]
        if error and not issubclass(error, ConnectionError):
            print(f"error: a request of the page ended with {error.__name__}", file=sys.stderr)


class Handler(http.server.BaseHTTPRequestHandler):
    """One request; the connection ends with it."""

    server: PlaygroundServer
    timeout = SECONDS
    server_version, sys_version = names.PRODUCT, ""

    def do_GET(self) -> None:
        """A file of the page."""
        self._answer(self._file)

    def do_POST(self) -> None:
        """An operation."""
        self._answer(self._operation)

    def end_headers(self) -> None:
        """The headers of every response."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""

    def _answer(self, make: Callable[[str], tuple[str, bytes]]) -> None:
        try:
            content_type, content = make(self._checked_name())
        except Refusal as refusal:
            self.send_error(*refusal.args)
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", f"{content_type}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _checked_name(self) -> str:
        """What is asked for. Raises Refusal unless the page of this server asks for it."""
        host, origin = (self.headers.get_all(name, []) for name in ("Host", "Origin"))
        port = self.server.server_port
        if host not in ([f"{LOOPBACK}:{port}"], [f"localhost:{port}"]):
            raise Refusal(HTTPStatus.FORBIDDEN, "the request is for another host")
        # Browsers send none with a GET of the same origin.
        if origin != [f"http://{host[0]}"] and (origin or self.command != "GET"):
            raise Refusal(HTTPStatus.FORBIDDEN, "the request is of another origin")
        token, slash, name = self.path.removeprefix("/").partition("/")
        if not secrets.compare_digest(token.encode(), self.server.token.encode()) or not slash:
            raise Refusal(HTTPStatus.FORBIDDEN, "the token in the address is wrong")
        return name

    def _file(self, name: str) -> tuple[str, bytes]:
        file = name or "page.html"
        if file not in TYPES:
            raise Refusal(HTTPStatus.NOT_FOUND, "there is no such file")
        return TYPES[file], (importlib.resources.files(__package__) / file).read_bytes()

    def _operation(self, name: str) -> tuple[str, bytes]:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            raise Refusal(HTTPStatus.LENGTH_REQUIRED, "the length of the body is not known")
        if len(length) > len(str(MOST_BYTES)) or int(length) > MOST_BYTES:
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {MOST_BYTES} bytes")
        try:
            operation = self.server.operations[name]
            texts = orjson.loads(self.rfile.read(int(length)))
        except (KeyError, orjson.JSONDecodeError) as error:
            raise Refusal(HTTPStatus.BAD_REQUEST, "no operation on JSON") from error
        if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
            raise Refusal(HTTPStatus.BAD_REQUEST, "the body is not an object of texts")
        if not self.server.work.acquire(timeout=WAIT):
            raise Refusal(HTTPStatus.TOO_MANY_REQUESTS, "another request is worked on")
        try:
            return "application/json", orjson.dumps(operation(texts))
        finally:
            self.server.work.release()
