"""Pods created through the API server: without a webhook, with one that does nothing, with us."""

from __future__ import annotations

import contextlib
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from benchmarks import figures, load, product, record, reviews, servers, stage
from sidecar_injector import names
from tools.controlplane import cluster, guard, operators

TITLE: Final = "Pods created through the API server"
TEXT: Final = """\
A pod as a ReplicaSet makes it, created over {connections} kept-alive connections: API server, etcd,
webhook and client share the machine's cores. One case after the other in {rounds} rounds of
{seconds:g} s; medians, with the least and the most of the rounds. The do-nothing webhook is the
comparator above, registered as ours is."""
PLAIN, NOTHING, OURS = "no webhook", "do-nothing webhook", "sidecar-injector"
NAMESPACES: Final = {PLAIN: "plain", NOTHING: "nothing", OURS: product.NAMESPACE}
CONFIGURATION: Final = f"{record.WEBHOOKS}/{names.PRODUCT}"
JSON_PATCH: Final = "application/json-patch+json"

Runs = Mapping[str, Sequence[load.Run]]


def measure(scene: stage.Stage) -> stage.Result:
    """All three in turn."""
    rounds, seconds = int(scene.pick(9, 3)), scene.pick(5, 1)
    with started(scene, stage.folder()) as plane:
        runs = interleaved(scene, plane, rounds=rounds, seconds=seconds)
    ratio = rate(runs, OURS) / rate(runs, NOTHING)
    noise = figures.Spread.of(
        ours.rate / nothing.rate for ours, nothing in zip(runs[OURS], runs[NOTHING], strict=True)
    )
    kept = figures.Figure(
        name="creations against a do-nothing webhook", value=ratio, unit="×", least=0.9,
        note=f"round by round {noise}",
    )  # fmt: skip
    text = TEXT.format(connections=load.CONNECTIONS, rounds=rounds, seconds=seconds)
    return stage.Result(title=TITLE, text=text, tables=[table(runs)], figures=[kept])


@contextlib.contextmanager
def started(scene: stage.Stage, folder: pathlib.Path) -> Iterator[cluster.ControlPlane]:
    """The control plane with both webhooks, each for the pods of one namespace.

    Nothing else can be measured there afterwards: it has no controllers any more, and many pods.
    """
    scene.report.begin("starting the product and another webhook")
    plane = scene.plane
    with (
        contextlib.closing(guard.Guard()) as watcher,
        product.started(plane, replicas=1) as running,
    ):
        comparators = servers.Comparators(watcher=watcher, folder=folder)
        nothing = comparators.nothing(pinned=False)
        servers.wait_serving(nothing, reviews.recorded())
        configuration = record.configuration(
            "nothing",
            f"https://localhost:{nothing.port}/mutate",
            authority=comparators.certificate.authority,
            selector={"webhook": "nothing"},
        )
        plane.client.request("POST", record.WEBHOOKS, configuration)
        plane.create_namespace(NAMESPACES[PLAIN])
        plane.create_namespace(NAMESPACES[NOTHING], labels={"webhook": "nothing"})
        reach_directly(plane, running.replicas[0])
        # It would watch every pod, and nobody needs anything of it from now on.
        plane.controller_manager.terminate()
        plane.wait("every webhook is called", lambda: wired(plane))
        yield plane


def reach_directly(plane: cluster.ControlPlane, replica: operators.Replica) -> None:
    """Let the API server dial the replica itself: the balancer is no part of the product."""
    path = "/webhooks/0/clientConfig/service/port"
    change: Any = [{"op": "replace", "path": path, "value": replica.backend.port}]
    plane.client.request("PATCH", CONFIGURATION, change, content=JSON_PATCH)


def wired(plane: cluster.ControlPlane) -> bool:
    """Whether pods get what they should in each of the namespaces."""
    counts = {
        case: len(
            plane.client.request("POST", f"{pods(space)}?dryRun=All", pod())["spec"]["containers"]
        )
        for case, space in NAMESPACES.items()
    }
    return counts == {PLAIN: 1, NOTHING: 2, OURS: 2}


def interleaved(
    scene: stage.Stage, plane: cluster.ControlPlane, *, rounds: int, seconds: float
) -> Runs:
    """By case; a first round is thrown away."""
    body = stage.folder() / "pod.json"
    body.write_bytes(reviews.dump(pod()))
    runs: dict[str, list[load.Run]] = {case: [] for case in NAMESPACES}
    for number in range(rounds + 1):
        for case, space in NAMESPACES.items():
            scene.report.tick(f"round {number} of {rounds}: {case}")
            target = load.Target(
                name=case,
                url=f"{plane.client.server}{pods(space)}",
                body=body,
                token=plane.client.token,
                pinned=False,
            )
            ran = load.run(target, seconds=seconds if number else 1)
            if number:
                runs[case].append(ran)
    return runs


def table(runs: Runs) -> stage.Table:
    """What each case costs on top of no webhook at all."""
    plain = runs[PLAIN]
    rows = [
        (
            case,
            str(figures.Spread.of(run.rate for run in some)),
            str(figures.Spread.of(run.p50 for run in some)),
            str(figures.Spread.of(run.p99 for run in some)),
            _added([run.p50 for run in some], [run.p50 for run in plain]),
            _added([run.p99 for run in some], [run.p99 for run in plain]),
        )
        for case, some in runs.items()
    ]
    headings = ("case", "pods/s", "p50 ms", "p99 ms", "added p50 ms", "added p99 ms")
    return stage.Table(headings=headings, rows=rows)


def pods(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


def pod() -> dict[str, Any]:
    """The recorded pod as its creator sent it: the API server has added the token since."""
    found: dict[str, Any] = json.loads(reviews.recorded())["request"]["object"]
    metadata, spec = found["metadata"], found["spec"]
    kept = {key: metadata[key] for key in ("generateName", "labels")}
    spec["volumes"] = without_token(spec["volumes"])
    for container in spec["containers"]:
        container["volumeMounts"] = without_token(container["volumeMounts"])
    return {"apiVersion": "v1", "kind": "Pod", "metadata": kept, "spec": spec}


def without_token(named: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """These volumes, or mounts of volumes, but for the one that the API server adds."""
    return [one for one in named if not one["name"].startswith(names.TOKEN_VOLUME_PREFIX)]


def rate(runs: Runs, case: str) -> float:
    return figures.Spread.of(run.rate for run in runs[case]).median


def _added(some: Sequence[float], plain: Sequence[float]) -> str:
    """Round by round, as a round shares its disturbances."""
    differences = [one - other for one, other in zip(some, plain, strict=True)]
    return str(figures.Spread.of(differences)) if some != plain else "–"
