"""The client and an HTTP server: its requests, and what it makes of the responses."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import http_exceptions, web
from kubernetes.aio.client import configuration, rest

from sidecar_injector.kube import api, calls, client, credentials

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """A web server on loopback; `respond` handles the next request, `requests` are all so far."""

    def __init__(self, folder: Path) -> None:
        self.requests: list[web.Request] = []
        self.bodies: list[str] = []
        self.respond: Handler = status(200, {"metadata": {"name": "x"}})
        self.kubeconfig = folder / "kubeconfig"
        self.port = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        self.bodies.append(await request.text())
        return await self.respond(request)

    def write_kubeconfig(self, token: str) -> None:
        server = f"http://127.0.0.1:{self.port}"
        self.kubeconfig.write_text(
            json.dumps(
                {
                    "clusters": [{"name": "c", "cluster": {"server": server}}],
                    "users": [{"name": "u", "user": {"token": token}}],
                    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                    "current-context": "x",
                }
            )
        )


def status(code: int, body: api.Json) -> Handler:
    async def respond(_: web.Request) -> web.StreamResponse:
        return web.json_response(body, status=code)

    return respond


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    server = Server(tmp_path)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.port = runner.addresses[0][1]
    server.write_kubeconfig("secret-1")
    yield server
    await runner.cleanup()


@pytest.fixture
async def connected(server: Server) -> AsyncIterator[client.Client]:
    async with client.Client(
        credentials.CredentialsSource(kubeconfig=str(server.kubeconfig))
    ) as connected:
        yield connected


async def test_an_object_comes_back_as_it_was_sent(
    server: Server, connected: client.Client
) -> None:
    server.respond = status(200, {"metadata": {}, "fieldOfTheFuture": [1, None]})
    secret = await connected.get(api.SECRETS, name="s", namespace="n")
    assert secret == {"metadata": {}, "fieldOfTheFuture": [1, None]}
    request = server.requests[0]
    assert request.path == "/api/v1/namespaces/n/secrets/s"
    assert request.headers["Authorization"] == "Bearer secret-1"


async def test_a_refusal_says_status_reason_message_and_path(
    server: Server, connected: client.Client
) -> None:
    server.respond = status(409, {"kind": "Status", "reason": "Conflict", "message": "changed"})
    with pytest.raises(api.ApiError) as caught:
        await connected.replace(api.LEASES, {}, name="l", namespace="n")
    error = caught.value
    assert (error.status, error.reason, error.message) == (409, "Conflict", "changed")
    assert error.path == "/apis/coordination.k8s.io/v1/namespaces/n/leases/l"


async def test_an_error_without_a_status_object_is_a_refusal_too(
    server: Server, connected: client.Client
) -> None:
    async def proxy(_: web.Request) -> web.StreamResponse:
        return web.Response(status=502, text="bad gateway\n")

    server.respond = proxy
    with pytest.raises(api.ApiError, match=r"502 Unknown at .*: bad gateway"):
        await connected.get(api.NAMESPACES, name="n")


async def test_a_list_goes_on_until_there_is_no_more(
    server: Server, connected: client.Client
) -> None:
    async def pages(request: web.Request) -> web.StreamResponse:
        more = {"2": "3", "": "2"}.get(request.query.get("continue", ""), "")
        metadata = {"resourceVersion": "7", "continue": more}
        return web.json_response({"metadata": metadata, "items": [{"page": more}]})

    server.respond = pages
    scope = api.Scope(label_selector="a=b", metadata_only=True)
    listed = [page async for page in connected.pages(api.NAMESPACES, scope=scope, limit=1)]
    assert [page.items for page in listed] == [[{"page": "2"}], [{"page": "3"}], [{"page": ""}]]
    assert {page.resource_version for page in listed} == {"7"}
    assert server.requests[0].query["labelSelector"] == "a=b"
    assert "as=PartialObjectMetadataList" in server.requests[0].headers["Accept"]
    assert "resourceVersion" not in server.requests[0].query


async def test_large_objects_are_listed_in_smaller_pages(
    server: Server, connected: client.Client
) -> None:
    """Nobody can make us read 500 objects of a megabyte at once."""
    total, limits = 30, []

    async def pages(request: web.Request) -> web.StreamResponse:
        start, limit = int(request.query.get("continue") or 0), int(request.query["limit"])
        limits.append(limit)
        items = [
            {"metadata": {"name": str(number), "annotations": {"blob": "x" * 1_000_000}}}
            for number in range(start, min(start + limit, total))
        ]
        more = str(start + limit) if start + limit < total else ""
        return web.json_response(
            {"metadata": {"resourceVersion": "7", "continue": more}, "items": items}
        )

    server.respond = pages
    sizes, listed = [], []
    async for page in connected.pages(api.NAMESPACES):
        sizes.append(len(page.items))
        listed += [item["metadata"]["name"] for item in page.items]
    assert listed == [str(number) for number in range(total)]
    assert max(sizes) * 1_000_000 <= calls.PAGE_BYTES
    assert limits[:3] == [500, 50, 5]


async def test_pages_are_large_again_after_large_objects(
    server: Server, connected: client.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "PAGE_BYTES", 100_000)
    limits = []

    async def pages(request: web.Request) -> web.StreamResponse:
        start, limit = int(request.query.get("continue") or 0), int(request.query["limit"])
        limits.append(limit)
        items = [
            {"number": number, "text": "x" * (40_000 if number < 10 else 10)}
            for number in range(start, min(start + limit, 2000))
        ]
        more = str(start + limit) if start + limit < 2000 else ""
        return web.json_response({"metadata": {"continue": more}, "items": items})

    server.respond = pages
    listed = [page async for page in connected.pages(api.NAMESPACES)]
    assert [item["number"] for page in listed for item in page.items] == list(range(2000))
    assert max(limits[-3:]) == 500
    assert len(limits) < 30


async def test_a_single_object_is_read_whatever_its_size(
    server: Server, connected: client.Client
) -> None:
    blob = "x" * (calls.PAGE_BYTES + 1)
    server.respond = status(200, {"metadata": {"resourceVersion": "7"}, "items": [{"blob": blob}]})
    (page,) = [page async for page in connected.pages(api.NAMESPACES)]
    assert page.items == [{"blob": blob}]


async def test_a_watch_puts_events_together_however_they_are_cut(
    server: Server, connected: client.Client
) -> None:
    big = {"type": "ADDED", "object": {"blob": "x" * 3_000_000}}
    small = {"type": "DELETED", "object": {}}

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        text = (json.dumps(big) + "\n" + json.dumps(small) + "\n").encode()
        for cut in (slice(0, 10), slice(10, 2_000_000), slice(2_000_000, None)):
            await response.write(text[cut])
        return response

    server.respond = stream
    watch = connected.watch(
        api.SECRETS, resource_version="5", scope=api.by_name("s", namespace="n"), timeout_seconds=9
    )
    assert [event async for event in watch] == [api.OPENED, big, small]
    assert dict(server.requests[0].query) == {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": "5",
        "timeoutSeconds": "9",
        "fieldSelector": "metadata.name=s",
    }


async def test_writes_carry_our_field_manager_and_their_content_type(
    server: Server, connected: client.Client
) -> None:
    await connected.patch(
        api.MUTATING, {"webhooks": []}, name="m", content_type=api.STRATEGIC_PATCH
    )
    await connected.patch(api.INJECTIONS, {}, name="i", namespace="n", subresource="status")
    await connected.create(api.PODS, {"kind": "Pod"}, namespace="n", dry_run=True)
    first, second, third = server.requests
    assert first.query["fieldManager"] == "sidecar-injector"
    assert first.headers["Content-Type"] == api.STRATEGIC_PATCH
    assert second.path.endswith("/namespaces/n/sidecarinjections/i/status")
    assert third.query["dryRun"] == "All"
    assert json.loads(server.bodies[2]) == {"kind": "Pod"}


async def test_a_refused_token_is_read_again_once(server: Server, connected: client.Client) -> None:
    async def only_the_new_one(request: web.Request) -> web.StreamResponse:
        good = request.headers["Authorization"] == "Bearer secret-2"
        body = {"reason": "Unauthorized", "message": "no", "metadata": {}}
        return web.json_response(body, status=200 if good else 401)

    server.respond = only_the_new_one
    with pytest.raises(api.ApiError, match="401"):
        await connected.get(api.NAMESPACES, name="n")
    assert len(server.requests) == 2
    server.write_kubeconfig("secret-2")
    await connected.get(api.NAMESPACES, name="n")
    await connected.get(api.NAMESPACES, name="n")
    assert len(server.requests) == 5


async def test_a_closed_port_is_unreachable(tmp_path: Path, unused_tcp_port: int) -> None:
    server = Server(tmp_path)
    server.port = unused_tcp_port
    server.write_kubeconfig("t")
    async with client.Client(
        credentials.CredentialsSource(kubeconfig=str(server.kubeconfig))
    ) as connected:
        with pytest.raises(api.UnreachableError, match=f"127.0.0.1:{unused_tcp_port} is unreach"):
            await connected.get(api.NAMESPACES, name="n")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param("{", "it is not valid YAML: line 1", id="no-yaml"),
        pytest.param("{}", "current-context", id="no-context"),
        pytest.param("", "kubeconfig", id="empty"),
        pytest.param("[]", "kubeconfig", id="a-list"),
    ],
)
async def test_an_unusable_kubeconfig_is_named(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "broken"
    path.write_text(content)
    with pytest.raises(api.CredentialsError, match=expected) as caught:
        await client.Client(credentials.CredentialsSource(kubeconfig=str(path))).get(
            api.PODS, name="p"
        )
    assert str(path) in str(caught.value)


def test_an_explicit_kubeconfig_comes_before_the_environment_and_that_before_the_cluster() -> None:
    everything = {"KUBECONFIG": "/from/environment", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    assert credentials.find(everything, kubeconfig="/given").kubeconfig == "/given"
    assert credentials.find(everything).kubeconfig == "/from/environment"
    assert credentials.find({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}).kubeconfig is None
    with pytest.raises(api.CredentialsError, match="no kubeconfig is given"):
        credentials.find({})


async def raw_server(respond: Callable[[bytes], bytes]) -> tuple[asyncio.Server, list[bytes]]:
    """A port that answers the head of each request with these bytes; returns the heads, too."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(respond(heads[-1]))
            await writer.drain()
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0), heads


@contextlib.asynccontextmanager
async def raw_client(
    folder: Path, respond: Callable[[bytes], bytes]
) -> AsyncIterator[tuple[client.Client, list[bytes]]]:
    server, heads = await raw_server(respond)
    address = Server(folder)
    address.port = server.sockets[0].getsockname()[1]
    address.write_kubeconfig("t")
    source = credentials.CredentialsSource(kubeconfig=str(address.kubeconfig))
    async with server, client.Client(source) as connected:
        yield connected, heads


def response(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    length = b"Content-Length: %d" % len(body)
    return b"\r\n".join([b"HTTP/1.1 " + status, length, *headers, b"", body])


NAMES = [
    *[
        "a.b",
        "system:node",
        "Über",
        "x%2e",
        "a/b",
        "..",
        ".",
        "%2e%2e",
        "a?b",
        "a#b",
        "a;b",
        "a b",
        "",
    ],
    *["a&b", "~!$'()*+,=@", "a\r\nX: y", "../../../namespaces/kube-system/pods/victim?x="],
]


@pytest.mark.parametrize("name", NAMES)
async def test_the_bytes_on_the_wire_are_the_path_of_this_object_or_nothing(
    tmp_path: Path, name: str
) -> None:
    async with raw_client(tmp_path, lambda _: response(b"{}")) as (connected, heads):
        try:
            await connected.patch(api.EVENTS, {}, name=name, namespace="n")
        except api.InvalidNameError:
            assert not heads
            return
        line = heads[0].split(b"\r\n")[0].decode()
    path = api.EVENTS.path(namespace="n", name=name)
    assert line == f"PATCH {path}?fieldManager=sidecar-injector HTTP/1.1"
    assert urllib.parse.unquote(path.rsplit("/", 1)[1]) == name


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "%2e%2e", "a b", "a\r\nX: y", "a" * 254])
async def test_a_name_that_no_object_has_is_not_sent(
    server: Server, connected: client.Client, name: str
) -> None:
    with pytest.raises(api.InvalidNameError):
        await connected.get(api.PODS, name=name, namespace="n")
    assert not server.requests


@pytest.mark.parametrize(
    "error",
    [
        aiohttp.ClientPayloadError("cut off"),
        http_exceptions.ContentEncodingError("cannot be decompressed"),
        TimeoutError(),
        ssl.SSLError("handshake"),
        UnicodeDecodeError("utf-8", b"x", 0, 1, "no"),
        ValueError("Chunk too big"),
        LookupError("unknown encoding: x"),
        RuntimeError("Session is closed"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_the_library_raises_is_an_error_of_ours(
    connected: client.Client, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(rest.RESTClientObject, "request", fail)
    with pytest.raises(api.UnreachableError):
        await connected.get(api.NAMESPACES, name="n")


async def test_a_namespace_that_leads_elsewhere_is_refused_by_every_call(
    server: Server, connected: client.Client
) -> None:
    elsewhere = "n/../kube-system"
    scope = api.Scope(namespace=elsewhere)
    calls: list[Awaitable[object]] = [
        connected.get(api.PODS, name="p", namespace=elsewhere),
        connected.create(api.PODS, {}, namespace=elsewhere),
        connected.replace(api.PODS, {}, name="p", namespace=elsewhere),
        connected.patch(api.PODS, {}, name="p", namespace=elsewhere),
        anext(connected.pages(api.PODS, scope=scope)),
        anext(connected.watch(api.PODS, resource_version="1", scope=scope, timeout_seconds=1)),
    ]
    for call in calls:
        with pytest.raises(api.InvalidNameError):
            await call
    assert not server.requests


async def test_what_is_in_a_query_does_not_end_it(server: Server, connected: client.Client) -> None:
    scope = api.Scope(label_selector="a in (b,c)&x=y#z+%2e é", field_selector="a=b&watch=true")
    async for _ in connected.pages(api.PODS, scope=scope):
        pass
    query = server.requests[0].query
    assert query["labelSelector"] == scope.label_selector
    assert query["fieldSelector"] == scope.field_selector
    assert "watch" not in query


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"not HTTP at all\r\n\r\n", id="no-http"),
        pytest.param(response(b"<html>"), id="no-json"),
        pytest.param(response(b"\xff\xfe{}"), id="no-utf-8"),
        pytest.param(response(b"[]"), id="a-list"),
        pytest.param(response(b"null"), id="null"),
        pytest.param(response(b""), id="empty"),
        pytest.param(response(b"{}", b"Content-Encoding: gzip"), id="not-gzip"),
        pytest.param(response(b"{}", b"Content-Encoding: x-unheard-of"), id="unknown-encoding"),
        pytest.param(
            response(b"{}", b"Content-Type: application/json; charset=x-unheard-of"), id="charset"
        ),
        pytest.param(response(b"{}", b"X: " + b"y" * 100_000), id="long-header"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", id="cut-off"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", id="bad-chunk"
        ),
        pytest.param(response(b"", b"Location: /\xff:", status=b"302 Found"), id="bad-redirect"),
        pytest.param(response(b"", b"Location: /api", status=b"302 Found"), id="redirect-loop"),
        pytest.param(response(b"no", b"Content-Encoding: gzip", status=b"502 Bad"), id="bad-502"),
    ],
)
async def test_whatever_answers_the_error_is_one_of_ours(tmp_path: Path, answer: bytes) -> None:
    async with raw_client(tmp_path, lambda _: answer) as (connected, _):
        try:
            got = await connected.get(api.NAMESPACES, name="n")
        except api.KubeError:
            pass
        else:
            assert got == {}
        try:
            async for event in connected.watch(
                api.NAMESPACES, resource_version="1", timeout_seconds=1
            ):
                assert event is api.OPENED
        except api.KubeError:
            pass


@pytest.mark.parametrize(
    "line", [b"1", b"[]", b"{}", b'{"type":"ADDED"}', b'{"type":1,"object":{}}']
)
async def test_what_is_no_event_of_a_watch_is_an_error_of_ours(tmp_path: Path, line: bytes) -> None:
    async with raw_client(tmp_path, lambda _: response(line + b"\n")) as (connected, _):
        watch = connected.watch(api.NAMESPACES, resource_version="1", timeout_seconds=1)
        assert await anext(watch) is api.OPENED
        with pytest.raises(api.UnreachableError):
            await anext(watch)


class ClosingSource(credentials.CredentialsSource):
    """Credentials that are read again before a request; another task closes the pool meanwhile."""

    async def load(self) -> configuration.Configuration:
        settings = await super().load()
        settings.refresh_api_key_hook = self.refresh
        return settings

    async def refresh(self, _: configuration.Configuration) -> None:
        for connected in CLOSED_MEANWHILE:
            await connected.close()


CLOSED_MEANWHILE: list[client.Client] = []


async def test_a_pool_that_is_closed_meanwhile_is_an_error_of_ours(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with client.Client(ClosingSource(kubeconfig=str(server.kubeconfig))) as connected:
        await connected.get(api.NAMESPACES, name="n")
        CLOSED_MEANWHILE.append(connected)
        with pytest.raises(api.UnreachableError, match="closed"):
            await connected.get(api.NAMESPACES, name="n")
        CLOSED_MEANWHILE.clear()
        await connected.get(api.NAMESPACES, name="n")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "9" * 400}, api.LONGEST_RETRY_AFTER),
        ({"Retry-After": "-3"}, 0.0),
        ({"Retry-After": "soon"}, 0.0),
        ({"Retry-After": "٣"}, 0.0),
        ({"Retry-After": "Fri, 01 Jan 2100 00:00:00 GMT"}, api.LONGEST_RETRY_AFTER),
        ({"Retry-After": "Fri, 01 Jan 2010 00:00:00 GMT"}, 0.0),
        ({}, 0.0),
    ],
)
@pytest.mark.parametrize("method", ["patch", "replace", "get"])
async def test_a_refusal_says_when_to_come_back(
    server: Server, connected: client.Client, header: dict[str, str], seconds: float, method: str
) -> None:
    async def busy(_: web.Request) -> web.StreamResponse:
        return web.json_response({"reason": "TooMany", "message": "m"}, status=429, headers=header)

    server.respond = busy
    arguments: list[Any] = [{}] if method != "get" else []
    with pytest.raises(api.ApiError) as caught:
        await getattr(connected, method)(api.SECRETS, *arguments, name="s", namespace="n")
    assert caught.value.retry_after == seconds
    assert api.is_overload(caught.value)
