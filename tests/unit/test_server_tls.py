"""The certificate in force: what is loaded, what is refused, and that nobody notices a swap."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import stat
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import server_kit as kit
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from sidecar_injector import observe
from sidecar_injector.server import http, tls

Run = Callable[[Coroutine[Any, Any, Any]], Any]
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    return lambda main: kit.run_on(request.param, main)


def failures(metrics: observe.Metrics) -> dict[str, float]:
    """The reasons that have been counted."""
    samples = next(iter(metrics.handshake_failures.collect())).samples
    return {
        sample.labels["reason"]: sample.value
        for sample in samples
        if sample.name.endswith("_total") and sample.value
    }


async def shown_to(port: int, context: ssl.SSLContext) -> int:
    """The serial number of the certificate that a client sees, after one request."""
    async with kit.client(port, context) as (reader, writer):
        writer.write(kit.post(b"a"))
        assert (await kit.read_reply(reader)).status == 200
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(der).serial_number


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_that_trusts_our_ca_is_served_http_1_1(run: Run, version: ssl.TLSVersion) -> None:
    serving, ca, metrics = kit.serving()
    trusting = kit.trusting(ca, version=version)
    trusting.set_alpn_protocols(["h2", "http/1.1"])

    async def scenario() -> None:
        async with (
            kit.listening(context=serving.context) as (port, _),
            kit.client(port.port, trusting) as (reader, writer),
        ):
            writer.write(kit.post(b"abc"))
            assert (await kit.read_reply(reader)).body == b"3:abc"
            assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"

    run(scenario())
    assert failures(metrics) == {}
    assert serving.context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_swap_shows_the_new_leaf_to_new_connections_and_keeps_the_old_ones(run: Run) -> None:
    serving, ca, _ = kit.serving()
    new = kit.certify(name="new", by=ca)

    async def scenario() -> None:
        async with (
            kit.listening(context=serving.context) as (port, _),
            kit.client(port.port, kit.trusting(ca)) as (reader, writer),
        ):
            old_serial = await shown_to(port.port, kit.trusting(ca))
            assert old_serial == serving.serial
            serving.load(cert_pem=new.cert_pem, key_pem=new.key_pem)
            assert await shown_to(port.port, kit.trusting(ca)) == new.cert.serial_number
            assert serving.serial == new.cert.serial_number != old_serial
            writer.write(kit.post(b"still here"))
            assert (await kit.read_reply(reader)).status == 200

    run(scenario())


def test_a_hundred_swaps_under_concurrent_connections_break_none(run: Run) -> None:
    serving, ca, metrics = kit.serving()
    pairs = [kit.certify(name=f"leaf {i}", by=ca) for i in range(100)]
    trusting = kit.trusting(ca)

    async def scenario() -> set[int]:
        over = False
        seen: set[int] = set()

        async def visit() -> None:
            while not over:
                seen.add(await shown_to(port.port, trusting))

        async with (
            kit.listening(context=serving.context) as (port, _),
            asyncio.TaskGroup() as visitors,
        ):
            for _ in range(8):
                visitors.create_task(visit())
            for pair in pairs:
                serving.load(cert_pem=pair.cert_pem, key_pem=pair.key_pem)
                await shown_to(port.port, trusting)
            over = True
        return seen

    assert len(run(scenario())) > 10
    assert failures(metrics) == {}


def test_after_a_change_of_key_type_nobody_is_shown_the_old_leaf(run: Run) -> None:
    ca = kit.certify()
    serving, _, _ = kit.serving(ca)
    old = kit.certify(name="rsa", by=ca, rsa_key=True)
    new = kit.certify(name="ec", by=ca)
    both = kit.trusting(ca, version=ssl.TLSVersion.TLSv1_2)
    both.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256")

    async def scenario() -> None:
        async with kit.listening(context=serving.context) as (port, _):
            serving.load(cert_pem=old.cert_pem, key_pem=old.key_pem)
            assert await shown_to(port.port, both) == old.cert.serial_number
            serving.load(cert_pem=new.cert_pem, key_pem=new.key_pem)
            assert await shown_to(port.port, both) == new.cert.serial_number

    run(scenario())


def test_a_client_that_names_no_server_is_shown_the_leaf_too(run: Run) -> None:
    serving, ca, _ = kit.serving()
    context = kit.trusting(ca)
    context.check_hostname = False

    async def scenario() -> None:
        async with kit.listening(context=serving.context) as (port, _):
            _, writer = await asyncio.open_connection(
                "127.0.0.1", port.port, ssl=context, server_hostname=""
            )
            der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            writer.transport.abort()
            assert x509.load_der_x509_certificate(der).serial_number == serving.serial

    run(scenario())


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_from_before_a_swap_can_be_resumed_after_it(version: ssl.TLSVersion) -> None:
    serving, ca, metrics = kit.serving()
    trusting = kit.trusting(ca, version=version)
    new = kit.certify(name="new", by=ca)

    def visit(port: int, session: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool]:
        with (
            socket.create_connection(("127.0.0.1", port)) as raw,
            trusting.wrap_socket(raw, server_hostname=kit.SERVER_NAME, session=session) as tunnel,
        ):
            tunnel.sendall(kit.post(b"a"))
            assert b"200 OK" in tunnel.recv(1000)
            return tunnel.session, bool(tunnel.session_reused)

    async def scenario() -> None:
        async with kit.listening(context=serving.context) as (port, _):
            session, _ = await asyncio.to_thread(visit, port.port, None)
            serving.load(cert_pem=new.cert_pem, key_pem=new.key_pem)
            await asyncio.to_thread(visit, port.port, session)

    kit.run_on(uvloop.new_event_loop, scenario())
    assert failures(metrics) == {}


def test_before_the_first_pair_handshakes_fail_and_afterwards_they_do_not(run: Run) -> None:
    ca = kit.certify()
    leaf = kit.certify(name="leaf", by=ca)
    metrics = observe.Metrics()
    serving = tls.ServingContext(metrics=metrics, scratch_folder="/nowhere")
    assert serving.serial is None

    async def scenario() -> None:
        async with kit.listening(context=serving.context) as (port, _):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await shown_to(port.port, kit.trusting(ca))
            serving.load(cert_pem=leaf.cert_pem, key_pem=leaf.key_pem)
            assert await shown_to(port.port, kit.trusting(ca)) == leaf.cert.serial_number

    run(scenario())
    assert sum(failures(metrics).values()) == 1


LEAF = kit.certify(name="leaf")
STRANGER = kit.certify(name="stranger")
ENCRYPTED = STRANGER.key.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.BestAvailableEncryption(b"secret"),
)


@pytest.mark.parametrize(
    ("cert_pem", "key_pem", "complaint"),
    [
        pytest.param(
            LEAF.cert_pem,
            STRANGER.key_pem,
            f"tls.key: this is not the key of tls.crt (serial {LEAF.cert.serial_number:x});"
            " both must come from one pair",
            id="swapped key",
        ),
        pytest.param(
            b"", LEAF.key_pem, "tls.crt: no PEM certificate can be read in its 0 bytes", id="empty"
        ),
        pytest.param(
            LEAF.cert_pem[:100], LEAF.key_pem, "tls.crt: no PEM certificate", id="truncated"
        ),
        pytest.param(
            LEAF.cert_pem, LEAF.key_pem[:100], "tls.key: no unencrypted PEM key", id="short key"
        ),
        pytest.param(
            LEAF.cert_pem, ENCRYPTED, "tls.key: no unencrypted PEM key", id="encrypted key"
        ),
        pytest.param(LEAF.key_pem, LEAF.key_pem, "tls.crt: no PEM certificate", id="a key twice"),
        pytest.param(
            LEAF.cert_pem, LEAF.cert_pem, "tls.key: no unencrypted PEM key", id="no key at all"
        ),
        pytest.param(
            LEAF.cert_pem + b"-----BEGIN CERTIFICATE-----\nrubbish",
            LEAF.key_pem,
            "tls.crt",
            id="a broken chain",
        ),
    ],
)
def test_a_pair_that_cannot_be_served_is_refused_and_the_old_one_keeps_serving(
    cert_pem: bytes, key_pem: bytes, complaint: str
) -> None:
    serving, ca, _ = kit.serving()
    before = serving.serial

    async def scenario() -> None:
        async with kit.listening(context=serving.context) as (port, _):
            with pytest.raises(tls.TLSError) as caught:
                serving.load(cert_pem=cert_pem, key_pem=key_pem)
            assert str(caught.value).startswith(complaint)
            assert serving.serial == before
            assert await shown_to(port.port, kit.trusting(ca)) == before

    kit.run_on(uvloop.new_event_loop, scenario())


def test_the_key_never_stays_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    with tls._as_file(b"secret", str(tmp_path)) as name:
        path = Path(name)
        assert path.parent == tmp_path
        assert path.read_bytes() == b"secret"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == []

    serving = tls.ServingContext(metrics=observe.Metrics(), scratch_folder=str(tmp_path))
    serving.load(cert_pem=LEAF.cert_pem, key_pem=LEAF.key_pem)
    assert serving.serial == LEAF.cert.serial_number
    assert list(tmp_path.iterdir()) == []


# Clients whose handshake fails.


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_that_does_not_trust_us_is_counted_by_its_reason(
    run: Run, version: ssl.TLSVersion
) -> None:
    """In a thread: asyncio's clients hang up without a word, where others say why."""
    serving, ca, metrics = kit.serving()
    context = kit.trusting(kit.certify(), version=version)

    def distrust(port: int) -> None:
        with (
            socket.create_connection(("127.0.0.1", port)) as raw,
            pytest.raises(ssl.SSLError),
        ):
            context.wrap_socket(raw, server_hostname=kit.SERVER_NAME)

    async def scenario() -> None:
        async with kit.listening(context=serving.context) as (port, _):
            for _ in range(3):
                await asyncio.to_thread(distrust, port.port)
            await shown_to(port.port, kit.trusting(ca))

    run(scenario())
    assert failures(metrics) == {"TLSV1_ALERT_UNKNOWN_CA": 3}
    assert serving.distrusted == 3


def test_a_new_pair_starts_with_a_clean_slate() -> None:
    serving, _, _ = kit.serving()
    serving._count("TLSV1_ALERT_UNKNOWN_CA")
    assert serving.distrusted == 1
    serving.load(cert_pem=LEAF.cert_pem, key_pem=LEAF.key_pem)
    assert serving.distrusted == 0


def test_reasons_that_nobody_foresaw_share_one_label() -> None:
    serving, _, metrics = kit.serving()
    serving._count("SOME_NEW_REASON")
    serving._count("ANOTHER")
    assert failures(metrics) == {tls.OTHER: 2}
    assert serving.distrusted == 0


def test_plain_http_on_the_tls_port_harms_nobody(run: Run) -> None:
    serving, ca, metrics = kit.serving()

    async def scenario() -> None:
        async with (
            kit.listening(context=serving.context) as (port, _),
            kit.client(port.port) as (reader, writer),
        ):
            writer.write(kit.post(b"a"))
            assert b"200 OK" not in await reader.read()
            await shown_to(port.port, kit.trusting(ca))

    run(scenario())
    assert failures(metrics) == {"HTTP_REQUEST": 1}


@pytest.mark.parametrize("version", VERSIONS)
def test_with_a_client_ca_only_its_clients_are_served(run: Run, version: ssl.TLSVersion) -> None:
    ca = kit.certify()
    leaf = kit.certify(name="leaf", by=ca)
    metrics = observe.Metrics()
    serving = tls.ServingContext(metrics=metrics, scratch_folder="/nowhere", client_ca=ca.cert_pem)
    serving.load(cert_pem=leaf.cert_pem, key_pem=leaf.key_pem)
    known = kit.trusting(ca, version=version)
    with tls._as_file(leaf.cert_pem + leaf.key_pem, "/nowhere") as path:
        known.load_cert_chain(path)

    async def scenario() -> None:
        async with kit.listening(context=serving.context) as (port, _):
            with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                await shown_to(port.port, kit.trusting(ca, version=version))
            assert await shown_to(port.port, known) == leaf.cert.serial_number

    run(scenario())
    assert failures(metrics) == {"PEER_DID_NOT_RETURN_A_CERTIFICATE": 1}


# The handshake with ourselves.


def test_the_self_probe_tells_the_serial_that_clients_see(run: Run) -> None:
    serving, ca, _ = kit.serving()

    async def scenario() -> None:
        async with kit.listening(context=serving.context) as (port, _):
            serial = await tls.self_probe(
                port=port.port, server_name=kit.SERVER_NAME, ca_pem=ca.cert_pem
            )
            assert serial == serving.serial

    run(scenario())


@pytest.mark.parametrize(
    ("server_name", "own_ca", "complaint"),
    [
        (kit.SERVER_NAME, False, "certificate verify failed"),
        ("elsewhere.svc", True, "Hostname mismatch"),
    ],
)
def test_the_self_probe_fails_for_what_a_client_would_refuse(
    run: Run, server_name: str, *, own_ca: bool, complaint: str
) -> None:
    serving, ca, _ = kit.serving()
    trusted = ca if own_ca else kit.certify()

    async def scenario() -> None:
        async with kit.listening(context=serving.context) as (port, _):
            with pytest.raises(tls.TLSError, match=complaint):
                await tls.self_probe(
                    port=port.port, server_name=server_name, ca_pem=trusted.cert_pem
                )

    run(scenario())


def test_the_self_probe_fails_where_nobody_listens_or_answers(run: Run) -> None:
    ca = kit.certify()

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as mute:
            port = mute.getsockname()[1]
            with pytest.raises(tls.TLSError, match="TimeoutError"):
                await tls.self_probe(port=port, server_name="a", ca_pem=ca.cert_pem, seconds=0.05)
        with pytest.raises(tls.TLSError, match=f"port {port} as a failed"):
            await tls.self_probe(port=port, server_name="a", ca_pem=ca.cert_pem)
        with pytest.raises(tls.TLSError):
            await tls.self_probe(port=port, server_name="a", ca_pem=b"rubbish")

    run(scenario())


def test_handshakes_that_do_not_come_to_an_end_are_cut(run: Run) -> None:
    limits = http.Limits(handshake_seconds=0.05)
    serving, ca, _ = kit.serving()

    async def scenario() -> None:
        async with (
            kit.listening(context=serving.context, limits=limits) as (port, _),
            kit.client(port.port) as (reader, writer),
        ):
            writer.write(b"\x16\x03\x01")
            assert await reader.read() == b""
            await shown_to(port.port, kit.trusting(ca))

    run(scenario())
