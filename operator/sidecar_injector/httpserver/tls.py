"""The certificate that the server presents. It is replaced without a pause.

Every pair gets its own `SSLContext`, which is checked before a client sees it. The context of the
listener only gives each handshake the current pair. To load a pair into the context of the listener
would be shorter. But a pair that does not match would break every later handshake. And OpenSSL has
one slot for each type of key: after a change from RSA to EC, clients would still get the old leaf.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pathlib
import ssl
import tempfile
from collections.abc import Callable, Iterator
from typing import Final

from cryptography import exceptions, x509
from cryptography.hazmat.primitives import serialization

from sidecar_injector import names
from sidecar_injector.observability.metrics import Metrics

DISTRUST: Final = frozenset(
    {
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        "SSLV3_ALERT_CERTIFICATE_REVOKED",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
        "TLSV1_ALERT_UNKNOWN_CA",
    }
)
"""Alerts of a client that does not accept our certificate. A Go client sends BAD_CERTIFICATE for
every reason. The alert comes before the client's last message, so the handshake fails, in TLS 1.3
too."""
REASONS: Final = DISTRUST | {
    "CERTIFICATE_VERIFY_FAILED",
    "HTTP_REQUEST",
    "NO_SHARED_CIPHER",
    "NO_SUITABLE_SIGNATURE_ALGORITHM",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE",
    "SSLV3_ALERT_HANDSHAKE_FAILURE",
    "UNSUPPORTED_PROTOCOL",
    "WRONG_VERSION_NUMBER",
}
OTHER: Final = "other"
IN_PROGRESS: Final = (ssl.SSLWantReadError, ssl.SSLWantWriteError)
PROBE_SECONDS: Final = 5.0


class TLSError(Exception):
    """A pair cannot be served, or a handshake with ourselves has failed."""


class ServingContext:
    """The `SSLContext` of the listener and the current pair of certificate and key.

    A listener may use `context` before the first `load`; until then handshakes fail. With
    `client_ca` (PEM), only clients with a certificate of that CA are served.
    """

    def __init__(
        self, *, metrics: Metrics, scratch_folder: str, client_ca: bytes | None = None
    ) -> None:
        self.leaf: x509.Certificate | None = None
        """The current certificate."""
        self.distrusted = 0
        """Handshakes since the last `load` in which the client did not accept the certificate."""
        self.on_distrust: Callable[[], None] = lambda: None
        """Called for each of these, during the handshake."""
        self._scratch_folder = scratch_folder
        self._client_ca = client_ca
        self._counters = {
            reason: metrics.handshake_failures.labels(reason) for reason in (*REASONS, OTHER)
        }
        self._current: ssl.SSLContext | None = None
        self.context = self._new_context()
        self.context.sslobject_class = _counting(self._count_failure)
        self.context.sni_callback = self._use_current_pair

    @property
    def serial(self) -> int | None:
        """The serial number of the current certificate."""
        return self.leaf.serial_number if self.leaf else None

    def load(self, *, cert_pem: bytes, key_pem: bytes) -> None:
        """Present this pair (the leaf first, then its chain) in every handshake from now on.

        Raises TLSError and changes nothing if the pair cannot be served. Its dates, names and CA
        are not checked here, but where certificates are planned.
        """
        leaf = check_pair(cert_pem=cert_pem, key_pem=key_pem)
        context = self._new_context()
        try:
            with key_file(cert_pem + b"\n" + key_pem, self._scratch_folder) as path:
                # Without a password OpenSSL asks for one on a terminal.
                context.load_cert_chain(path, password="")
        except ssl.SSLError as error:
            raise TLSError(
                f"{names.TLS_CERT} (serial {leaf.serial_number:x}): OpenSSL cannot serve it with"
                f" {names.TLS_KEY}: {error.reason}"
            ) from error
        self._current, self.leaf, self.distrusted = context, leaf, 0

    def _new_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        if self._client_ca is not None:
            context.load_verify_locations(cadata=self._client_ca.decode("ascii"))
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _use_current_pair(
        self, handshake: ssl.SSLObject, server_name: str | None, context: ssl.SSLContext
    ) -> None:
        """OpenSSL calls this in each handshake, even if the client does not name a server."""
        if self._current is not None:
            handshake.context = self._current

    def _count_failure(self, reason: str) -> None:
        self._counters.get(reason, self._counters[OTHER]).inc()
        if reason in DISTRUST:
            self.distrusted += 1
            self.on_distrust()


def check_pair(*, cert_pem: bytes, key_pem: bytes) -> x509.Certificate:
    """Return the leaf of a pair. Raises TLSError, with the Secret's key, if they do not match."""
    try:
        leaf = x509.load_pem_x509_certificates(cert_pem)[0]
    except ValueError as error:
        raise TLSError(
            f"{names.TLS_CERT}: no PEM certificate can be read in its {len(cert_pem)} bytes"
        ) from error
    try:
        # Without validation, like every TLS server: to check the primes of a long RSA key would
        # stop all handshakes for seconds. The handshake with ourselves shows a wrong key.
        key = serialization.load_pem_private_key(
            key_pem, password=None, unsafe_skip_rsa_key_validation=True
        )
    except (ValueError, TypeError, exceptions.UnsupportedAlgorithm) as error:
        raise TLSError(
            f"{names.TLS_KEY}: no unencrypted PEM key can be read in its {len(key_pem)} bytes"
        ) from error
    if key.public_key() != leaf.public_key():
        raise TLSError(
            f"{names.TLS_KEY}: this is not the key of {names.TLS_CERT}"
            f" (serial {leaf.serial_number:x}); both must come from one pair"
        )
    return leaf


async def self_probe(
    *, port: int, server_name: str, ca_pem: bytes, seconds: float = PROBE_SECONDS
) -> int:
    """Connect to ourselves over loopback; returns the serial number that a client sees.

    The client trusts `ca_pem` and asks for `server_name`. Raises TLSError if the handshake fails or
    takes longer than `seconds`.
    """
    try:
        context = ssl.create_default_context(cadata=ca_pem.decode("ascii"))
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname=server_name
            )
    except (OSError, ValueError) as error:  # TimeoutError and SSLError are OSErrors.
        raise TLSError(
            f"a handshake with ourselves at port {port} as {server_name} failed:"
            f" {str(error) or type(error).__name__}"
        ) from error
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    # With `close_notify`: in TLS 1.3 the client finishes the handshake first, and a server whose
    # client disappears before that waits for the rest.
    writer.close()
    with contextlib.suppress(OSError):  # TimeoutError is one.
        async with asyncio.timeout(seconds):
            await writer.wait_closed()
    return x509.load_der_x509_certificate(certificate).serial_number


def _counting(count: Callable[[str], None]) -> type[ssl.SSLObject]:
    """A class of TLS sessions that counts why handshakes fail. asyncio does not report it."""

    class Counting(ssl.SSLObject):
        def do_handshake(self) -> None:
            try:
                super().do_handshake()
            except IN_PROGRESS:
                raise
            except ssl.SSLError as error:
                count(error.reason)
                raise

    return Counting


@contextlib.contextmanager
def key_file(content: bytes, scratch_folder: str) -> Iterator[str]:
    """A path with this content, for OpenSSL, which reads keys only from files.

    It is in memory if the system has `memfd`, otherwise a file that no other user may read. It is
    deleted at the end.
    """
    if hasattr(os, "memfd_create") and pathlib.Path("/proc/self/fd").is_dir():
        descriptor = os.memfd_create(names.PRODUCT)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            file.write(content)
            yield f"/proc/self/fd/{descriptor}"
    else:
        with tempfile.NamedTemporaryFile(dir=scratch_folder) as file:  # mode 0600
            file.write(content)
            file.flush()
            yield file.name
