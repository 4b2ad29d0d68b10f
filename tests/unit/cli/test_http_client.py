"""The client of verbs on a server of its own: what it sends, and what it makes of answers."""

from __future__ import annotations

import asyncio
import base64
import dataclasses

import pytest

from sidecar_injector.cli.cluster import http_client, kubeconfig
from sidecar_injector.kube import api
from tests.kits import api_server as kit
from tests.kits import server_certificates as certificates

CA = certificates.certify()
LEAF = certificates.certify(name="server", by=CA, host=kit.LOOPBACK)
CLIENT = certificates.certify(name="user", by=CA)


@pytest.fixture
def server(tmp_path):
    with kit.serving(None, tmp_path) as serving:
        yield serving


def accessing(server, **fields):
    scheme = "https" if "ca" in fields else "http"
    return kubeconfig.Access(
        **{"server": f"{scheme}://127.0.0.1:{server.port}", "source": "test", **fields}
    )


def called(access, operation, **options):
    """The result of an operation with a client; `access` may be several, one for each load."""
    several = iter(access if isinstance(access, list) else [access])

    async def run():
        async with http_client.InteractiveClient(lambda: next(several), **options) as client:
            return await operation(client)

    return asyncio.run(run())


async def get(client):
    return await client.get(api.PODS, name="x", namespace="n")


def test_a_request_says_who_sends_it_and_as_whom(server):
    identity = kubeconfig.Identity(user="jane", groups=("dev", "ops"))
    access = accessing(server, authorization="Bearer t", identity=identity)
    called(access, get)
    (request,) = server.requests
    assert (request.method, request.path) == ("GET", "/api/v1/namespaces/n/pods/x")
    headers = [pair for pair in request.headers if pair[0].startswith(("Auth", "Imp", "Accept"))]
    assert headers == [
        ("Accept", "application/json"), ("Authorization", "Bearer t"),
        ("Impersonate-User", "jane"), ("Impersonate-Group", "dev"), ("Impersonate-Group", "ops"),
    ]  # fmt: skip


def test_a_server_below_a_path_gets_the_whole_path(server):
    access = accessing(server)
    called(dataclasses.replace(access, server=f"{access.server}/k8s/c-1/"), get)
    assert server.requests[0].path == "/k8s/c-1/api/v1/namespaces/n/pods/x"


def test_a_list_is_read_page_by_page_on_one_connection(server):
    pages = {"": ["a", "b"], "more": ["c"]}

    def respond(request):
        token = "more" if "continue=more" in request.path else ""
        items = [{"metadata": {"name": name}} for name in pages[token]]
        return kit.Answer(body={"items": items, "metadata": {"continue": "" if token else "more"}})

    server.respond = respond

    async def listed(client):
        return [item async for page in client.pages(api.PODS) for item in page.items]

    items = called(accessing(server), listed)
    assert [item["metadata"]["name"] for item in items] == ["a", "b", "c"]


def test_a_write_has_its_body_and_the_warnings_of_the_server(server):
    text = '299 - "say \\"hi\\""'
    server.respond = lambda _: kit.Answer(headers={"Warning": text})

    async def patched(client):
        await client.patch(api.PODS, {"a": 1}, name="x", namespace="n")
        return client.warnings

    assert called(accessing(server), patched) == ['say "hi"']
    (request,) = server.requests
    assert (request.method, request.body) == ("PATCH", {"a": 1})
    assert "fieldManager=sidecar-injector" in request.path


def test_a_token_that_has_expired_is_read_again_once(server):
    tokens = [accessing(server, authorization=f"Bearer {name}") for name in ("old", "new")]

    def respond(request):
        is_new = ("Authorization", "Bearer new") in request.headers
        return kit.Answer(status=200 if is_new else 401)

    server.respond = respond
    called(tokens, get)
    assert len(server.requests) == 2
    with pytest.raises(api.ApiError) as refused:
        called([tokens[0], tokens[0]], get)
    assert refused.value.status == 401


def test_a_connection_that_the_server_closed_is_made_anew_for_reading(server):
    server.respond = lambda _: kit.Answer(headers={"Connection": "close"})

    async def twice(client):
        return [await get(client), await get(client)]

    assert len(called(accessing(server), twice)) == 2


@pytest.mark.parametrize("body", [b"<html>", b"[]", b""])
def test_an_answer_that_is_not_of_the_api_is_an_error(server, body):
    server.respond = lambda _: kit.Answer(body=body)
    with pytest.raises(api.UnreachableError):
        called(accessing(server), get)


def test_the_servers_certificate_and_name_are_checked(tmp_path):
    named = certificates.certify(name="server", by=CA)
    ca = CA.cert_pem.decode()
    with kit.serving(named, tmp_path) as server:
        with pytest.raises(api.UnreachableError, match="CERTIFICATE_VERIFY_FAILED"):
            called(accessing(server, ca=ca), get)
        called(accessing(server, ca=ca, server_name=certificates.SERVER_NAME), get)
        other = certificates.certify().cert_pem.decode()
        with pytest.raises(api.UnreachableError, match="CERTIFICATE_VERIFY_FAILED"):
            called(accessing(server, ca=other, server_name=certificates.SERVER_NAME), get)
        called(accessing(server, ca=other, is_verified=False), get)


def test_a_client_certificate_is_shown(tmp_path):
    pair = {"certificate": CLIENT.cert_pem.decode(), "key": CLIENT.key_pem.decode()}
    with kit.serving(LEAF, tmp_path, client_ca=CA) as server:
        called(accessing(server, ca=CA.cert_pem.decode(), **pair), get)
        with pytest.raises(api.UnreachableError):
            called(accessing(server, ca=CA.cert_pem.decode()), get)


def test_a_proxy_is_told_of_the_server_and_of_its_user(server, monkeypatch):
    server.respond = lambda _: kit.Answer(status=407)
    base = kubeconfig.Access(server="https://api.example:6443", source="test")
    proxy = f"http://u:p%40@127.0.0.1:{server.port}"
    with pytest.raises(api.UnreachableError, match="407"):
        called(dataclasses.replace(base, proxy=proxy), get)
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(api.UnreachableError, match="407"):
        called(base, get)
    assert [(request.method, request.path) for request in server.requests] == [
        ("CONNECT", "api.example:6443")
    ] * 2
    header = f"Basic {base64.b64encode(b'u:p@').decode()}"
    assert ("Proxy-Authorization", header) in server.requests[0].headers


def test_loopback_and_the_exceptions_have_no_proxy(server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    called(accessing(server), get)
    with pytest.raises(api.UnreachableError, match="type socks5 is not supported"):
        called(accessing(server, proxy="socks5://127.0.0.1:1"), get)


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ('299 - "sidecar-injector: a"', "sidecar-injector: a"),
        (r'299 - "he said \"no\" \\ yes"', r'he said "no" \ yes'),
        ("rubbish", "rubbish"),
    ],
)
def test_a_warning_is_read_as_the_server_meant_it(header, text):
    assert http_client.warning_text(header) == text


def test_the_text_of_a_header_is_not_in_an_error(server):
    with pytest.raises(api.UnreachableError) as caught:
        called(accessing(server, authorization="Bearer SEC\nRET"), get)
    assert "SEC" not in str(caught.value)
