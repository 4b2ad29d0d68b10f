"""Pods before and after, from the tables that unit tests and the real API server share."""

from __future__ import annotations

import copy
import dataclasses
import pathlib
from typing import Any

import yaml

from sidecar_injector import names
from sidecar_injector.core.validity import pod as pod_rules
from sidecar_injector.core.validity import pod_security, releases

Json = dict[str, Any]
TABLES = pathlib.Path(__file__).parents[1] / "controlplane" / "validity"
METADATA = ("labels", "annotations")
ANYTHING = pod_security.Policy()
HARMLESS = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""A container's security context that every Pod Security level allows."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A row of a table."""

    name: str
    before: Json
    after: Json
    policy: pod_security.Policy
    says: str


def cases(table: str) -> list[Case]:
    """All rows of refused.yaml or accepted.yaml."""
    rows = yaml.safe_load((TABLES / f"{table}.yaml").read_text("utf-8"))
    return [_case(row) for row in rows]


def _case(row: Json) -> Case:
    policy = pod_security.Policy.of(labels(row.get("level"), row.get("version")))
    before = pod(row.get("pod", {}), restricted=policy.level == "restricted")
    where = " ".join(str(row[key]) for key in ("level", "version") if key in row)
    return Case(
        name=f"{where}: {row['case']}" if where else row["case"],
        before=before,
        after=with_added(before, row["added"]),
        policy=policy,
        says=row.get("says", ""),
    )


def labels(level: str | None = None, version: str | None = None) -> dict[str, str]:
    """The labels of a namespace that enforces a Pod Security level."""
    wanted = {
        names.POD_SECURITY_ENFORCE_LABEL: level,
        names.POD_SECURITY_VERSION_LABEL: version,
    }
    return {key: value for key, value in wanted.items() if value}


def pod(fields: Json, *, restricted: bool = False) -> Json:
    """A pod of these fields; its own container is there unless they have containers."""
    spec = {key: value for key, value in fields.items() if key not in METADATA}
    app: Json = {"name": "app", "image": "example/app:1"}
    if restricted:
        app["securityContext"] = {
            key: HARMLESS[key] for key in ("allowPrivilegeEscalation", "capabilities")
        }
        pod_wide = {key: HARMLESS[key] for key in ("runAsNonRoot", "seccompProfile")}
        spec = {"securityContext": pod_wide, **spec}
    metadata = {"name": "web", **{key: fields[key] for key in METADATA if key in fields}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": [app], **spec},
    }


def with_added(before: Json, added: Json) -> Json:
    """Another pod: items at the end of lists, members into objects, scalars set.

    Parts that are not changed are the same objects in both, as the editor leaves them.
    """
    metadata, spec = dict(before["metadata"]), dict(before["spec"])
    for key, value in copy.deepcopy(added).items():
        place = metadata if key in METADATA else spec
        present = place.get(key)
        if isinstance(present, list):
            place[key] = [*present, *value]
        elif isinstance(present, dict):
            place[key] = _joined(present, value)
        else:
            place[key] = value
    return {**before, "metadata": metadata, "spec": spec}


def _joined(value: Json, other: Json) -> Json:
    return value | {
        key: [*value[key], *item] if isinstance(value.get(key), list) else item
        for key, item in other.items()
    }


def with_ephemeral_volume(name: str) -> tuple[Json, Json]:
    """A pod of this name, without and with an ephemeral volume `v`."""
    before = pod({})
    before["metadata"]["name"] = name
    resources = {"requests": {"storage": "1"}}
    claim = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": resources}}
    volume = {"name": "v", "ephemeral": {"volumeClaimTemplate": claim}}
    return before, with_added(before, {"volumes": [volume]})


def verdict(
    before: Json,
    after: Json,
    *,
    policy: pod_security.Policy = ANYTHING,
    minor: int = releases.NEWEST,
) -> str | None:
    """The sentence about the added parts where this is enforced; None if they are valid.

    `minor` is the release of the cluster.
    """
    if refused := releases.problem(before=before, after=after, minor=minor):
        return refused
    policy = policy._replace(minor=min(policy.minor, minor))
    old = pod_security.violations(policy, before)
    new = [text for text in pod_security.violations(policy, after) if text not in old]
    return pod_rules.problem(before=before, after=after) or next(iter(new), None)
