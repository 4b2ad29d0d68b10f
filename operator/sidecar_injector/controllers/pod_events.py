"""Events about decisions that need a person, posted after the response to the API server."""

from __future__ import annotations

import re
from collections.abc import Callable

from sidecar_injector import names
from sidecar_injector.core.pods import formats
from sidecar_injector.kube import events
from sidecar_injector.observability import logs
from sidecar_injector.webhook import response

ACTION = "Inject"

_API_VERSION = formats.Format(
    re.compile(r"([a-z0-9][-.a-z0-9]*/)?[a-z][a-z0-9]*"), 317, "a version"
)
_KIND = formats.Format(re.compile(r"[A-Za-z][A-Za-z0-9]*"), 63, "a kind")
_UID = formats.Format(re.compile(r"[-A-Za-z0-9]+"), 64, "a uid")


def teller(recorder: events.Recorder) -> Callable[[response.PodResponse], None]:
    """A function that records the Events of a decision."""

    def record(pod_response: response.PodResponse) -> None:
        for event in of(pod_response):
            recorder.record(event)

    return record


def of(pod_response: response.PodResponse) -> list[events.Event]:
    """The Events of a decision; none for a dry run, which must have no side effect.

    They are about the pod's owner, because the pod does not exist yet. The pod's name is not in
    the message: it would make an Event of its own for each pod of a Deployment. A pod without an
    owner is named, and has its Events at the injection; where that is one of the cluster, they are
    about the pod, as its namespace is where its author looks.
    """
    if pod_response.dry_run:
        return []
    owner = _owner(pod_response)
    found = [
        (owner or _bare(pod_response, skipped), skipped.reason, skipped.message)
        for skipped in pod_response.skipped
    ]
    found += [(owner, *correction) for correction in pod_response.corrections if owner]
    return [
        events.Event(
            regarding=regarding,
            reason=reason.value,
            message=logs.shortened(message, events.NOTE_LIMIT),
            action=ACTION,
        )
        for regarding, reason, message in found
    ]


def _owner(pod_response: response.PodResponse) -> events.ObjectRef | None:
    """The pod's owner; None also if it is none that Events can be about.

    The API server validates the pod after it has called us, so the reference may hold any JSON.
    """
    owner = pod_response.owner
    if owner is None or not (
        _API_VERSION.accepts(owner.api_version)
        and _KIND.accepts(owner.kind)
        and formats.DNS_SUBDOMAIN.accepts(owner.name)
        and formats.DNS_LABEL.accepts(pod_response.namespace)
    ):
        return None
    return events.ObjectRef(
        api_version=owner.api_version,
        kind=owner.kind,
        name=owner.name,
        namespace=pod_response.namespace,
        uid=owner.uid if _UID.accepts(owner.uid) else "",
    )


def _bare(
    pod_response: response.PodResponse, skipped: response.SkippedInjection
) -> events.ObjectRef:
    """What an Event of a pod without an owner is about."""
    namespace, _, name = pod_response.pod.partition("/")
    if skipped.namespace or not (
        formats.DNS_LABEL.accepts(namespace) and formats.DNS_SUBDOMAIN.accepts(name)
    ):
        return _injection(skipped)
    return events.ObjectRef(api_version="v1", kind="Pod", name=name, namespace=namespace)


def _injection(skipped: response.SkippedInjection) -> events.ObjectRef:
    return events.ObjectRef(
        api_version=names.API_VERSION,
        kind=skipped.kind,
        name=skipped.name,
        namespace=skipped.namespace,
        uid=skipped.uid,
    )
