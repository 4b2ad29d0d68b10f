"""How far the rollout of a workload is, by the rules of `kubectl rollout status`.

https://github.com/kubernetes/kubectl/blob/master/pkg/polymorphichelpers/rollout_status.go
"""

from __future__ import annotations

import dataclasses

from sidecar_injector.core.pods import lenient
from sidecar_injector.kube import api

OUT_OF_TIME = "ProgressDeadlineExceeded"
"""The reason of a Deployment that has stopped waiting for its pods."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """How many pods are replaced, as their controller has counted them."""

    wanted: int = 0
    """How many pods are to be replaced."""
    done: int = 0
    """How many new pods are certainly available."""
    complete: bool = False
    stuck: bool = False
    """It will not become complete: the controller has stopped, or the owner is gone."""
    message: str


COUNTS = ("updatedReplicas", "replicas", "availableReplicas", "readyReplicas")
GONE = Rollout(stuck=True, message="it is gone")


def judge(kind: str, owner: api.Json, *, group: str = "") -> Rollout:
    """The rollout of a workload as it is now; `group` is that of a custom kind."""
    if group:
        return _custom(owner)
    status = owner.get("status") or {}
    if status.get("observedGeneration", 0) < api.metadata(owner).get("generation", 0):
        return Rollout(message="its controller has not seen it yet")
    if kind == "DaemonSet":
        return _daemon_set(status)
    if kind == "StatefulSet":
        return _stateful_set(owner["spec"], status)
    return _deployment(owner["spec"], status)


def _daemon_set(status: api.Json) -> Rollout:
    return _counted(
        wanted=status.get("desiredNumberScheduled", 0),
        new=status.get("updatedNumberScheduled", 0),
        available=status.get("numberAvailable", 0),
    )


def _custom(owner: api.Json) -> Rollout:
    """By what most kinds have: the counts of a Deployment or DaemonSet, or a condition Ready."""
    spec, status = lenient.child(owner, "spec"), lenient.child(owner, "status")
    # Argo Rollouts has a text there.
    observed, wanted = str(status.get("observedGeneration") or ""), api.metadata(owner)
    if observed.isdigit() and int(observed) < wanted.get("generation", 0):
        return Rollout(message="its controller has not seen it yet")
    if restart := lenient.text(spec, "restartAt"):
        last = lenient.text(status, "restartedAt")
        message = f"restarted at {last}" if last else "its controller has not restarted it yet"
        return Rollout(complete=last == restart, message=message)
    if "updatedNumberScheduled" in status:
        return _daemon_set(status)
    counts = [status.get(field, 0) for field in COUNTS]
    if "updatedReplicas" in status and all(isinstance(count, int) for count in counts):
        new, all_pods, available = counts[0], counts[1], max(counts[2:])
        replicas = spec.get("replicas", 1)
        return _counted(
            wanted=replicas if isinstance(replicas, int) else all_pods,
            new=new,
            available=available,
            old=max(all_pods - new, 0),
        )
    for condition in lenient.objects(status, "conditions"):
        if condition.get("type") == "Ready":
            is_ready = condition.get("status") == "True"
            return Rollout(complete=is_ready, message=f"Ready: {condition.get('status')}")
    return Rollout(stuck=True, message="its status does not say how many pods are new")


def _deployment(spec: api.Json, status: api.Json) -> Rollout:
    new = status.get("updatedReplicas", 0)
    rollout = _counted(
        wanted=spec.get("replicas", 1),
        new=new,
        available=status.get("availableReplicas", 0),
        old=max(status.get("replicas", 0) - new, 0),
    )
    for condition in status.get("conditions") or ():
        if (condition["type"], condition.get("reason")) == ("Progressing", OUT_OF_TIME):
            message = f"it has stopped: progressDeadlineSeconds are over: {rollout.message}"
            return dataclasses.replace(rollout, complete=False, stuck=True, message=message)
    return rollout


def _stateful_set(spec: api.Json, status: api.Json) -> Rollout:
    """Pods below the partition are not replaced: the rollout is complete without them."""
    rolling = (spec.get("updateStrategy") or {}).get("rollingUpdate") or {}
    replicas, partition = spec.get("replicas", 1), rolling.get("partition", 0)
    rollout = _counted(
        wanted=max(replicas - partition, 0),
        new=status.get("updatedReplicas", 0),
        available=status.get("readyReplicas", 0),
        old=min(replicas, partition),
    )
    finished = bool(partition) or status.get("updateRevision") == status.get("currentRevision")
    message = f"{rollout.message}, which its partition keeps" if partition else rollout.message
    complete = rollout.done >= rollout.wanted and finished
    return dataclasses.replace(rollout, complete=complete, message=message)


def _counted(*, wanted: int, new: int, available: int, old: int = 0) -> Rollout:
    """Old pods may be available too: a new one is certainly so only beyond their number."""
    done = max(min(new, wanted, available - old), 0)
    left = f", {old} old pod{'' if old == 1 else 's'} remaining" if old else ""
    return Rollout(
        wanted=wanted,
        done=done,
        complete=done >= wanted and not old,
        message=f"{new}/{wanted} updated, {available} available{left}",
    )
