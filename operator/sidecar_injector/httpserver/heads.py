"""Heads of requests, known again by their bytes.

An API server sends the same few lines with every review, on connections that it keeps. Reading them
takes as long as answering a pod of a known template does.
"""

from __future__ import annotations

from typing import Final

from sidecar_injector.httpserver import messages

MOST: Final = 16
"""Of one connection, before all are forgotten: there is another one for each length of body."""
LARGEST: Final = 1024
"""Bytes of one that is kept."""
CHANGING: Final = frozenset({b"expect", b"transfer-encoding"})
"""Headers that say more of the body than its length."""
END: Final = b"\r\n\r\n"


class Heads:
    """Those that the parser of one connection has accepted.

    It would read each alike again: all that it knows of what came before is whether that was the
    last request, and whether it is at the beginning of one, which is for the caller to see.
    """

    __slots__ = ("_ended", "_known")

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[messages.Request, int]] = {}
        self._ended = False

    def recall(self, data: bytes) -> messages.Request | None:
        """The one request that these bytes are; None if that is not known."""
        end = data.find(END) + len(END)
        known = self._known.get(data[:end])
        if known is None or len(data) - end != known[1]:
            return None
        return known[0].again(data[end:])

    def learn(self, data: bytes, request: messages.Request) -> None:
        """These bytes, and none before them, were this request; a later one is known by it."""
        end = data.find(END) + len(END)
        headers, length = request.headers, len(request.body)
        if self._ended or end > LARGEST or len(data) - end != length:
            return
        if b"content-length" in headers and CHANGING.isdisjoint(headers):
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[data[:end]] = request.again(b""), length

    def end(self) -> None:
        """Nothing may come after the request whose head was read last."""
        self._known.clear()
        self._ended = True
