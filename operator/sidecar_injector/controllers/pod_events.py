"""Events about decisions that need a person: posted afterwards, never while a pod waits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sidecar_injector import names
from sidecar_injector.core.injections import model
from sidecar_injector.kube import events
from sidecar_injector.webhook import response

ACTION = "Inject"


def teller(recorder: events.Recorder) -> Callable[[response.PodResponse], None]:
    """Queues the Events of each decision that was given to the API server."""

    def tell(admitted: response.PodResponse) -> None:
        for event in of(admitted):
            recorder.record(event)

    return tell


def of(admitted: response.PodResponse) -> list[events.Event]:
    """The Events of a decision; none for a dry run, which must leave no trace.

    They are about the pod's owner, since the pod has no identity yet; a bare pod has no owner, and
    the injection is told instead. The message is without the pod's name, which would make each pod
    of a Deployment an Event of its own.
    """
    if admitted.dry_run or not admitted.skipped:
        return []
    owner = _owner(admitted)
    return [
        events.Event(
            about=owner or _injection(line.injection, namespace=admitted.namespace),
            reason=line.reason.value,
            message=f"{line.injection.kind} {line.injection.name} not injected: {line.message}",
            action=ACTION,
        )
        for line in admitted.skipped
    ]


def _owner(admitted: response.PodResponse) -> events.About | None:
    if admitted.owner is None:
        return None
    return _about(admitted.owner, namespace=admitted.namespace)


def _about(reference: Mapping[str, Any], *, namespace: str) -> events.About:
    return events.About(
        api_version=reference["apiVersion"],
        kind=reference["kind"],
        name=reference["name"],
        namespace=namespace,
        uid=reference.get("uid", ""),
    )


def _injection(injection: model.Injection, *, namespace: str) -> events.About:
    return events.About(
        api_version=names.API_VERSION,
        kind=injection.kind,
        name=injection.name,
        namespace="" if injection.is_cluster else namespace,
        uid=injection.uid,
    )
