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
import subprocess
import sys
import tempfile
import time
from typing import Any, Final, cast

import uvloop
from aiohttp import web

from benchmarks import figures, machine, markdown, servers, stage
from sidecar_injector.httpserver import listener, messages, pool, tls
from sidecar_injector.observability.metrics import Metrics
from tools.controlplane import ports

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


async def load(port: int, pid: int, *, encrypted: bool) -> float:
    """Microseconds of processor time that the server takes for a request."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if encrypted else None
    if context is not None:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connect = asyncio.get_running_loop().create_connection
    transports = [
        (await connect(Client, ports.LOOPBACK, port, ssl=context))[0] for _ in range(CONNECTIONS)
    ]
    await asyncio.sleep(0.1)  # The handshakes and the first requests do not count.
    answers, spent = Client.answers, machine.cpu_seconds(pid)
    await asyncio.sleep(SECONDS)
    answers, spent = Client.answers - answers, machine.cpu_seconds(pid) - spent
    for transport in transports:
        transport.abort()
    return spent / answers * 1e6


def start(name: str, checkout: pathlib.Path, folder: str) -> tuple[Any, list[int]]:
    """A server in a process of its own, once it listens, and its ports: plain, TLS."""
    numbers = [ports.free(), ports.free()]
    module = ("-m", "benchmarks.http_servers", "--serve", name, folder, *map(str, numbers))
    environment = {**os.environ, "PYTHONPATH": f"{checkout / 'operator'}:{checkout}"}
    process = subprocess.Popen((sys.executable, *module), env=environment, cwd=checkout)
    while any(map(ports.is_free, numbers)):
        time.sleep(0.05)
    return process, numbers


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
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        servers.certificate(pathlib.Path(folder))
        running = {row: start(*server, folder) for row, server in started.items()}
        for process, _ in running.values():
            stack.callback(process.kill)
        for row in [*running] * arguments.rounds:
            process, numbers = running[row]
            for kind, port in enumerate(numbers):
                run = load(port, process.pid, encrypted=bool(kind))
                costs[row][kind].append(uvloop.run(run))
    rows = [(row, *(str(figures.Spread.of(kind)) for kind in costs[row])) for row in costs]
    print(markdown.plain(stage.Table(headings=("server", "plain, µs", "TLS, µs"), rows=rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
