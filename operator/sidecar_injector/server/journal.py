"""One line a decision: identity, verdict, reasons; never a part of the pod's body."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final

from sidecar_injector import logs
from sidecar_injector.server import answers

Json = dict[str, Any]
Report = Callable[[Json, answers.Answer, Json], None]
"""Takes a review's request, the answer to it, and members of the line that are not in either."""

LOGGER: Final = "sidecar_injector.server.admission"

_log = logging.getLogger(LOGGER)


def through_logging(asked: Json, answer: answers.Answer, more: Json) -> None:
    """The line as a record, for whatever handler and formatter there is."""
    if _log.isEnabledFor(logging.INFO):
        fields = _fields(asked, answer) | more
        _log.info("%s", message(asked, answer), extra={"fields": fields})


def fitting(handlers: Iterable[logging.Handler]) -> Report:
    """Straight into the log where that is JSON lines: a record costs five times as much."""
    for handler in handlers:
        if isinstance(handler, logs.Lines) and handler.is_json:
            return functools.partial(_into, handler)
    return through_logging


def _into(lines: logs.Lines, asked: Json, answer: answers.Answer, more: Json) -> None:
    if _log.isEnabledFor(logging.INFO):
        head = {"level": "info", "logger": LOGGER, "message": message(asked, answer)}
        lines.write_json({**head, **_fields(asked, answer), **more})


def message(asked: Json, answer: answers.Answer) -> str:
    """For people."""
    return f"pod {subject(asked)}: {answer.verdict}: {answer.message}"


def subject(asked: Json) -> str:
    """Namespace and name, as far as there is one."""
    thing = asked.get("object")
    metadata = thing.get("metadata") if isinstance(thing, dict) else None
    if not isinstance(metadata, dict):
        return f"{asked.get('namespace')}/?"
    name = metadata.get("name") or f"{metadata.get('generateName') or ''}*"
    return f"{asked.get('namespace')}/{name}"


def owner(metadata: Json) -> str | None:
    """The controller that made the pod, as KIND/NAME."""
    for reference in metadata.get("ownerReferences") or ():
        if reference.get("controller"):
            return f"{reference.get('kind')}/{reference.get('name')}"
    return None


def _fields(asked: Json, answer: answers.Answer) -> Json:
    metadata = asked["object"].get("metadata") or {}
    return {
        "namespace": asked.get("namespace"),
        "pod": metadata.get("name") or metadata.get("generateName"),
        "uid": asked["uid"],
        "owner": owner(metadata),
        "verdict": answer.verdict,
        "reasons": list(answer.reasons),
    }
