"""A response is older than what the watch told meanwhile: only the watch sets state."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

import pytest

from sidecar_injector.controllers import loop, rate_limit
from sidecar_injector.controllers.certificates import secret_store
from sidecar_injector.kube import api
from sidecar_injector.observability import metrics
from sidecar_injector.pki import secret_data
from tests.kits import certificates as kit
from tests.kits import fake_api
from tests.kits import pki as pki_kit

MUTATING = "mutatingwebhookconfigurations"


def answer_late(
    monkeypatch: pytest.MonkeyPatch,
    cluster: kit.Cluster,
    method: str,
    resource: api.Resource,
    rival: Callable[[], None],
) -> list[str]:
    """The rival writes after the API server has done the next call, and before its response.

    Returns the methods that were delayed so far.
    """
    call = getattr(cluster.server, method)
    delayed: list[str] = []

    async def slow(called: api.Resource, *arguments: Any, **options: Any) -> api.Json:
        response: api.Json = await call(called, *arguments, **options)
        if called == resource and not delayed:
            delayed.append(method)
            rival()
            # The watch tells both writes before the response arrives.
            for _ in range(50):
                await asyncio.sleep(0)
        return response

    monkeypatch.setattr(cluster.server, method, slow)
    return delayed


async def test_a_rival_that_answers_our_patch_before_its_response_is_repaired(
    cluster: kit.Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    (replica,) = await cluster.healthy_replicas()
    cluster.clock.move(rate_limit.STABLE_SECONDS)
    delayed = answer_late(
        monkeypatch, cluster, "patch", api.MUTATING, lambda: cluster.set_bundle(b"rival")
    )
    cluster.set_bundle(b"")
    await fake_api.eventually(lambda: delayed)
    await cluster.settle()
    in_sync = functools.partial(replica.metric, "ca_bundle_in_sync", configuration=MUTATING)
    await fake_api.eventually(lambda: in_sync() == 1)


async def test_a_rival_that_answers_our_read_is_repaired(
    cluster: kit.Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cluster.healthy_replicas()
    cluster.clock.move(loop.TICK_SECONDS)
    delayed = answer_late(
        monkeypatch, cluster, "get", api.MUTATING, lambda: cluster.set_bundle(b"rival")
    )
    cluster.set_bundle(b"")
    await fake_api.eventually(lambda: delayed)
    await cluster.settle()


async def test_a_bundle_that_the_watch_does_not_tell_of_is_repaired_at_the_tick(
    cluster: kit.Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    (replica,) = await cluster.healthy_replicas()
    good = cluster.bundles()
    monkeypatch.setattr(cluster.server, "_wake", lambda: None)  # The watches fall silent.
    cluster.set_bundle(b"")
    cluster.clock.move(loop.TICK_SECONDS)
    await replica.ca_bundles[0].reconcile()
    assert cluster.bundles() == good


async def test_the_metric_follows_what_is_read_at_the_tick(
    cluster: kit.Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    (replica,) = await cluster.healthy_replicas()
    monkeypatch.setattr(cluster.server, "_wake", lambda: None)
    cluster.server.failures["patch", MUTATING] = [fake_api.refusal(403, "Forbidden")] * 50
    cluster.set_bundle(b"")
    cluster.clock.move(loop.TICK_SECONDS)
    with pytest.raises(api.ApiError):
        await replica.ca_bundles[0].reconcile()
    assert replica.metric("ca_bundle_in_sync", configuration=MUTATING) == 0


async def test_a_configuration_that_cert_manager_writes_is_only_watched(
    cluster: kit.Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chart grants no more in that mode."""
    (replica,) = await cluster.healthy_replicas()
    monkeypatch.setattr(replica.source, "bundle", lambda: None)
    reads = cluster.server.calls["get", MUTATING]
    for _ in range(3):
        cluster.clock.move(loop.TICK_SECONDS)
        assert await replica.ca_bundles[0].reconcile() > 0
    assert cluster.server.calls["get", MUTATING] == reads


@pytest.mark.parametrize("method", ["replace", "get"])
async def test_a_rival_of_the_secret_that_answers_before_our_response_is_repaired(
    cluster: kit.Cluster, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """After the rotation everything looks well in the response, and no event would follow."""
    await cluster.healthy_replicas()
    cluster.clock.move(rate_limit.STABLE_SECONDS)
    delayed = answer_late(monkeypatch, cluster, method, api.SECRETS, lambda: cluster.set_data({}))
    cluster.request_rotation("leaf")
    await fake_api.eventually(lambda: delayed)
    await cluster.settle()
    assert isinstance(cluster.stored(), secret_data.CertificateSet)


async def test_a_rival_that_answers_the_first_write_of_the_secret_is_repaired(
    cluster: kit.Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = secret_data.encode(pki_kit.OTHER)
    delayed = answer_late(
        monkeypatch, cluster, "create", api.SECRETS, lambda: cluster.set_data(other)
    )
    await cluster.healthy_replicas()
    assert delayed


async def test_a_read_of_the_secret_does_not_replace_what_the_watch_told_meanwhile(
    cluster: kit.Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = secret_store.SecretStore(
        cluster.server, secret_ref=kit.SECRET_REF, metrics=metrics.Metrics()
    )
    cluster.create_secret(secret_data.encode(pki_kit.FIRST))

    def renew() -> None:
        cluster.set_data(secret_data.encode(pki_kit.STAGED))
        store.observe(cluster.secret)

    answer_late(monkeypatch, cluster, "get", api.SECRETS, renew)
    await store.read()
    assert store.content() == pki_kit.STAGED
    await store.read()
    assert store.content() == pki_kit.STAGED
