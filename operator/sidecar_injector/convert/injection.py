"""What all converters share: the custom resource, its name, and its parts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sidecar_injector import names
from sidecar_injector.convert import findings, fitting
from sidecar_injector.core.injections import model, parameters, rules
from sidecar_injector.core.pods import annotation

Json = dict[str, Any]
CONTAINER_LISTS = ("containers", "initContainers")
FALLBACK_NAME = "sidecar"
_INVALID = re.compile(r"[^-a-z0-9.]+")
_PUNCTUATION = re.compile(r"[-.]+")


def add(name: str, spec: Mapping[str, Any], location: findings.Location) -> None:
    """Adds an injection; warns about everything for which the API server would refuse it."""
    target = location.target
    resource = {
        "apiVersion": names.API_VERSION,
        "kind": target.kind,
        "metadata": {"name": name} | ({"namespace": target.namespace} if target.namespace else {}),
        "spec": dict(spec),
    }
    for problem in model.read(resource, spec_schema=target.spec_schema).errors:
        location.warn(f"the injection {name!r} would be refused: {problem}")
    for field, _, token in parameters.tokens(resource["spec"], path="spec"):
        if token in parameters.BUILT_IN:
            location.warn(f"the injection {name!r} fills in $({token}) per pod: {field}")
    location.conversion.injections.append(resource)


def pod_parts(
    fields: tuple[str, ...], value: Mapping[str, Any], location: findings.Location
) -> Json:
    """These fields of a pod's spec, reduced to what a template accepts, without empty ones.

    Warns about a field that this kind of injection does not have.
    """
    parts: Json = {}
    for field in fields:
        place = location.member(field)
        accepted = location.target.pod_part(field)
        if not accepted:
            if value.get(field):
                place.warn(f"is left out: only a {names.CLUSTER_KIND} can set it")
            continue
        fitted = fitting.fit(accepted, value.get(field), place)
        if field == "containers":
            fitted = [_without_policy(container, place) for container in fitted or ()]
        if fitted:
            parts[field] = fitted
    return parts


def _without_policy(container: Json, location: findings.Location) -> Json:
    if "restartPolicy" in container:
        location.warn(
            f"restartPolicy of {container['name']!r} is left out: sidecarMode decides it, and"
            " initContainers are where a native sidecar of its own may stand"
        )
    return {key: value for key, value in container.items() if key != "restartPolicy"}


def containers(parts: Mapping[str, Any]) -> Iterator[Json]:
    """The containers of both lists."""
    for field in CONTAINER_LISTS:
        yield from parts.get(field) or ()


def present(**members: Any) -> Json:
    """The members that are not empty."""
    return {key: value for key, value in members.items() if value not in (None, "", [], {}, False)}


def free_name(wanted: str, location: findings.Location) -> str:
    """The nearest name that an object can have and no other injection has; warns about a change."""
    taken = {resource["metadata"]["name"] for resource in location.conversion.injections}
    name = unique = _valid_name(wanted)
    count = 1
    while unique in taken:
        count += 1
        unique = f"{name[: rules.MAX_NAME - len(f'-{count}')].rstrip('-.')}-{count}"
    if unique != wanted:
        reason = "is no object name" if name != wanted else "is taken already"
        location.warn(f"{wanted!r} {reason}; the injection is named {unique!r}")
    return unique


def _valid_name(wanted: str) -> str:
    # The neighbours of a dot must be letters or digits.
    name = _PUNCTUATION.sub(
        lambda match: "." if "." in match[0] else match[0], _INVALID.sub("-", wanted.lower())
    ).strip("-.")
    name = name[: rules.MAX_NAME].rstrip("-.")
    if not name or annotation.is_word(name):
        return f"{FALLBACK_NAME}-{name}".rstrip("-")
    return name
