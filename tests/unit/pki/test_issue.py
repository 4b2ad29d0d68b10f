"""The certificates that we make, as others judge them."""

from __future__ import annotations

import datetime
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import verification

from sidecar_injector.pki import checks, issue, keys
from tests.kits import pki as kit


def extension(certificate: x509.Certificate, kind: type[x509.ExtensionType]) -> x509.ExtensionType:
    return certificate.extensions.get_extension_for_class(kind).value


def test_a_webpki_verifier_accepts_the_leaf_for_each_of_its_names() -> None:
    leaf, ca = kit.FIRST.leaf.parsed(), kit.FIRST.ca.parsed()
    builder = verification.PolicyBuilder().store(verification.Store([ca])).time(kit.NOW)
    for name in kit.DNS_NAMES[1:]:  # One label alone is not a name of the web.
        builder.build_server_verifier(x509.DNSName(name)).verify(leaf, [])
    with pytest.raises(verification.VerificationError):
        builder.build_server_verifier(x509.DNSName("other.ns.svc")).verify(leaf, [])


def test_the_leaf_has_exactly_the_four_names_of_the_service() -> None:
    alternatives = extension(kit.FIRST.leaf.parsed(), x509.SubjectAlternativeName)
    assert isinstance(alternatives, x509.SubjectAlternativeName)
    assert alternatives.get_values_for_type(x509.DNSName) == [
        "si", "si.ns", "si.ns.svc", "si.ns.svc.cluster.local",
    ]  # fmt: skip


def test_both_are_valid_from_one_hour_ago_and_for_as_long_as_requested() -> None:
    for pair, seconds in ((kit.FIRST.ca, 360 * 86_400), (kit.FIRST.leaf, 30 * 86_400)):
        certificate = pair.parsed()
        assert certificate.not_valid_before_utc == kit.NOW - datetime.timedelta(hours=1)
        assert certificate.not_valid_after_utc == kit.NOW + datetime.timedelta(seconds=seconds)


@pytest.mark.parametrize("left", [-1, 0, 1], ids=["shorter", "equal", "longer"])
def test_a_leaf_never_outlives_its_ca(left: int) -> None:
    end = kit.FIRST.ca.parsed().not_valid_after_utc
    leaf = kit.leaf_of(kit.FIRST.ca, now=end - 100 * kit.SECOND, seconds=100 + left)
    assert leaf.parsed().not_valid_after_utc == end + min(left, 0) * kit.SECOND


def test_keys_are_p256_and_serials_are_never_the_same() -> None:
    materials = [keys.generate() for _ in range(20)]
    assert {type(material.key.curve) for material in materials} == {ec.SECP256R1}
    assert len({material.serial for material in materials}) == 20


def test_key_identifiers_lead_from_the_leaf_to_its_ca() -> None:
    ca, leaf = kit.FIRST.ca.parsed(), kit.FIRST.leaf.parsed()
    subject = extension(ca, x509.SubjectKeyIdentifier)
    authority = extension(leaf, x509.AuthorityKeyIdentifier)
    assert isinstance(subject, x509.SubjectKeyIdentifier)
    assert isinstance(authority, x509.AuthorityKeyIdentifier)
    assert authority.key_identifier == subject.digest
    assert extension(leaf, x509.SubjectKeyIdentifier) != subject


@pytest.mark.parametrize("generation", [1, 999_999_999])
def test_no_two_cas_have_one_subject_not_even_of_one_generation(generation: int) -> None:
    subjects = {
        issue.ca(
            fresh=keys.generate(), generation=generation, now=kit.NOW, seconds=60
        ).parsed().subject
        for _ in range(5)
    }  # fmt: skip
    assert len(subjects) == 5


def test_a_ca_signs_leaves_only_and_a_leaf_signs_nothing() -> None:
    assert extension(kit.FIRST.ca.parsed(), x509.BasicConstraints) == x509.BasicConstraints(
        ca=True, path_length=0
    )
    assert not checks.is_ca(kit.FIRST.leaf.parsed())


def test_openssl_loads_the_bundle_of_a_roll() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=kit.SWITCHED.bundle().decode())
    assert len(context.get_ca_certs()) == 2


def test_a_key_is_never_printed() -> None:
    assert "PRIVATE" not in repr(kit.FIRST)
