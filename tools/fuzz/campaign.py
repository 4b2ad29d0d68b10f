"""One bounded attack on one replica, and what is wrong afterwards."""

from __future__ import annotations

import asyncio
import dataclasses
import statistics
from typing import Any, Final

from tools.controlplane import operators
from tools.fuzz import attack, inputs

WARM_UP: Final = 0.2
"""The part of the inputs after which allocator, caches and pools are filled."""
GROWTH: Final = 1.15
"""What memory may have grown by from then on; the allocator's noise is a few percent."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """How it ended."""

    result: attack.Result
    running: bool
    ready: bool
    tracebacks: int
    rss: tuple[int, int]
    """Bytes of resident memory, after the warm-up and at the end."""

    def complaints(self) -> list[str]:
        """What must not have happened, as sentences; empty for a replica that held out."""
        result = self.result
        facts = {
            "the process ended": not self.running,
            "it is not ready any more": not self.ready,
            f"{self.tracebacks} tracebacks in its log": self.tracebacks,
            f"answered with 5xx, first {result.failed[:1]}": result.failed,
            f"valid HTTP without an answer, first {result.unanswered[:1]}": result.unanswered,
            f"healthy requests failed, first {result.unhealthy[:1]}": result.unhealthy,
            f"memory grew: {self.rss}": self.rss[1] > GROWTH * self.rss[0],
        }
        return [sentence for sentence, is_so in facts.items() if is_so]

    def lines(self) -> list[str]:
        """For people."""
        sent = ", ".join(f"{count} {kind}" for kind, count in sorted(self.result.sent.items()))
        codes = sorted(self.result.statuses.items())
        statuses = ", ".join(f"{status or 'none'}: {count}" for status, count in codes)
        times = [1000 * one for one in self.result.healthy]
        p50, worst = statistics.median(times), max(times)
        before, after = (size / 1e6 for size in self.rss)
        return [
            f"sent: {self.result.total} ({sent})",
            f"answers: {statuses}",
            f"healthy requests meanwhile: {len(times)}, p50 {p50:.1f} ms, worst {worst:.0f} ms",
            f"memory: {before:.1f} MB after the warm-up, {after:.1f} MB at the end",
        ]


def run(replica: operators.Replica, *, namespace: str, count: int, seed: int) -> Found:
    """Attack it; the namespace must be enabled and have an injection for every pod."""
    logged = replica.process.log.stat().st_size
    review = review_of(namespace)
    fighter = attack.Attack(replica.backend.port, review=review)
    stream = inputs.stream(seed, review=review)
    first = int(count * WARM_UP)
    asyncio.run(fighter.run(stream, count=first))
    before = replica.rss()
    result = asyncio.run(fighter.run(stream, count=count - first))
    log = replica.process.log.read_bytes()[logged:]
    return Found(
        result=result,
        running=replica.process.running,
        ready=replica.ready(),
        tracebacks=log.count(b"Traceback"),
        rss=(before, replica.rss()),
    )


def review_of(namespace: str) -> dict[str, Any]:
    """What the API server asks about a pod with a bit of everything."""
    metadata = {
        "name": "app",
        "namespace": namespace,
        "labels": {"app": "web"},
        "annotations": {"sidecar-injector.dev/inject": "yes"},
        "ownerReferences": [
            {
                "apiVersion": "apps/v1",
                "kind": "ReplicaSet",
                "name": "web",
                "uid": "u",
                "controller": True,
            }
        ],
    }
    container = {
        "name": "app",
        "image": "app:1",
        "env": [{"name": "A", "value": "1"}],
        "ports": [{"containerPort": 80, "protocol": "TCP"}],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "resources": {"requests": {"cpu": "10m"}},
    }
    spec = {
        "containers": [container],
        "volumes": [{"name": "data", "emptyDir": {}}],
        "serviceAccountName": "default",
        "restartPolicy": "Always",
    }
    request = {
        "uid": "6e9d9bd4-0000-4000-8000-000000000001",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": namespace,
        "operation": "CREATE",
        "object": {"metadata": metadata, "spec": spec},
        "dryRun": False,
    }
    kind = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
    return {**kind, "request": request}
