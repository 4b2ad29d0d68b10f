"""Where cert-manager writes the caBundle, we write nothing and say whether it trusts us."""

from __future__ import annotations

import pathlib

from sidecar_injector.kube import api
from tests.kits import healthy_replica
from tests.kits import pki as pki_kit

IN_SYNC = "ca_bundle_in_sync"
MUTATING, VALIDATING = healthy_replica.CONFIGURATIONS


async def test_the_gauge_says_whether_each_configuration_trusts_the_served_certificate(
    tmp_path: pathlib.Path,
) -> None:
    replica = healthy_replica.Replica(mode="certManager", scratch_folder=str(tmp_path))
    async with replica.running():
        await replica.wait_until_healthy()
        replica.set_bundle(pki_kit.OTHER.ca.certificate)
        await replica.wait_for(IN_SYNC, 0, configuration=MUTATING)
        assert replica.value(IN_SYNC, configuration=VALIDATING) == 1
        # A roll of the CA: the old one and the new one.
        replica.set_bundle(pki_kit.OTHER.ca.certificate + replica.ca.certificate)
        await replica.wait_for(IN_SYNC, 1, configuration=MUTATING)
        replica.set_bundle(b"")
        await replica.wait_for(IN_SYNC, 0, configuration=MUTATING)

    assert [call for call in replica.server.calls if call[0] == "patch"] == [
        ("patch", api.INJECTIONS.plural)
    ]


async def test_a_new_certificate_of_another_ca_is_not_trusted_until_the_bundle_is(
    tmp_path: pathlib.Path,
) -> None:
    replica = healthy_replica.Replica(mode="certManager", scratch_folder=str(tmp_path))
    async with replica.running():
        await replica.wait_until_healthy()
        replica.put_pair(pki_kit.OTHER.ca)
        replica.set_bundle(pki_kit.OTHER.ca.certificate)
        # The certificate that is served is the former one until both configurations trust the new.
        await replica.wait_for(IN_SYNC, 0, configuration=MUTATING)
        assert replica.value(IN_SYNC, configuration=VALIDATING) == 1
