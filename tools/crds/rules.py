"""Rules in CEL that are made from tables; the others are in spec.yaml beside their fields.

What the API server evaluates, and what a rule may cost:
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

from collections.abc import Iterator

from sidecar_injector.core.pods import annotation
from tools.crds import structural

Schema = structural.Schema

MAX_NAME = 63
OPT_OUT_MESSAGE = "must be Allowed with activation OnRequest: a pod that does not ask gets nothing"


def name_rules() -> Iterator[Schema]:
    """A pod's annotation lists injections by name, and warnings have little room."""
    yield {
        "rule": f"self.metadata.name.size() <= {MAX_NAME}",
        "message": f"a name of at most {MAX_NAME} characters is accepted",
        "fieldPath": ".metadata.name",
    }
    words = sorted(annotation.YES | annotation.NO)
    yield {
        "rule": f"!(self.metadata.name in {words})",
        "message": (
            f"in a pod's annotation {', '.join(words)} mean yes or no; any other name is accepted"
        ),
        "fieldPath": ".metadata.name",
    }


def spec_rules(spec: Schema) -> Iterator[Schema]:
    """The rules about more than one field of spec."""
    yield something_to_inject(spec)
    if "optOut" in spec["properties"]:
        yield {
            "rule": "self.optOut != 'Forbidden' || self.activation != 'OnRequest'",
            "message": OPT_OUT_MESSAGE,
            "fieldPath": ".optOut",
        }


def something_to_inject(spec: Schema) -> Schema:
    """A rule over every field that injects something by itself, so that none is forgotten."""
    fields = spec["properties"]
    template = fields["template"]["properties"]
    places = {
        "template.metadata": template["metadata"]["properties"],
        "template.spec": template["spec"]["properties"],
        "applicationContainers": {
            name: schema
            for name, schema in fields["applicationContainers"]["properties"].items()
            if schema["type"] == "array"
        },
    }
    expressions = [
        _is_set(f"{place}.{name}", schema)
        for place, properties in places.items()
        for name, schema in properties.items()
    ]
    return {
        "rule": " || ".join(expressions),
        "message": (
            "nothing to inject: give at least one of template.spec.*, template.metadata.labels or"
            " annotations, applicationContainers.env, envFrom, volumeMounts or appendEnv"
        ),
    }


def _is_set(path: str, schema: Schema) -> str:
    """The CEL expression that a field of spec has a value, and not an empty one."""
    first, *rest = path.split(".")
    optional = f"self.?{first}" + "".join(f".?{part}" for part in rest)
    if schema["type"] == "array":
        return f"{optional}.orValue([]).size() > 0"
    if schema["type"] == "string":
        return f"{optional}.orValue('') != ''"
    if "additionalProperties" in schema:
        return f"{optional}.orValue({{}}).size() > 0"
    return f"{optional}.hasValue()"
