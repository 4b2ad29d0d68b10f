"""Starts of the API server with a policy: its memory, its first pods, and how soon it works."""

from __future__ import annotations

import contextlib
import dataclasses
import http
import json
import time
from collections.abc import Sequence
from typing import Any, Final

from benchmarks import policy_install, results, two_clusters
from sidecar_injector.core.merging.status_annotation import json_text
from sidecar_injector.core.policies import chain
from tools.controlplane import cluster, policies, release

WANTED: Final = 100
"""Injections; the limit of a policy lets in some of them."""
PODS: Final = 100
"""After each start, before memory is read."""
NAMESPACE: Final = "idle"
POD: Final = {
    "metadata": {"generateName": "a-", "labels": {"app": "app-0"}},
    "spec": {"containers": [{"name": "app", "image": "x"}]},
}
NAME: Final = "starts"
PATIENT_SECONDS: Final = 3
UP_SECONDS: Final = 90
Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """What came of the pods that were tried from the end of one API server on."""

    ready: float
    """Seconds until `/readyz` is."""
    first: float
    """Seconds until the first pod was created, from then on; negative if that was before."""
    slowest: float
    """Seconds that the slowest pod took that was created."""
    refused: int
    """Pods that were answered, but not created, also before the API server was ready."""
    bare: int
    memory: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Starts:
    """A number of injections in one policy, and each start with it."""

    injections: int
    size: int
    in_force: float
    starts: Sequence[Start]

    @property
    def slowest(self) -> float:
        """Seconds of the slowest pod."""
        return max(one.slowest for one in self.starts)

    @property
    def refused(self) -> int:
        """Pods in all."""
        return sum(one.refused for one in self.starts)

    @property
    def bare(self) -> int:
        """Pods in all."""
        return sum(one.bare for one in self.starts)


def measure(plane: cluster.ControlPlane, made: chain.Chain | None, *, times: int) -> Starts:
    """Put a policy in force, start the API server several times, take the policy away."""
    objects = policy_install.manifests(made, NAME) if made else []
    began = time.monotonic()
    policies.create(plane.client, objects)
    if made:
        policy_install.wait_in_force(plane, NAMESPACE, POD)
    in_force = time.monotonic() - began
    starts = [start(plane, wanted=made is not None) for _ in range(times)]
    policies.delete(plane.client, objects)
    return Starts(
        injections=len(made.compiled) if made else 0,
        size=len(json_text(made.policy)) if made else 0,
        in_force=in_force if made else 0, starts=starts,
    )  # fmt: skip


def start(plane: cluster.ControlPlane, *, wanted: bool) -> Start:
    """One start, with pods tried all the time; `wanted` is whether a policy changes them."""
    plane.apiserver.terminate(seconds=PATIENT_SECONDS)
    begun = time.monotonic()
    plane.apiserver.start()
    ready, created, bare, refused, slowest = 0.0, 0, 0, 0, 0.0
    first = 0.0
    path = f"{release.pods(NAMESPACE)}?dryRun=All"
    with contextlib.closing(plane.client.connect()) as connection:
        while created < PODS or not ready:
            plane.apiserver.require_running()
            tried = time.monotonic()
            if not ready and _is_ready(plane):
                ready = tried = time.monotonic()
            try:
                status, text = plane.client.send(connection, "POST", path, POD)
            except OSError:
                connection.close()
                _wait_a_little(begun)
                continue
            ended = time.monotonic()
            if status != http.HTTPStatus.CREATED:
                refused += 1
                continue
            first = first or ended
            created += 1
            slowest = max(slowest, ended - tried)
            bare += policy_install.applied(json.loads(text)) is not wanted
    return Start(
        ready=ready - begun, first=first - ready, slowest=slowest, refused=refused, bare=bare,
        memory=plane.apiserver.rss(),
    )  # fmt: skip


def _is_ready(plane: cluster.ControlPlane) -> bool:
    with contextlib.suppress(OSError):
        return plane.client.text("GET", "/readyz")[0] == http.HTTPStatus.OK
    return False


def _wait_a_little(begun: float) -> None:
    if time.monotonic() - begun > UP_SECONDS:
        raise TimeoutError(f"the API server does not answer after {UP_SECONDS} s")
    time.sleep(0.02)


def table(seen: Sequence[Starts]) -> results.Table:
    """A row for each number of injections."""
    rows = [
        (
            f"{one.injections}",
            f"{one.size / 1000:,.0f}",
            f"{one.in_force:.2f}" if one.injections else "–",
            str(results.Spread.of(start.memory / two_clusters.MIB for start in one.starts)),
            str(results.Spread.of(start.ready for start in one.starts)),
            str(results.Spread.of(start.first for start in one.starts)),
            f"{one.slowest:.2f}",
            f"{one.refused}",
            f"{one.bare}",
        )
        for one in seen
    ]
    headings = (
        "injections", "1,000 characters", "in force after, s", "API server, MiB", "ready after, s",
        "first pod after that, s", "slowest pod, s", "refused", "bare",
    )  # fmt: skip
    return results.Table(headings=headings, rows=rows)
