"""Namespaces with LimitRanges and ResourceQuotas, from tables and at random."""

from __future__ import annotations

import dataclasses
from typing import Any

import yaml

from sidecar_injector.core.limits import limit_range, namespace_limits
from sidecar_injector.core.reasons import Conflict
from tests.kits import validity
from tests.kits.random_pods import Choices

Json = dict[str, Any]
UNSCOPED = ("requests.e", "limits.e")
"""Ephemeral storage and the extended resource, of which a quota with a scope must have none."""
NAME = "limits"
"""Of the LimitRange and of the ResourceQuota."""
NAMES = (
    *("cpu", "pods", "count/pods", "requests.memory", "limits.ephemeral-storage"),
    *("hugepages-2Mi", "requests.hugepages-2Mi", "requests.example.com/gpu"),
    *("count/secrets", "count/deployments.apps", "services", "services.nodeports"),
    *("persistentvolumeclaims", "requests.storage", "configmaps", "resourcequotas", "secrets"),
    *("replicationcontrollers", "services.loadbalancers"),
    "gold.storageclass.storage.k8s.io/requests.storage",
    "gpu.deviceclass.resource.k8s.io/devices",
    "requests.deviceclass.resource.kubernetes.io/gpu",
)
"""What a quota may have in `hard`, and Kubernetes counts."""
NO_NAMES = (
    *("cpus", "request.cpu", "limits.storage", "requests.pods", "service", "services."),
    *("limits.hugepages-2Mi", "count", "example.com/gpu", "limits.example.com/gpu"),
)
"""What Kubernetes does not count. It accepts those with a slash."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """What a namespace has."""

    limits: list[Json] = dataclasses.field(default_factory=list)
    """The items of its LimitRange."""
    quota: Json = dataclasses.field(default_factory=dict)
    """The `spec` of its ResourceQuota."""
    used: Json = dataclasses.field(default_factory=dict)
    """The resources of a pod that is there already."""

    @property
    def objects(self) -> list[tuple[str, Json]]:
        """What is created, each with its plural."""
        ranges = {"kind": "LimitRange", "metadata": {"name": NAME}, "spec": {"limits": self.limits}}
        quota = {"kind": "ResourceQuota", "metadata": {"name": NAME}, "spec": self.quota}
        return [
            *([("limitranges", {"apiVersion": "v1", **ranges})] if self.limits else ()),
            *([("resourcequotas", {"apiVersion": "v1", **quota})] if self.quota else ()),
        ]

    @property
    def holder(self) -> Json | None:
        """The pod that is there already."""
        if not self.used:
            return None
        container = {"name": "app", "image": "x", "resources": self.used}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "holder"},
            "spec": {"containers": [container]},
        }

    def as_live(self) -> list[Json]:
        """The objects as a cluster has them."""
        objects = [thing for _, thing in self.objects]
        for quota in objects:
            if quota["kind"] == "ResourceQuota":
                holder = self.holder
                pod = limit_range.compiled([]).charged(holder) if holder else None
                used = {name: str(amount) for name, amount in (pod.usage if pod else {}).items()}
                quota["status"] = {"hard": quota["spec"]["hard"], "used": used}
        return objects


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A row of a table."""

    name: str
    setting: Setting
    before: Json
    after: Json
    says: str


def cases(table: str) -> list[Case]:
    """All rows of limits_refused.yaml or limits_accepted.yaml."""
    rows = yaml.safe_load((validity.TABLES / f"limits_{table}.yaml").read_text("utf-8"))
    return [_case(row) for row in rows]


def _case(row: Json) -> Case:
    quota = {"hard": row["quota"]} if "quota" in row else {}
    quota |= {key: row[key] for key in ("scopes", "scopeSelector") if key in row}
    before = validity.pod(row.get("pod", {}))
    return Case(
        name=row["case"],
        setting=Setting(limits=row.get("limits", []), quota=quota, used=row.get("used", {})),
        before=before,
        after=validity.with_added(before, row["added"]),
        says=row.get("says", ""),
    )


def conflict(objects: list[Json], before: Json, after: Json) -> Conflict | None:
    """What we say of a pair of pods in a namespace with these objects."""
    limits = namespace_limits.of_objects(objects)
    return limits.conflict(before=before, after=after) if limits else None


class Draw(Choices):
    """Random namespaces and pairs of pods, near the borders."""

    def setting(self) -> Setting:
        limits = [self._container_limits()] if self.sometimes(0.6) else []
        limits += [self._pod_limits()] if self.sometimes(0.4) else []
        quota: Json = {}
        if self.sometimes(0.7) or not limits:
            quota = {"hard": self._hard()}
        if quota and not any(name.startswith(UNSCOPED) for name in quota["hard"]):
            quota |= self.choice([
                {}, {}, {"scopes": ["NotBestEffort"]}, {"scopes": ["NotTerminating"]},
                {"scopeSelector": {"matchExpressions": [
                    {"scopeName": "PriorityClass", "operator": "DoesNotExist"},
                ]}},
            ])  # fmt: skip
        used: Json = {}
        if quota and not limits and self.sometimes(0.7):
            amounts = {"cpu": "100m", "memory": "100Mi", "ephemeral-storage": "1Gi"}
            used = {"requests": amounts, "limits": amounts}
        return Setting(limits=limits, quota=quota, used=used)

    def _container_limits(self) -> Json:
        cpu = self.members(
            0.3,
            min=lambda: {"cpu": "50m"},
            defaultRequest=lambda: {"cpu": self.choice(["50m", "100m"])},
            default=lambda: {"cpu": self.choice(["100m", "200m"]), "memory": "64Mi"},
            max=lambda: {"cpu": self.choice(["200m", "500m"])},
            maxLimitRequestRatio=lambda: {"cpu": self.choice(["2", "1500m", "4"])},
        )
        return {"type": "Container", **(cpu or {"max": {"memory": "128Mi"}})}

    def _pod_limits(self) -> Json:
        field = self.choice(["min", "max", "max", "maxLimitRequestRatio"])
        if field == "min":
            return {"type": "Pod", "min": {"cpu": "50m"}}
        if field == "max":
            return {"type": "Pod", "max": self.choice([{"cpu": "500m"}, {"memory": "256Mi"}])}
        return {"type": "Pod", field: {"cpu": "3"}}

    def _hard(self) -> Json:
        hard = self.members(
            0.3,
            cpu=lambda: self.choice(["300m", "500m", "1"]),
            memory=lambda: self.choice(["200Mi", "300Mi", "1Gi"]),
            pods=lambda: self.choice(["1", "2", "10"]),
        )
        hard |= {
            name: self.choice(values)
            for name, values in {
                "requests.cpu": ["300m", "500m", "1"],
                "limits.cpu": ["400m", "700m"],
                "requests.memory": ["200Mi", "400Mi"],
                "limits.memory": ["300Mi", "1Gi"],
                "requests.ephemeral-storage": ["2Gi"],
                "requests.example.com/gpu": ["0", "1"],
            }.items()
            if self.sometimes(0.2)
        }
        return hard or {"requests.cpu": "400m"}

    def pair(self) -> tuple[Json, Json]:
        """A pod of an author, and the same with containers."""
        self._is_complete = self.sometimes(0.7)
        fields: Json = {"containers": [self._container(name) for name in self.some("ab", least=1)]}
        fields |= self.members(
            0.2,
            initContainers=lambda: [self._init_container("i")],
            activeDeadlineSeconds=lambda: 60,
            resources=lambda: {"requests": {"cpu": "400m"}, "limits": {"cpu": "500m"}},
        )
        before = validity.pod(fields)
        self._is_complete = self.sometimes(0.6)
        added: Json = {"containers": [self._container("s")]} if self.sometimes(0.7) else {}
        if self.sometimes(0.5) or not added:
            added["initContainers"] = [self._init_container("t")]
        return before, validity.with_added(before, added)

    def _container(self, name: str) -> Json:
        resources: Json = {}
        amounts = {
            "cpu": ["0", "50m", "75m", "100m", "200m"], "memory": ["32Mi", "64Mi", "100Mi"],
            "ephemeral-storage": ["1Gi"], "example.com/gpu": ["1"],
        }  # fmt: skip
        shares = {"cpu": 0.8, "memory": 0.7, "ephemeral-storage": 0.15, "example.com/gpu": 0.07}
        for resource, values in amounts.items():
            if not self.sometimes(1 if self._is_complete and values[2:] else shares[resource]):
                continue
            low, high = sorted(self.choices(range(len(values)), k=2))
            if resource == "example.com/gpu":
                resources.setdefault("limits", {})[resource] = values[0]
                continue
            if self._is_complete or self.sometimes(0.7):
                resources.setdefault("requests", {})[resource] = values[low]
            if self._is_complete or self.sometimes(0.5):
                resources.setdefault("limits", {})[resource] = values[high]
        return {"name": name, "image": "x", **({"resources": resources} if resources else {})}

    def _init_container(self, name: str) -> Json:
        native = {"restartPolicy": "Always"} if self.sometimes(0.5) else {}
        return {**self._container(name), **native}
