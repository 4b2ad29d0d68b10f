"""What `make bench PARTS=hostile` sends, and how it judges what comes back."""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
import socket
import types

import pytest

from benchmarks import hostile, hostile_attacks, product
from sidecar_injector import crds, names
from sidecar_injector.core.injections import model
from sidecar_injector.httpserver import messages
from sidecar_injector.webhook import admission_review
from tests.kits import admission, server, server_certificates
from tools.controlplane import balancer, client, ports

ATTACKS = {attack.name: attack for attack in hostile_attacks.ATTACKS}
INSTALLING = [name for name, attack in ATTACKS.items() if attack.injection]
REVIEWING = [
    name
    for name, attack in ATTACKS.items()
    if attack.send is None and attack.body is not hostile_attacks.empty_objects
]
VALIDATING = [name for name in REVIEWING if ATTACKS[name].path == names.VALIDATE_PATH]
OK = messages.Response(200)


def outcome(name="an attack", **changes):
    fields = {"reviews": [1.0], "newcomers": [1.0], "probes": [1.0], "held": 1.0, "peak": 90.0}
    return hostile.Outcome(name=name, **fields | changes)


def target(port, *, admin_port=0):
    api = client.Client(server="", certificate_authority=pathlib.Path(), token="")
    return hostile_attacks.Target(port=port, admin_port=admin_port, size=1, api=api)


def read(resource):
    return model.read(resource, spec_schema=crds.spec_schema(resource["kind"]))


def test_attacks_have_names_of_their_own():
    assert len(ATTACKS) == len(hostile_attacks.ATTACKS)


@pytest.mark.parametrize("name", INSTALLING)
def test_an_attack_installs_a_valid_injection(name):
    attack = ATTACKS[name]
    assert read(attack.injection(min(attack.sizes))).errors == ()


@pytest.mark.parametrize("name", VALIDATING)
def test_what_is_sent_to_validate_is_the_review_of_a_valid_injection(name):
    review = admission_review.read(ATTACKS[name].body(16))
    assert admission_review.is_injection(review.request)
    assert read({**review.request["object"], "kind": names.KIND}).errors == ()


@pytest.mark.parametrize("name", sorted({*REVIEWING} - {*VALIDATING}))
def test_pods_reach_the_decision(name):
    """They have the shape of a pod, so no API server would stop them before the webhook."""
    attack = ATTACKS[name]
    webhook = admission.Server()
    answer = webhook.post(attack.body(min(attack.sizes)))
    assert json.loads(answer.body)["response"]["allowed"]
    assert webhook.count("admission_requests_total", result="error") == 0


def test_each_review_is_of_a_new_template():
    assert hostile_attacks.review() != hostile_attacks.review()


async def test_connections_send_their_first_bytes_and_nothing_more():
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        attack = hostile_attacks.connect(
            target(listener.getsockname()[1]), rate=1_000, first=b"first"
        )
        task = asyncio.create_task(attack)
        accepted = [(await loop.sock_accept(listener))[0] for _ in range(3)]
        assert [await loop.sock_recv(each, 100) for each in accepted] == [b"first"] * 3
        for each in accepted:
            with each, pytest.raises(BlockingIOError):
                each.recv(1)
        task.cancel()
        await asyncio.wait([task])


async def test_a_pipeline_reads_every_answer():
    counted = []
    routes = {"/metrics": {"GET": lambda request: counted.append(request) or OK}}
    async with server.listening(routes=routes) as (listener, _):
        request = hostile_attacks.message("/metrics", method="GET")
        await hostile_attacks.pipeline(listener.port, request, 100, tls=False)
    assert len(counted) == 100


async def test_a_slow_client_sends_a_whole_request(monkeypatch):
    monkeypatch.setattr(hostile_attacks, "PAUSE_SECONDS", 0)
    arrived = asyncio.Queue()
    routes = {names.MUTATE_PATH: {"POST": lambda request: arrived.put_nowait(request.body) or OK}}
    context, _, _ = server_certificates.serving()
    async with (
        server.listening(context=context.context, routes=routes) as (listener, _),
        asyncio.timeout(30),
    ):
        task = asyncio.create_task(hostile_attacks.drip(target(listener.port), at_once=200))
        body = await arrived.get()
        await task
    assert admission_review.read(body).request["namespace"] == product.NAMESPACE


async def measured(*, port, admin_port):
    """Milliseconds of a short measurement, with this process as the replica's."""
    replica = types.SimpleNamespace(
        pid=os.getpid(), backend=balancer.Backend(port=port, admin_port=admin_port)
    )
    return await hostile.Client(replica).run(seconds=0.5)


@pytest.mark.parametrize("status", [200, 503])
async def test_only_an_answer_of_200_is_an_answer(status):
    routes = {
        names.MUTATE_PATH: {"POST": lambda _: messages.Response(status)},
        "/healthz": {"GET": lambda _: messages.Response(status)},
    }
    context, _, _ = server_certificates.serving()
    async with (
        server.listening(context=context.context, routes=routes) as (webhook, _),
        server.listening(routes=routes) as (admin, _),
    ):
        waits = await measured(port=webhook.port, admin_port=admin.port)
    assert [len(kind) for kind in waits] == [25, 2, 1]
    assert [kind.count(hostile.LOST) for kind in waits] == [
        0 if status == 200 else len(kind) for kind in waits
    ]


async def test_refused_connections_are_lost_answers():
    waits = await measured(port=ports.free(), admin_port=ports.free())
    assert all(wait == hostile.LOST for kind in waits for wait in kind)


def test_a_row_counts_what_was_lost():
    row = outcome(reviews=[1.0, 3.0, hostile.LOST], probes=[hostile.LOST]).row
    assert row == ("an attack", "3.0", "5000.0", "1", "1 of 3", "0 of 1", "1 of 1", "90")


def test_a_promise_is_judged_by_the_worst_attack():
    outcomes = [outcome(), outcome("the worst", held=21.0, peak=float("inf")), outcome()]
    figures = {figure.name.partition(", ")[2]: figure for figure in hostile.promised(outcomes)}
    assert figures["p99 of small pods"].ok
    assert not figures["the loop held"].ok
    assert figures["the loop held"].note == "worst: the worst"
    assert str(figures["memory"]).startswith("under attack, memory: ∞ MiB (target ≤ 256 MiB;")
    assert outcomes[1].row[-1] == "died"
