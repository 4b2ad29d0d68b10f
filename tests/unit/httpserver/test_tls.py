"""The certificate in force: what is loaded, what is refused, and that nobody notices a swap."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from sidecar_injector.httpserver import tls
from sidecar_injector.observability.metrics import Metrics
from tests.kits import server as kit
from tests.kits import server_certificates as certificates

NAME = certificates.SERVER_NAME
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_client_that_trusts_our_ca_is_served_http_1_1(version: ssl.TLSVersion) -> None:
    serving, ca, metrics = certificates.serving()
    trusting = certificates.trusting(ca, version=version)
    trusting.set_alpn_protocols(["h2", "http/1.1"])
    async with (
        kit.listening(context=serving.context) as (server, _),
        kit.client(server.port, trusting) as (reader, writer),
    ):
        writer.write(kit.post(b"abc"))
        assert (await kit.read_reply(reader)).body == b"3:abc"
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
    assert kit.failures(metrics) == {}
    assert serving.context.minimum_version == ssl.TLSVersion.TLSv1_2


async def test_a_swap_shows_the_new_leaf_to_new_connections_and_keeps_the_old_ones() -> None:
    serving, ca, _ = certificates.serving()
    new = certificates.certify(name="new", by=ca)
    async with (
        kit.listening(context=serving.context) as (server, _),
        kit.client(server.port, certificates.trusting(ca)) as (reader, writer),
    ):
        old_serial = await kit.serial_seen(server.port, certificates.trusting(ca))
        assert old_serial == serving.serial
        serving.load(cert_pem=new.cert_pem, key_pem=new.key_pem)
        assert (
            await kit.serial_seen(server.port, certificates.trusting(ca)) == new.cert.serial_number
        )
        assert serving.serial == new.cert.serial_number != old_serial
        writer.write(kit.post(b"still here"))
        assert (await kit.read_reply(reader)).status == 200


@pytest.mark.parametrize("swaps", [20, pytest.param(100, marks=pytest.mark.long)])
async def test_swaps_under_concurrent_connections_break_none(swaps: int) -> None:
    serving, ca, metrics = certificates.serving()
    pairs = [certificates.certify(name=f"leaf {i}", by=ca) for i in range(swaps)]
    trusting = certificates.trusting(ca)
    over = False
    seen: set[int] = set()

    async def visit() -> None:
        while not over:
            seen.add(await kit.serial_seen(server.port, trusting))

    async with (
        kit.listening(context=serving.context) as (server, _),
        asyncio.TaskGroup() as visitors,
    ):
        for _ in range(8):
            visitors.create_task(visit())
        for pair in pairs:
            serving.load(cert_pem=pair.cert_pem, key_pem=pair.key_pem)
            await kit.serial_seen(server.port, trusting)
        over = True
    assert len(seen) > swaps // 10
    assert kit.failures(metrics) == {}


async def test_after_a_change_of_key_type_no_client_gets_the_old_leaf() -> None:
    ca = certificates.certify()
    serving, _, _ = certificates.serving(ca)
    old = certificates.certify(name="rsa", by=ca, rsa_key=True)
    new = certificates.certify(name="ec", by=ca)
    both = certificates.trusting(ca, version=ssl.TLSVersion.TLSv1_2)
    both.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256")
    async with kit.listening(context=serving.context) as (server, _):
        serving.load(cert_pem=old.cert_pem, key_pem=old.key_pem)
        assert await kit.serial_seen(server.port, both) == old.cert.serial_number
        serving.load(cert_pem=new.cert_pem, key_pem=new.key_pem)
        assert await kit.serial_seen(server.port, both) == new.cert.serial_number


async def test_a_client_that_names_no_server_is_shown_the_leaf_too() -> None:
    serving, ca, _ = certificates.serving()
    context = certificates.trusting(ca)
    context.check_hostname = False
    async with kit.listening(context=serving.context) as (server, _):
        _, writer = await asyncio.open_connection(
            "127.0.0.1", server.port, ssl=context, server_hostname=""
        )
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.transport.abort()
        assert x509.load_der_x509_certificate(der).serial_number == serving.serial


@pytest.mark.parametrize("version", VERSIONS)
@kit.ON_UVLOOP
async def test_a_session_from_before_a_swap_can_be_resumed_after_it(
    version: ssl.TLSVersion,
) -> None:
    serving, ca, metrics = certificates.serving()
    trusting = certificates.trusting(ca, version=version)
    new = certificates.certify(name="new", by=ca)

    def visit(port: int, session: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool]:
        with (
            socket.create_connection(("127.0.0.1", port)) as raw,
            trusting.wrap_socket(
                raw, server_hostname=certificates.SERVER_NAME, session=session
            ) as tunnel,
        ):
            tunnel.sendall(kit.post(b"a"))
            assert b"200 OK" in tunnel.recv(1000)
            return tunnel.session, bool(tunnel.session_reused)

    async with kit.listening(context=serving.context) as (server, _):
        session, _ = await asyncio.to_thread(visit, server.port, None)
        serving.load(cert_pem=new.cert_pem, key_pem=new.key_pem)
        await asyncio.to_thread(visit, server.port, session)
    assert kit.failures(metrics) == {}


LEAF = certificates.certify(name="leaf")
STRANGER = certificates.certify(name="stranger")
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
@kit.ON_UVLOOP
async def test_a_pair_that_cannot_be_served_is_refused_and_the_old_one_keeps_serving(
    cert_pem: bytes, key_pem: bytes, complaint: str
) -> None:
    serving, ca, _ = certificates.serving()
    before = serving.serial
    async with kit.listening(context=serving.context) as (server, _):
        with pytest.raises(tls.TLSError) as caught:
            serving.load(cert_pem=cert_pem, key_pem=key_pem)
        assert str(caught.value).startswith(complaint)
        assert serving.serial == before
        assert await kit.serial_seen(server.port, certificates.trusting(ca)) == before


def test_the_key_never_stays_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    with tls.key_file(b"secret", str(tmp_path)) as name:
        path = Path(name)
        assert path.parent == tmp_path
        assert path.read_bytes() == b"secret"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == []

    serving = tls.ServingContext(metrics=Metrics(), scratch_folder=str(tmp_path))
    serving.load(cert_pem=LEAF.cert_pem, key_pem=LEAF.key_pem)
    assert serving.serial == LEAF.cert.serial_number
    assert list(tmp_path.iterdir()) == []
