"""Any object that a schema describes, drawn with a seed: pods, and our injections.

Types are those of the API server's OpenAPI document. Our own fields are those of the source of our
CRDs, which refers to these types.
"""

from __future__ import annotations

import copy
import functools
import random
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sidecar_injector import names
from tools.crds import definition
from tools.fuzz.pods import mending, walking

Json = dict[str, Any]
Schema = Mapping[str, Any]
VALUES: Final = mending.VALUES

EXACTLY_ONE: Final[Mapping[str, tuple[str, ...]]] = {
    "ClusterTrustBundleProjection": ("name", "signerName"),
    "DownwardAPIVolumeFile": ("fieldRef", "resourceFieldRef"),
    "EnvFromSource": ("configMapRef", "secretRef"),
    "FCVolumeSource": ("targetWWNs", "wwids"),
    "Probe": ("exec", "grpc", "httpGet", "tcpSocket"),
}
"""Members that exclude each other."""
EVERY_OTHER: Final[Mapping[str, tuple[str, ...]]] = {
    "EnvVarSource": (), "LifecycleHandler": (), "VolumeProjection": (),
    "PodResourceClaim": ("name",), "Volume": ("name",),
}  # fmt: skip
"""Types whose members exclude each other, but for these."""
AT_MOST_ONE: Final[Mapping[str, Sequence[tuple[str, ...]]]] = {
    "EnvVar": [("value", "valueFrom")],
    "PersistentVolumeClaimSpec": [("dataSource", "dataSourceRef")],
    "PodAffinityTerm": [("matchLabelKeys", "mismatchLabelKeys")],
    "PodSpec": [
        ("nodeName", "schedulingGates"), ("priority", "priorityClassName"),
        ("hostPID", "shareProcessNamespace"), ("hostnameOverride", "setHostnameAsFQDN"),
    ],
    "VolumeMount": [("subPath", "subPathExpr")],
}  # fmt: skip
REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    "ConfigMapEnvSource": ("name",), "ConfigMapKeySelector": ("name",),
    "ConfigMapProjection": ("name",), "ConfigMapVolumeSource": ("name",),
    "Container": ("image",), "ContainerRestartRule": ("exitCodes",),
    "ContainerRestartRuleOnExitCodes": ("values",), "EphemeralVolumeSource":
    ("volumeClaimTemplate",), "ExecAction": ("command",), "ImageVolumeSource": ("reference",),
    "LocalObjectReference": ("name",), "PersistentVolumeClaimSpec": ("accessModes", "resources"),
    "PodCertificateProjection": ("credentialBundlePath",), "PodDNSConfigOption": ("name",),
    "ScaleIOVolumeSource": ("volumeName",), "SecretEnvSource": ("name",),
    "SecretKeySelector": ("name",), "SecretProjection": ("name",),
    "SecretVolumeSource": ("secretName",), "VolumeResourceRequirements": ("requests",),
}  # fmt: skip
"""What the API server requires, though its schema does not."""
ZEROS: Final[Mapping[str, Any]] = {
    "array": [], "boolean": False, "integer": 0, "object": {}, "string": "",
}  # fmt: skip
OFTEN: Final = ("certificateChainPath", "downwardAPI", "emptyDir", "ephemeral", "fileKeyRef",
         "items", "keyPath", "optional", "projected", "sources", "user", "volumes")  # fmt: skip
"""Fields with many others below, or below many others."""
WRONG: Final = ("-", -1, "A b", "x" * 300, 2**31)
CHANCES: Final = (0.03, 0.1, 0.25, 0.5)
"""How often an optional field is there: from pods with little to pods with half of everything."""


class Draw:
    """One object after another; the same ones for the same seed."""

    def __init__(self, openapi: Schema, seed: str) -> None:
        self._types = openapi["components"]["schemas"]
        self.random = random.Random(seed)  # noqa: S311 - it must be repeatable
        self.chance = self.choice(CHANCES)

    def sometimes(self, chance: float) -> bool:
        return self.random.random() < chance

    def choice(self, choices: Sequence[Any]) -> Any:
        """One of them, which its owner may change."""
        return copy.copy(self.random.choice(choices))

    def pod(self) -> Json:
        """One that the API server has a chance to accept."""
        metadata, spec = self.of_type("ObjectMeta"), self.of_type("PodSpec")
        if self.sometimes(0.2):
            requested = self.choice(("yes", "yes", "one", "two,one", "cluster/two", "?"))
            annotations = metadata.get("annotations") or {}
            metadata["annotations"] = {**annotations, names.INJECT_ANNOTATION: requested}
        mending.mend_pod(self, metadata, spec)
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}

    def injection(self, name: str, *, kind: definition.Kind, namespace: str) -> Json:
        """A custom resource; it may have errors."""
        spec = self._own(_source(), kind=kind.kind, name="spec")
        mending.mend_injection(self, spec)
        scope = {"namespace": namespace} if kind.scope == "Namespaced" else {}
        metadata = {"name": name, **scope, "generation": 1}
        return {"apiVersion": names.API_VERSION, "kind": kind.kind,
                "metadata": metadata, "spec": spec}  # fmt: skip

    def of_type(self, name: str) -> Any:
        """An object of a Kubernetes type, or a value of one of its fields (`PodSpec.os`)."""
        kind, _, field = name.partition(".")
        schema = self._types[walking.full_name(self._types, kind)]
        return self._field(kind, field, schema["properties"][field]) if field else (
            self._object(kind, schema))  # fmt: skip

    def _object(self, kind: str, schema: Schema) -> Json:
        """With the fields that are required, and some of the others."""
        fields, required = schema["properties"], self._required(kind, schema)
        excluded: set[str] = set()
        for group in AT_MOST_ONE.get(kind, ()):
            excluded |= {*group} - {self.choice(group)}
        result = {
            field: self._field(kind, field, fields[field])
            for field in sorted(fields.keys() - excluded)
            if f"{kind}.{field}" not in walking.LEFT_OUT
            and (field in required or self._may_be_there(kind, field))
        }
        for field in sorted(result.keys() - required):
            if self.sometimes(0.05):
                result[field] = self.choice((None, self._zero(fields[field])))
        if mend := mending.BY_TYPE.get(kind):
            mend(self, result)
        return result

    def _required(self, kind: str, schema: Schema) -> set[str]:
        required = {*schema.get("required", ()), *REQUIRED.get(kind, ())}
        if choices := self._exclusive(kind, schema):
            required.add(self.choice([*choices, *(field for field in OFTEN if field in choices)]))
        return required

    def _exclusive(self, kind: str, schema: Schema) -> Sequence[str]:
        if kind in EVERY_OTHER:
            return sorted(schema["properties"].keys() - {*EVERY_OTHER[kind]})
        return EXACTLY_ONE.get(kind, ())

    def _may_be_there(self, kind: str, field: str) -> bool:
        chance = max(self.chance, 0.3) if field in OFTEN else self.chance
        is_exclusive = kind in EVERY_OTHER or field in EXACTLY_ONE.get(kind, ())
        return not is_exclusive and self.sometimes(chance)

    def _field(self, kind: str, field: str, schema: Schema) -> Any:
        """The value of a field; of a list or map, with few items."""
        if schema.get("type") == "array":
            count = self.choice((2, 3, 4) if field in OFTEN else (1, 1, 2, 3))
            items = [self._value(kind, field, schema["items"]) for _ in range(count)]
            return mending.distinct(items, _keys(schema))
        if values := schema.get("additionalProperties"):
            keys = VALUES["map_keys"].get(f"{kind}.{field}", VALUES["keys"])
            keys = self.random.sample(keys, self.random.randint(1, min(2, len(keys))))
            return {key: self._value(kind, field, values) for key in keys}
        return self._value(kind, field, schema)

    def _value(self, kind: str, field: str, schema: Schema) -> Any:
        target = walking.reference(schema)
        if "properties" in self._types.get(target, {}):
            return self._object(target.rpartition(".")[2], self._types[target])
        if self.sometimes(0.0005):
            return self.choice(WRONG)
        formats, members = VALUES["formats"], VALUES["members"]
        return self.choice(
            VALUES["fields"].get(kind, {}).get(field)
            or schema.get("enum")
            or formats.get(target.rpartition(".")[2])
            or members.get(field)
            or formats[schema["type"]]
        )

    def _zero(self, schema: Schema) -> Any:
        target = self._types.get(walking.reference(schema), {})
        return copy.copy(ZEROS.get(schema.get("type") or target.get("type", ""), 0))

    def _own(self, schema: Schema, *, kind: str, name: str) -> Any:
        """A value of a field of ours; `name` is the field's."""
        if source := schema.get(definition.KUBERNETES):
            return self.of_type(source)
        if name in VALUES["own"]:
            return self.choice(VALUES["own"][name])
        if schema["type"] == "array":
            count = self.choice((1, 1, 2))
            items = [self._own(schema["items"], kind=kind, name="") for _ in range(count)]
            return mending.distinct(items, _keys(schema))
        if "additionalProperties" in schema:
            return {key: self.choice(VALUES["members"][name]) for key in VALUES["keys"][:2]}
        if "properties" not in schema:
            return self.choice(schema.get("enum") or VALUES["formats"][schema["type"]])
        fields = {field: below for field, below in schema["properties"].items()
                  if below.get(definition.ONLY, kind) == kind}  # fmt: skip
        required = set(schema.get("required", ()))
        if name == "from":
            required, fields = set(), {(field := self.choice(sorted(fields))): fields[field]}
        return {
            field: self._own(below, kind=kind, name=field)
            for field, below in fields.items()
            if field in required or name == "from" or self.sometimes(max(self.chance, 0.2))
        }


@functools.cache
def _source() -> Schema:
    return definition.source("spec")


def _keys(schema: Schema) -> Sequence[str]:
    keys: Sequence[str] = schema.get("x-kubernetes-list-map-keys") or ()
    return keys
