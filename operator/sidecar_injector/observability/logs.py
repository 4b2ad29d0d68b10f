"""The log: one line a record, as text or as JSON, written in blocks."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import functools
import json
import logging
import sys
import time
from typing import Any, BinaryIO, Final

import orjson

from sidecar_injector import settings

FLUSH_SECONDS: Final = 0.05
"""How long a line may wait for others before all of them are written."""

_CONTROLS: Final = {
    code: repr(chr(code))[1:-1] for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)
}


def one_line(text: str) -> str:
    """The text with line breaks and terminal commands written as escapes.

    The author of a pod chooses some of the names that people read in a log or on a terminal.
    """
    return text.translate(_CONTROLS)


class TextFormatter(logging.Formatter):
    """One line a record; a traceback has more."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if record.exc_info else one_line(text)


def _rfc3339(seconds: float) -> str:
    return f"{_whole_seconds(int(seconds))}.{int(seconds % 1 * 1000):03d}Z"


@functools.lru_cache(maxsize=2)
def _whole_seconds(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat()[:-6]


class JsonFormatter(logging.Formatter):
    """One JSON object a line. `fields`, a dict in `extra`, become members of it."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return dumped(line).decode()


def dumped(line: dict[str, Any]) -> bytes:
    """The line as JSON, whatever is in it."""
    try:
        return orjson.dumps(line, default=str)
    except orjson.JSONEncodeError:
        # Half a surrogate pair, or an integer of more than 64 bits.
        return json.dumps(line, default=str).encode()


class Lines(logging.Handler):
    """Writes the log in blocks: the lines of some milliseconds in one write.

    A write for each line costs more than the line. Warnings and errors, and lines from other
    threads or from before the loop runs, are written at once, after all earlier lines.
    """

    def __init__(self, stream: BinaryIO, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.is_json = isinstance(formatter, JsonFormatter)
        self._stream = stream
        self._pending: list[bytes] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        try:
            text = self.format(record).encode(errors="backslashreplace")
        except Exception:  # noqa: BLE001 - logging expects it of every handler
            self.handleError(record)
        else:
            self._write(text + b"\n", at_once=record.levelno >= logging.WARNING)

    def write_members(self, members: bytes) -> None:
        """Write a JSON line without a record: the time, then these members of an object."""
        now = _rfc3339(time.time()).encode()
        self._write(b'{"time":"%b",%b}\n' % (now, members), at_once=False)

    def flush(self) -> None:
        """Write the lines that wait; `logging` calls this at the end of the process."""
        pending, self._pending = self._pending, []
        with contextlib.suppress(OSError, ValueError):
            # Nobody reads the log any more, so there is no place to report it.
            self._stream.write(b"".join(pending))
            self._stream.flush()

    def _write(self, line: bytes, *, at_once: bool) -> None:
        self._pending.append(line)
        if at_once:
            self.flush()
        elif len(self._pending) == 1:
            try:
                asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)
            except RuntimeError:  # No loop runs in this thread.
                self.flush()


def configure_logging(*, log_format: str, log_level: str) -> None:
    """Send every log line of the process to stderr; `auto` is text on a terminal, else JSON."""
    if log_format == "json" or (log_format == "auto" and not sys.stderr.isatty()):
        formatter: logging.Formatter = JsonFormatter()
    else:
        formatter = TextFormatter("%(asctime)s %(levelname)-7s %(message)s")

    assert log_level in settings.LOG_LEVELS
    root = logging.getLogger()
    root.handlers[:] = [Lines(sys.stderr.buffer, formatter)]
    root.setLevel(log_level.upper())
