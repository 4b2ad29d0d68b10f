"""The pod that takes one injection most easily, to see what the injection does to it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

from sidecar_injector.core import decision, patch
from sidecar_injector.core.injections import model, parameters
from sidecar_injector.core.linting import needs
from sidecar_injector.core.merging import (
    budget,
    container_additions,
    merge,
    render,
    status_annotation,
)
from sidecar_injector.core.merging import ports as merging_ports
from sidecar_injector.core.merging.claims import Claims
from sidecar_injector.core.pods import fields, references
from sidecar_injector.core.reasons import Conflict, Reason

Json = dict[str, Any]
OWN = "application"
"""The name of its container, unless the injection names another one."""
MOST_NAMED = 8
"""Containers that the example pod has because `names.include` means them."""
GUESSES = (
    "x", "1", "10", "true", "a-b", "x1", "1s", "64Mi", "example.com", "/x", "https://x", "x=1",
)  # fmt: skip
"""Values that are tried against the pattern of a parameter, before the words in the pattern."""
SECURITY_CONTEXT: Mapping[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""What the Pod Security level `restricted` requires of a container; the example pod has it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """The result for one example pod."""

    before: Mapping[str, Any]
    after: Mapping[str, Any]
    line: decision.Line
    guessed: tuple[str, ...]
    """The parameters with a guessed value, which may be the cause of a failure."""
    needs: tuple[str, ...]
    """What the pod has so that the injection fits, and most pods do not have."""


def outcomes(injection: model.Injection, *, minor: int | None = None) -> Iterator[TrialResult]:
    """The injection tried on a pod that runs for ever and on a pod that ends.

    `minor` is the release of the cluster, 32 for 1.32; without it, the newest that is supported.
    No result for an injection with errors, or if no value matches the pattern of a parameter.
    """
    sources = None if injection.errors else _sources(injection)
    if sources is None:
        return
    for restart_policy in ("Always", "Never"):
        yield tried(injection, pod_for(injection, restart_policy), sources, minor=minor)


def unresolved(injection: model.Injection) -> Iterator[tuple[str, str]]:
    """Mounts of volumes that the template does not define, as (field path, volume)."""
    defined = {volume["name"] for volume in injection.template_spec.get("volumes") or ()}
    for path, name in mounts(injection):
        if name not in defined:
            yield path, name


def mounts(injection: model.Injection) -> Iterator[tuple[str, str]]:
    """Every mount in the injection, as (field path, volume)."""
    for path, container in containers(injection):
        for field in ("volumeMounts", "volumeDevices"):
            for index, mount in enumerate(container.get(field) or ()):
                yield f"{path}.{field}[{index}]", mount["name"]
    applied = injection.spec.get("applicationContainers") or {}
    for index, mount in enumerate(applied.get("volumeMounts") or ()):
        yield f"spec.applicationContainers.volumeMounts[{index}]", mount["name"]


def ports(injection: model.Injection) -> Iterator[tuple[str, fields.Port, str]]:
    """The ports of the template's containers that go on running, as (field path, port, container).

    Init containers that end are left out: they run alone.
    """
    for path, container in containers(injection):
        field = "containers" if ".containers[" in path else "initContainers"
        if merging_ports.kind_of(field, container) != merging_ports.PLAIN:
            for index, port in enumerate(fields.ports(container)):
                yield f"{path}.ports[{index}]", port, container["name"]


def containers(injection: model.Injection) -> Iterator[tuple[str, Json]]:
    """The template's containers of both lists, each with its field path."""
    for field in ("containers", "initContainers"):
        for index, container in enumerate(injection.template_spec.get(field) or ()):
            yield f"spec.template.spec.{field}[{index}]", container


Values = dict[str, dict[str, str]]


def tried(
    injection: model.Injection,
    pod: Json,
    guesses: tuple[Values, tuple[str, ...]],
    *,
    minor: int | None,
) -> TrialResult:
    """The result for one pod; `guesses` are its labels and annotations by source, and the names of
    the parameters whose value is a guess."""
    context = render.RenderContext(
        namespace=injection.namespace or "default",
        service_account="default",
        host_network=False,
        sources=guesses[0],
    )
    texts = tuple(_meet_needs(injection, pod, context))
    editor = patch.Editor(pod)
    merging = merge.Merge(editor, status_annotation.NOTHING, context=context, minor=minor)
    smallest: Json = {"spec": {"containers": [{"name": OWN}]}}
    is_small = budget.Budget(smallest, status_annotation.NOTHING).admits(injection)
    line = merging.fit(injection) if is_small else decision.line(injection, Reason.TOO_MUCH_WORK)
    return TrialResult(
        before=pod, after=editor.document, line=line, guessed=guesses[1], needs=texts
    )


def _meet_needs(
    injection: model.Injection, pod: Json, context: render.RenderContext
) -> Iterator[str]:
    """Give the pod what the injection needs, as far as its values can be filled in."""
    try:
        parts = render.render(injection, pod=pod, claims=Claims(()), context=context)
    except Conflict:
        return
    for need in needs.of(parts, injection.spec):
        need.meet(pod["spec"])
        if need.text:
            yield need.text


def pod_for(injection: model.Injection, restart_policy: str) -> Json:
    """A pod that has what the injection refers to."""
    volumes = dict.fromkeys(name for _, name in unresolved(injection))
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        # With a name, it would be refused the claims that it makes itself.
        "metadata": {"generateName": f"{OWN}-", "namespace": injection.namespace or "default"},
        "spec": {
            "restartPolicy": restart_policy,
            "containers": list(_own_containers(injection)),
            "volumes": [{"name": name, "emptyDir": {}} for name in volumes],
        },
    }


def _own_containers(injection: model.Injection) -> Iterator[Json]:
    """Containers that the globs and `inherit` of the injection refer to, and at least one."""
    variables: dict[str, list[Json]] = {}
    for source in (injection.spec.get("inherit") or {}).get("env") or ():
        variable = {"name": source["name"], "value": "x"}
        variables.setdefault(source["fromContainer"], []).append(variable)
    applied = injection.spec.get("applicationContainers") or {}
    needed = references.of_items(applied.get("volumeMounts") or (), "subPathExpr")
    added = {item["name"] for key in ("env", "appendEnv") for item in applied.get(key) or ()}
    paths = [{"name": name, "value": "x"} for name in sorted(needed - added)]
    globs = applied.get("names") or {}
    for glob in (globs.get("include") or ())[:MOST_NAMED]:
        name = OWN if glob == "*" else re.sub(r"[*?]", "x", glob)
        if container_additions.is_selected(name, globs):
            variables.setdefault(name, [])
    injected = {container["name"] for _, container in containers(injection)}
    own = {name: env for name, env in variables.items() if name not in injected}
    for name, env in (own or {OWN if OWN not in injected else f"{OWN}-{OWN}": []}).items():
        yield {
            "name": name,
            "image": needs.IMAGE,
            "env": [*env, *paths],
            "securityContext": SECURITY_CONTEXT,
        }


def _sources(injection: model.Injection) -> tuple[Values, tuple[str, ...]] | None:
    """Labels and annotations with a value for every parameter without a default, and the names of
    the parameters whose value is a guess; None if no guess is accepted."""
    values: Values = {source: {} for source in parameters.SOURCES}
    guessed = []
    for parameter in injection.spec.get("parameters") or ():
        if parameter.get("default") is not None:
            continue
        source, key = next((kind, name) for kind, name in parameter["from"].items() if name)
        if (value := guess(parameter)) is None:
            return None
        values[source][key] = value
        if not parameter.get("enum"):
            guessed.append(parameter["name"])
    return values, tuple(guessed)


def guess(parameter: Mapping[str, Any]) -> str | None:
    """A value that the parameter accepts; None if none is found."""
    accepted = (value for value in _candidates(parameter) if _fits(parameter, value))
    return next(accepted, None)


def _candidates(parameter: Mapping[str, Any]) -> Iterator[str]:
    yield from map(str, parameter.get("enum") or ())
    yield from GUESSES
    yield from re.findall(r"[A-Za-z0-9]+", parameter.get("pattern") or "")


def _fits(parameter: Mapping[str, Any], value: str) -> bool:
    return not parameters.convert(parameter, value)[1]
