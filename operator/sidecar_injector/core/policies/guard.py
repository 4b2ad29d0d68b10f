"""A ValidatingAdmissionPolicy that holds `failurePolicy: Fail` while no webhook is there.

It runs last and refuses pods that an injection selects and that lack one of its containers. It
knows them by name and image, so whoever rewrites images (a mirror of a registry) is in its way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sidecar_injector import names
from sidecar_injector.core.injections import model
from sidecar_injector.core.pods import operating_system
from sidecar_injector.core.policies import cel, doubts, injection, pod_facts

Json = dict[str, Any]
Unguarded = tuple[model.Injection, str, str]
"""An injection, the field that is the cause, and why."""
_OS_LABELS: Final = cel.strings(operating_system.LABELS)
_FACTS: Final = {
    "terms": (
        f"object.spec.?affinity.?nodeAffinity.?{pod_facts.TERMS[0]}.?nodeSelectorTerms.orValue([])"
    ),
    # What `operating_system.of` says. The policy leaves every pod whose affinity names a system to
    # the webhook; a guard that let all of them pass would be easy to avoid.
    "linux": (
        'object.spec.?os.?name.orValue("linux") in ["", "linux"] && '
        f'{_OS_LABELS}.all(k, object.spec.?nodeSelector[?k].orValue("linux") == "linux") && '
        "(size(variables.terms) == 0 || variables.terms.exists(t,"
        " size(t.?matchExpressions.orValue([])) + size(t.?matchFields.orValue([])) > 0 &&"
        f" t.?matchExpressions.orValue([]).all(e, !(e.key in {_OS_LABELS}) ||"
        ' (e.operator == "In" ? "linux" in e.?values.orValue([]) :'
        ' e.operator == "NotIn" ? !("linux" in e.?values.orValue([])) : e.operator == "Exists" ||'
        f' e.operator == "DoesNotExist" && e.key != {cel.text(operating_system.LABELS[0])}))))'
    ),
    # Whether CEL surely reads what the pod asks for as the decision does.
    "clear": f"(variables.said + variables.theirs).matches({cel.text(doubts.REQUEST)})",
}
MOST_NAMESPACES: Final = 256
"""That are named because of what their own injections are: whoever may write injections in some
namespaces must not make a policy as long as they like."""


def of(
    compiled: Iterable[model.Injection],
    *,
    active: Sequence[model.Injection],
    scope: Json,
    shadowing: Mapping[str, set[str] | None],
) -> tuple[Json | None, list[Unguarded]]:
    """The spec of the guard, None if there is nothing to hold, and what it cannot hold.

    `active` are all injections that anybody adds; `scope` has its `matchConstraints` and
    `matchConditions`.
    """
    unguarded, validations = [], []
    variables = cel.Variables()
    pod_facts.define(variables)
    for name, expression in _FACTS.items():
        variables.let(name, expression)
    for required in compiled:
        if not required.must_succeed:
            continue
        why, namespaces = _relabelled(required, active)
        if problem := _problem(required) or (("spec.selector", why) if why else None):
            unguarded.append((required, *problem))
        else:
            matches = injection.matches(required, shadowing.get(required.name, ()))
            validations.append(_validation(required, matches, namespaces))
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


def _validation(required: model.Injection, matches: str, namespaces: Sequence[str]) -> Json:
    """Pods of these namespaces pass."""
    is_any = required.spec.get("operatingSystem") == operating_system.ANY
    applies = cel.every([
        matches,
        f"!(request.namespace in {cel.strings(namespaces)})" if namespaces else "true",
        "true" if is_any else "variables.linux",
        # Whoever writes an unclear annotation could as well opt out.
        "true" if required.is_mandatory else "variables.clear",
    ])  # fmt: skip
    containers = pod_facts.containers(required)
    # A container of the pod that is merged with keeps its image.
    merges = required.spec.get("onConflict") == "Merge"
    there = cel.every(
        f"{cel.text(each['name'])} in variables.names" if merges
        else f"{cel.text(each['name'] + ' ' + pod_facts.image(required, each))} in variables.images"
        for each in containers
    )  # fmt: skip
    message = (
        f"{required.kind} {required.reference} is required (failurePolicy: Fail) and the pod"
        f" lacks {', '.join(each['name'] for each in containers)}"
    )
    return {"expression": f"!({applies}) || {there}", "message": message, "reason": "Invalid"}


def _problem(required: model.Injection) -> tuple[str, str] | None:
    """The field for which the guard cannot hold an injection, and why."""
    containers = pod_facts.containers(required)
    if not containers:
        return "spec.template.spec.containers", "has none, by which the guard would know the pod"
    if any(pod_facts.has_token(container["image"]) for container in containers):
        return "spec.template.spec.containers", "has an image that depends on the pod"
    return None


def _relabelled(
    required: model.Injection, active: Iterable[model.Injection]
) -> tuple[str, list[str]]:
    """Why its selector cannot be held, or else the namespaces in which it cannot.

    The decision is about the labels of the pod's author, and the guard sees all that are added.
    """
    selector, namespaces = required.spec.get("selector") or {}, set[str]()
    keys = {*(selector.get("matchLabels") or {})}
    keys.update(each["key"] for each in selector.get("matchExpressions") or ())
    for other in active:
        labels = other.template_metadata.get("labels") or {}
        if not (shared := keys & {names.INJECTED_LABEL, *labels}):
            continue
        if other.namespace in (None, required.namespace):
            who = "the injection" if other is required else other.reference
            return f"asks for the label {min(shared)}, which {who} adds", []
        if required.is_cluster:
            namespaces.add(other.namespace or "")
    if len(namespaces) > MOST_NAMESPACES:
        return f"asks for labels that injections of {len(namespaces)} namespaces add", []
    return "", sorted(namespaces)
