"""How the pods that exist stand to the injections that there are now."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from sidecar_injector.core import audit, decide
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.merging import uninject
from sidecar_injector.core.reasons import Verdict
from sidecar_injector.kube import api

ENDED = frozenset({"Succeeded", "Failed"})
"""Phases of pods that nothing is to be done about."""


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """A pod and an injection that applies to it by everything but its parts."""

    injection: model.Injection
    state: str
    """One of `audit.STATES`."""

    @property
    def needs_restart(self) -> bool:
        """Whether a new pod in its place could stand better."""
        return self.state in (audit.OUTDATED, audit.MISSING)


def standings(pod: api.Json, known: namespace_view.NamespaceView) -> Iterator[Standing]:
    """As the audit counts them; nothing for a pod that is out of scope or over."""
    if not is_over(pod):
        for one, state in audit.states(pod, known):
            yield Standing(one, state)


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


def would_help(pod: api.Json, found: Standing, known: namespace_view.NamespaceView) -> str:
    """Empty if the injection would be added to the pod's successor; else why it would not."""
    asked = namespace_view.PodRequest(namespace=known.namespace.name, pod=as_new(pod))
    made = decide.decide(asked, known)
    line = next((one for one in made.lines if one.injection is found.injection), None)
    if line is None:
        return made.message
    return "" if line.verdict is Verdict.INJECTED else f"{line.reason.value}: {line.message}"
