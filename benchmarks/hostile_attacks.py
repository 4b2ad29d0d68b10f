"""What a hostile client, or a tenant through the API server, does to a replica.

`python -m benchmarks.hostile_attacks NAME SIZE PORT ADMIN_PORT SECONDS` attacks until the time is
over. It is a process of its own, so that it does not delay the requests that are measured.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import functools
import itertools
import json
import os
import pathlib
import resource
import secrets
import socket
import ssl
import struct
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import uvloop

from benchmarks import product, reviews
from sidecar_injector import names
from tools.controlplane import client, ports, release, webhook

Json = dict[str, Any]
MIB: Final = 1024**2
PAUSE_SECONDS: Final = 0.01
OPEN: Final = 3_000
"""Sockets that a client keeps open; the oldest is reset for a new one."""
VARIABLES: Final = (5_000, 2_000, 700, 300, 200, 100, 64, 32, 20, 16)
APPLIED: Final = "hostile"
RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: closing resets the connection, which leaves no port in TIME_WAIT."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """What is attacked; `size` is the largest of the attack's sizes that the CRDs accept."""

    port: int
    admin_port: int
    size: int
    api: client.Client


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Attack:
    """Each client calls `send` again and again; without one it posts what `body` returns."""

    name: str
    """It may contain the size, as `{size:,}`."""
    body: Callable[[int], bytes] = lambda _: b""
    path: str = names.MUTATE_PATH
    send: Callable[[Target], Awaitable[None]] | None = None
    clients: int = 1
    injection: Callable[[int], Json] | None = None
    sizes: Sequence[int] = (0,)
    """The first is used for which the API server accepts `injection(size)`."""
    installed: int = 0
    """So many copies of the injection exist before the replica starts."""


# Injections and reviews.


def variables(count: int, *, value: str = "x", start: str = "ADDED") -> list[Json]:
    """Variables of a container."""
    return [{"name": f"{start}_{number}", "value": value} for number in range(count)]


def containers(count: int, *, env: Sequence[Json] = (), name: str = "app") -> list[Json]:
    """Containers with the same variables."""
    return [{"name": f"{name}{n}", "image": "app:1", "env": list(env)} for n in range(count)]


def injection(*, kind: str = names.KIND, **spec: Any) -> Json:
    """An injection with this spec."""
    return {**release.injection(APPLIED, kind=kind), "spec": {"template": {}, **spec}}


def adds_variables(count: int) -> Json:
    """An injection that adds variables to every container of a pod."""
    return injection(applicationContainers={"env": variables(count)})


def has_variables(count: int) -> Json:
    """An injection of 64 containers, each with so many variables."""
    return injection(template={"spec": {"containers": containers(64, env=variables(count))}})


def adds_others(count: int) -> Json:
    """The same with variables that no other injection adds."""
    start = f"ADDED_{secrets.token_hex(4)}"
    return injection(applicationContainers={"env": variables(count, start=start)})


def expands(count: int) -> Json:
    """An injection that puts a value of the pod into so many variables."""
    parameter = {"name": "value", "from": {"podAnnotation": APPLIED}}
    env = variables(count, value="$(params.value)")
    template = {"spec": {"containers": containers(1, env=env, name="sidecar")}}
    return injection(parameters=[parameter], template=template)


def matches_patterns(count: int) -> Json:
    """An injection whose parameters have patterns that take long to match."""
    source = {"podAnnotation": APPLIED}
    patterns = [f"[ab]*a[ab]{{200}}[ab]*|{number}" for number in range(count)]
    parameters = [
        {"name": f"p{number}", "from": source, "pattern": pattern}
        for number, pattern in enumerate(patterns)
    ]
    return injection(parameters=parameters, template={"metadata": {"labels": {"a": "b"}}})


def conflicts(_: int) -> Json:
    """An injection with a container that pods have already."""
    return injection(template={"spec": {"containers": containers(1)}})


def for_other_pods(_: int) -> Json:
    """A cluster injection that selects other pods."""
    selector = {"matchLabels": {"app": secrets.token_hex(4)}}
    template = {"spec": {"containers": containers(1, name="sidecar")}}
    return injection(kind=names.CLUSTER_KIND, selector=selector, template=template)


def validation(resource: Json) -> bytes:
    """The review of an injection."""
    request = {
        "uid": webhook.UID.format(1),
        "kind": {"group": names.GROUP, "version": names.VERSION, "kind": resource["kind"]},
        "resource": {"group": names.GROUP, "version": names.VERSION, "resource": names.PLURAL},
        "namespace": product.NAMESPACE, "name": APPLIED, "operation": "CREATE",
        "object": {**resource, "metadata": {"name": APPLIED, "namespace": product.NAMESPACE}},
    }  # fmt: skip
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    return reviews.dump(review)


def review(
    pod: Sequence[Json] = (),
    *,
    namespace: str = product.NAMESPACE,
    owner: str = "web",
    **metadata: Json,
) -> bytes:
    """The recorded review with other containers and more metadata, always of a new template."""
    changed = json.loads(reviews.recorded())
    changed["request"]["namespace"] = namespace
    recorded = changed["request"]["object"]
    recorded["metadata"]["labels"]["pod-template-hash"] = secrets.token_hex(5)
    recorded["metadata"]["ownerReferences"][0]["name"] = owner
    for field, members in metadata.items():
        recorded["metadata"].setdefault(field, {}).update(members)
    recorded["spec"]["containers"] = pod or recorded["spec"]["containers"]
    return reviews.dump(changed)


def annotated(text: str, key: str = APPLIED) -> bytes:
    """A review with an annotation."""
    return review(annotations={key: text})


def forged_status(entries: int) -> str:
    """The text of a status annotation that names so many injections."""
    record = {"op": "add", "path": "/spec/containers/name=app/env/name=A"}
    items = [{"kind": names.KIND, "name": f"i{n}", "patched": [record]} for n in range(entries)]
    return json.dumps({"injections": items, "version": 1}, separators=(",", ":"))


@functools.cache
def empty_objects(_: int) -> bytes:
    """8 MiB of JSON that takes much more memory than bytes."""
    return b"[" + b"{}," * (8 * MIB // 3 - 4096) + b"{}]"


@functools.cache
def pod_of_2_mib(_: int) -> bytes:
    """What the API server makes of 2 MiB of `env: [{},{},…]`."""
    return review(containers(1, env=[{"name": ""}] * 690_000))


# What a client does.


def message(path: str, body: bytes = b"", *, method: str = "POST", header: str = "") -> bytes:
    """A whole request."""
    lines = (f"{method} {path} HTTP/1.1", "Host: hostile", f"Content-Length: {len(body)}", header)
    return "".join(f"{line}\r\n" for line in lines if line).encode() + b"\r\n" + body


@functools.cache
def small() -> bytes:
    """The request of a small pod."""
    return message(names.MUTATE_PATH, review(containers(1)))


async def post(attack: Attack, target: Target) -> None:
    """Bodies on one connection, each after the answer to the one before."""
    reader, writer = await webhook.connect(target.port)
    with contextlib.closing(writer.transport):
        while True:
            writer.write(message(attack.path, attack.body(target.size)))
            await webhook.read_answer(reader)


async def pipeline(port: int, request: bytes, count: int, *, tls: bool = True) -> None:
    """Requests at once; then all answers are read."""
    context = webhook.client_context(None) if tls else None
    reader, writer = await asyncio.open_connection(ports.LOOPBACK, port, ssl=context)
    last = message("/", method="GET", header="Connection: close")
    with contextlib.closing(writer.transport):
        writer.write(request * count + last)
        while await reader.read(MIB):
            pass


async def never_read(target: Target) -> None:
    """1.3 MB of requests at once; no answer is read."""
    _, writer = await webhook.connect(target.port)
    with contextlib.closing(writer.transport):
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # of its other half
        writer.write(small() * (1_300_000 // len(small())))
        await asyncio.Event().wait()


async def connect(target: Target, *, rate: int, first: bytes = b"") -> None:
    """TCP connections at this rate, with these first bytes; nothing follows."""
    kept: collections.deque[socket.socket] = collections.deque()
    loop = asyncio.get_running_loop()
    begin = loop.time()
    try:
        for number in itertools.count(1):
            kept.append(opened := socket.socket())
            opened.setblocking(False)  # noqa: FBT003 - its only signature
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            opened.connect_ex((ports.LOOPBACK, target.port))
            with contextlib.suppress(OSError):
                opened.send(first)
            if len(kept) > OPEN:
                kept.popleft().close()
            await asyncio.sleep(begin + number / rate - loop.time())
    finally:
        for opened in kept:
            opened.close()


async def shake_hands(target: Target) -> None:
    """Whole handshakes, one after the other, without a request."""
    kept: collections.deque[asyncio.StreamWriter] = collections.deque()
    while True:
        kept.append((await webhook.connect(target.port))[1])
        if len(kept) > OPEN:
            kept.popleft().transport.abort()


async def drip(target: Target, *, at_once: int) -> None:
    """A request, byte by byte after the first ones."""
    _, writer = await webhook.connect(target.port)
    with contextlib.closing(writer.transport):
        writer.write(small()[:at_once])
        for number in range(at_once, len(small())):
            writer.write(small()[number : number + 1])
            await asyncio.sleep(5 * PAUSE_SECONDS)


async def apply(target: Target) -> None:
    """As `kubectl apply`: an injection is created, changed and deleted."""
    path, call, thread = release.injections(product.NAMESPACE), target.api.text, asyncio.to_thread
    change = {"spec": {"priority": 1}}
    await thread(call, "POST", path, adds_variables(target.size))
    await thread(call, "PATCH", f"{path}/{APPLIED}", change, content=client.MERGE_PATCH)
    await thread(call, "DELETE", f"{path}/{APPLIED}")


def client_hello() -> bytes:
    """The first message of a handshake."""
    outgoing = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        webhook.client_context(None).wrap_bio(ssl.MemoryBIO(), outgoing).do_handshake()
    return outgoing.read()


def idle(name: str, rate: int, first: Callable[[], bytes] = bytes) -> Attack:
    """Connections that send something once, or nothing."""
    return Attack(name=name, send=lambda target: connect(target, rate=rate, first=first()))


def pipelined_metrics(clients: int) -> Attack:
    """On the admin port, which is plain HTTP."""
    request = message("/metrics", method="GET")
    return Attack(
        name=f"{clients} × 1,500 pipelined GET /metrics", clients=clients,
        send=lambda target: pipeline(target.admin_port, request, 1_500, tls=False),
    )  # fmt: skip


def pods(name: str, body: Callable[[int], bytes], *, adds: int = 16) -> Attack:
    """Reviews of pods, to whose containers an installed injection adds variables."""
    sizes = [size for size in VARIABLES if size <= adds]
    return Attack(name=name, body=body, injection=adds_variables, sizes=sizes, installed=1)


def many(count: int, own: int) -> bytes:
    """A review of so many containers with variables of their own."""
    return review(containers(count, env=variables(own, start="OWN")))


ATTACKS: Final[Sequence[Attack]] = (
    Attack(name="nothing else", send=lambda _: asyncio.sleep(1)),
    Attack(
        name="/validate: 300 variables for applications, 9 KiB", path=names.VALIDATE_PATH,
        body=lambda _: validation(adds_variables(300)),
    ),
    Attack(
        name="/validate: {size:,} variables for applications", path=names.VALIDATE_PATH,
        body=lambda size: validation(adds_variables(size)),
        injection=adds_variables, sizes=VARIABLES,
    ),
    Attack(
        name="/validate: 64 containers × {size:,} variables", path=names.VALIDATE_PATH,
        body=lambda size: validation(has_variables(size)),
        injection=has_variables, sizes=(500, 250, 100, 64, 32, 16),
    ),
    Attack(
        name="kubectl apply: {size:,} variables for applications", send=apply,
        injection=adds_variables, sizes=VARIABLES[2:],
    ),
    pods("10 containers × 100 variables, each gets {size:,}", lambda _: many(10, 100), adds=100),
    pods("100 containers × 20 variables, each gets {size:,}", lambda _: many(100, 20), adds=20),
    Attack(
        name="20 containers, {installed:,} injections add {size:,} variables to each",
        body=lambda _: many(20, 5), injection=adds_others, sizes=(16,), installed=50,
    ),
    Attack(
        name="{installed:,} stored injections of 64 containers × {size:,} variables",
        send=lambda _: asyncio.sleep(1), injection=has_variables, sizes=(24, 16, 8), installed=30,
    ),
    Attack(
        name="an annotation of 200 KB, put into {size:,} variables",
        body=lambda _: annotated("x" * 200_000), injection=expands, sizes=(100, 64, 32),
        installed=1,
    ),
    Attack(
        name="an annotation of 200 KB for {size:,} patterns",
        body=lambda _: annotated("".join(secrets.choice("ab") for _ in range(1_000)) * 200),
        injection=matches_patterns, sizes=(8, 1), installed=1,
    ),
    pipelined_metrics(1),
    pipelined_metrics(5),
    Attack(
        name="1.3 MB of pipelined reviews",
        send=lambda target: pipeline(target.port, small(), 1_300_000 // len(small())),
    ),
    Attack(name="40 × 1.3 MB of pipelined reviews, never read", send=never_read, clients=40),
    Attack(name="8 × 8 MiB of {},{},…", body=empty_objects, clients=8),
    Attack(name="8 × pods of 2 MiB of {},{},…", body=pod_of_2_mib, clients=8),
    idle("1,000 connections a second without a byte", 1_000),
    idle("2,000 connections a second without a byte", 2_000),
    idle("500 half ClientHellos a second", 500, lambda: client_hello()[:100]),
    idle("500 ClientHellos a second, and no more", 500, client_hello),
    Attack(name="handshakes without a request", send=shake_hands, clients=4),
    pods("names of 240 KB", lambda _: review(containers(1, name=secrets.token_hex(120_000)))),
    Attack(
        name="owners with names of 200 KB, of pods that cannot be injected",
        body=lambda _: review(containers(1), owner=secrets.token_hex(100_000)),
        injection=conflicts, installed=1,
    ),
    Attack(
        name="made-up namespaces, {installed:,} injections",
        body=lambda _: review(namespace=secrets.token_hex(8)),
        injection=for_other_pods, installed=1_000,
    ),
    pods(
        "a forged status of 1,800 entries",
        lambda _: annotated(forged_status(1_800), names.STATUS_ANNOTATION),
    ),
    pods(
        "an annotation that lists 30,000 names",
        lambda _: annotated(",".join(map("n{}".format, range(30_000))), names.INJECT_ANNOTATION),
    ),
    pods("10,000 labels", lambda _: review(labels={f"l{n}": "v" for n in range(10_000)})),
    Attack(name="100 slow heads", send=lambda to: drip(to, at_once=0), clients=100),
    Attack(name="100 slow bodies", send=lambda to: drip(to, at_once=200), clients=100),
)  # fmt: skip


async def _client(attack: Attack, target: Target) -> None:
    """Again and again, whatever the replica answers."""
    while True:
        with contextlib.suppress(OSError, EOFError, ValueError):
            await (attack.send(target) if attack.send else post(attack, target))
        await asyncio.sleep(PAUSE_SECONDS)


async def main() -> None:
    """Attack until the time is over. A line on the standard output says that it begins."""
    name, size, port, admin_port, seconds = sys.argv[1:]
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    api = client.Client(
        server=os.environ["HOSTILE_SERVER"],
        certificate_authority=pathlib.Path(os.environ["HOSTILE_AUTHORITY"]),
        token=os.environ["HOSTILE_TOKEN"],
    )
    target = Target(port=int(port), admin_port=int(admin_port), size=int(size), api=api)
    attack = next(attack for attack in ATTACKS if attack.name == name)
    attack.body(target.size)  # Large ones are made before the measurement begins.
    print("begins", flush=True)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(float(seconds)):
            await asyncio.gather(*(_client(attack, target) for _ in range(attack.clients)))


if __name__ == "__main__":
    uvloop.run(main())
