"""All replicas are dead, and injections that are compiled to a policy are still injected."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sidecar_injector import crds
from sidecar_injector.core.injections import model
from sidecar_injector.core.policies import chain
from tools.chaos import cluster, load, run, samples
from tools.chaos.rows import servers
from tools.controlplane import policies, release, waiting

Json = dict[str, Any]
NAME: Final = "chaos-dead"
REQUIRED: Final = {"app": "required"}
"""The label of the pods that must have the container of an injection with `failurePolicy: Fail`."""
MARKER: Final = {"app": "marker"}
DRY: Final = f"{release.pods(cluster.NAMESPACE)}?dryRun=All"
Creators = tuple[load.Creator, ...]


def dead(row: run.Run) -> None:
    """SIGKILL for all; `times` is how many seconds they stay away. An API server is restarted."""
    row.cluster.create_injection(cluster.PASSING, NAME)
    required = release.injection(
        "required", container="required", selector={"matchLabels": REQUIRED}, failurePolicy="Fail"
    )
    row.cluster.plane.client.request("POST", release.injections(cluster.NAMESPACE), required)
    with _policies(row), contextlib.ExitStack() as exits:
        creators = tuple(
            exits.enter_context(contextlib.closing(load.Creator(server, DRY)))
            for server in row.cluster.servers
        )
        _wait_in_force(creators)
        row.cluster.stop()
        counts = _dead(row, creators)
        _restart(row)
        for number in range(cluster.REPLICAS):
            row.cluster.start(number)
        row.cluster.wait_ready()
        row.notes.append(
            f"beside the load: {counts['required']} pods of an injection that must succeed, all"
            f" injected; {counts['conflict']} in its way, all refused by the guard;"
            f" {counts['webhook']} of an injection that is not compiled, all bare"
        )
    for namespace, name in ((cluster.NAMESPACE, "required"), (cluster.PASSING, NAME)):
        row.cluster.plane.client.request("DELETE", f"{release.injections(namespace)}/{name}")


@contextlib.contextmanager
def _policies(row: run.Run) -> Iterator[None]:
    """What `sidecar-injector compile --guard` makes of the injections of the load's namespace."""
    client = row.cluster.plane.client
    resources = client.get(release.injections(cluster.NAMESPACE))["items"]
    # One that only the policy knows shows that the policy is in force while the webhook answers.
    resources.append(_marker())
    injections = [
        model.read(each, spec_schema=crds.spec_schema(each["kind"])) for each in resources
    ]
    made = chain.compile_chain(injections, chain.Place())
    row.require(not made.left and not made.unguarded, f"not compiled: {made.left}")
    manifests = chain.manifests(made, name=NAME, guarded=True)
    policies.create(client, manifests)
    try:
        yield
    finally:
        policies.delete(client, manifests)


def _marker() -> Json:
    marker = release.injection("marker", selector={"matchLabels": MARKER})
    marker["spec"]["template"] = {"metadata": {"labels": {"marked": "true"}}}
    marker["metadata"]["namespace"] = cluster.NAMESPACE
    return marker


def _wait_in_force(creators: Creators) -> None:
    for creator in creators:
        waiting.until(functools.partial(_is_marked, creator), what="the policy is in force")


def _is_marked(creator: load.Creator) -> bool:
    return "marked" in creator.answer(_pod(MARKER))[1]


def _dead(row: run.Run, creators: Creators) -> Mapping[str, int]:
    """Beside the load, pods of other kinds, as dry runs; how many of each."""
    counts = {"required": 0, "conflict": 0, "webhook": 0}
    end = time.monotonic() + row.times
    webhook = f"{release.pods(cluster.PASSING)}?dryRun=All"
    with contextlib.closing(load.Creator(row.cluster.servers[0], webhook)) as other:
        while time.monotonic() < end:
            for creator in creators:
                _, text = creator.answer(_pod(REQUIRED))
                row.require('"name":"required"' in text, f"a required pod is bare: {text[:300]}")
                status, text = creator.answer(_pod(REQUIRED, container="required"))
                is_refused = status == 422 and "failurePolicy: Fail" in text
                row.require(is_refused, f"what must be refused is not: {status} {text[:300]}")
                counts["required"], counts["conflict"] = (
                    counts["required"] + 1, counts["conflict"] + 1
                )  # fmt: skip
            sample = other.create(load.pod())
            row.require(sample.outcome is samples.Outcome.BARE, "the webhook is not dead")
            counts["webhook"] += 1
            time.sleep(0.2)
    return counts


def _restart(row: run.Run) -> None:
    """The first pod after a start of the API server; nobody but itself knows the injections."""
    server = row.cluster.plane.apiserver
    server.terminate(seconds=servers.PATIENT_SECONDS)
    server.start()
    servers.wait_serving(row)
    with contextlib.closing(load.Creator(row.cluster.servers[0], DRY)) as creator:
        sample = creator.create(load.pod())
    is_injected = sample.outcome is samples.Outcome.INJECTED
    row.require(is_injected, f"the first pod is {sample.outcome.value}: {sample.detail}")
    row.repairs.append(sample.ended - sample.began)


def _pod(labels: Mapping[str, str], *, container: str = "app") -> Json:
    return release.pod(generateName="dead-", labels=dict(labels), container=container)
