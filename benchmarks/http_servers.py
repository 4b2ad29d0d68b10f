"""`python -m benchmarks.http_servers`: what a request costs our HTTP server and aiohttp.web.

Prints microseconds of the server's processor time for each request: a POST of 5.8 KB with the
headers of an API server, on 8 connections that are kept, in plain HTTP and in TLS. The handler only
answers. The servers take turns, so that other work on the machine disturbs all of them alike. With
`--against FOLDER` our server from another checkout takes part too.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import pathlib
import ssl
import sys
import tempfile
import time
from typing import Final, cast

import uvloop
from aiohttp import web

from benchmarks import results, servers
from sidecar_injector.httpserver import listener, messages, pool, tls
from sidecar_injector.observability.metrics import Metrics
from tools.controlplane import guard, ports, processes

OURS, LOW_LEVEL, APPLICATION = "our server", "aiohttp.web.Server", "aiohttp.web.Application"
ROOT: Final = pathlib.Path(__file__).parents[1]
CONNECTIONS, SECONDS = 8, 1.0
BODY, ANSWER = b"x" * 5_800, b"x" * 1_000
REQUEST: Final = (
    b"POST /mutate?timeout=5s HTTP/1.1\r\nHost: sidecar-injector.sidecar-injector.svc:443\r\n"
    b"User-Agent: kube-apiserver-admission\r\nContent-Length: %d\r\nAccept: application/json, */*"
    b"\r\nContent-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n%b"
) % (len(BODY), BODY)


async def serve(name: str, folder: str, *numbers: str) -> None:
    """Run one of the servers until the process is killed. Its ports: plain, TLS."""
    contexts = (None, serving_context(pathlib.Path(folder)))
    routes: messages.Routes = {"/mutate": {"POST": lambda _: messages.Response(200, ANSWER)}}
    application = web.Application()

    async def answer(request: web.BaseRequest) -> web.Response:
        await request.read()
        return web.Response(body=ANSWER, content_type="application/json")

    application.router.add_post("/mutate", answer)
    runner: web.ServerRunner | web.AppRunner = web.AppRunner(application, access_log=None)
    if name == LOW_LEVEL:
        runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    for context, number in zip(contexts, numbers, strict=True):
        if name == OURS:
            connections = pool.Pool(routes=routes)
            await listener.Listener(pool=connections, port=int(number), context=context).start()
        else:
            await web.TCPSite(runner, port=int(number), ssl_context=context).start()
    await asyncio.Event().wait()


def serving_context(folder: pathlib.Path) -> ssl.SSLContext:
    """The TLS context of the product, with the certificate that `main` has made."""
    serving = tls.ServingContext(metrics=Metrics(), scratch_folder=str(folder))
    certificate, key = folder / "bench.crt", folder / "bench.key"
    serving.load(cert_pem=certificate.read_bytes(), key_pem=key.read_bytes())
    return serving.context


class Client(asyncio.Protocol):
    """Sends the request again as soon as its answer is here."""

    answers = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self._received = cast(asyncio.Transport, transport), b""
        self._transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._received.endswith(ANSWER):
            assert self._received.startswith(b"HTTP/1.1 200 "), self._received
            Client.answers += 1
            self._received = b""
            self._transport.write(REQUEST)


async def load(port: int, server: processes.Process, *, encrypted: bool) -> float:
    """Microseconds of processor time that the server takes for a request."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if encrypted else None
    if context is not None:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connect = asyncio.get_running_loop().create_connection
    transports = [
        (await connect(Client, ports.LOOPBACK, port, ssl=context))[0] for _ in range(CONNECTIONS)
    ]
    await asyncio.sleep(0.1)  # The handshakes and the first requests do not count.
    answers, spent = Client.answers, server.cpu_seconds()
    await asyncio.sleep(SECONDS)
    answers, spent = Client.answers - answers, server.cpu_seconds() - spent
    for transport in transports:
        transport.abort()
    return spent / answers * 1e6


def start(
    name: str, checkout: pathlib.Path, *, folder: str, watcher: guard.Guard
) -> tuple[processes.Process, list[int]]:
    """A server in its own process, which listens now, and its ports: plain, TLS."""
    numbers = [ports.free(), ports.free()]
    module = ("-P", "-m", "benchmarks.http_servers", "--serve", name, folder)
    server = processes.Process(
        name=name,
        command=(sys.executable, *module, *map(str, numbers)),
        log=pathlib.Path(folder, "servers.log"),
        guard=watcher,
        environment={**os.environ, "PYTHONPATH": f"{checkout / 'operator'}:{checkout}"},
    )
    server.start()
    while any(map(ports.is_free, numbers)):
        server.require_running()
        time.sleep(0.05)
    return server, numbers


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http_servers", description=__doc__)
    parser.add_argument("--against", default=[], action="append", metavar="FOLDER")
    parser.add_argument("--rounds", type=int, default=15, help="each of a second a port")
    parser.add_argument("--serve", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        uvloop.run(serve(*arguments.serve))

    started = {name: (name, ROOT) for name in (OURS, LOW_LEVEL, APPLICATION)}
    started |= {path: (OURS, pathlib.Path(path).resolve()) for path in arguments.against}
    costs: dict[str, tuple[list[float], list[float]]] = {row: ([], []) for row in started}
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.closing(guard.Guard()) as watcher,
    ):
        servers.certificate(pathlib.Path(folder))
        running = {
            row: start(*server, folder=folder, watcher=watcher) for row, server in started.items()
        }
        for row in [*running] * arguments.rounds:
            server, numbers = running[row]
            for kind, port in enumerate(numbers):
                run = load(port, server, encrypted=bool(kind))
                costs[row][kind].append(uvloop.run(run))
    rows = [(row, *(str(results.Spread.of(kind)) for kind in costs[row])) for row in costs]
    print(results.plain(results.Table(headings=("server", "plain, µs", "TLS, µs"), rows=rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
