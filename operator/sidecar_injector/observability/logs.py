"""The log: one line a record, as text or as JSON, written in blocks."""

from __future__ import annotations

import collections
import contextlib
import datetime
import functools
import json
import logging
import sys
import time
from collections.abc import Callable
from typing import Any, BinaryIO, Final

import orjson

from sidecar_injector import settings

FLUSH_SECONDS: Final = 0.05
"""How long a line may wait for others before all of them are written."""

FLOOD_SECONDS: Final = 60.0
MOST_OF_A_KIND: Final = 20
MOST_KINDS: Final = 200
LONGEST_MESSAGE: Final = 4096
LONGEST_TRACEBACK: Final = 32_768
"""Characters of a record: a client chooses the length of some texts in it."""
TRACEBACK_PREFIX: Final = "  | "
"""Before each line of a traceback in a text log. The text of an exception may have line breaks:
with the prefix such a line does not look like a record."""


def one_line(text: str) -> str:
    """The text with every character that has no shape of its own written as an escape.

    These are line breaks, terminal commands, changes of direction, characters without width and
    halves of surrogate pairs. The author of a pod chooses some of the names that people read in a
    log or on a terminal.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def shortened(text: str, longest: int) -> str:
    """The text, cut if it is longer than so many characters."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


class UnquotedError(Exception):
    """Stands in a traceback for an exception whose text must not be logged; its text is the type.

    The text of an exception that a request or an object causes may repeat a value of it.
    """


def unquoted(error: BaseException) -> UnquotedError:
    """For `exc_info`: where the exception was raised and its type, without its text.

    Of a group it is the first exception.
    """
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return UnquotedError(type(error).__name__).with_traceback(error.__traceback__)


class TextFormatter(logging.Formatter):
    """One line a record; the lines of a traceback follow, each with a prefix."""

    def format(self, record: logging.LogRecord) -> str:
        record.message = shortened(record.getMessage(), LONGEST_MESSAGE)
        record.asctime = self.formatTime(record)
        lines = [one_line(self.formatMessage(record))]
        if text := _traceback(self, record):
            lines += [TRACEBACK_PREFIX + one_line(line) for line in text.split("\n")]
        return "\n".join(lines)


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """The end of the record's traceback, which says what was raised and where; mostly empty."""
    if not record.exc_info:
        return ""
    text = formatter.formatException(record.exc_info)
    return text if len(text) <= LONGEST_TRACEBACK else f"…{text[1 - LONGEST_TRACEBACK :]}"


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
            "message": shortened(record.getMessage(), LONGEST_MESSAGE),
            **getattr(record, "fields", {}),
        }
        if text := _traceback(self, record):
            line["traceback"] = text
        return dumped(line).decode()


def dumped(line: dict[str, Any]) -> bytes:
    """The line as JSON, whatever is in it. All its characters are printable, as in `one_line`."""
    try:
        encoded = orjson.dumps(line, default=str)
    except orjson.JSONEncodeError:
        # Half a surrogate pair, or an integer of more than 64 bits.
        encoded = json.dumps(line, default=str).encode()
    if encoded.isascii() and b"\x7f" not in encoded:
        return encoded
    text = encoded.decode()
    if text.isprintable():
        return encoded
    # Such characters are in strings alone, where an escape stands for each of them.
    return "".join(char if char.isprintable() else _escape(char) for char in text).encode()


def _escape(char: str) -> str:
    """The character as JSON writes it in ASCII; json.dumps leaves DEL as it is."""
    return "\\u007f" if char == "\x7f" else json.dumps(char)[1:-1]


class FloodFilter:
    """Limits warnings and errors: so many of one kind in a minute, of so many kinds.

    Clients can cause some of them with each request. A kind is the logger and the text without its
    arguments.
    """

    def __init__(self) -> None:
        self._counts: collections.Counter[tuple[str, str]] = collections.Counter()
        self._since = 0.0

    def passes(self, record: logging.LogRecord) -> bool:
        """Whether to write the record; the last one says that others will be missing."""
        if abs(record.created - self._since) > FLOOD_SECONDS:
            self._counts.clear()
            self._since = record.created
        kind = (record.name, str(record.msg)[:200]) if len(self._counts) < MOST_KINDS else ("", "")
        self._counts[kind] += 1
        if self._counts[kind] == MOST_OF_A_KIND:
            record.msg = f"{record.msg} (for a minute no more of these are logged)"
        return self._counts[kind] <= MOST_OF_A_KIND


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
        self._flood = FloodFilter()
        self.on_drop: Callable[[], None] = lambda: None
        """Called for each record that `FloodFilter` keeps out."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        if record.levelno >= logging.WARNING and not self._flood.passes(record):
            self.on_drop()
            return
        try:
            text = self.format(record)
        except Exception as error:  # noqa: BLE001 - logging expects it of every handler
            text = self.format(_unwritten(record, error))
        at_once = record.levelno >= logging.WARNING
        self._write(text.encode(errors="backslashreplace") + b"\n", at_once=at_once)

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
            # The command line uses `one_line` and should not pay for this import.
            import asyncio  # noqa: PLC0415

            try:
                asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)
            except RuntimeError:  # No loop runs in this thread.
                self.flush()


def _unwritten(record: logging.LogRecord, error: Exception) -> logging.LogRecord:
    """What is written for a record with a mistake; its arguments may hold anything."""
    message = f"a line of {record.name} cannot be written: {type(error).__name__}"
    return logging.LogRecord(
        record.name, logging.ERROR, record.pathname, record.lineno, message, (), None
    )


def count_dropped(count: Callable[[], None]) -> None:
    """Call `count` for each record of the process that `FloodFilter` keeps out."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, Lines):
            handler.on_drop = count


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
