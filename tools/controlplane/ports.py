"""Loopback ports for servers that do not report which one they got."""

from __future__ import annotations

import random
import socket
from typing import Final

LOOPBACK: Final = "127.0.0.1"
RANGE: Final = range(20_000, 32_000)
"""Below what systems give to outgoing connections (Linux from 32768, others from 49152): such a
connection could take the port between our test and the server's bind."""
_TRIES: Final = 1_000


def free() -> int:
    """A free port; chosen at random so that two runs do not choose the same."""
    for _ in range(_TRIES):
        port = random.choice(RANGE)  # noqa: S311 - to spread, not to hide
        if is_free(port):
            return port
    raise OSError(f"no free port found in {RANGE.start}-{RANGE.stop} of {LOOPBACK}")


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def is_local(address: str) -> bool:
    """Whether an IP address is one of this machine: only such a one can be bound."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as candidate:
        try:
            candidate.bind((address, 0))
        except OSError:
            return False
        return True
