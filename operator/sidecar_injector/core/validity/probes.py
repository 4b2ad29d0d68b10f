"""What the API server requires of probes and lifecycle handlers.

https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go
(validateLifecycle, validateLivenessProbe, validateReadinessProbe, validateStartupProbe)
"""

from __future__ import annotations

from collections.abc import Iterator

from sidecar_injector.core.pods import formats, lenient
from sidecar_injector.core.pods.lenient import Json

PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
FIELDS = ("lifecycle", *PROBES)
_PROBE_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_LIFECYCLE_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")
_COUNTS = (
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
)
_SCHEMES = ("HTTP", "HTTPS")
_DEFAULT_THRESHOLD = (None, 0, 1)


def problems(container: Json, *, grace_seconds: int, os: str) -> Iterator[str]:
    """Problems of the probes and lifecycle handlers of a container that may have them.

    A `stopSignal` needs `os.name` only if the feature gate ContainerStopSignals is on; otherwise
    the API server drops the field. The pod does not show which, so `os.name` is always required.
    """
    lifecycle = lenient.child(container, "lifecycle")
    for moment in ("postStart", "preStop"):
        if lifecycle.get(moment) is not None:
            yield from _handler(
                lenient.child(lifecycle, moment),
                where=f"lifecycle.{moment}",
                kinds=_LIFECYCLE_HANDLERS,
                grace_seconds=grace_seconds,
            )
    if lifecycle.get("stopSignal") is not None and not os:
        yield "lifecycle.stopSignal needs the pod to set os.name"
    for field in PROBES:
        if container.get(field) is not None:
            yield from _probe(lenient.child(container, field), field=field)


def _probe(probe: Json, *, field: str) -> Iterator[str]:
    yield from _handler(probe, where=field, kinds=_PROBE_HANDLERS, grace_seconds=0)
    for count in _COUNTS:
        value = probe.get(count)
        if isinstance(value, int) and value < 0:
            yield f"{field}.{count} {value} must not be negative"
    grace = probe.get("terminationGracePeriodSeconds")
    if field == "readinessProbe":
        if grace is not None:
            yield f"{field}.terminationGracePeriodSeconds must not be set"
        return
    if isinstance(grace, int) and grace <= 0:
        yield f"{field}.terminationGracePeriodSeconds {grace} must be greater than 0"
    if (threshold := probe.get("successThreshold")) not in _DEFAULT_THRESHOLD:
        yield f"{field}.successThreshold {threshold} must be 1"


def _handler(
    handler: Json, *, where: str, kinds: tuple[str, ...], grace_seconds: int
) -> Iterator[str]:
    present = [kind for kind in kinds if handler.get(kind) is not None]
    if len(present) != 1:
        existing = " and ".join(present) or "none"
        yield f"{where} must have exactly one of {', '.join(kinds)}, and has {existing}"
        return
    kind, action = present[0], lenient.child(handler, present[0])
    where = f"{where}.{kind}"
    if kind == "exec" and not lenient.items(action, "command"):
        yield f"{where}.command must not be empty"
    elif kind == "httpGet":
        yield from _http(action, where=where)
    elif kind == "tcpSocket":
        yield from _port(action.get("port"), where=where)
    elif kind == "grpc" and not lenient.is_integer(action.get("port"), least=1, most=65535):
        yield f"{where}.port {action.get('port')} must be from 1 to 65535"
    elif kind == "sleep":
        seconds = action.get("seconds") or 0
        if not lenient.is_integer(seconds, least=0, most=grace_seconds):
            yield (
                f"{where}.seconds {seconds} must be from 0 to the pod's"
                f" terminationGracePeriodSeconds ({grace_seconds})"
            )


def _http(action: Json, *, where: str) -> Iterator[str]:
    yield from _port(action.get("port"), where=where)
    if (scheme := action.get("scheme") or _SCHEMES[0]) not in _SCHEMES:
        yield f"{where}.scheme {formats.quoted(scheme)} must be one of {', '.join(_SCHEMES)}"
    for header in lenient.objects(action, "httpHeaders"):
        if not formats.HEADER_NAME.accepts(name := header.get("name")):
            yield f"{where}.httpHeaders: name {formats.HEADER_NAME.refusal(name)}"


def _port(port: object, *, where: str) -> Iterator[str]:
    if isinstance(port, str):
        if not formats.PORT_NAME.accepts(port):
            yield f"{where}.port {formats.PORT_NAME.refusal(port)}"
    elif not lenient.is_integer(port, least=1, most=65535):
        yield f"{where}.port {port} must be from 1 to 65535, or a port's name"
