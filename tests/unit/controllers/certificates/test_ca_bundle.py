"""The caBundle is ours: it is repaired at once, but not again and again."""

from __future__ import annotations

import base64
import logging

import pytest

from sidecar_injector.controllers import loop, rate_limit
from sidecar_injector.kube import api
from sidecar_injector.pki import webhook_configuration
from tests.kits import certificates as kit
from tests.kits import fake_api
from tests.kits import pki as pki_kit

MUTATING = "mutatingwebhookconfigurations"


def patches(cluster: kit.Cluster) -> int:
    return cluster.server.calls["patch", MUTATING]


async def test_all_entries_are_patched_in_one_write_and_nothing_else_is_touched(
    cluster: kit.Cluster,
) -> None:
    before = dict(cluster.server.objects[api.MUTATING]["", "si"])
    (replica,) = await cluster.healthy_replicas()
    await cluster.idle()
    after = cluster.server.objects[api.MUTATING]["", "si"]
    assert patches(cluster) == 1
    for entry in after["webhooks"]:
        del entry["clientConfig"]["caBundle"]
    assert after["webhooks"] == before["webhooks"]
    assert replica.metric("ca_bundle_in_sync", configuration=MUTATING) == 1


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"", id="wiped"),
        pytest.param(b"rubbish", id="rubbish"),
        pytest.param(pki_kit.OTHER.ca.certificate, id="another-ca"),
        pytest.param(pki_kit.FIRST.leaf.certificate, id="a-leaf"),
    ],
)
async def test_a_wrong_bundle_is_repaired_at_once(cluster: kit.Cluster, value: bytes) -> None:
    await cluster.healthy_replicas(3)
    cluster.clock.move(rate_limit.STABLE_SECONDS)
    cluster.set_bundle(value)
    assert not cluster.healthy()
    await cluster.settle()


async def test_a_foreign_certificate_beside_ours_is_removed(cluster: kit.Cluster) -> None:
    await cluster.healthy_replicas()
    cluster.set_bundle(cluster.bundles()[0] + pki_kit.OTHER.ca.certificate)
    await cluster.settle()


async def test_an_entry_that_a_chart_upgrade_adds_is_filled(cluster: kit.Cluster) -> None:
    await cluster.healthy_replicas()
    cluster.server.seed(api.MUTATING, kit.configuration(5))
    await cluster.settle()


async def test_a_configuration_that_appears_later_is_filled(cluster: kit.Cluster) -> None:
    cluster.server.take(api.MUTATING, name="si")
    await cluster.healthy_replicas()
    cluster.server.seed(api.MUTATING, kit.configuration(1))
    await cluster.settle()
    assert patches(cluster) == 1


async def test_a_replica_that_is_behind_does_not_take_a_new_ca_for_a_foreign_one(
    cluster: kit.Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch of the configuration is faster than the watch of the Secret."""
    (replica,) = await cluster.healthy_replicas()
    staged = pki_kit.take(pki_kit.plan.Action.STAGE_CA, cluster.stored())
    monkeypatch.setattr(replica.source, "observe", lambda _: None)
    cluster.set_data(pki_kit.secret_data.encode(staged))
    written = patches(cluster)
    cluster.set_bundle(staged.bundle())
    await cluster.idle()
    assert patches(cluster) == written
    assert cluster.bundles() == [staged.bundle()] * 2


async def test_what_was_read_of_the_secret_is_not_used_on_a_configuration_that_came_after_it(
    cluster: kit.Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another replica stages and publishes a CA between our read of the Secret and our patch."""
    (replica,) = await cluster.healthy_replicas()
    before = cluster.stored()
    staged = pki_kit.take(pki_kit.plan.Action.STAGE_CA, before)
    refresh = replica.source.refresh
    mutating = replica.ca_bundles[0]

    async def late_answer() -> bytes | None:
        monkeypatch.setattr(replica.source, "refresh", refresh)
        cluster.set_bundle(staged.bundle())
        newest = cluster.server.objects[api.MUTATING]["", "si"]
        version = api.resource_version(newest)
        await fake_api.eventually(lambda: api.resource_version(mutating.live or newest) == version)
        cluster.set_data(pki_kit.secret_data.encode(staged))
        return before.bundle()

    monkeypatch.setattr(replica.source, "refresh", late_answer)
    written = patches(cluster)
    cluster.clock.move(rate_limit.STABLE_SECONDS)
    cluster.set_bundle(b"")
    await fake_api.eventually(lambda: replica.source.bundle() == staged.bundle())
    await cluster.settle()
    assert patches(cluster) == written


async def test_a_patch_that_comes_too_late_is_not_repeated(cluster: kit.Cluster) -> None:
    replicas = await cluster.healthy_replicas(5)
    cluster.clock.move(rate_limit.STABLE_SECONDS)
    cluster.set_bundle(b"")
    await cluster.settle()
    await cluster.idle()
    written = [
        replica.metric("writes_total", object=MUTATING, result="written") for replica in replicas
    ]
    assert sum(value or 0 for value in written) == 2  # The first fill, and one repair.


async def test_a_writer_that_keeps_rewriting_it_is_answered_five_times_and_then_once_a_minute(
    cluster: kit.Cluster,
) -> None:
    await cluster.healthy_replicas(3)
    cluster.clock.move(rate_limit.STABLE_SECONDS)
    repaired = 0
    for _ in range(60):
        cluster.set_bundle(b"")
        await cluster.idle()
        repaired += cluster.healthy()
        cluster.clock.move(1)
    assert repaired == rate_limit.FAST_TRIES
    (event,) = cluster.server.objects[api.EVENTS].values()
    assert event["reason"] == "CABundleRewritten"
    assert event["note"].startswith("bot keeps rewriting the caBundle")
    assert event["regarding"]["kind"] == "MutatingWebhookConfiguration"
    cluster.clock.move(rate_limit.SLOW_SECONDS)
    cluster.set_bundle(b"x")
    await cluster.settle()


def test_the_other_manager_is_the_owner_of_the_bundle_or_the_last_writer() -> None:
    owns = {"f:webhooks": {"k:{}": {"f:clientConfig": {"f:caBundle": {}}}}}
    helm = {"manager": "helm", "time": "2026-01-02", "fieldsV1": {"f:webhooks": {".": {}}}}
    argo = {"manager": "argocd", "time": "2026-01-01", "fieldsV1": owns}
    ours = {"manager": "sidecar-injector", "time": "2026-01-03", "fieldsV1": owns}

    def named(*managers: api.Json) -> list[str]:
        return webhook_configuration.other_managers({"metadata": {"managedFields": list(managers)}})

    assert named(helm, argo, ours) == ["argocd"]
    assert named(helm, ours) == ["helm"]
    assert named(ours) == []


def test_only_what_every_entry_carries_counts_as_trusted() -> None:
    def configured(*bundles: bytes) -> api.Json:
        return {
            "webhooks": [
                {"clientConfig": {"caBundle": base64.b64encode(value).decode()}}
                for value in bundles
            ]
        }

    both, single = pki_kit.SWITCHED.bundle(), pki_kit.SWITCHED.ca.certificate
    assert len(webhook_configuration.common_cas(configured(both, both))) == 2
    assert len(webhook_configuration.common_cas(configured(both, single))) == 1
    assert not webhook_configuration.common_cas(configured(both, b""))


async def test_nothing_counts_as_trusted_that_one_of_the_configurations_lacks(
    cluster: kit.Cluster,
) -> None:
    (replica,) = await cluster.healthy_replicas()
    await fake_api.eventually(replica.trust.live_cas)
    cluster.server.failures["patch", "validatingwebhookconfigurations"] = [
        fake_api.refusal(403, "Forbidden")
    ]
    cluster.set_bundle(b"", api.VALIDATING)
    await cluster.idle()
    assert not replica.trust.live_cas()
    cluster.server.take(api.VALIDATING, name="si")
    await fake_api.eventually(replica.trust.live_cas)


async def test_the_first_bundle_is_written_and_a_damaged_one_repaired(
    cluster: kit.Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await cluster.healthy_replicas()
    assert "caBundle written" in caplog.text
    assert "repaired" not in caplog.text
    cluster.clock.move(rate_limit.STABLE_SECONDS)
    cluster.set_bundle(b"rubbish")
    await cluster.settle()
    assert "caBundle repaired" in caplog.text


async def test_a_read_that_fails_is_not_the_one_of_this_minute(cluster: kit.Cluster) -> None:
    (replica,) = await cluster.healthy_replicas()
    (bundles, *_) = replica.ca_bundles
    cluster.clock.move(loop.TICK_SECONDS)
    reads = "get", MUTATING
    cluster.server.failures[reads] = [fake_api.refusal(500, "InternalError")]
    with pytest.raises(api.ApiError):
        await bundles.reconcile()
    before = cluster.server.calls[reads]
    await bundles.reconcile()
    assert cluster.server.calls[reads] == before + 1
