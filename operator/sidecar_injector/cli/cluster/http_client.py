"""`api.Api` for verbs, on Python's own HTTP client: one request after the other.

aiohttp and the official client need half a second of processor time to be imported, which is more
than `status` may take.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import tempfile
import time
import urllib.parse
from collections.abc import AsyncGenerator
from typing import Any, Final, Self

from sidecar_injector import __version__, names
from sidecar_injector.cli.cluster import kubeconfig
from sidecar_injector.kube import api, calls

CONNECT_SECONDS: Final = 10.0
TOTAL_SECONDS: Final = 60.0
"""From the request to the last byte of the response."""
CHUNK: Final = 256 * 1024


class NoAnswerError(TimeoutError):
    """The server took the request and did not answer, or not to the end."""


class InteractiveClient(calls.Calls):
    """The client of the command line; `warnings` are the API server's for the last request."""

    def __init__(self, load: kubeconfig.Load, *, seconds: float | None = None) -> None:
        self._load, self._seconds = load, seconds or TOTAL_SECONDS
        self._access: kubeconfig.Access | None = None
        self._connection: http.client.HTTPConnection | None = None
        self.warnings: list[str] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._close()

    def watch(
        self,
        resource: api.Resource,
        *,
        resource_version: str,
        scope: api.Scope = api.EVERYTHING,
        timeout_seconds: int,
    ) -> AsyncGenerator[api.Json]:
        """Verbs list; none of them watches."""
        raise NotImplementedError

    async def _page(self, path: str, *, is_single: bool, **options: Any) -> tuple[api.Json, int]:
        body = self._exchange("GET", path, **options)
        return _parsed(body, self._access), max(len(body), 1)

    async def _json(self, method: str, path: str, **options: Any) -> api.Json:
        return _parsed(self._exchange(method, path, **options), self._access)

    def _exchange(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: api.Json | list[api.Json] | None = None,
        content_type: str = "application/json",
        accept: str = "",
    ) -> bytes:
        """The body of the response; every failure is a KubeError."""
        access = self._access = self._access or self._load()
        url = urllib.parse.urlsplit(access.server)
        target = url.path.rstrip("/") + path
        if query:
            target += "?" + urllib.parse.urlencode(query)
        headers = {
            "Accept": accept or "application/json",
            "Content-Type": content_type,
            "User-Agent": f"{names.PRODUCT}/{__version__}",
        }
        content = None if body is None else json.dumps(body).encode()
        try:
            status, received = self._send(method, target, headers, content)
            if status == api.UNAUTHORIZED:
                # A token may have expired; a plugin, or the file, has a new one.
                self._close()
                self._access = self._load()
                status, received = self._send(method, target, headers, content)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._close()
            # The text of a ValueError may be a header, in which a token is.
            is_ours = not isinstance(error, ValueError) or isinstance(error, ssl.SSLError)
            detail = (is_ours and str(error)) or type(error).__name__
            raise api.UnreachableError(host=access.server, detail=detail) from error
        if status >= 400:
            raise calls.refusal(path, status=status, body=received)
        return received

    def _send(
        self, method: str, target: str, headers: dict[str, str], content: bytes | None
    ) -> tuple[int, bytes]:
        """Status and body; a connection that the server has closed meanwhile is made anew."""
        is_used = self._connection is not None
        try:
            return self._send_once(method, target, headers, content)
        except (ConnectionError, http.client.BadStatusLine):
            if not is_used or method != "GET":
                raise
            self._close()
            return self._send_once(method, target, headers, content)

    def _send_once(
        self, method: str, target: str, headers: dict[str, str], content: bytes | None
    ) -> tuple[int, bytes]:
        end = time.monotonic() + self._seconds
        access = self._access
        assert access
        connection = self._connection = self._connection or connect(
            access, seconds=min(self._seconds, CONNECT_SECONDS)
        )
        assert connection.sock
        connection.sock.settimeout(self._seconds)
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        if access.authorization:
            connection.putheader("Authorization", access.authorization)
        for name, value in access.identity.headers():
            connection.putheader(name, value)
        if content is not None:
            connection.putheader("Content-Length", str(len(content)))
        connection.endheaders(content)
        try:
            response = connection.getresponse()
            self.warnings = [
                warning_text(header) for header in response.headers.get_all("Warning") or ()
            ]
            received = _read(response, end)
        except TimeoutError as error:
            raise NoAnswerError(f"it did not answer in {self._seconds:.0f} seconds") from error
        if response.will_close:
            self._close()
        return response.status, received

    def _close(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None


class _TlsConnection(http.client.HTTPSConnection):
    """A connection whose server has a name of its own in its certificate."""

    def __init__(self, *arguments: Any, context: ssl.SSLContext, server_name: str, **options: Any):
        super().__init__(*arguments, context=context, **options)
        self._tls, self._server_name = context, server_name

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._server_name)


def connect(access: kubeconfig.Access, *, seconds: float) -> http.client.HTTPConnection:
    """An open connection, through the proxy if there is one."""
    url = urllib.parse.urlsplit(access.server)
    host = url.hostname or ""
    port = url.port or (443 if url.scheme == "https" else 80)
    proxy = urllib.parse.urlsplit(
        access.proxy or kubeconfig.proxy_address(_proxy_of_environment(url))
    )
    if proxy.hostname and proxy.scheme != "http":
        raise OSError(f"a proxy of type {proxy.scheme} is not supported; use one of type http")
    address = (proxy.hostname, proxy.port or 80) if proxy.hostname else (host, port)
    connection: http.client.HTTPConnection
    if url.scheme == "https":
        name = access.server_name or host
        context = tls_context(access)
        connection = _TlsConnection(*address, timeout=seconds, context=context, server_name=name)
    else:
        connection = http.client.HTTPConnection(*address, timeout=seconds)
    if proxy.hostname:
        connection.set_tunnel(host, port, headers=_proxy_headers(proxy))
    try:
        connection.connect()
    except TimeoutError as error:
        raise NoAnswerError(f"it did not answer in {seconds:.0f} seconds") from error
    assert connection.sock
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def tls_context(access: kubeconfig.Access) -> ssl.SSLContext:
    """What trusts the server and proves who we are."""
    context = ssl.create_default_context(cadata=access.ca or None)
    # Clusters have certificates without key identifiers, which Go accepts and newer Pythons do not.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not access.is_verified:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if access.certificate:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix=names.PRODUCT) as file:
            # Python reads both from files alone; this one can be read by its owner only.
            file.write(f"{access.certificate}\n{access.key}\n")
            file.flush()
            context.load_cert_chain(file.name)
    return context


def warning_text(header: str) -> str:
    """The text of a warning: `299 - "TEXT"`, https://www.rfc-editor.org/rfc/rfc7234#section-5.5."""
    quoted = header.partition('"')[2].rpartition('"')[0]
    return quoted.replace('\\"', '"').replace("\\\\", "\\") if quoted else header


def _read(response: http.client.HTTPResponse, end: float) -> bytes:
    """The body; TimeoutError if it is not complete at `end`, however steadily it comes."""
    body = bytearray()
    while chunk := response.read1(CHUNK):
        body += chunk
        if time.monotonic() > end:
            raise TimeoutError
    # Python sends the next request of the connection only then.
    response.close()
    return bytes(body)


def _parsed(body: bytes, access: kubeconfig.Access | None) -> api.Json:
    try:
        return calls.json_object(body)
    except ValueError as error:
        host = access.server if access else ""
        raise api.UnreachableError(host=host, detail=str(error)) from error


def _proxy_of_environment(url: urllib.parse.SplitResult) -> str:
    """The proxy that the environment names for the API server; Go uses none for loopback."""
    if not any(name.lower() in ("https_proxy", "http_proxy", "all_proxy") for name in os.environ):
        return ""
    import urllib.request  # noqa: PLC0415 - it imports much, and few people have a proxy

    host = url.hostname or ""
    if host in ("localhost", "::1") or host.startswith("127."):
        return ""
    proxies = urllib.request.getproxies_environment()
    if urllib.request.proxy_bypass(host):
        return ""
    return proxies.get(url.scheme) or proxies.get("all") or ""


def _proxy_headers(proxy: urllib.parse.SplitResult) -> dict[str, str]:
    if not proxy.username:
        return {}
    import base64  # noqa: PLC0415 - as above

    pair = f"{urllib.parse.unquote(proxy.username)}:{urllib.parse.unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
