"""The API server's word on pods: dry runs over connections that are kept, nothing stays."""

from __future__ import annotations

import copy
import dataclasses
import http.client
import json
import re
import threading
from typing import Any, Final

from tools.controlplane import client

Json = dict[str, Any]
NAMESPACE: Final = "random-pods"
ATTEMPTS: Final = 8
"""How often what is refused is dropped from a pod."""
_STEP: Final = re.compile(r"\[([^\]]*)\]|([^.\[\]]+)")


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What the API server says of a pod."""

    pod: Json | None
    """As it would be stored; None if it is refused."""
    message: str = ""
    fields: tuple[str, ...] = ()
    """The paths that it names when it refuses."""


class Judge:
    """Threads may share it: each has its own connection."""

    def __init__(self, caller: client.Client) -> None:
        self._client = caller
        self._of_thread = threading.local()
        self._connections: list[http.client.HTTPConnection] = []

    def prepare(self) -> None:
        """Create what the values of random pods refer to, in the namespace, which is there."""
        post = self._client.request
        path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"
        post("POST", path, {"metadata": {"name": "a"}})
        overhead = {"podFixed": {"cpu": "250m"}}
        runtime = {"metadata": {"name": "a"}, "handler": "a", "overhead": overhead}
        post("POST", "/apis/node.k8s.io/v1/runtimeclasses", runtime)

    def close(self) -> None:
        """Close the connections of all threads."""
        for connection in self._connections:
            connection.close()

    def judge(self, pod: Json) -> Verdict:
        """Send it once."""
        connection = getattr(self._of_thread, "connection", None)
        if connection is None:
            connection = self._of_thread.connection = self._client.connect()
            self._connections.append(connection)
        path = f"/api/v1/namespaces/{NAMESPACE}/pods?dryRun=All"
        status, text = self._client.send(connection, "POST", path, pod)
        answer = json.loads(text)
        if status == http.client.CREATED:
            return Verdict(answer)
        causes = (answer.get("details") or {}).get("causes") or ()
        fields = tuple(cause["field"] for cause in causes if cause.get("field"))
        return Verdict(None, answer["message"], fields)

    def repaired(self, pod: Json) -> tuple[Json, Verdict]:
        """The pod without what the API server refuses, and its word on that."""
        pod = copy.deepcopy(pod)
        dropped: set[str] = set()
        verdict = self.judge(pod)
        for _ in range(ATTEMPTS):
            if verdict.pod is not None or not verdict.fields:
                break
            for field in sorted(set(verdict.fields), reverse=True):
                drop(pod, field, whole=field in dropped)
                dropped.add(field)
            verdict = self.judge(pod)
        return pod, verdict


def drop(pod: Json, path: str, *, whole: bool) -> None:
    """Take out what is at this path, or, if it is `whole`, what contains it."""
    # Some messages write a field as Go does.
    steps = [key or name[:1].lower() + name[1:] for key, name in _STEP.findall(path)]
    trail: list[tuple[Any, Any]] = []
    current: Any = pod
    for step in steps:
        key = int(step) if isinstance(current, list) and step.isdigit() else step
        try:
            following = current[key]
        except (KeyError, IndexError, TypeError):
            break
        trail.append((current, key))
        current = following
    if len(trail) < len(steps) or whole:
        # It is absent and should not be, or was dropped before: that around it goes.
        trail = trail[: max(2, len(trail) - (1 if whole and len(trail) == len(steps) else 0))]
    if len(trail) > 1:
        parent, key = trail[-1]
        del parent[key]
