"""Pods that are sent to an API server by dry runs, over one connection."""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from typing import Any, Self

from tools.controlplane import client

Json = dict[str, Any]


class DryRun:
    """Creates pods, and none stays."""

    def __init__(self, caller: client.Client, *, namespace: str) -> None:
        self._caller, self._connection = caller, caller.connect()
        self._path = f"/api/v1/namespaces/{namespace}/pods?dryRun=All"
        self.refused: Sequence[str] = ()
        """The places in the last pod that the API server named when it refused the pod."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def __call__(self, pod: Json) -> Json | None:
        """How it comes back; None where the API server refuses it."""
        status, text = self._caller.send(self._connection, "POST", self._path, pod)
        answer: Json = json.loads(text)
        if status == http.client.CREATED:
            return answer
        causes = answer.get("details", {}).get("causes", ())
        self.refused = [cause["field"] for cause in causes]
        return None
