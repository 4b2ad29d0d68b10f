"""Certificates for tests of the HTTP server, and clients that trust them or not."""

from __future__ import annotations

import dataclasses
import datetime
import ssl
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from sidecar_injector.httpserver import tls
from sidecar_injector.observability.metrics import Metrics

SERVER_NAME = "sidecar-injector.sidecar-injector.svc"
SERVER_DNS = x509.DNSName(SERVER_NAME)


@dataclasses.dataclass(frozen=True)
class Pair:
    """A certificate and its private key."""

    cert: x509.Certificate
    key: Any

    @property
    def cert_pem(self) -> bytes:
        return self.cert.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


def certify(
    *,
    name: str = "CA",
    by: Pair | None = None,
    rsa_key: bool = False,
    host: x509.GeneralName = SERVER_DNS,
    age: datetime.timedelta = datetime.timedelta(hours=1),
) -> Pair:
    """A self-signed CA, or a leaf for `host` that the CA `by` signs; both live for a day or so."""
    key: Any
    if rsa_key:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    else:
        key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    signer = by.key if by else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.cert.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - age)
        .not_valid_after(now - age + datetime.timedelta(hours=25))
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    if by is not None:
        names = x509.SubjectAlternativeName([host])
        builder = builder.add_extension(names, critical=False)
    return Pair(cert=builder.sign(signer, hashes.SHA256()), key=key)


def trusting(ca: Pair, *, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """The context of a client that trusts only this CA."""
    context = ssl.create_default_context(cadata=ca.cert_pem.decode())
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


def serving(
    ca: Pair | None = None, *, client_ca: bool = False
) -> tuple[tls.ServingContext, Pair, Metrics]:
    """A context that serves a leaf of this CA or of a new one, to its clients alone if wanted."""
    ca = ca or certify()
    metrics = Metrics()
    context = tls.ServingContext(
        metrics=metrics, scratch_folder="/nowhere", client_ca=ca.cert_pem if client_ca else None
    )
    leaf = certify(name="leaf", by=ca)
    context.load(cert_pem=leaf.cert_pem, key_pem=leaf.key_pem)
    return context, ca, metrics
