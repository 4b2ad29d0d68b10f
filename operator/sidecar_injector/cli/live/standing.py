"""How the pods that exist stand to the injections that there are now."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator

from sidecar_injector.core import decide, matching, model, pods, provenance, uninject
from sidecar_injector.core import world as worlds
from sidecar_injector.core.reasons import Verdict
from sidecar_injector.kube import api

ENDED = frozenset({"Succeeded", "Failed"})
"""Phases of pods that nothing is to be done about."""


class State(enum.Enum):
    """Of a pod and an injection that applies to it."""

    INJECTED = "injected"
    OUTDATED = "outdated"
    SKIPPED = "skipped"
    MISSING = "missing"


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """A pod and an injection that applies to it by everything but its parts."""

    injection: model.Injection
    state: State

    @property
    def needs_restart(self) -> bool:
        """Whether a new pod in its place could stand better."""
        return self.state in (State.OUTDATED, State.MISSING)


def standings(pod: api.Json, known: worlds.World) -> Iterator[Standing]:
    """For each injection that applies to a pod; nothing for a pod that is out of scope or ends."""
    if is_over(pod):
        return
    said = provenance.read(pods.metadata_map(pod, "annotations"))
    asked = worlds.Request(namespace=known.namespace.name, pod=pod)
    candidate = matching.candidate_of(pod, said)
    if matching.out_of_scope(asked, candidate, known):
        return
    for one in known.injections:
        if matching.match(one, candidate, known) is None:
            yield Standing(one, _state(one, said))


def is_over(pod: api.Json) -> bool:
    """Whether the pod has ended or is about to."""
    phase = (pod.get("status") or {}).get("phase")
    return phase in ENDED or "deletionTimestamp" in api.metadata(pod)


def as_new(pod: api.Json) -> api.Json:
    """The pod as its author may have written it: without what we added and what came since."""
    made = uninject.uninject(pod)
    metadata = {key: value for key, value in made["metadata"].items() if key != "managedFields"}
    spec = {key: value for key, value in made["spec"].items() if key != "nodeName"}
    return {
        **{key: value for key, value in made.items() if key != "status"},
        "metadata": metadata,
        "spec": spec,
    }


def would_help(pod: api.Json, found: Standing, known: worlds.World) -> str:
    """Empty if the injection would be added to the pod's successor; else why it would not."""
    asked = worlds.Request(namespace=known.namespace.name, pod=as_new(pod))
    made = decide.decide(asked, known)
    line = next((one for one in made.lines if one.injection is found.injection), None)
    if line is None:
        return made.message
    return "" if line.verdict is Verdict.INJECTED else f"{line.reason.value}: {line.message}"


def _state(one: model.Injection, said: provenance.Provenance) -> State:
    entry = said.entry(one.identity)
    if entry is not None:
        return State.INJECTED if entry.hash == one.hash else State.OUTDATED
    skipped = {(each.kind, each.name) for each in said.skipped}
    return State.SKIPPED if one.identity in skipped else State.MISSING
