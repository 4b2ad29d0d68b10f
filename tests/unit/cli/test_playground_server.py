"""Who is answered by the server of the playground, and how much it does at most."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar_injector.cli.playground import server

REFUSED = 403
LATIN = st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_categories=["Cc"]))


class Client:
    """Sends requests to a server, by default as its page does."""

    def __init__(self, served):
        self.served = served
        self.host = f"127.0.0.1:{served.server_port}"

    def __call__(self, method, path, body=None, *, token=None, headers=()):
        """Status, headers and content; `headers` take the place of the page's."""
        connection = http.client.HTTPConnection(self.host, timeout=20)
        with contextlib.closing(connection):
            path = f"/{self.served.token if token is None else token}{path}"
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            usual = {"Host": self.host, "Origin": f"http://{self.host}"}
            if body is not None:
                usual["Content-Length"] = str(len(body))
            for name, value in {**usual, **dict(headers)}.items():
                for each in value if isinstance(value, tuple) else (value,):
                    connection.putheader(name, each)
            connection.endheaders(body)
            response = connection.getresponse()
            return response.status, response.headers, response.read()


class Operation:
    """Keeps what it was called with."""

    def __init__(self):
        self.calls = []

    def __call__(self, texts):
        self.calls.append(texts)
        return {"texts": texts}


@contextlib.contextmanager
def serving(operation):
    with server.PlaygroundServer({"answer": operation}) as served:
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Client(served)
        finally:
            served.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def operation():
    return Operation()


@pytest.fixture(scope="module")
def ask(operation):
    with serving(operation) as client:
        yield client


def test_the_page_gets_its_files_and_its_answers(ask):
    assert ask.served.address == f"http://{ask.host}/{ask.served.token}/"
    for path, content_type in (
        ("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript"),
    ):  # fmt: skip
        status, headers, content = ask("GET", path, headers={"Origin": ()})
        assert (status, headers["Content-Type"]) == (200, f"{content_type}; charset=utf-8")
        assert content
    status, headers, content = ask("POST", "/answer", b'{"pods": "x"}')
    assert (status, json.loads(content)) == (200, {"texts": {"pods": "x"}})
    assert headers["Content-Type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize(
    ("method", "path", "token"),
    [("GET", "/", None), ("POST", "/answer", None), ("GET", "/", "wrong"), ("GET", "/none", None)],
)
def test_every_response_forbids_what_the_page_does_not_need(ask, method, path, token):
    _, headers, _ = ask(method, path, b"{}", token=token)
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_two_servers_have_two_long_tokens(operation):
    with serving(operation) as first, serving(operation) as second:
        tokens = {first.served.token, second.served.token}
    assert len(tokens) == 2
    assert min(map(len, tokens)) >= 32


def check_refused(ask, operation, sentence, method="POST", path="/answer", **options):
    operation.calls.clear()
    body = b"{}" if method == "POST" else None
    status, _, content = ask(method, path, body, **options)
    assert status == REFUSED
    assert sentence.encode() in content
    assert operation.calls == []


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/answer"), ("GET", "/"), ("GET", "/page.js")]
)
@pytest.mark.parametrize("host", [(), "evil.example", "127.0.0.1", "localhost", "0.0.0.0", "two"])
def test_another_host_is_refused_also_if_its_name_has_our_address(
    ask, operation, method, path, host
):
    hosts = (ask.host, ask.host) if host == "two" else host
    headers = {"Host": hosts, "Origin": f"http://{host}" if isinstance(host, str) else ()}
    check_refused(ask, operation, "another host", method, path, headers=headers)


@given(host=LATIN)
def test_no_host_but_ours_is_answered(ask, operation, host):
    if host not in (ask.host, f"localhost:{ask.served.server_port}"):
        check_refused(ask, operation, "another host", headers={"Host": host.encode("latin-1")})


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1", "https://{host}", "two"]
)
def test_another_origin_is_refused(ask, operation, method, origin):
    text = origin.format(host=ask.host)
    origins = (f"http://{ask.host}",) * 2 if origin == "two" else text
    path = "/answer" if method == "POST" else "/"
    check_refused(ask, operation, "another origin", method, path, headers={"Origin": origins})


def test_an_operation_without_an_origin_is_refused(ask, operation):
    check_refused(ask, operation, "another origin", headers={"Origin": ()})


def test_the_other_name_of_loopback_is_a_host_with_an_origin_of_its_own(ask, operation):
    localhost = f"localhost:{ask.served.server_port}"
    headers = {"Host": localhost, "Origin": f"http://{localhost}"}
    assert ask("POST", "/answer", b"{}", headers=headers)[0] == 200
    check_refused(ask, operation, "another origin", headers={"Host": localhost})


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("token", ["", "x", "%C3%A9", "{token}x", "{cut}"])
def test_a_wrong_token_is_refused(ask, operation, method, token):
    right = ask.served.token
    sent = token.format(token=right, cut=right[:-1])
    path = "/answer" if method == "POST" else "/"
    check_refused(ask, operation, "token", method, path, token=sent)


def test_the_token_alone_is_no_page(ask, operation):
    check_refused(ask, operation, "token", "GET", "")


@pytest.mark.parametrize(
    ("path", "body", "length", "status"),
    [
        ("/answer", None, None, 411),
        ("/answer", b"{}", "-1", 411),
        ("/answer", b"{}", "²".encode("latin-1"), 411),
        ("/answer", b"", "9" * 5000, 413),
        ("/answer", b"", str(server.MOST_BYTES + 1), 413),
        ("/answer", b"{", None, 400),
        ("/answer", b"[" * 100_000, None, 400),
        ("/answer", b"[]", None, 400),
        ("/answer", b'{"pods": 1}', None, 400),
        ("/answer", b'{"pods": "\\ud800"}', None, 400),
        ("/unknown", b"{}", None, 400),
    ],
)
def test_a_body_has_a_length_that_is_bounded_and_is_an_object_of_texts(
    ask, path, body, length, status
):
    headers = {} if length is None else {"Content-Length": length}
    assert ask("POST", path, body, headers=headers)[0] == status


def test_a_body_of_the_greatest_length_is_taken(ask):
    text = "x" * (server.MOST_BYTES - len('{"pods":""}'))
    status, _, content = ask(
        "POST", "/answer", json.dumps({"pods": text}, separators=(",", ":")).encode()
    )
    assert (status, json.loads(content)) == (200, {"texts": {"pods": text}})


def test_other_files_and_methods_do_not_exist(ask, operation):
    for path in ("/server.py", "/../server.py", "/page.html/", "//page.js"):
        assert ask("GET", path)[0] == 404
    for method in ("PUT", "DELETE", "HEAD", "OPTIONS"):
        assert ask(method, "/answer", b"{}")[0] == 501


class Blocked:
    """An operation that ends when the test lets it; counts how many work at once."""

    def __init__(self):
        self.begun, self.released = threading.Event(), threading.Event()
        self.working = self.most = 0

    def __call__(self, texts):
        self.working += 1
        self.most = max(self.most, self.working)
        self.begun.set()
        assert self.released.wait(20)
        self.working -= 1
        return texts


def test_a_request_that_waits_too_long_for_another_has_to_come_again(monkeypatch):
    monkeypatch.setattr(server, "WAIT", 0)
    blocked = Blocked()
    with serving(blocked) as ask:
        first = threading.Thread(target=ask, args=("POST", "/answer", b"{}"))
        first.start()
        assert blocked.begun.wait(20)
        status, _, content = ask("POST", "/answer", b"{}")
        # The files of the page are there all the same.
        assert ask("GET", "/", headers={"Origin": ()})[0] == 200
        blocked.released.set()
        first.join()
    assert status == 429
    assert b"another request is worked on" in content


def test_requests_are_worked_on_one_after_the_other():
    blocked, statuses = Blocked(), []
    with serving(blocked) as ask:
        threads = [
            threading.Thread(target=lambda: statuses.append(ask("POST", "/answer", b"{}")[0]))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        assert blocked.begun.wait(20)
        blocked.released.set()
        for thread in threads:
            thread.join()
    assert statuses == [200] * 4
    assert blocked.most == 1


def test_silent_clients_can_take_so_many_connections_and_no_more(operation):
    with serving(operation) as ask, contextlib.ExitStack() as stack:
        address = ("127.0.0.1", ask.served.server_port)
        clients = [
            stack.enter_context(socket.create_connection(address, timeout=20))
            for _ in range(server.CONNECTIONS + 1)
        ]
        # They are accepted in this order.
        assert clients.pop().recv(1) == b""
        for client in clients:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert client.recv(12) == b"HTTP/1.0 403"


def test_a_silent_client_is_not_waited_for_without_end():
    assert 0 < server.Handler.timeout <= 10


def test_nothing_that_is_sent_is_logged(capfd):
    def fails(texts):
        raise ValueError(texts["pods"])

    with serving(fails) as ask:
        with pytest.raises(http.client.RemoteDisconnected):
            ask("POST", "/answer", b'{"pods": "private"}')
        ask("GET", "/private", token="private")
        ask("POST", "/private", b"private")
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err == "error: a request of the page ended with ValueError\n"
