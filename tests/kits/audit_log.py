"""What the API server itself wrote down about the requests of one user, or of all.

https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

FORBIDDEN = 403


class Right(NamedTuple):
    """A verb on a resource (`GROUP/RESOURCE[/SUBRESOURCE]`; the core group is empty)."""

    verb: str
    resource: str


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request, and what came of it."""

    right: Right | None
    """None for paths that name no resource, such as /version."""
    name: str
    """Of the object; empty where a request names none."""
    uri: str
    status: int
    failed_open: frozenset[str] = frozenset()
    """The webhooks that were called, did not answer, and were ignored."""

    @property
    def allowed(self) -> bool:
        return self.status != FORBIDDEN


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Log:
    """A log of all that `user` asks for, without any content; of all users without one."""

    folder: pathlib.Path
    user: str = ""

    def flags(self) -> tuple[str, ...]:
        """For the API server, which must find the policy when it starts: it is written here."""
        policy = self.folder / "audit-policy.yaml"
        users = {"users": [self.user]} if self.user else {}
        rules = [{"level": "Metadata", **users}, {"level": "None"}]
        content = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules}
        policy.write_text(yaml.safe_dump({**content, "omitStages": ["RequestReceived"]}))
        # Blocking: a request is answered only after its line has been written.
        return (
            f"--audit-policy-file={policy}",
            f"--audit-log-path={self._path}",
            "--audit-log-mode=blocking",
        )

    def requests(self) -> list[Request]:
        """All of them so far; a watch counts from its begin."""
        lines = self._path.read_text("utf-8").splitlines()
        return [_request(event) for event in map(json.loads, lines)]

    @property
    def _path(self) -> pathlib.Path:
        return self.folder / "audit.log"


def granted(role: dict[str, Any]) -> Iterator[Right]:
    """Every right that a Role or ClusterRole gives."""
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for verb in rule["verbs"]:
                    yield Right(verb, f"{group}/{resource}")


def _request(event: dict[str, Any]) -> Request:
    about = event.get("objectRef")
    right = None
    if about is not None:
        parts = (about.get("apiGroup", ""), about["resource"], about.get("subresource"))
        right = Right(event["verb"], "/".join(part for part in parts if part is not None))
    return Request(
        right=right,
        name=(about or {}).get("name", ""),
        uri=event["requestURI"],
        status=event["responseStatus"]["code"],
        failed_open=frozenset(
            webhook
            for key, webhook in (event.get("annotations") or {}).items()
            if key.startswith("failed-open.")
        ),
    )
