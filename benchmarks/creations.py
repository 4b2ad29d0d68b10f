"""Pods created through the API server: without a webhook, with one that does nothing, with us."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from benchmarks import load, machine, product, record, results, reviews, servers
from tools.controlplane import cluster, guard, operators, release

TITLE: Final = "Pods created through the API server"
TEXT: Final = """\
A pod as a ReplicaSet makes it, created over {connections} kept-alive connections: API server, etcd,
webhook and client share the machine's cores. One case after the other in {rounds} rounds of
{seconds:g} s; medians, with the least and the most of the rounds. The do-nothing webhook is the
comparator above, registered as ours is."""
PLAIN, NOTHING, OURS = "no webhook", "do-nothing webhook", "sidecar-injector"
NAMESPACES: Final = {PLAIN: "plain", NOTHING: "nothing", OURS: product.NAMESPACE}

Runs = Mapping[str, Sequence[load.Run]]


def measure(bench: product.Bench) -> results.Result:
    """All three in turn."""
    rounds, seconds = int(bench.pick(9, 3)), bench.pick(5, 1)
    body = machine.folder() / "pod.json"
    body.write_bytes(reviews.dump(reviews.created_pod()))
    with started(bench) as plane:
        targets = [
            load.Target(
                name=case, url=f"{plane.client.server}{release.pods(namespace)}", body=body,
                token=plane.client.token, pinned=False,
            )
            for case, namespace in NAMESPACES.items()
        ]  # fmt: skip
        runs = load.interleaved(targets, rounds=rounds, seconds=seconds, report=bench.report)
    ratio = load.rate(runs[OURS]) / load.rate(runs[NOTHING])
    noise = results.Spread.of(
        ours.rate / nothing.rate for ours, nothing in zip(runs[OURS], runs[NOTHING], strict=True)
    )
    promised = results.Figure(
        name="creations against a do-nothing webhook", value=ratio, unit="×", least=0.9,
        note=f"round by round {noise}",
    )  # fmt: skip
    text = TEXT.format(connections=load.CONNECTIONS, rounds=rounds, seconds=seconds)
    return results.Result(title=TITLE, text=text, tables=[table(runs)], figures=[promised])


@contextlib.contextmanager
def started(bench: product.Bench) -> Iterator[cluster.ControlPlane]:
    """The control plane with both webhooks, each for the pods of one namespace.

    Nothing else can be measured there afterwards: it has no controllers any more, and many pods.
    """
    bench.report.begin("starting the product and another webhook")
    plane = bench.plane
    with (
        contextlib.closing(guard.Guard()) as watcher,
        product.started(plane, replicas=1) as running,
    ):
        comparators = servers.Comparators(watcher=watcher, folder=machine.folder())
        nothing = comparators.nothing(pinned=False)
        servers.wait_serving(nothing, reviews.recorded())
        configuration = record.configuration(
            "nothing",
            f"https://localhost:{nothing.port}/mutate",
            authority=comparators.certificate.authority,
            selector={"webhook": "nothing"},
        )
        plane.client.request("POST", release.CONFIGURATIONS, configuration)
        plane.create_namespace(NAMESPACES[PLAIN])
        plane.create_namespace(NAMESPACES[NOTHING], labels={"webhook": "nothing"})
        reach_directly(plane, running.replicas[0])
        # It would watch every pod, and it is not needed from now on.
        plane.controller_manager.terminate()
        plane.wait("every webhook is called", lambda: wired(plane))
        yield plane


def reach_directly(
    plane: cluster.ControlPlane,
    replica: operators.Replica,
    configuration: str = release.CONFIGURATION,
) -> None:
    """Let the API server call the replica directly: the balancer is not a part of the product."""
    webhooks = plane.client.get(configuration)["webhooks"]
    for webhook in webhooks:
        webhook["clientConfig"]["service"]["port"] = replica.backend.port
    change = {"webhooks": webhooks}
    content = "application/merge-patch+json"
    plane.client.request("PATCH", configuration, change, content=content)


def wired(plane: cluster.ControlPlane) -> bool:
    """Whether pods get what they should in each of the namespaces."""
    counts = {}
    for case, namespace in NAMESPACES.items():
        path = f"{release.pods(namespace)}?dryRun=All"
        pod = plane.client.request("POST", path, reviews.created_pod())
        counts[case] = len(pod["spec"]["containers"])
    return counts == {PLAIN: 1, NOTHING: 2, OURS: 2}


def table(runs: Runs) -> results.Table:
    """What each case costs on top of no webhook at all."""
    plain = runs[PLAIN]
    rows = [
        (
            case,
            str(results.Spread.of(run.rate for run in some)),
            str(results.Spread.of(run.p50 for run in some)),
            str(results.Spread.of(run.p99 for run in some)),
            _added([run.p50 for run in some], [run.p50 for run in plain]),
            _added([run.p99 for run in some], [run.p99 for run in plain]),
        )
        for case, some in runs.items()
    ]
    headings = ("case", "pods/s", "p50 ms", "p99 ms", "added p50 ms", "added p99 ms")
    return results.Table(headings=headings, rows=rows)


def _added(some: Sequence[float], plain: Sequence[float]) -> str:
    """Round by round, as a round shares its disturbances."""
    differences = [value - base for value, base in zip(some, plain, strict=True)]
    return str(results.Spread.of(differences)) if some != plain else "–"
