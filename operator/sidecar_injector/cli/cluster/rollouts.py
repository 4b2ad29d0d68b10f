"""How far the rollout of a workload is, by the rules of `kubectl rollout status`.

https://github.com/kubernetes/kubectl/blob/master/pkg/polymorphichelpers/rollout_status.go
"""

from __future__ import annotations

import dataclasses

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


GONE = Rollout(stuck=True, message="it is gone")


def judge(kind: str, owner: api.Json) -> Rollout:
    """The rollout of a Deployment, StatefulSet or DaemonSet as it is now."""
    status = owner.get("status") or {}
    if status.get("observedGeneration", 0) < api.metadata(owner).get("generation", 0):
        return Rollout(message="its controller has not seen it yet")
    if kind == "DaemonSet":
        return _counted(
            wanted=status.get("desiredNumberScheduled", 0),
            new=status.get("updatedNumberScheduled", 0),
            available=status.get("numberAvailable", 0),
        )
    if kind == "StatefulSet":
        return _stateful_set(owner["spec"], status)
    return _deployment(owner["spec"], status)


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
