"""One line a decision: identity, verdict, reasons; never a part of the pod's body."""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import orjson

from sidecar_injector.observability import logs
from sidecar_injector.webhook import response

Json = dict[str, Any]

LOGGER: Final = "sidecar_injector.webhook.mutate"

_log = logging.getLogger(LOGGER)


@dataclasses.dataclass(frozen=True, slots=True)
class LogLine:
    """What the line says, but for what belongs to one question alone."""

    message: str
    """For people."""
    fields: Json
    """For machines, in addition."""
    members: bytes
    """All of it as members of a JSON object, without the braces."""


class Asked(NamedTuple):
    """What belongs to one question alone."""

    uid: bytes
    """As JSON."""
    milliseconds: float
    trace: str
    """Of the API server's request; empty if that is not traced."""


Report = Callable[[LogLine, Asked], None]


def line_of(asked: Json, answer: response.Answer, *, behind: bool) -> LogLine:
    """The line about the answer to the request of a review; `behind` says that our cache is."""
    metadata = asked["object"].get("metadata") or {}
    holder = controller(metadata)
    fields = {
        "namespace": asked.get("namespace"),
        "pod": metadata.get("name") or metadata.get("generateName"),
        "owner": f"{holder.get('kind')}/{holder.get('name')}" if holder else None,
        "verdict": answer.verdict,
        "reasons": list(answer.reasons),
    } | ({"cacheBehind": True} if behind else {})
    message = f"pod {subject(asked)}: {answer.verdict}: {answer.message}"
    head = {"level": "info", "logger": LOGGER, "message": message}
    return LogLine(message, fields, logs.dumped(head | fields)[1:-1])


def through_logging(line: LogLine, asked: Asked) -> None:
    """The line as a record, for whatever handler and formatter there is."""
    if _log.isEnabledFor(logging.INFO):
        own = {"uid": orjson.loads(asked.uid), "milliseconds": round(asked.milliseconds, 3)}
        trace = {"trace": asked.trace} if asked.trace else {}
        _log.info("%s", line.message, extra={"fields": line.fields | own | trace})


def fitting(handlers: Iterable[logging.Handler]) -> Report:
    """Straight into the log where that is JSON lines: a record costs ten times as much."""
    for handler in handlers:
        if isinstance(handler, logs.Lines) and handler.is_json:
            return functools.partial(_into, handler)
    return through_logging


def _into(lines: logs.Lines, line: LogLine, asked: Asked) -> None:
    if _log.isEnabledFor(logging.INFO):
        trace = b',"trace":"%b"' % asked.trace.encode() if asked.trace else b""
        members = line.members, asked.uid, asked.milliseconds, trace
        lines.write_members(b'%b,"uid":%b,"milliseconds":%.3f%b' % members)


def subject(asked: Json) -> str:
    """Namespace and name, as far as there is one."""
    thing = asked.get("object")
    metadata = thing.get("metadata") if isinstance(thing, dict) else None
    if not isinstance(metadata, dict):
        return f"{asked.get('namespace')}/?"
    name = metadata.get("name") or f"{metadata.get('generateName') or ''}*"
    return f"{asked.get('namespace')}/{name}"


def controller(metadata: Json) -> Json | None:
    """The reference to the controller that made the pod, if one did."""
    references = metadata.get("ownerReferences") or ()
    return next((one for one in references if one.get("controller")), None)
