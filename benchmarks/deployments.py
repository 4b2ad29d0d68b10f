"""Deployments created through the API server: what the webhook that only warns adds."""

from __future__ import annotations

import contextlib
import http
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from benchmarks import creations, errors, product, results
from sidecar_injector import names
from tools.controlplane import cluster, release

TITLE: Final = "Deployments created through the API server"
TEXT: Final = """\
One Deployment after the other on one kept-alive connection, in turn in a namespace without a
webhook, in one whose webhook answers 404, and in an enabled one; {count} in each. Either they have
no mistake, so no warning, or an annotation that names no injection, so one warning. Medians of the
milliseconds that the client waits, and of the differences; processor time of the replica for the
404 and our answer together."""
PLAIN, NOTHING = "plain-deployments", "nothing-deployments"
NAMESPACES: Final = (PLAIN, NOTHING, product.NAMESPACE)
CASES: Final[Mapping[str, Mapping[str, str]]] = {
    "correct": {},
    "with a wrong name": {names.INJECT_ANNOTATION: "nginks"},
}
"""Each with the annotations of its template."""
MOST_ADDED: Final = 2.0
"""Milliseconds."""
UNCOUNTED: Final = 10
"""The first ones open connections and fill caches."""
HEADINGS: Final = (
    "Deployment", "no webhook, ms", "added by 404, ms", "added by ours, ms", "replica, ms",
)  # fmt: skip


def measure(bench: product.Bench) -> results.Result:
    """The namespaces in turn, for each kind of Deployment."""
    count = int(bench.pick(400, 100))
    rows, figures = [], []
    with product.started(bench.plane, replicas=1) as running:
        replica = running.replicas[0]
        creations.reach_directly(bench.plane, replica, release.VALIDATING)
        _create_namespaces(bench.plane)
        for case, annotations in CASES.items():
            bench.report.begin(f"creating Deployments, {case}")
            before = replica.cpu_seconds()
            waited = _creations(bench.plane, annotations, count)
            spent = (replica.cpu_seconds() - before) / (count + UNCOUNTED) * 1e3
            nothing, ours = (
                _added(waited[namespace], waited[PLAIN]) for namespace in NAMESPACES[1:]
            )
            cells = (statistics.median(waited[PLAIN]), nothing, ours, spent)
            rows.append((case, *(f"{cell:.2f}" for cell in cells)))
            figures.append(
                results.Figure(
                    name=f"added to the creation of a Deployment, {case}", value=ours, unit="ms",
                    most=MOST_ADDED, note=f"a webhook that answers 404 adds {nothing:.2f}",
                )
            )  # fmt: skip
    return results.Result(
        title=TITLE, text=TEXT.format(count=count), figures=figures,
        tables=[results.Table(headings=HEADINGS, rows=rows)],
    )  # fmt: skip


def _create_namespaces(plane: cluster.ControlPlane) -> None:
    """The one without a webhook, and the one with a webhook like ours that has another path."""
    plane.create_namespace(PLAIN)
    plane.create_namespace(NOTHING, labels={"webhook": NOTHING})
    webhooks = plane.client.get(release.VALIDATING)["webhooks"]
    webhook = next(item for item in webhooks if item["name"] == names.WORKLOADS_WEBHOOK)
    webhook["namespaceSelector"] = {"matchLabels": {"webhook": NOTHING}}
    webhook["clientConfig"]["service"]["path"] = "/nothing"
    configuration = {"metadata": {"name": NOTHING}, "webhooks": [webhook]}
    plane.client.request("POST", release.VALIDATING.rpartition("/")[0], configuration)


def _creations(
    plane: cluster.ControlPlane, annotations: Mapping[str, str], count: int
) -> dict[str, list[float]]:
    """Milliseconds of each creation, by namespace."""
    labels = {"app": "web"}
    body: Any = {
        "metadata": {"generateName": "web-"},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": release.pod(labels=labels, annotations=annotations),
        },
    }
    waited: dict[str, list[float]] = {namespace: [] for namespace in NAMESPACES}
    with contextlib.closing(plane.client.connect()) as connection:
        for number in range(UNCOUNTED + count):
            for namespace, milliseconds in waited.items():
                path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
                began = time.perf_counter()
                status, _ = plane.client.send(connection, "POST", path, body)
                if status != http.HTTPStatus.CREATED:
                    raise errors.WrongAnswerError(server=path, seen=status, wanted="created")
                if number >= UNCOUNTED:
                    milliseconds.append((time.perf_counter() - began) * 1e3)
    return waited


def _added(some: Sequence[float], plain: Sequence[float]) -> float:
    """The median of the differences: each pair shares its disturbances."""
    return statistics.median(value - base for value, base in zip(some, plain, strict=True))
