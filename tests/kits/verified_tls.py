"""A connection to a replica, verified as the API server does it."""

from __future__ import annotations

import http.client
import socket
import ssl
from typing import Any

from sidecar_injector import names
from tools.controlplane import ports

SERVER_NAME = f"{names.PRODUCT}.{names.PRODUCT}.svc"


class Connection(http.client.HTTPSConnection):
    """To a port of this machine, verified for the name that the API server uses."""

    def __init__(self, port: int, cas: str) -> None:
        context = ssl.create_default_context(cadata=cas)
        super().__init__(SERVER_NAME, port, timeout=10, context=context)
        self._create_connection = lambda _, *rest: _connect(port, *rest)


def _connect(port: int, *rest: Any) -> socket.socket:
    return socket.create_connection((ports.LOOPBACK, port), *rest)
