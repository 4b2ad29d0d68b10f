"""Certificates that we do not make: loaded if they are good, reported if they are not."""

from __future__ import annotations

import base64
import dataclasses

import pytest

from sidecar_injector.controllers.certificates import provided
from sidecar_injector.kube import api
from sidecar_injector.pki import handover, issue, secret_data
from tests.kits import certificates as kit
from tests.kits import fake_api
from tests.kits import pki as pki_kit

DNS_NAMES = ["si.ns.svc"]
WAIT = 60


class Mode(kit.Serving):
    """The mode `provided` around a Secret, without any loop running."""

    def __init__(self, *, ca_injector: bool = False) -> None:
        self.server, self.clock = fake_api.FakeApi(), kit.Clock()
        super().__init__(self.server, self.clock)
        self.source = provided.Provided(
            self.server, secret_ref=kit.SECRET_REF, dns_names=DNS_NAMES, ca_injector=ca_injector,
            wait_seconds=WAIT, served=self.served, metrics=self.metrics,
        )  # fmt: skip

    async def put(self, pair: issue.Pair, cas: bytes) -> list[str]:
        """Put this into the Secret; returns the notes of the Events that follow."""
        pems = {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": cas}
        data = {key: base64.b64encode(value).decode() for key, value in pems.items()}
        metadata = {"name": "si-tls", "namespace": "ns"}
        self.server.seed(api.SECRETS, {"metadata": metadata, "data": data})
        await self.source.refresh()
        await fake_api.run_until_idle(self.recorder.run)
        return [event["note"] for event in self.server.objects.get(api.EVENTS, {}).values()]


async def test_a_good_pair_is_loaded_and_its_ca_is_the_bundle() -> None:
    mode = Mode()
    assert await mode.put(pki_kit.FIRST.leaf, pki_kit.FIRST.bundle()) == []
    assert mode.loaded == [pki_kit.FIRST.leaf.certificate]
    assert mode.source.bundle() == mode.source.ca_certificates() == pki_kit.FIRST.bundle()


async def test_a_renewed_pair_is_loaded_and_the_same_one_only_once() -> None:
    mode = Mode()
    renewed = pki_kit.leaf_of(pki_kit.FIRST.ca)
    for pair in (pki_kit.FIRST.leaf, pki_kit.FIRST.leaf, renewed):
        await mode.put(pair, pki_kit.FIRST.bundle())
    assert mode.loaded == [pki_kit.FIRST.leaf.certificate, renewed.certificate]


async def test_with_a_ca_injector_we_write_no_bundle() -> None:
    mode = Mode(ca_injector=True)
    await mode.put(pki_kit.FIRST.leaf, pki_kit.FIRST.bundle())
    assert mode.source.bundle() is None
    assert mode.source.ca_certificates() == pki_kit.FIRST.bundle()


GOOD: secret_data.CertificateSet = pki_kit.FIRST


@pytest.mark.parametrize(
    ("pair", "cas", "expected"),
    [
        pytest.param(
            dataclasses.replace(GOOD.leaf, key=pki_kit.OTHER.leaf.key),
            GOOD.bundle(),
            "tls.key does not belong to its certificate",
            id="a-key-that-does-not-fit",
        ),
        pytest.param(
            pki_kit.leaf_of(GOOD.ca, now=pki_kit.NOW - pki_kit.DAY, seconds=60),
            GOOD.bundle(),
            "tls.crt has expired (at 2025-12-31T12:01:00Z)",
            id="an-expired-leaf",
        ),
        pytest.param(
            pki_kit.leaf_of(GOOD.ca, dns_names=["other.ns.svc"]),
            GOOD.bundle(),
            "tls.crt lacks DNS names (si.ns.svc)",
            id="a-wrong-name",
        ),
        pytest.param(
            GOOD.leaf,
            GOOD.leaf.certificate,
            "ca.crt is not a CA certificate",
            id="a-leaf-in-place-of-the-ca",
        ),
        pytest.param(GOOD.ca, GOOD.bundle(), "tls.crt is a CA certificate", id="a-ca-as-leaf"),
        pytest.param(
            GOOD.leaf, pki_kit.OTHER.bundle(), "is not signed by the CA beside it", id="another-ca"
        ),
        pytest.param(GOOD.leaf, b"", "ca.crt is missing", id="no-ca"),
    ],
)
async def test_a_bad_pair_is_never_loaded_and_the_last_good_one_is_kept(
    pair: issue.Pair, cas: bytes, expected: str
) -> None:
    mode = Mode()
    await mode.put(GOOD.leaf, GOOD.bundle())
    (note,) = await mode.put(pair, cas)
    assert expected in note
    assert "the last good one is kept" in note
    assert mode.loaded == [GOOD.leaf.certificate]
    assert mode.source.bundle() == GOOD.bundle()


async def test_a_missing_secret_is_reported() -> None:
    mode = Mode()
    await mode.source.refresh()
    await fake_api.run_until_idle(mode.recorder.run)
    (event,) = mode.server.objects[api.EVENTS].values()
    assert "there is no Secret ns/si-tls" in event["note"]
    assert "none is served" in event["note"]


async def test_a_pair_of_another_ca_waits_until_that_one_is_trusted() -> None:
    """An administrator changes the CA without a gap: first the bundle, then the pair."""
    mode = Mode()
    new, both = pki_kit.OTHER, pki_kit.OTHER.bundle() + GOOD.bundle()
    await mode.put(GOOD.leaf, GOOD.bundle())
    mode.trust.observe(api.MUTATING, live(GOOD.bundle()), unbroken=True)
    await mode.put(GOOD.leaf, both)
    assert mode.source.bundle() == both
    mode.trust.observe(api.MUTATING, live(both), unbroken=True)
    await mode.put(new.leaf, both)
    mode.clock.move(WAIT - 1)
    assert await mode.source.reconcile() == provided.RETRY_SECONDS
    assert mode.loaded == [GOOD.leaf.certificate]
    mode.clock.move(1)
    await mode.source.reconcile()
    assert mode.loaded == [GOOD.leaf.certificate, new.leaf.certificate]


@pytest.mark.parametrize("ca_injector", [False, True], ids=["we-inject", "somebody-else-injects"])
async def test_a_pair_whose_ca_replaced_the_old_one_is_served_as_soon_as_it_is_trusted(
    *, ca_injector: bool
) -> None:
    mode = Mode(ca_injector=ca_injector)
    await mode.put(GOOD.leaf, GOOD.bundle())
    mode.trust.observe(api.MUTATING, live(GOOD.bundle()), unbroken=True)
    await mode.put(pki_kit.OTHER.leaf, pki_kit.OTHER.bundle())
    assert mode.loaded == [GOOD.leaf.certificate]
    mode.trust.observe(api.MUTATING, live(pki_kit.OTHER.bundle()), unbroken=True)
    await mode.source.reconcile()
    assert mode.loaded[-1] == pki_kit.OTHER.leaf.certificate


def live(bundle: bytes) -> api.Json:
    encoded = base64.b64encode(bundle).decode()
    return {
        "metadata": {"name": "si", "resourceVersion": "1"},
        "webhooks": [{"name": "w", "clientConfig": {"caBundle": encoded}}],
    }


async def test_a_bad_pair_shows_in_metric_and_readiness_until_it_is_put_right() -> None:
    mode = Mode()
    await mode.put(GOOD.leaf, GOOD.bundle())
    await mode.put(GOOD.leaf, b"")
    assert mode.metric("certificate_problem", problem="CertificateNotLoaded") == 1
    (remark,) = mode.ready.remarks()
    assert remark.endswith("ca.crt is missing")
    await mode.put(GOOD.leaf, GOOD.bundle())
    assert mode.metric("certificate_problem", problem="CertificateNotLoaded") == 0
    assert mode.ready.remarks() == ()


async def test_the_alarm_ends_when_the_former_pair_is_put_back() -> None:
    mode, good = Mode(), pki_kit.FIRST
    await mode.put(good.leaf, good.bundle())
    mode.trust.observe(api.MUTATING, live(good.bundle()), unbroken=True)
    await mode.put(pki_kit.leaf_of(good.ca), good.bundle())
    for _ in range(handover.BURST):
        mode.served.refuse()
    assert mode.loaded[-1] == good.leaf.certificate
    await mode.source.reconcile()
    assert mode.metric("certificate_problem", problem="CertificateRefused") == 1
    await mode.put(good.leaf, good.bundle())
    await mode.source.reconcile()
    assert mode.metric("certificate_problem", problem="CertificateRefused") == 0
    assert mode.ready.remarks() == ()
