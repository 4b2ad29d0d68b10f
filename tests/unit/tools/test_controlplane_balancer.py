"""The balancer behaves as a Service does: only ready replicas, and nothing but bytes."""

import contextlib
import http.server
import socket
import socketserver
import threading
from collections.abc import Iterator

import pytest

from tools.controlplane import balancer, ports, waiting


class Echo(socketserver.StreamRequestHandler):
    """Says who it is, then gives back all that it is sent."""

    def handle(self) -> None:
        assert isinstance(self.server, EchoServer)
        self.wfile.write(self.server.name)
        while data := self.connection.recv(65536):
            self.wfile.write(data)


class EchoServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    name = b""


class Admin(http.server.BaseHTTPRequestHandler):
    """/readyz."""

    def do_GET(self) -> None:
        assert isinstance(self.server, AdminServer)
        self.send_response(200 if self.server.ready else 503)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Quiet."""


class AdminServer(http.server.ThreadingHTTPServer):
    ready = True


class Replica:
    """What a balancer sees of one."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.echo = EchoServer((ports.LOOPBACK, 0), Echo)
        self.echo.name = name
        self.admin = AdminServer((ports.LOOPBACK, 0), Admin)
        self.backend = balancer.Backend(
            port=self.echo.server_address[1], admin_port=self.admin.server_address[1]
        )
        for server in (self.echo, self.admin):
            threading.Thread(target=server.serve_forever, args=(0.01,)).start()

    def close(self) -> None:
        for server in (self.echo, self.admin):
            server.shutdown()
            server.server_close()


@pytest.fixture
def service() -> Iterator[balancer.Balancer]:
    with balancer.Balancer(ports.free()) as service:
        yield service


@pytest.fixture
def replicas(service: balancer.Balancer) -> Iterator[list[Replica]]:
    both = [Replica(b"a"), Replica(b"b")]
    for replica in both:
        service.add(replica.backend)
    yield both
    for replica in both:
        replica.close()


def connect(service: balancer.Balancer) -> socket.socket:
    return socket.create_connection((ports.LOOPBACK, service.port), timeout=30)


def who_answers(service: balancer.Balancer) -> bytes:
    with connect(service) as connection:
        return connection.recv(1)


def sees(service: balancer.Balancer, *replicas: Replica) -> None:
    wanted = {replica.backend for replica in replicas}
    waiting.until(lambda: set(service.ready) == wanted, what="the balancer sees it")


def test_connections_are_spread_over_the_ready_replicas(
    service: balancer.Balancer, replicas: list[Replica]
) -> None:
    assert sorted(who_answers(service) for _ in range(4)) == [b"a", b"a", b"b", b"b"]


def test_an_unready_replica_gets_no_new_connection_and_keeps_its_old_ones(
    service: balancer.Balancer, replicas: list[Replica]
) -> None:
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(connect(service)) for _ in range(2)]
        assert {connection.recv(1) for connection in opened} == {b"a", b"b"}
        replicas[0].admin.ready = False
        sees(service, replicas[1])
        assert {who_answers(service) for _ in range(4)} == {b"b"}
        for connection in opened:
            connection.sendall(b"!")
            assert connection.recv(1) == b"!"


def test_with_no_ready_replica_connections_are_refused_until_one_is_back(
    service: balancer.Balancer, replicas: list[Replica]
) -> None:
    for replica in replicas:
        replica.admin.ready = False
    sees(service)
    with pytest.raises(ConnectionRefusedError):
        connect(service)
    replicas[0].admin.ready = True
    sees(service, replicas[0])
    assert who_answers(service) == b"a"


def test_a_removed_replica_gets_no_connection(
    service: balancer.Balancer, replicas: list[Replica]
) -> None:
    service.remove(replicas[0].backend)
    assert {who_answers(service) for _ in range(4)} == {b"b"}


def test_bytes_pass_unchanged_and_the_end_of_one_side_ends_only_that_one(
    service: balancer.Balancer, replicas: list[Replica]
) -> None:
    sent = bytes(range(256)) * 4096
    with connect(service) as connection:
        connection.recv(1)
        threading.Thread(
            target=lambda: (connection.sendall(sent), connection.shutdown(socket.SHUT_WR))
        ).start()
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert received == sent


def test_a_replica_that_is_gone_costs_the_connection_and_no_other_is_tried(
    service: balancer.Balancer, replicas: list[Replica]
) -> None:
    service.remove(replicas[1].backend)
    replicas[0].echo.shutdown()
    replicas[0].echo.server_close()
    with connect(service) as connection, contextlib.suppress(ConnectionResetError):
        assert connection.recv(1) == b""
