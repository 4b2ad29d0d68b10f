"""The templates of tumblr's k8s-sidecar-injector, in files and ConfigMaps.

https://github.com/tumblr/k8s-sidecar-injector/blob/master/docs/sidecar-configuration-format.md
"""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Iterable, Mapping
from typing import Any

from sidecar_injector import names
from sidecar_injector.convert import findings, fitting, injection, sources

ANNOTATION = "injector.tumblr.com/request"
LATEST = "latest"
HOST_FIELDS = ("hostNetwork", "hostPID")
POD_FIELDS = ("containers", "initContainers", "volumes", "serviceAccountName", *HOST_FIELDS)
APPLIED = ("env", "volumeMounts")
"""Fields for every container, the pod's and the template's own."""
FIELDS = ("name", "inherits", "hostAliases", *POD_FIELDS, *APPLIED)

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class TumblrTemplate:
    """A template: a document, or a text in a ConfigMap."""

    name: str
    """The name in pods' annotations: with its version, unless that is the default."""
    value: Mapping[str, Any]
    location: findings.Location
    source: sources.SourceObject


def convert(
    documents: Iterable[sources.SourceObject], *, parse: sources.Parse, target: findings.Target
) -> findings.Conversion:
    """An injection for each template in the documents, with its name.

    Of templates with the same name the last one is used.
    """
    conversion = findings.Conversion(target)
    templates: dict[str, TumblrTemplate] = {}
    for document in documents:
        for source in sources.texts(document, parse=parse):
            if template := _template(source, findings.Location(conversion, source.place)):
                # The other injector looks names up in lower case.
                if earlier := templates.pop(template.name.lower(), None):
                    earlier.location.warn(f"is left out: {source.place} has the same name")
                templates[template.name.lower()] = template
    for template in templates.values():
        _add(template)
    return conversion


def _template(source: sources.SourceObject, location: findings.Location) -> TumblrTemplate | None:
    value = fitting.with_known_case(sources.mapping(source.value), FIELDS, location)
    name = value.get("name")
    if source.problem or not value:
        location.warn(f"is left out: {source.problem or 'it is no template'}")
        return None
    if not isinstance(name, str) or not name.strip():
        location.warn("is left out: a template needs a name")
        return None
    base, _, version = name.partition(":")
    return TumblrTemplate(base if version in {"", LATEST} else name, value, location, source)


def _add(template: TumblrTemplate) -> None:
    location = template.location
    name = injection.free_name(template.name, location.member("name"))
    location.note(
        f'pods that ask with the annotation {ANNOTATION}: "{template.name}" now ask with'
        f' {names.INJECT_ANNOTATION}: "{name}"'
    )
    parts = _merged(template)
    common = {field: parts.pop(field, []) for field in APPLIED}
    for field in injection.CONTAINER_LISTS:
        if field in parts:
            parts[field] = [_applied(container, common, location) for container in parts[field]]
    applied = injection.present(**common)
    spec = injection.present(
        activation="OnRequest",
        hostNetworkPods="Inject",
        placement={"initContainers": "Last"} if "initContainers" in parts else None,
        template=injection.present(spec=parts),
        applicationContainers={"initContainers": "Include", **applied} if applied else None,
    )
    injection.add(name, spec, location)


def _merged(template: TumblrTemplate) -> Json:
    """The parts of the template and of the files that it inherits from; its own have priority."""
    conversion, source = template.location.conversion, template.source
    if template.value.get("inherits") and not source.bases:
        reason = "within a ConfigMap it never was" if source.config_map else "there is no such file"
        template.location.member("inherits").warn(f"is not followed: {reason}")
    merged: Json = {}
    for index, layer in enumerate([*reversed(source.bases), source]):
        location = findings.Location(conversion, layer.place)
        value = template.value if layer is source else sources.mapping(layer.value)
        parts = _layer(value, location)
        for field in HOST_FIELDS:
            if index and parts.pop(field, None) and field not in merged:
                location.member(field).warn("is left out: what inherits could never set it")
        for field, part in parts.items():
            merged[field] = _overlaid(field, merged.get(field), part)
    # Merged lists may be too long, or mount two volumes at one path.
    whole = _layer(merged, template.location) if source.bases else merged
    aliases = _united(whole.get("hostAliases", []))
    return {**whole, **injection.present(hostAliases=aliases)}


def _layer(raw: Mapping[str, Any], location: findings.Location) -> Json:
    """The parts of one file, reduced to what our schema accepts."""
    target = location.target
    value = fitting.with_known_case(raw, FIELDS, location)
    for field in value:
        if field not in FIELDS:
            location.member(field).warn("is left out: the field is unknown")
    aliases = fitting.fit_each(
        target.pod_part("hostAliases"), value.get("hostAliases"), location.member("hostAliases")
    )
    applied = {
        field: fitting.fit(
            target.part("applicationContainers", field), value.get(field), location.member(field)
        )
        for field in APPLIED
    }
    parts = injection.pod_parts(POD_FIELDS, value, location)
    return injection.present(**parts, hostAliases=aliases, **applied)


def _overlaid(field: str, base: Any, value: Any) -> Any:
    """The field with a template's own value: a named item replaces an inherited one of its name."""
    if base is None or not isinstance(value, list):
        return value
    if field == "hostAliases":
        return [*base, *value]
    own = {item["name"]: item for item in value}
    merged = [own.pop(item["name"], item) for item in base]
    return [*merged, *own.values()]


def _united(aliases: list[Json]) -> list[Json]:
    """One entry for each address, with the host names of all of them."""
    united: dict[str, dict[str, None]] = {}
    for alias in aliases:
        united.setdefault(alias["ip"], {}).update(dict.fromkeys(alias.get("hostnames") or ()))
    return [{"ip": ip, "hostnames": list(hostnames)} for ip, hostnames in united.items()]


def _applied(
    container: Mapping[str, Any], common: Mapping[str, list[Json]], location: findings.Location
) -> Json:
    """The injected container with the parts for every container that it lacks."""
    own_env: list[Json] = list(container.get("env") or ())
    own = {variable["name"] for variable in own_env}
    env = [variable for variable in common["env"] if variable["name"] not in own]
    mounts: list[Json] = list(container.get("volumeMounts") or ())
    volumes = {mount["name"] for mount in mounts}
    for mount in common["volumeMounts"]:
        path = posixpath.normpath(mount["mountPath"])
        if mount["name"] in volumes:
            continue
        if any(posixpath.normpath(other["mountPath"]) == path for other in mounts):
            location.member("volumeMounts").warn(
                f"container {container['name']!r} mounts another volume at {path!r} and keeps it"
            )
        else:
            mounts.append(mount)
    return {**container, **injection.present(env=[*own_env, *env], volumeMounts=mounts)}
