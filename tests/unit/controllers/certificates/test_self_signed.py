"""The certificate loop on one and on many replicas: it repairs every damage of the Secret."""

from __future__ import annotations

import asyncio
import base64
import datetime

import pytest

from sidecar_injector import names
from sidecar_injector.controllers import rate_limit
from sidecar_injector.kube import api
from sidecar_injector.pki import handover, plan, secret_data
from tests.kits import certificates as kit
from tests.kits import fake_api
from tests.kits import pki as pki_kit


def secret_writes(cluster: kit.Cluster) -> int:
    return cluster.server.calls["create", "secrets"] + cluster.server.calls["replace", "secrets"]


async def test_the_first_replica_makes_the_secret_as_a_tls_secret_of_the_deployment(
    cluster: kit.Cluster,
) -> None:
    await cluster.healthy_replicas()
    assert cluster.secret
    assert cluster.secret["type"] == "kubernetes.io/tls"
    (owner,) = cluster.secret["metadata"]["ownerReferences"]
    deployment = cluster.server.objects[api.DEPLOYMENTS]["ns", "si"]
    assert (owner["kind"], owner["name"]) == ("Deployment", "si")
    assert owner["uid"] == deployment["metadata"]["uid"]
    assert cluster.stored().generation == 1


@pytest.mark.parametrize("count", [2, 5, 20])
async def test_any_number_of_replicas_come_to_one_ca(cluster: kit.Cluster, count: int) -> None:
    replicas = cluster.start(count)
    await cluster.settle()
    await cluster.idle()
    assert cluster.stored().generation == 1
    assert {tuple(replica.loaded) for replica in replicas} == {(cluster.stored().leaf.certificate,)}
    written = [
        replica.metric("writes_total", object="secret", result="written") for replica in replicas
    ]
    assert sum(value or 0 for value in written) == 1


@pytest.mark.parametrize("waits_already", [False, True])
async def test_a_new_leaf_is_served_while_a_step_waits_for_the_api(
    cluster: kit.Cluster, monkeypatch: pytest.MonkeyPatch, waits_already: bool
) -> None:
    """A requested rotation waits: since the new leaf came, or since before."""
    (replica,) = await cluster.healthy_replicas()
    renewed = secret_data.encode(pki_kit.take(plan.Action.RENEW_LEAF, cluster.stored()))
    waiting = asyncio.Event()

    async def never(*_arguments: object, **_options: object) -> api.Json:
        waiting.set()
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(cluster.server, "get", never)
    if waits_already:
        cluster.request_rotation("leaf")
        await waiting.wait()
    cluster.set_data(renewed)
    cluster.request_rotation("leaf")
    leaf = cluster.stored().leaf.certificate
    await fake_api.eventually(lambda: replica.serving() == leaf, "the new leaf is served")


async def test_a_write_is_based_on_what_was_judged_not_on_what_came_in_meanwhile(
    cluster: kit.Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch delivers a stranger's Secret while we read the Deployment."""
    get = cluster.server.get
    stranger = secret_data.encode(pki_kit.OTHER)

    async def slow_get(resource: api.Resource, *, name: str, namespace: str = "") -> api.Json:
        if resource is api.DEPLOYMENTS and cluster.secret is None:
            cluster.create_secret(stranger)
            for _ in range(20):
                await asyncio.sleep(0)
        return await get(resource, name=name, namespace=namespace)

    monkeypatch.setattr(cluster.server, "get", slow_get)
    await cluster.healthy_replicas()
    assert cluster.stored() == pki_kit.OTHER


async def test_a_good_secret_is_taken_over_as_it_is(cluster: kit.Cluster) -> None:
    cluster.create_secret(secret_data.encode(pki_kit.FIRST))
    await cluster.healthy_replicas()
    assert secret_writes(cluster) == 0
    assert cluster.stored() == pki_kit.FIRST


async def test_a_deleted_secret_comes_back_with_the_same_contents(cluster: kit.Cluster) -> None:
    (replica, *_) = await cluster.healthy_replicas(3)
    before = cluster.stored()
    cluster.server.take(api.SECRETS, name="si-tls", namespace="ns")
    await cluster.settle()
    assert cluster.stored() == before
    assert len(replica.loaded) == 1


def emptied(_: secret_data.CertificateSet) -> dict[str, str]:
    return {"tls.crt": "", "tls.key": ""}


def swapped_key(good: secret_data.CertificateSet) -> dict[str, str]:
    return {**secret_data.encode(good), "tls.key": secret_data.encode(pki_kit.OTHER)["tls.key"]}


def truncated(good: secret_data.CertificateSet) -> dict[str, str]:
    cut = base64.b64encode(good.leaf.certificate[:200]).decode()
    return {**secret_data.encode(good), "tls.crt": cut}


@pytest.mark.parametrize("corruption", [emptied, swapped_key, truncated])
async def test_a_corrupt_secret_is_healed_from_memory_and_never_served(
    cluster: kit.Cluster, corruption: object
) -> None:
    replicas = await cluster.healthy_replicas(2)
    before = cluster.stored()
    assert callable(corruption)
    cluster.set_data(corruption(before))
    await cluster.settle()
    assert cluster.stored() == before
    assert [len(replica.loaded) for replica in replicas] == [1, 1]


async def test_an_older_backup_is_answered_with_the_newer_generation(cluster: kit.Cluster) -> None:
    await cluster.healthy_replicas()
    assert cluster.secret
    old = dict(cluster.secret["data"])
    cluster.request_rotation(plan.LEAF)
    await fake_api.eventually(lambda: cluster.stored().generation == 2 and cluster.healthy())
    newer = cluster.stored()
    cluster.set_data(old)
    await cluster.settle()
    assert cluster.stored() == newer


async def test_a_cold_start_on_a_corrupt_secret_keeps_the_ca_that_is_intact(
    cluster: kit.Cluster,
) -> None:
    cluster.create_secret(swapped_key(pki_kit.FIRST), labels={"keep": "me"}, type="Opaque")
    await cluster.healthy_replicas()
    assert cluster.stored().ca == pki_kit.FIRST.ca
    assert cluster.secret
    assert cluster.secret["type"] == "Opaque"  # It cannot be changed.
    assert cluster.secret["metadata"]["labels"] == {"keep": "me"}


async def test_the_leaf_is_renewed_in_time_everywhere_and_nothing_else_changes(
    cluster: kit.Cluster,
) -> None:
    replicas = await cluster.healthy_replicas(3)
    before, bundle_writes = cluster.stored(), cluster.server.calls.total()
    cluster.clock.move(20 * 86_400)
    await replicas[1].source.reconcile()
    await fake_api.eventually(lambda: cluster.stored().leaf != before.leaf and cluster.healthy())
    assert cluster.stored().ca == before.ca
    assert [len(replica.loaded) for replica in replicas] == [2, 2, 2]
    assert cluster.server.calls["patch", "mutatingwebhookconfigurations"] <= 3
    assert cluster.server.calls.total() - bundle_writes < 30
    assert (
        replicas[0].metric("certificate_expiration_timestamp_seconds", certificate="leaf")
        == cluster.stored().leaf.parsed().not_valid_after_utc.timestamp()
    )


async def test_a_requested_rotation_is_done_once_and_the_request_removed(
    cluster: kit.Cluster,
) -> None:
    replicas = await cluster.healthy_replicas(3)
    cluster.request_rotation(plan.LEAF)
    await fake_api.eventually(lambda: all(len(replica.loaded) == 2 for replica in replicas))
    await cluster.idle()
    assert cluster.stored().generation == 2
    assert cluster.secret
    assert cluster.secret["metadata"]["annotations"] == {"kept": "yes"}


async def test_a_ca_roll_goes_through_all_its_steps_in_order(cluster: kit.Cluster) -> None:
    replicas = await cluster.healthy_replicas(3)
    first = cluster.stored()
    staged = await cluster.stage_ca()
    assert cluster.bundles() == [staged.bundle()] * 2
    assert staged.leaf == first.leaf

    cluster.clock.move(59)
    await replicas[0].source.reconcile()
    await cluster.idle()
    assert cluster.stored() == staged

    cluster.clock.move(1)
    await replicas[2].source.reconcile()
    await fake_api.eventually(lambda: cluster.stored().next_ca is None and cluster.healthy())
    switched = cluster.stored()
    assert switched.ca == staged.next_ca
    assert cluster.bundles() == [staged.bundle()] * 2

    cluster.clock.move(30 * 86_400)
    await replicas[1].source.reconcile()
    await fake_api.eventually(lambda: cluster.stored().previous is None and cluster.healthy())
    assert cluster.bundles() == [switched.ca.certificate] * 2


async def test_the_wait_of_a_roll_starts_again_when_the_bundle_was_wiped(
    cluster: kit.Cluster,
) -> None:
    (replica,) = await cluster.healthy_replicas()
    staged = await cluster.stage_ca()
    cluster.clock.move(59)
    cluster.set_bundle(staged.ca.certificate)
    await cluster.settle()
    cluster.clock.move(59)
    await replica.source.reconcile()
    assert cluster.stored() == staged
    cluster.clock.move(1)
    await replica.source.reconcile()
    assert cluster.stored().next_ca is None


async def test_the_wait_starts_again_when_events_were_missed(cluster: kit.Cluster) -> None:
    (replica,) = await cluster.healthy_replicas()
    staged = await cluster.stage_ca()
    cluster.clock.move(59)
    cluster.set_bundle(staged.ca.certificate)  # Wiped and repaired while nobody could see it.
    cluster.set_bundle(staged.bundle())
    cluster.server.expire()
    cluster.server.break_watches()
    lists = cluster.server.calls["list", "mutatingwebhookconfigurations"]
    await fake_api.eventually(
        lambda: cluster.server.calls["list", "mutatingwebhookconfigurations"] > lists + 1
    )
    await cluster.idle()
    cluster.clock.move(1)
    await replica.source.reconcile()
    assert cluster.stored() == staged


async def test_nothing_is_signed_by_the_new_ca_while_the_watch_is_behind(
    cluster: kit.Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    (replica,) = await cluster.healthy_replicas()
    staged = await cluster.stage_ca()
    monkeypatch.setattr(cluster.server, "_wake", lambda: None)  # The watches fall silent.
    cluster.set_bundle(b"")
    cluster.clock.move(600)
    step = await replica.source.take_due_steps()
    assert step.action is plan.Action.WAIT
    assert cluster.stored() == staged


@pytest.mark.parametrize("going", [False, True], ids=["gone", "being-deleted"])
async def test_an_uninstall_goes_on_undisturbed(cluster: kit.Cluster, *, going: bool) -> None:
    await cluster.healthy_replicas(2)
    if going:
        metadata = {"name": "si", "namespace": "ns", "deletionTimestamp": "now"}
        cluster.server.seed(api.DEPLOYMENTS, {"metadata": metadata})
    else:
        cluster.server.take(api.DEPLOYMENTS, name="si", namespace="ns")
    cluster.server.take(api.SECRETS, name="si-tls", namespace="ns")
    cluster.server.take(api.MUTATING, name="si")
    await cluster.idle()
    assert cluster.secret is None
    assert ("", "si") not in cluster.server.objects[api.MUTATING]


async def test_what_cannot_be_loaded_leaves_the_last_good_one_in_place_and_makes_one_event(
    cluster: kit.Cluster,
) -> None:
    (replica,) = await cluster.healthy_replicas()
    good = replica.serving()
    replica.unloadable = True
    cluster.request_rotation(plan.LEAF)
    await fake_api.eventually(lambda: cluster.server.objects.get(api.EVENTS))
    await replica.source.reconcile()
    await cluster.idle()
    assert replica.serving() == good
    (event,) = cluster.server.objects[api.EVENTS].values()
    assert event["reason"] == "CertificateNotLoaded"
    assert "the last good one is kept" in event["note"]


async def test_the_api_s_absence_is_survived_and_logged_once(
    cluster: kit.Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    away = api.UnreachableError(host="fake", detail="refused")
    cluster.server.failures["create", "secrets"] = [away]
    (replica,) = cluster.start()
    await fake_api.eventually(lambda: "refused" in caplog.text)
    replica.source.observe(cluster.secret)
    await cluster.settle()
    assert caplog.text.count("refused") == 1


async def test_the_issuer_counts_as_seen_once_and_for_all(cluster: kit.Cluster) -> None:
    cluster.server.take(api.MUTATING, name="si")
    (replica,) = cluster.start()
    await fake_api.eventually(replica.serving)
    await cluster.idle()
    assert not replica.source.issuer_was_live()
    cluster.server.seed(api.MUTATING, kit.configuration(1))
    await fake_api.eventually(replica.source.issuer_was_live)
    cluster.server.take(api.MUTATING, name="si")
    await cluster.idle()
    assert replica.source.issuer_was_live()


def test_the_request_annotation_is_the_documented_one() -> None:
    assert names.ROTATE_ANNOTATION == "sidecar-injector.dev/rotate"


async def test_the_adopted_certificate_is_served_although_a_write_fails(
    cluster: kit.Cluster,
) -> None:
    """Clients have refused it, and the one before it ends."""
    (replica,) = await cluster.healthy_replicas()
    end = cluster.stored().leaf.parsed().not_valid_after_utc
    cluster.clock.moment = end - datetime.timedelta(seconds=handover.LAST_SECONDS + 30)
    cluster.request_rotation(plan.LEAF)
    await fake_api.eventually(lambda: len(replica.loaded) == 2)
    for _ in range(handover.BURST):
        replica.served.refuse()
    assert replica.loaded[-1] == replica.loaded[0]
    cluster.server.failures["replace", "secrets"] = [fake_api.refusal(422, "Invalid")] * 1000
    cluster.request_rotation(plan.LEAF)
    await cluster.idle()
    cluster.clock.move(30)
    with pytest.raises(api.ApiError):
        await replica.source.reconcile()
    assert replica.loaded[-1] == cluster.stored().leaf.certificate


@pytest.mark.parametrize("is_forbidden", [False, True], ids=["rewritten", "forbidden"])
async def test_the_two_loops_do_not_wake_each_other_without_end(
    cluster: kit.Cluster, *, is_forbidden: bool
) -> None:
    """The Secret may not be created, and the bundle stays wrong."""
    await cluster.healthy_replicas()
    cluster.server.take(api.DEPLOYMENTS, name="si", namespace="ns")
    cluster.server.take(api.SECRETS, name="si-tls", namespace="ns")
    if is_forbidden:
        refusals = [fake_api.refusal(403, "Forbidden")] * 10_000
        cluster.server.failures["patch", "mutatingwebhookconfigurations"] = refusals
    for _ in range(rate_limit.FAST_TRIES + 2):
        cluster.set_bundle(b"x")
        await cluster.idle()
    before = cluster.server.calls.copy()
    await cluster.idle()
    assert cluster.server.calls == before
