"""What fields ask of each other: a drawn object is changed until the API server may take it.

What is forgotten here costs a request only: see `judge`, which drops what the API server refuses.
"""

from __future__ import annotations

import pathlib
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

import yaml

Json = dict[str, Any]
VALUES: Final[Json] = yaml.safe_load(pathlib.Path(__file__).with_name("values.yaml").read_text())
USABLE: Final = 0.8
"""How often a parameter has a default."""
CONTAINER_LISTS: Final = ("containers", "initContainers")


class Drawing(Protocol):
    """What this module asks of `drawing.Draw`."""

    random: random.Random

    def choice(self, choices: Sequence[Any]) -> Any:
        """One of them."""

    def of_type(self, name: str) -> Any:
        """An object of this type."""


def _drop(thing: Json, *fields: str) -> None:
    for field in fields:
        thing.pop(field, None)


def _requirement(draw: Drawing, thing: Json) -> None:
    if thing["operator"] in ("Exists", "DoesNotExist"):
        _drop(thing, "values")
    else:
        most = 1 if thing["operator"] in ("Gt", "Lt") else None
        thing["values"] = (thing.get("values") or ["1"])[:most]


def _node_term(draw: Drawing, thing: Json) -> None:
    for requirement in thing.get("matchFields") or ():
        requirement |= {"key": "metadata.name", "operator": "In", "values": ["a"]}


def _toleration(draw: Drawing, thing: Json) -> None:
    if not thing.get("key") or thing.get("operator") == "Exists":
        thing["operator"] = "Exists"
        _drop(thing, "value")
    if thing.get("tolerationSeconds") is not None:
        thing["effect"] = "NoExecute"


def _resources(draw: Drawing, thing: Json) -> None:
    """Requests in odd notations, and limits above them."""
    both = thing.get("requests") and thing.get("limits")
    choices = VALUES["requests" if both else "limits"]
    drawn = draw.random.sample(sorted(choices), draw.random.randint(1, 3))
    for field in ("requests", "limits"):
        for resource in drawn if thing.get(field) else ():
            quantities = VALUES[field].get(resource) or VALUES["requests"][resource][:1]
            thing[field] = {key: value for key, value in thing[field].items() if key in drawn}
            thing[field][resource] = draw.choice(quantities)


def _container(draw: Drawing, thing: Json) -> None:
    if not thing.get("restartPolicy"):
        _drop(thing, "restartPolicyRules")
    for field, key in (("ports", "name"), ("volumeMounts", "mountPath"),
                       ("volumeDevices", "name"), ("resizePolicy", "resourceName")):  # fmt: skip
        thing.update({field: distinct(thing[field], [key])} if thing.get(field) else {})


BY_TYPE: Final[Mapping[str, Callable[[Any, Json], None]]] = {
    "Container": _container,
    "LabelSelectorRequirement": _requirement,
    "NodeSelectorRequirement": _requirement,
    "NodeSelectorTerm": _node_term,
    "ResourceRequirements": _resources,
    "Toleration": _toleration,
}


def mend_pod(draw: Drawing, metadata: Json, spec: Json) -> None:
    """Names, references, and what the fields of a pod ask of its containers."""
    metadata["generateName"] = metadata.get("generateName") or "a-"
    containers = mend_template(draw, spec)
    for field in ("requests", "limits"):
        if (spec.get("resources") or {}).get(field):
            spec["resources"][field] = {
                resource: draw.choice(some) for resource, some in VALUES["of_the_pod"].items()
            }
    for port in _parts(containers, "ports") if spec.get("hostNetwork") else ():
        port["hostPort"] = port["containerPort"]
    if spec.get("dnsPolicy") == "None":
        spec["dnsConfig"] = {**(spec.get("dnsConfig") or {}), "nameservers": VALUES["ips"][:3]}
    if spec.get("overhead"):
        spec["runtimeClassName"] = "a"


def mend_injection(draw: Drawing, spec: Json) -> None:
    """The same for an injection, which has something to inject."""
    template = spec.setdefault("template", {}).setdefault("spec", {})
    if not any(template.get(field) for field in CONTAINER_LISTS):
        template["containers"] = [draw.of_type("Container")]
    mend_template(draw, template)
    for container in template.get("containers") or ():
        _drop(container, "restartPolicy", "restartPolicyRules")
    for container in template.get("initContainers") or ():
        if container.get("restartPolicy") != "Always":
            _drop(container, "restartPolicy", "restartPolicyRules")
    applied = spec.get("applicationContainers") or {}
    _refer(draw, [applied], template)
    names = {variable["name"] for variable in applied.get("env") or ()}
    if applied.get("appendEnv"):
        applied["appendEnv"] = [item for item in applied["appendEnv"] if item["name"] not in names]
    for parameter in spec.get("parameters") or ():
        _drop(parameter, "pattern" if parameter.get("enum") else "")
        parameter.update({"default": "1"} if draw.random.random() < USABLE else {})


def mend_template(draw: Drawing, spec: Json) -> list[Json]:
    """All containers, with names of their own, that mount the volumes that there are."""
    if spec.get("volumes"):
        spec["volumes"] = distinct(spec["volumes"], ["name"])
    containers = [item for field in CONTAINER_LISTS for item in spec.get(field) or ()]
    free = list(VALUES["names"])
    for container in containers:
        if container["name"] not in free:
            container["name"] = free[0]
        free.remove(container["name"])
    for container in spec.get("initContainers") or ():
        if container.get("restartPolicy") != "Always":
            _drop(container, "livenessProbe", "readinessProbe", "startupProbe", "lifecycle")
    _refer(draw, containers, spec)
    return containers


def _refer(draw: Drawing, containers: Iterable[Json], spec: Json) -> None:
    """Mounts, devices, files and claims name what is there; else they go."""
    volumes = spec.get("volumes") or ()
    claims = [item["name"] for item in volumes if "persistentVolumeClaim" in item]
    names = {
        "volumeMounts": [item["name"] for item in volumes if item["name"] not in claims],
        "volumeDevices": claims,
        "claims": [item["name"] for item in spec.get("resourceClaims") or ()],
    }
    directories = [item["name"] for item in volumes if "emptyDir" in item]
    for container in containers:
        for thing, field in ((container, "volumeMounts"), (container, "volumeDevices"),
                             (container.get("resources") or {}, "claims")):  # fmt: skip
            for item in thing.get(field) or ():
                item["name"] = draw.choice(names[field] or [""])
            _drop(thing, "" if names[field] else field)
        for variable in container.get("env") or ():
            if file := (variable.get("valueFrom") or {}).get("fileKeyRef"):
                file["volumeName"] = draw.choice(directories or ["none"])
                _drop(variable, "" if directories else "valueFrom")


def _parts(containers: Iterable[Json], field: str) -> Iterator[Json]:
    for container in containers:
        yield from container.get(field) or ()


def distinct(items: list[Any], keys: Sequence[str]) -> list[Any]:
    """Without items that have an earlier one's keys, or, if they are no objects, its value."""
    by_identity = {
        str([item.get(key) for key in keys] if keys and isinstance(item, dict) else item): item
        for item in reversed(items)
    }
    return list(reversed(by_identity.values()))
