"""The replicas of a release as the API and the kernel see them."""

import datetime

from tests.kits import e2e as kit
from tools.controlplane import waiting
from tools.node import node, product

PROBES = "Readiness", "Liveness"


def endpoints(release: product.Product) -> set[str]:
    """Names of the pods that kube-proxy may send calls to."""
    path = f"/apis/discovery.k8s.io/v1/namespaces/{release.namespace}/endpointslices"
    return {
        endpoint["targetRef"]["name"]
        for item in release.cluster.client.get(path)["items"]
        for endpoint in item["endpoints"] or ()
        if endpoint["conditions"]["ready"]
    }


def name_of(replica: kit.Json) -> str:
    return str(replica["metadata"]["name"])


def process_of(owned: node.Node, replica: kit.Json) -> int:
    (process,) = owned.group(replica, "operator").processes()
    return process


def wait_left(release: product.Product, replica: kit.Json) -> None:
    waiting.until(
        lambda: name_of(replica) not in endpoints(release),
        what=f"{name_of(replica)} has left the endpoints",
        seconds=kit.SECONDS,
    )


def restarts(release: product.Product, replica: kit.Json) -> kit.Json:
    """Its container's status, once that has been restarted since the replica was read."""
    before = replica["status"]["containerStatuses"][0]["restartCount"]

    def restarted() -> kit.Json | None:
        path = f"/api/v1/namespaces/{release.namespace}/pods/{name_of(replica)}"
        status: kit.Json = release.cluster.client.get(path)["status"]["containerStatuses"][0]
        return status if status["restartCount"] > before else None

    status = waiting.until(restarted, what="a restart", seconds=2 * kit.SECONDS)
    assert status is not None
    return status


def events(release: product.Product, replica: kit.Json, *, reason: str) -> list[kit.Json]:
    """Of this reason about one replica."""
    path = f"/api/v1/namespaces/{release.namespace}/events"
    where = f"involvedObject.name%3D{name_of(replica)},reason%3D{reason}"
    items: list[kit.Json] = release.cluster.client.get(f"{path}?fieldSelector={where}")["items"]
    return items


def unhealthy(release: product.Product, replica: kit.Json) -> dict[str, int]:
    """How often each kind of probe has failed, at least: of many Events of a pod some are not sent.

    https://github.com/kubernetes/client-go/blob/master/tools/record/events_cache.go
    """
    probe_events = events(release, replica, reason="Unhealthy")
    return {
        kind: sum(
            event["count"]
            for event in probe_events
            if event["message"].startswith(f"{kind} probe failed")
        )
        for kind in PROBES
    }


def seconds_between(earlier: str, later: str) -> float:
    """Of two times as the API writes them, which is in whole seconds."""
    begin, end = map(datetime.datetime.fromisoformat, (earlier, later))
    return (end - begin).total_seconds()
