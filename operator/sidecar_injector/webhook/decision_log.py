"""The log line of each decision: pod, verdict, reasons; never a part of the pod's body."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from typing import Any, Final

import orjson

from sidecar_injector.core.decision import Decision
from sidecar_injector.core.reasons import PodVerdict
from sidecar_injector.observability import logs
from sidecar_injector.webhook import admission_review

Json = dict[str, Any]

LOGGER: Final = "sidecar_injector.server.admission"
"""Promised: users filter by it. It is the name of a module that has moved."""

USUAL_UID: Final = 38
"""A UUID and its quotation marks."""

_WARNING: Final = b'"level":"warning",'
"""The beginning of a line about a pod that is refused."""

_log = logging.getLogger(LOGGER)


def line_of(admission_request: Json, decision: Decision, *, cache_is_behind: bool) -> bytes:
    """What the lines of all pods like this one share: the members of a JSON object, no braces."""
    metadata = admission_request["object"].get("metadata") or {}
    owner, short_name = admission_review.owner(admission_request), admission_review.short_name
    verdict = decision.verdict.value
    line = {
        "level": "warning" if decision.verdict is PodVerdict.REFUSED else "info",
        "logger": LOGGER,
        "message": logs.shortened(
            f"pod {admission_review.pod_name(admission_request)}: {verdict}: {decision.message}",
            logs.LONGEST_MESSAGE,
        ),
        "namespace": short_name(admission_request.get("namespace")),
        "pod": short_name(metadata.get("name") or metadata.get("generateName")),
        "owner": short_name(f"{owner.get('kind')}/{owner.get('name')}") if owner else None,
        "verdict": verdict,
        "reasons": [reason.value for reason in decision.reasons],
    } | ({"cacheBehind": True} if cache_is_behind else {})
    return logs.dumped(line)[1:-1]


def message_of(line: bytes) -> str:
    """The message for people in a line."""
    return str(_fields(line)["message"])


def _fields(line: bytes) -> Json:
    fields: Json = json.loads(b"{%b}" % line)
    return fields


def _short_uid(uid: bytes) -> bytes:
    """The `uid` of a request as the log has it; it is JSON, and the API server's is short."""
    if len(uid) <= USUAL_UID and uid.isascii() and b"\x7f" not in uid:
        return uid
    return logs.dumped({"": admission_review.short_name(orjson.loads(uid))})[len(b'{"":') : -1]


class DecisionLog:
    """Writes the line of each decision.

    If the log is JSON lines, it is written there directly: a record of `logging` costs ten times
    as much.
    """

    def __init__(self, handlers: Iterable[logging.Handler] = ()) -> None:
        """`handlers` are those of the root logger."""
        self._json_lines = next(
            (
                handler
                for handler in handlers
                if isinstance(handler, logs.Lines) and handler.is_json
            ),
            None,
        )

    def write(self, line: bytes, *, uid: bytes, milliseconds: float, trace: str) -> None:
        """Write a line of `line_of`, with what belongs to this request alone.

        `uid` is JSON; `trace` is empty if the API server does not trace its request.
        """
        level = logging.WARNING if line.startswith(_WARNING) else logging.INFO
        if not _log.isEnabledFor(level):
            return
        if self._json_lines is not None:
            trace_member = b',"trace":"%b"' % trace.encode() if trace else b""
            self._json_lines.write_members(
                b'%b,"uid":%b,"milliseconds":%.3f%b'
                % (line, _short_uid(uid), milliseconds, trace_member)
            )
            return
        fields = _fields(line)
        message = fields.pop("message")
        del fields["level"], fields["logger"]
        fields |= {"uid": orjson.loads(_short_uid(uid)), "milliseconds": round(milliseconds, 3)}
        if trace:
            fields["trace"] = trace
        _log.log(level, "%s", message, extra={"fields": fields})
