"""A ValidatingAdmissionPolicy that holds `failurePolicy: Fail` while no webhook is there.

It runs last and refuses pods that an injection selects and that lack one of its containers. It
knows them by name and image, so whoever rewrites images (a mirror of a registry) is in its way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sidecar_injector.core.injections import model
from sidecar_injector.core.policies import cel, injection, pod_facts

Json = dict[str, Any]
Unguarded = tuple[model.Injection, str, str]
"""An injection, the field that is the cause, and why."""


def of(
    compiled: Iterable[model.Injection],
    *,
    scope: Json,
    shadowing: Mapping[str, set[str]],
) -> tuple[Json | None, list[Unguarded]]:
    """The spec of the guard, None if there is nothing to hold, and what it cannot hold.

    `scope` has its `matchConstraints` and `matchConditions`.
    """
    unguarded, validations = [], []
    variables = cel.Variables()
    pod_facts.define(variables)
    for required in compiled:
        if not required.must_succeed:
            continue
        if problem := _problem(required):
            unguarded.append((required, *problem))
            continue
        wanted = [container["name"] for container in pod_facts.containers(required)]
        there = cel.every(
            f"{cel.text(container['name'] + ' ' + container['image'])} in variables.images"
            for container in pod_facts.containers(required)
        )
        applies = injection.matches(required, shadowing.get(required.name, ()))
        message = (
            f"{required.kind} {required.reference} is required (failurePolicy: Fail) and the pod"
            f" lacks {', '.join(wanted)}"
        )
        validations.append(
            {"expression": f"!({applies}) || {there}", "message": message, "reason": "Invalid"}
        )
    if not validations:
        return None, unguarded
    expressions = [validation["expression"] for validation in validations]
    spec = {
        "failurePolicy": "Fail",
        **scope,
        "variables": variables.used_by(*expressions),
        "validations": validations,
    }
    return spec, unguarded


def _problem(required: model.Injection) -> tuple[str, str] | None:
    """The field for which the guard cannot hold an injection, and why."""
    containers = pod_facts.containers(required)
    if not containers:
        return "spec.template.spec.containers", "has none, by which the guard would know the pod"
    if any(pod_facts.has_token(container["image"]) for container in containers):
        return "spec.template.spec.containers", "has an image that depends on the pod"
    selector = required.spec.get("selector") or {}
    keys = {*(selector.get("matchLabels") or {})}
    keys.update(each["key"] for each in selector.get("matchExpressions") or ())
    if shared := sorted(keys & (required.template_metadata.get("labels") or {}).keys()):
        return "spec.selector", f"asks for the label {shared[0]}, which the injection adds"
    return None
