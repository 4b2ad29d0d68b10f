"""How far the rollout of an owner is, judged as `kubectl rollout status` does.

https://github.com/kubernetes/kubectl/blob/master/pkg/polymorphichelpers/rollout_status.go
"""

from __future__ import annotations

import dataclasses

from sidecar_injector.kube import api

OUT_OF_TIME = "ProgressDeadlineExceeded"
"""The reason by which a Deployment says that it has given up waiting for its pods."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """New pods in place of old ones, as the controller has counted them."""

    wanted: int = 0
    """How many are to be replaced."""
    done: int = 0
    """How many of the new ones are known to be available."""
    complete: bool = False
    stuck: bool = False
    """It has given up, or there is nothing left that could go on."""
    says: str


GONE = Rollout(stuck=True, says="it is gone")


def judge(kind: str, owner: api.Json) -> Rollout:
    """Of a Deployment, StatefulSet or DaemonSet as it is now."""
    status = owner.get("status") or {}
    if status.get("observedGeneration", 0) < api.metadata(owner).get("generation", 0):
        return Rollout(says="its controller has not seen it yet")
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
    found = _counted(
        wanted=spec.get("replicas", 1),
        new=new,
        available=status.get("availableReplicas", 0),
        old=max(status.get("replicas", 0) - new, 0),
    )
    for one in status.get("conditions") or ():
        if (one["type"], one.get("reason")) == ("Progressing", OUT_OF_TIME):
            says = f"it has given up, its progressDeadlineSeconds are over: {found.says}"
            return dataclasses.replace(found, complete=False, stuck=True, says=says)
    return found


def _stateful_set(spec: api.Json, status: api.Json) -> Rollout:
    """With a partition the pods below it stay as they are: that is its end, too."""
    rolling = (spec.get("updateStrategy") or {}).get("rollingUpdate") or {}
    replicas, kept = spec.get("replicas", 1), rolling.get("partition", 0)
    found = _counted(
        wanted=max(replicas - kept, 0),
        new=status.get("updatedReplicas", 0),
        available=status.get("readyReplicas", 0),
        old=min(replicas, kept),
    )
    finished = bool(kept) or status.get("updateRevision") == status.get("currentRevision")
    says = f"{found.says}, which its partition keeps" if kept else found.says
    complete = found.done >= found.wanted and finished
    return dataclasses.replace(found, complete=complete, says=says)


def _counted(*, wanted: int, new: int, available: int, old: int = 0) -> Rollout:
    """Old pods may be available, too: only what they cannot account for is certainly new."""
    done = max(min(new, wanted, available - old), 0)
    left = f", {old} old {'is' if old == 1 else 'are'} left" if old else ""
    return Rollout(
        wanted=wanted,
        done=done,
        complete=done >= wanted and not old,
        says=f"{new} of {wanted} pods are new, {available} available{left}",
    )
