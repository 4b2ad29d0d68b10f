"""Handshakes that fail, counted by reason, and the handshake with ourselves."""

from __future__ import annotations

import asyncio
import socket
import ssl

import pytest

from sidecar_injector.httpserver import messages, tls
from sidecar_injector.observability.metrics import Metrics
from tests.kits import server as kit
from tests.kits import server_certificates as certificates

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


# Clients whose handshake fails.


def refuse_certificate(port: int, version: ssl.TLSVersion) -> None:
    """A handshake of a client that does not trust us.

    Without asyncio, whose clients disconnect without an alert; others send one.
    """
    context = certificates.trusting(certificates.certify(), version=version)
    with socket.create_connection(("127.0.0.1", port)) as raw, pytest.raises(ssl.SSLError):
        context.wrap_socket(raw, server_hostname=certificates.SERVER_NAME)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_client_that_does_not_trust_us_is_counted_by_its_reason(
    version: ssl.TLSVersion,
) -> None:
    serving, ca, metrics = certificates.serving()
    async with kit.listening(context=serving.context) as (server, _):
        for _ in range(3):
            await asyncio.to_thread(refuse_certificate, server.port, version)
        await kit.serial_seen(server.port, certificates.trusting(ca))
    assert kit.failures(metrics) == {"TLSV1_ALERT_UNKNOWN_CA": 3}
    assert serving.distrusted == 3


async def test_with_a_new_pair_the_count_of_refusals_starts_at_0() -> None:
    serving, _, _ = certificates.serving()
    async with kit.listening(context=serving.context) as (server, _):
        await asyncio.to_thread(refuse_certificate, server.port, VERSIONS[0])
    assert serving.distrusted == 1
    leaf = certificates.certify(name="leaf")
    serving.load(cert_pem=leaf.cert_pem, key_pem=leaf.key_pem)
    assert serving.distrusted == 0


async def test_reasons_without_a_label_of_their_own_share_one() -> None:
    serving, _, metrics = certificates.serving()
    unexpected_message = b"\x16\x03\x01\x00\x05hello"
    length_mismatch = b"\x16\x03\x01\x00\x08\x01\x00\x00\x04\x03\x03aa"
    async with kit.listening(context=serving.context) as (server, _):
        for record in (unexpected_message, length_mismatch):
            async with kit.client(server.port) as (reader, writer):
                writer.write(record)
                await reader.read()
    assert kit.failures(metrics) == {tls.OTHER: 2}
    assert serving.distrusted == 0


async def test_plain_http_on_the_tls_port_does_not_disturb_other_clients() -> None:
    serving, ca, metrics = certificates.serving()
    async with (
        kit.listening(context=serving.context) as (server, _),
        kit.client(server.port) as (reader, writer),
    ):
        writer.write(kit.post(b"a"))
        assert b"200 OK" not in await reader.read()
        await kit.serial_seen(server.port, certificates.trusting(ca))
    assert kit.failures(metrics) == {"HTTP_REQUEST": 1}


async def test_a_client_whose_handshake_fails_leaves_the_pool_at_once() -> None:
    serving, _, _ = certificates.serving()
    async with kit.listening(context=serving.context) as (server, pool):
        for _ in range(3):
            async with kit.client(server.port) as (reader, writer):
                writer.write(kit.post(b"plain HTTP"))
                await reader.read()
        assert await pool.wait_empty(1)


@pytest.mark.parametrize("version", VERSIONS)
async def test_with_a_client_ca_only_its_clients_are_served(version: ssl.TLSVersion) -> None:
    serving, ca, metrics = certificates.serving(client_ca=True)
    own = certificates.certify(name="client", by=ca)
    with_certificate = certificates.trusting(ca, version=version)
    with tls.key_file(own.cert_pem + own.key_pem, "/nowhere") as path:
        with_certificate.load_cert_chain(path)
    async with kit.listening(context=serving.context) as (server, _):
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            await kit.serial_seen(server.port, certificates.trusting(ca, version=version))
        assert await kit.serial_seen(server.port, with_certificate) == serving.serial
    assert kit.failures(metrics) == {"PEER_DID_NOT_RETURN_A_CERTIFICATE": 1}


async def test_before_the_first_pair_handshakes_fail_and_afterwards_they_do_not() -> None:
    ca = certificates.certify()
    leaf = certificates.certify(name="leaf", by=ca)
    metrics = Metrics()
    serving = tls.ServingContext(metrics=metrics, scratch_folder="/nowhere")
    assert serving.serial is None
    async with kit.listening(context=serving.context) as (server, _):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await kit.serial_seen(server.port, certificates.trusting(ca))
        serving.load(cert_pem=leaf.cert_pem, key_pem=leaf.key_pem)
        assert (
            await kit.serial_seen(server.port, certificates.trusting(ca)) == leaf.cert.serial_number
        )
    assert sum(kit.failures(metrics).values()) == 1


# The handshake with ourselves.


async def test_the_self_probe_returns_the_serial_that_clients_see() -> None:
    serving, ca, _ = certificates.serving()
    async with kit.listening(context=serving.context) as (server, _):
        serial = await tls.self_probe(
            port=server.port, server_name=certificates.SERVER_NAME, ca_pem=ca.cert_pem
        )
        assert serial == serving.serial


@pytest.mark.parametrize(
    ("server_name", "own_ca", "complaint"),
    [
        (certificates.SERVER_NAME, False, "certificate verify failed"),
        ("elsewhere.svc", True, "Hostname mismatch"),
    ],
)
async def test_the_self_probe_fails_for_what_a_client_would_refuse(
    server_name: str, *, own_ca: bool, complaint: str
) -> None:
    serving, ca, _ = certificates.serving()
    trusted = ca if own_ca else certificates.certify()
    async with kit.listening(context=serving.context) as (server, _):
        with pytest.raises(tls.TLSError, match=complaint):
            await tls.self_probe(port=server.port, server_name=server_name, ca_pem=trusted.cert_pem)


async def test_the_self_probe_fails_if_no_server_listens_or_answers() -> None:
    ca = certificates.certify()
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        with pytest.raises(tls.TLSError, match="TimeoutError"):
            await tls.self_probe(port=port, server_name="a", ca_pem=ca.cert_pem, seconds=0.05)
    with pytest.raises(tls.TLSError, match=f"port {port} as a failed"):
        await tls.self_probe(port=port, server_name="a", ca_pem=ca.cert_pem)
    with pytest.raises(tls.TLSError):
        await tls.self_probe(port=port, server_name="a", ca_pem=b"rubbish")


async def test_handshakes_that_do_not_end_are_cut() -> None:
    limits = messages.Limits(handshake_seconds=0.05)
    serving, ca, _ = certificates.serving()
    async with (
        kit.listening(context=serving.context, limits=limits) as (server, _),
        kit.client(server.port) as (reader, writer),
    ):
        writer.write(b"\x16\x03\x01")
        assert await reader.read() == b""
        await kit.serial_seen(server.port, certificates.trusting(ca))
