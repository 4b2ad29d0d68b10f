"""Deletes the load's pods as they come, so that a long run does not fill etcd."""

from __future__ import annotations

import contextlib
import threading
from typing import Final, Self

from tools.controlplane import client, errors

PAUSE_SECONDS: Final = 1
"""A second's pods are deleted in a tenth of one. Those of twenty seconds keep the API servers busy
for two, in which whatever else is measured takes as long."""


class Cleaner:
    """A context manager around a thread. What cannot be deleted now is deleted the next time."""

    def __init__(self, server: client.Client, *, namespace: str) -> None:
        self._server = server
        self._path = f"/api/v1/namespaces/{namespace}/pods?gracePeriodSeconds=0"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cleaner", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        # Not joined: a deletion of thousands may take long, and ends with its server.
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.wait(PAUSE_SECONDS):
            with contextlib.suppress(OSError, errors.ControlPlaneError):
                self._server.request("DELETE", self._path)
