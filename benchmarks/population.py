"""Namespaces and injections by the thousand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from benchmarks import bulk, machine, product
from sidecar_injector import names
from tools.controlplane import cluster, operators, progress, waiting

NAMESPACES: Final = "/api/v1/namespaces"
QUIET_SHARE: Final = 0.05
"""Of a core: what a replica with nothing to do stays below."""
LOOK_SECONDS: Final = 0.5


class Population:
    """Fills a cluster step by step and waits until every replica has digested it."""

    def __init__(
        self,
        plane: cluster.ControlPlane,
        running: operators.Operators,
        *,
        report: progress.Progress,
    ) -> None:
        self._plane, self._running, self._report = plane, running, report
        self._writers = bulk.Writers(plane)
        self._namespaces = 0

    def namespaces(self, count: int) -> None:
        """As many enabled namespaces as that, in all."""
        calls: Iterator[bulk.Call] = (
            ("POST", NAMESPACES, namespace(f"other-{number}"))
            for number in range(self._namespaces, count)
        )
        self._writers.send(calls, what="namespaces", report=self._report)
        self._namespaces = max(self._namespaces, count)
        self.settle()

    def injections(self, space: str, count: int, *, matching: int) -> None:
        """A new namespace with so many injections, of which so many match the recorded pod."""
        self._plane.client.request("POST", NAMESPACES, namespace(space))
        self._writers.send(
            (
                ("POST", product.INJECTIONS.format(space), resource)
                for resource in resources(count, matching=matching)
            ),
            what=f"injections in {space}",
            report=self._report,
        )
        self.settle()

    def change(self, space: str, count: int, *, tag: str) -> None:
        """Give so many injections of a namespace another image."""
        path = product.INJECTIONS.format(space)
        self._writers.send(
            (
                ("PATCH", f"{path}/{name(number)}", {"spec": {"template": template(number, tag)}})
                for number in range(count)
            ),
            what="changes",
            report=self._report,
        )
        self.settle()

    def settle(self) -> None:
        """Until every replica has nothing left to do."""
        for replica in self._running.replicas:
            settle(replica)


def settle(replica: operators.Replica) -> None:
    """Until it uses hardly any processor time."""

    def quiet() -> bool:
        return machine.busy_share(replica.process.pid, seconds=LOOK_SECONDS) <= QUIET_SHARE

    waiting.until(quiet, what=f"{replica.name} is at rest", seconds=120)


def namespace(named: str) -> dict[str, Any]:
    return {"metadata": {"name": named, "labels": {names.INJECTION_LABEL: names.ENABLED}}}


def name(number: int) -> str:
    return f"nginx-{number}"


def template(number: int, tag: str) -> dict[str, Any]:
    """Of the injection with that number."""
    made: dict[str, Any] = product.injection(sidecar=f"sidecar-{number}", tag=tag)
    found: dict[str, Any] = made["spec"]["template"]
    return found


def resources(count: int, *, matching: int) -> Iterator[dict[str, Any]]:
    """The first so many match the recorded pod; each has a sidecar and a volume of its own."""
    for number in range(count):
        app = "web" if number < matching else f"app-{number}"
        yield product.injection(name(number), app=app, sidecar=f"sidecar-{number}")
