"""The Secret's data: read back as it was written, and refused with a reason otherwise."""

from __future__ import annotations

import base64
import datetime

import pytest

from sidecar_injector.pki import secret_data
from sidecar_injector.pki.checks import Flaw
from tests.kits import pki as kit


def b64(value: bytes) -> str:
    return base64.b64encode(value).decode()


@pytest.mark.parametrize(
    "certificates", [kit.FIRST, kit.STAGED, kit.SWITCHED], ids=["first", "staged", "switched"]
)
def test_what_is_written_is_read_back(certificates: secret_data.CertificateSet) -> None:
    assert secret_data.decode(secret_data.encode(certificates)) == certificates


def test_the_keys_are_those_of_a_tls_secret_and_ours() -> None:
    plain = {"tls.crt", "tls.key", "ca.crt", "ca.key", "generation"}
    assert secret_data.encode(kit.FIRST).keys() == plain
    assert secret_data.encode(kit.STAGED).keys() == plain | {"next-ca.crt", "next-ca.key"}
    former = {"previous-ca.crt", "previous-ca-expires"}
    assert secret_data.encode(kit.SWITCHED).keys() == plain | former


def test_the_bundle_is_next_then_current_then_previous_and_nothing_else() -> None:
    assert kit.STAGED.next_ca
    assert kit.STAGED.bundle() == kit.STAGED.next_ca.certificate + kit.FIRST.ca.certificate
    assert kit.SWITCHED.bundle() == kit.STAGED.bundle()
    assert kit.FIRST.bundle() == kit.FIRST.ca.certificate


CORRUPTIONS = [
    pytest.param("tls.crt", None, Flaw.MISSING, id="no-leaf"),
    pytest.param("tls.key", "", Flaw.MISSING, id="empty-key"),
    pytest.param("ca.crt", "?", Flaw.NOT_BASE64, id="no-base64"),
    pytest.param("tls.crt", b64(b"rubbish"), Flaw.NOT_A_CERTIFICATE, id="no-pem"),
    pytest.param(
        "tls.crt", b64(kit.FIRST.leaf.certificate[:300]), Flaw.NOT_A_CERTIFICATE, id="truncated"
    ),
    pytest.param("tls.key", b64(kit.FIRST.leaf.key[:100]), Flaw.NOT_A_KEY, id="truncated-key"),
    pytest.param("tls.key", b64(kit.OTHER.leaf.key), Flaw.KEY_MISMATCH, id="swapped-key"),
    pytest.param("ca.key", b64(kit.OTHER.ca.key), Flaw.KEY_MISMATCH, id="swapped-ca-key"),
    pytest.param("generation", None, Flaw.MISSING, id="no-generation"),
    pytest.param("generation", b64(b"0"), Flaw.BAD_NUMBER, id="generation-0"),
    pytest.param("generation", b64(b"-1"), Flaw.BAD_NUMBER, id="generation-negative"),
    pytest.param("generation", b64(b"9" * 5000), Flaw.BAD_NUMBER, id="generation-endless"),
    pytest.param("next-ca.crt", b64(b"x"), Flaw.MISSING, id="staged-without-key"),
    pytest.param("previous-ca.crt", b64(b"x"), Flaw.NOT_A_CERTIFICATE, id="bad-previous"),
    pytest.param(
        "previous-ca.crt", b64(kit.FIRST.leaf.certificate), Flaw.NOT_A_CA, id="leaf-as-previous"
    ),
]


@pytest.mark.parametrize(("key", "value", "flaw"), CORRUPTIONS)
def test_each_corruption_has_its_reason(key: str, value: str | None, flaw: Flaw) -> None:
    data = secret_data.encode(kit.FIRST)
    if value is None:
        del data[key]
    else:
        data[key] = value
    with pytest.raises(secret_data.Corrupt) as caught:
        secret_data.decode(data)
    assert flaw in {finding.flaw for finding in caught.value.findings}
    assert key.split(".", maxsplit=1)[0] in str(caught.value)


def test_an_empty_secret_says_all_that_it_lacks() -> None:
    with pytest.raises(secret_data.Corrupt) as caught:
        secret_data.decode({})
    assert str(caught.value) == "generation is missing; ca.crt is missing; tls.crt is missing"


def test_a_leaf_of_another_ca_is_refused() -> None:
    data = secret_data.encode(kit.FIRST)
    data["tls.crt"], data["tls.key"] = b64(kit.OTHER.leaf.certificate), b64(kit.OTHER.leaf.key)
    with pytest.raises(secret_data.Corrupt, match="not signed by the CA beside it"):
        secret_data.decode(data)


def test_a_leaf_in_place_of_the_ca_is_refused() -> None:
    data = secret_data.encode(kit.FIRST)
    data["ca.crt"], data["ca.key"] = data["tls.crt"], data["tls.key"]
    with pytest.raises(secret_data.Corrupt, match=r"ca\.crt is not a CA certificate"):
        secret_data.decode(data)


def test_an_intact_ca_is_saved_from_a_corrupt_secret() -> None:
    data = secret_data.encode(kit.SWITCHED)
    data["tls.key"] = b64(b"rubbish")
    with pytest.raises(secret_data.Corrupt) as caught:
        secret_data.decode(data)
    assert caught.value.ca == kit.SWITCHED.ca
    assert caught.value.generation == 3


def test_without_its_date_the_previous_ca_is_trusted_until_its_own_end() -> None:
    data = secret_data.encode(kit.SWITCHED)
    del data["previous-ca-expires"]
    previous = secret_data.decode(data).previous
    assert previous
    assert previous.until == kit.FIRST.ca.parsed().not_valid_after_utc


def test_no_date_makes_the_previous_ca_outlive_itself() -> None:
    data = secret_data.encode(kit.SWITCHED)
    far = kit.NOW + datetime.timedelta(days=10_000)
    data["previous-ca-expires"] = b64(far.isoformat().encode())
    previous = secret_data.decode(data).previous
    assert previous
    assert previous.until == kit.FIRST.ca.parsed().not_valid_after_utc
    data["previous-ca-expires"] = b64(b"soon")
    with pytest.raises(secret_data.Corrupt, match="RFC 3339"):
        secret_data.decode(data)


def test_comments_around_the_pem_do_not_change_the_bundle() -> None:
    data = secret_data.encode(kit.FIRST)
    data["ca.crt"] = b64(b"# from a file\r\n" + kit.FIRST.ca.certificate + b"\n\n")
    assert secret_data.decode(data).bundle() == kit.FIRST.bundle()
