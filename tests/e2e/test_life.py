"""A replica's life as the chart sets it: readiness, liveness, and the time that it has to end."""

import contextlib
import datetime
import json
import os
import signal
from collections.abc import Iterator

import pytest

from sidecar_injector import settings
from tests.kits import e2e as kit
from tests.kits import e2e_load as steady
from tests.kits import e2e_replicas as replicas
from tools.node import node, product

DRAIN = settings.variable("drain_seconds")
SEEN = "tests.invalid/seen"
"""A finalizer: a pod that has ended stays until a test has looked at it."""


@contextlib.contextmanager
def remembered(release: product.Product, replica: kit.Json) -> Iterator[None]:
    """The replica's pod stays in the API until the block ends, dead or alive."""

    def finalizers(names: list[str] | None) -> None:
        patch = json.dumps({"metadata": {"finalizers": names}})
        release.kubectl(
            "patch", "pod", replicas.name_of(replica), "--type=merge", f"--patch={patch}"
        )

    finalizers([SEEN])
    try:
        yield
    finally:
        finalizers(None)


def now() -> str:
    """As the API writes it, and finer."""
    return datetime.datetime.now(datetime.UTC).isoformat()


def read(release: product.Product, replica: kit.Json) -> kit.Json:
    """The replica's pod as it is now."""
    path = f"/api/v1/namespaces/{release.namespace}/pods/{replicas.name_of(replica)}"
    pod: kit.Json = release.cluster.client.get(path)
    return pod


def end_of(release: product.Product, replica: kit.Json) -> kit.Json | None:
    """How the replica's container ended, once it has."""
    state: kit.Json = read(release, replica)["status"]["containerStatuses"][0]["state"]
    return state.get("terminated")


def probe(replica: kit.Json, kind: str) -> tuple[int, int]:
    """After how many failures, and how many seconds apart, the kubelet acts."""
    configured = replica["spec"]["containers"][0][f"{kind.lower()}Probe"]
    return configured["failureThreshold"], configured["periodSeconds"]


def killing(release: product.Product, replica: kit.Json, why: str) -> kit.Json:
    """The only Event of its kind; the same pod may have been killed before, for another reason."""
    (event,) = (
        event
        for event in replicas.events(release, replica, reason="Killing")
        if why in event["message"]
    )
    return event


@pytest.mark.own_node("stops a replica's process on the node")
def test_a_frozen_replica_leaves_the_service_and_is_restarted(
    own_node: node.Node, installed: product.Product, under_load: steady.Steady, table: kit.Table
) -> None:
    replica = installed.pods()[0]
    process = replicas.process_of(own_node, replica)
    with under_load.running(), under_load.fault(process):
        frozen = now()
        os.kill(process, signal.SIGSTOP)
        replicas.wait_left(installed, replica)
        left = replicas.seconds_between(frozen, now())
    under_load.judge("a replica frozen")
    ended = replicas.restarts(installed, replica)["lastState"]["terminated"]
    assert min(replicas.unhealthy(installed, replica).values()) > 0
    killed_at = killing(installed, replica, "failed liveness probe, will be restarted")[
        "lastTimestamp"
    ]
    alive = replicas.seconds_between(frozen, killed_at)
    for kind, passed in (("Readiness", left), ("Liveness", alive)):
        failures, period = probe(replica, kind)
        assert passed > (failures - 1) * period, kind
    # It cannot hear that it is to end, so it is killed, but not before its time.
    waited = replicas.seconds_between(killed_at, ended["finishedAt"])
    assert ended["exitCode"] == 128 + signal.SIGKILL
    assert waited >= replica["spec"]["terminationGracePeriodSeconds"] - 1
    table.facts.append(
        f"a frozen replica: out of the endpoints after {left:.0f} s, asked to end after"
        f" {alive:.0f} s, killed {waited:.0f} s later"
    )


def test_a_replica_that_is_asked_to_end_serves_on_and_drains(
    installed: product.Product, under_load: steady.Steady, table: kit.Table
) -> None:
    replica = installed.pods()[0]
    follow = ("logs", "--follow", replicas.name_of(replica), "--namespace", installed.namespace)
    with under_load.running(), installed.cluster.reading(*follow) as log:
        with remembered(installed, replica):
            installed.kubectl("delete", "pod", replicas.name_of(replica), "--wait=false")
            # Read before it ends: the kubelet then deletes it again, and both fields say "at once".
            # https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/status/status_manager.go
            metadata = read(installed, replica)["metadata"]
            assert log.stdout is not None
            printed = log.stdout.read()
            ended = installed.cluster.wait(
                "its container has ended", lambda: end_of(installed, replica), seconds=kit.SECONDS
            )
        installed.settle()
    assert "draining" in printed
    assert killing(installed, replica, "Stopping container operator")
    grace = metadata["deletionGracePeriodSeconds"]
    assert grace == replica["spec"]["terminationGracePeriodSeconds"]
    took = grace + replicas.seconds_between(metadata["deletionTimestamp"], ended["finishedAt"])
    assert (ended["exitCode"], ended["reason"]) == (0, "Completed")
    (drain,) = [
        int(variable["value"])
        for variable in replica["spec"]["containers"][0]["env"]
        if variable["name"] == DRAIN
    ]
    assert drain - 1 <= took < grace
    table.facts.append(f"a replica asked to end: gone by itself after {took:.0f} s of {grace}")
    under_load.judge("a replica deleted with grace")
