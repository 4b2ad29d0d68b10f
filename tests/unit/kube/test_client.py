"""The client and an HTTP server: its requests, and what it makes of the responses."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from pathlib import Path

import pytest
from aiohttp import web

from sidecar_injector.kube import api, client, credentials

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


@pytest.mark.parametrize("large", [range(400), range(100), range(50, 60), [399], []])
async def test_a_page_that_is_too_large_is_asked_for_again_with_fewer_objects(
    server: Server,
    connected: client.Client,
    large: Collection[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "MAX_PAGE_BYTES", 100_000)
    sizes = []

    async def pages(request: web.Request) -> web.StreamResponse:
        start, limit = int(request.query.get("continue") or 0), int(request.query["limit"])
        items = [
            {"number": number, "text": "x" * (40_000 if number in large else 10)}
            for number in range(400)
        ][start : start + limit]
        metadata = {"continue": str(start + limit) if start + limit < 400 else ""}
        response = web.json_response({"metadata": metadata, "items": items})
        sizes.append(len(response.body))
        return response

    server.respond = pages
    listed = [page async for page in connected.pages(api.NAMESPACES)]
    assert [item["number"] for page in listed for item in page.items] == list(range(400))
    parsed = [sum(len(item["text"]) for item in page.items) for page in listed]
    assert max(parsed) <= client.MAX_PAGE_BYTES
    assert len(sizes) - len(listed) <= 12, "few pages were read in vain"


async def test_an_object_larger_than_a_page_is_listed(
    server: Server, connected: client.Client
) -> None:
    item = {"text": "x" * (3 * client.MAX_PAGE_BYTES)}
    server.respond = status(200, {"metadata": {}, "items": [item]})
    listed = [page.items async for page in connected.pages(api.NAMESPACES)]
    assert listed == [[item]]


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
        pytest.param("{", "it is no YAML: line 1", id="no-yaml"),
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
