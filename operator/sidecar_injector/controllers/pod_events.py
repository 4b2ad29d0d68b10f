"""Events about decisions that need a person, posted after the response to the API server."""

from __future__ import annotations

from collections.abc import Callable

from sidecar_injector import names
from sidecar_injector.core.injections import model
from sidecar_injector.kube import events
from sidecar_injector.webhook import response

ACTION = "Inject"


def teller(recorder: events.Recorder) -> Callable[[response.PodResponse], None]:
    """A function that records the Events of a decision."""

    def record(pod_response: response.PodResponse) -> None:
        for event in of(pod_response):
            recorder.record(event)

    return record


def of(pod_response: response.PodResponse) -> list[events.Event]:
    """The Events of a decision; none for a dry run, which must have no side effect.

    They are about the pod's owner, because the pod does not exist yet. A pod without an owner has
    its Events at the injection. The pod's name is not in the message: it would make an Event of its
    own for each pod of a Deployment.
    """
    if pod_response.dry_run or not pod_response.skipped:
        return []
    owner = _owner(pod_response)
    return [
        events.Event(
            regarding=owner or _injection(line.injection, namespace=pod_response.namespace),
            reason=line.reason.value,
            message=f"{line.injection.kind} {line.injection.name} not injected: {line.message}",
            action=ACTION,
        )
        for line in pod_response.skipped
    ]


def _owner(pod_response: response.PodResponse) -> events.ObjectRef | None:
    owner = pod_response.owner
    if owner is None:
        return None
    return events.ObjectRef(
        api_version=owner["apiVersion"],
        kind=owner["kind"],
        name=owner["name"],
        namespace=pod_response.namespace,
        uid=owner.get("uid", ""),
    )


def _injection(injection: model.Injection, *, namespace: str) -> events.ObjectRef:
    return events.ObjectRef(
        api_version=names.API_VERSION,
        kind=injection.kind,
        name=injection.name,
        namespace="" if injection.is_cluster else namespace,
        uid=injection.uid,
    )
