"""Replicas of two rollouts, side by side: they settle, and serve what API servers accept."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable

import pytest

from sidecar_injector import names
from sidecar_injector.controllers import rate_limit
from sidecar_injector.kube import api
from sidecar_injector.pki import checks, plan, secret_data
from tests.kits import certificates as kit
from tests.kits import fake_api
from tests.kits import pki as pki_kit

VERIFIED = names.verified_dns_name(service="si", namespace="ns")


def policy(domain: str = "cluster.local", **changes: int) -> plan.Policy:
    """The policy of a release with this `clusterDomain`."""
    dns_names = names.service_dns_names(service="si", namespace="ns", cluster_domain=domain)
    changed: plan.Policy = dataclasses.replace(pki_kit.POLICY, dns_names=dns_names, **changes)
    return changed


def secret_writes(cluster: kit.Cluster) -> float:
    """Writes of all replicas that the API server accepted."""
    labels = {"object": "secret", "result": "written"}
    return sum(replica.metric("writes_total", **labels) or 0 for replica in cluster.replicas)


def assert_accepted(cluster: kit.Cluster) -> None:
    """Every replica serves a certificate that an API server accepts by the live bundle."""
    (bundle,) = set(cluster.bundles())
    for replica in cluster.replicas:
        served = replica.serving()
        assert served
        (leaf,) = checks.certificates(served, field=names.TLS_CERT)
        assert VERIFIED in checks.dns_names_of(leaf)
        assert checks.issued_by([leaf], checks.certificates(bundle, field=names.CA_CERT))
        assert not checks.validity(leaf, field=names.TLS_CERT, now=cluster.clock.now())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(policy(), policy("example.org"), id="another-domain"),
        pytest.param(policy(), policy(leaf_seconds=3600), id="shorter-leaves"),
        pytest.param(policy(), policy(ca_seconds=86_400, leaf_seconds=3600), id="shorter-cas"),
        pytest.param(policy(), policy(roll_wait_seconds=3600), id="a-longer-wait"),
        pytest.param(
            policy(ca_seconds=7000, leaf_seconds=3600),
            policy("example.org", roll_wait_seconds=3600),
            id="a-ca-that-ends-too-soon-for-the-other",
        ),
    ],
)
async def test_replicas_of_two_settings_settle_within_a_few_writes(
    cluster: kit.Cluster, before: plan.Policy, after: plan.Policy
) -> None:
    cluster.start(2, policy=before)
    await cluster.settle()
    written = secret_writes(cluster)
    cluster.start(2, policy=after)
    await cluster.settle()
    assert_accepted(cluster)
    for _ in range(60):
        cluster.clock.move(1)
        for replica in cluster.replicas:
            await replica.source.reconcile()
        await cluster.idle()
        assert_accepted(cluster)
    assert secret_writes(cluster) - written <= 5
    written = secret_writes(cluster)
    cluster.clock.move(60)
    for replica in cluster.replicas:
        await replica.source.reconcile()
    await cluster.idle()
    assert secret_writes(cluster) == written


async def test_a_leaf_with_the_names_of_both_settings_lasts_until_its_date(
    cluster: kit.Cluster,
) -> None:
    old = cluster.start(policy=policy())
    await cluster.settle()
    cluster.start(policy=policy("example.org"))
    await cluster.idle()
    both = {*policy().dns_names, *policy("example.org").dns_names}
    assert set(checks.dns_names_of(cluster.stored().leaf.parsed())) == both
    await old[0].stop()
    cluster.replicas.remove(old[0])
    cluster.clock.move(20 * 86_400)
    await cluster.replicas[0].source.reconcile()
    await cluster.settle()
    expected = set(policy("example.org").dns_names)
    assert set(checks.dns_names_of(cluster.stored().leaf.parsed())) == expected


def test_the_names_of_a_leaf_do_not_grow_without_end() -> None:
    current = pki_kit.FIRST
    for number in range(2 * plan.MOST_DNS_NAMES):
        wanted = policy(f"domain-{number}.org")
        step = plan.Step(plan.Action.RENEW_LEAF, "a test")
        current = pki_kit.applied(step, pki_kit.state(secret=current), wanted)
        present = checks.dns_names_of(current.leaf.parsed())
        assert set(wanted.dns_names) <= set(present)
        assert len(present) <= plan.MOST_DNS_NAMES


async def test_a_leaf_that_lacks_only_our_domain_is_served_while_it_cannot_be_replaced(
    cluster: kit.Cluster,
) -> None:
    cluster.create_secret(secret_data.encode(pki_kit.FIRST))
    cluster.server.take(api.DEPLOYMENTS, name="si", namespace="ns")
    (replica,) = cluster.start(policy=policy("example.org"))
    await fake_api.eventually(replica.serving)
    assert secret_writes(cluster) == 0
    assert replica.serving() == pki_kit.FIRST.leaf.certificate


def other_names(cluster: kit.Cluster) -> None:
    """A replica that knows nothing of our names renews the leaf, whenever it lacks its own."""
    stored = cluster.stored()
    if checks.dns_names_of(stored.leaf.parsed()) == [VERIFIED, "its.own"]:
        return
    changed = pki_kit.with_leaf(stored, dns_names=[VERIFIED, "its.own"])
    newer = dataclasses.replace(changed, generation=stored.generation + 1)
    cluster.set_data(secret_data.encode(newer))


def rotation(cluster: kit.Cluster) -> None:
    """A GitOps tool puts the annotation back that we remove."""
    cluster.request_rotation(plan.LEAF)


def restored_backup(cluster: kit.Cluster) -> None:
    cluster.set_data(secret_data.encode(pki_kit.FIRST))


def corruption(cluster: kit.Cluster) -> None:
    cluster.set_data({})


@pytest.mark.parametrize("rival", [other_names, rotation, restored_backup, corruption])
async def test_a_rival_of_the_secret_is_answered_five_times_and_then_once_a_minute(
    cluster: kit.Cluster, rival: Callable[[kit.Cluster], None]
) -> None:
    (replica,) = await cluster.healthy_replicas()
    cluster.clock.move(rate_limit.STABLE_SECONDS)
    writes = []
    for second in range(300):
        before = secret_writes(cluster)
        rival(cluster)
        await reconcile_and_settle(replica)
        writes += [second // 60] * int(secret_writes(cluster) - before)
        assert_accepted(cluster)
        cluster.clock.move(1)
    assert [writes.count(minute) for minute in range(5)] == [rate_limit.FAST_TRIES, 1, 1, 1, 1]


async def test_repairs_do_not_delay_a_rotation(cluster: kit.Cluster) -> None:
    (replica,) = await cluster.healthy_replicas()
    cluster.clock.move(rate_limit.STABLE_SECONDS)
    for _ in range(rate_limit.FAST_TRIES):
        corruption(cluster)
        await reconcile_and_settle(replica)
    before = cluster.stored()
    rotation(cluster)
    await reconcile_and_settle(replica)
    assert cluster.stored().generation == before.generation + 1
    assert cluster.stored().leaf != before.leaf


async def reconcile_and_settle(replica: kit.Replica) -> None:
    await replica.source.reconcile()
    for _ in range(30):
        await asyncio.sleep(0)
