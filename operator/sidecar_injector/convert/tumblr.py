"""The templates of tumblr's k8s-sidecar-injector, in files and ConfigMaps.

https://github.com/tumblr/k8s-sidecar-injector/blob/master/docs/sidecar-configuration-format.md
"""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Iterable, Mapping
from typing import Any

from sidecar_injector import names
from sidecar_injector.convert import findings, fitting, injection, naming, sources

ANNOTATION = "injector.tumblr.com/request"
LATEST = "latest"
HOST_FIELDS = ("hostNetwork", "hostPID")
POD_FIELDS = ("containers", "initContainers", "volumes", "serviceAccountName", *HOST_FIELDS)
APPLIED = ("env", "volumeMounts")
"""Every container gets them, the pod's and the template's own."""
FIELDS = ("name", "inherits", "hostAliases", *POD_FIELDS, *APPLIED)

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Template:
    """A document or text that is one."""

    name: str
    """As pods ask for it: with its version, unless that is the default."""
    value: Mapping[str, Any]
    spot: findings.Location
    source: sources.SourceObject


def convert(
    documents: Iterable[sources.SourceObject], *, parse: sources.Parse, target: injection.Target
) -> findings.Conversion:
    """An injection for each template among the documents, named after it.

    Templates of one name are one template, of which the last counts.
    """
    conversion = findings.Conversion()
    templates: dict[str, Template] = {}
    for document in documents:
        for source in sources.texts(document, parse=parse):
            if template := _template(source, findings.Location(conversion, source.place)):
                # The other injector looks names up in lower case.
                if earlier := templates.pop(template.name.lower(), None):
                    earlier.spot.warn(f"is left out: {source.place} has the same name")
                templates[template.name.lower()] = template
    given = naming.Names()
    for template in templates.values():
        _add(template, given=given, target=target)
    return conversion


def _template(source: sources.SourceObject, spot: findings.Location) -> Template | None:
    value = fitting.spelt(sources.mapping(source.value), FIELDS, spot)
    name = value.get("name")
    if source.problem or not value:
        spot.warn(f"is left out: {source.problem or 'it is no template'}")
        return None
    if not isinstance(name, str) or not name.strip():
        spot.warn("is left out: a template needs a name")
        return None
    base, _, version = name.partition(":")
    return Template(base if version in {"", LATEST} else name, value, spot, source)


def _add(template: Template, *, given: naming.Names, target: injection.Target) -> None:
    spot = template.spot
    name = given.given(template.name, spot.member("name"))
    spot.note(
        f'pods that ask with the annotation {ANNOTATION}: "{template.name}" now ask with'
        f' {names.INJECT_ANNOTATION}: "{name}"'
    )
    parts = _merged(template, target=target)
    common = {field: parts.pop(field, []) for field in APPLIED}
    for field in injection.CONTAINER_LISTS:
        if field in parts:
            parts[field] = [_applied(container, common, spot) for container in parts[field]]
    applied = injection.present(**common)
    spec = injection.present(
        activation="OnRequest",
        hostNetworkPods="Inject",
        placement={"initContainers": "Last"} if "initContainers" in parts else None,
        template=injection.present(spec=parts),
        applicationContainers={"initContainers": "Include", **applied} if applied else None,
    )
    spot.conversion.injections.append(target.resource(name, spec, spot))


def _merged(template: Template, *, target: injection.Target) -> Json:
    """The template's parts over those of the files that it inherits from."""
    conversion, source = template.spot.conversion, template.source
    if template.value.get("inherits") and not source.bases:
        where = "within a ConfigMap it never was" if source.holder else "there is no such file"
        template.spot.member("inherits").warn(f"is not followed: {where}")
    merged: Json = {}
    for index, layer in enumerate([*reversed(source.bases), source]):
        spot = findings.Location(conversion, layer.place)
        value = template.value if layer is source else sources.mapping(layer.value)
        parts = _layer(value, target=target, spot=spot)
        for field in HOST_FIELDS:
            if index and parts.pop(field, None) and field not in merged:
                spot.member(field).warn("is left out: what inherits could never set it")
        for field, part in parts.items():
            merged[field] = _overlaid(field, merged.get(field), part)
    # Together they may be too many, or mount two volumes at one path.
    whole = _layer(merged, target=target, spot=template.spot) if source.bases else merged
    aliases = _united(whole.get("hostAliases", []))
    return {**whole, **injection.present(hostAliases=aliases)}


def _layer(raw: Mapping[str, Any], *, target: injection.Target, spot: findings.Location) -> Json:
    """The parts of one file, cut to what our schema accepts."""
    value = fitting.spelt(raw, FIELDS, spot)
    for field in value:
        if field not in FIELDS:
            spot.member(field).warn("is left out: the field is unknown")
    aliases = fitting.fit_each(
        target.pod_part("hostAliases"), value.get("hostAliases"), spot.member("hostAliases")
    )
    applied = {
        field: fitting.fit(
            target.part("applicationContainers", field), value.get(field), spot.member(field)
        )
        for field in APPLIED
    }
    parts = injection.pod_parts(target, POD_FIELDS, value, spot)
    return injection.present(**parts, hostAliases=aliases, **applied)


def _overlaid(field: str, base: Any, value: Any) -> Any:
    """What a template says over what it inherits: named items take the place of their namesakes."""
    if base is None or not isinstance(value, list):
        return value
    if field == "hostAliases":
        return [*base, *value]
    ours = {item["name"]: item for item in value}
    kept = [ours.pop(item["name"], item) for item in base]
    return [*kept, *ours.values()]


def _united(aliases: list[Json]) -> list[Json]:
    """One entry for each address, with the host names of all of them."""
    united: dict[str, dict[str, None]] = {}
    for alias in aliases:
        united.setdefault(alias["ip"], {}).update(dict.fromkeys(alias.get("hostnames") or ()))
    return [{"ip": ip, "hostnames": list(hostnames)} for ip, hostnames in united.items()]


def _applied(
    container: Mapping[str, Any], common: Mapping[str, list[Json]], spot: findings.Location
) -> Json:
    """The injected container with what every container gets and it has not."""
    own = {one["name"] for one in container.get("env") or ()}
    env = [one for one in common["env"] if one["name"] not in own]
    mounts: list[Json] = list(container.get("volumeMounts") or ())
    volumes = {one["name"] for one in mounts}
    for mount in common["volumeMounts"]:
        path = posixpath.normpath(mount["mountPath"])
        if mount["name"] in volumes:
            continue
        if any(posixpath.normpath(one["mountPath"]) == path for one in mounts):
            spot.member("volumeMounts").warn(
                f"container {container['name']!r} mounts another volume at {path!r} and keeps it"
            )
        else:
            mounts.append(mount)
    both = injection.present(env=[*(container.get("env") or ()), *env], volumeMounts=mounts)
    return {**container, **both}
