"""The templates of tumblr's k8s-sidecar-injector, in files and ConfigMaps.

https://github.com/tumblr/k8s-sidecar-injector/blob/master/docs/sidecar-configuration-format.md
"""

from __future__ import annotations

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


def convert(
    documents: Iterable[sources.Source], *, parse: sources.Parse, target: injection.Target
) -> findings.Conversion:
    """An injection for each template among the documents, named after it.

    Templates of one name are one template, of which the last counts.
    """
    conversion = findings.Conversion()
    templates: dict[str, tuple[sources.Source, findings.Spot]] = {}
    for document in documents:
        for source in sources.texts(document, parse=parse):
            spot = findings.Spot(conversion, source.place)
            if (name := _name(source, spot)) is None:
                continue
            if name.lower() in templates:
                _, earlier = templates.pop(name.lower())
                earlier.warn(f"is left out: {source.place} has the name {name!r}, too")
            templates[name.lower()] = source, spot
    given = naming.Names()
    for source, spot in templates.values():
        _add(source, given=given, target=target, spot=spot)
    return conversion


def _name(source: sources.Source, spot: findings.Spot) -> str | None:
    """Name and, unless it is the default, version; None for what is no template."""
    problem = source.problem
    if not problem and not isinstance(source.value, dict):
        problem = "it is no template"
    name = _spelt(source, spot).get("name") if not problem else None
    if not problem and not (isinstance(name, str) and name.strip()):
        problem = "a template needs a name"
    if problem:
        spot.warn(f"is left out: {problem}")
        return None
    base, _, version = str(name).partition(":")
    return base if version in {"", LATEST} else str(name)


def _spelt(source: sources.Source, spot: findings.Spot) -> Mapping[str, Any]:
    return fitting.spelt(sources.mapping(source.value), FIELDS, spot)


def _add(
    source: sources.Source, *, given: naming.Names, target: injection.Target, spot: findings.Spot
) -> None:
    wanted = _name(source, findings.Spot(findings.Conversion(), source.place)) or ""
    name = given.given(wanted, spot)
    if source.holder and _spelt(source, spot).get("inherits"):
        spot.member("inherits").warn("is not followed: within a ConfigMap it never was")
    spot.note(
        f"pods that ask with the annotation {ANNOTATION}: {wanted} now ask with"
        f" {names.INJECT_ANNOTATION}: {name}"
    )
    parts = _merged(source, target=target, spot=spot)
    common = {field: parts.pop(field, []) for field in APPLIED}
    for container in injection.containers(parts):
        _apply(container, common, spot)
    spec = {
        "activation": "OnRequest",
        "hostNetworkPods": "Inject",
        "placement": {"initContainers": "Last" if "initContainers" in parts else None},
        "template": {"spec": parts},
        "applicationContainers": {"initContainers": "Include", **common} if any(common.values()) else {},
    }
    spot.conversion.injections.append(target.resource(name, spec, spot))


def _merged(source: sources.Source, *, target: injection.Target, spot: findings.Spot) -> Json:
    """The template's parts over those of the files that it inherits from."""
    layers = [(base, findings.Spot(spot.conversion, base.place)) for base in source.bases[::-1]]
    merged: Json = {}
    for index, (layer, where) in enumerate([*layers, (source, spot)]):
        parts = _layer(layer, target=target, spot=where)
        for field in HOST_FIELDS:
            if index and parts.pop(field, None) and field not in merged:
                where.member(field).warn("is left out: a template that inherits cannot set it")
        for field, value in parts.items():
            merged[field] = _overlaid(field, merged.get(field), value)
    if "hostAliases" in merged:
        merged["hostAliases"] = _united(merged["hostAliases"])
    return merged


def _layer(source: sources.Source, *, target: injection.Target, spot: findings.Spot) -> Json:
    """The parts of one file, cut to what our schema accepts."""
    value = _spelt(source, spot)
    for field in value:
        if field not in FIELDS:
            spot.member(field).warn("is left out: the field is unknown")
    parts = injection.pod_parts(target, POD_FIELDS, value, spot)
    aliases = fitting.fit_each(
        target.pod_part("hostAliases"), value.get("hostAliases"), spot.member("hostAliases")
    )
    if aliases:
        parts["hostAliases"] = aliases
    for field in APPLIED:
        schema = target.part("applicationContainers", field)
        if fitted := fitting.fit(schema, value.get(field), spot.member(field)):
            parts[field] = fitted
    return parts


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


def _apply(container: Json, common: Mapping[str, list[Json]], spot: findings.Spot) -> None:
    """Adds to an injected container what every container gets and it has not."""
    own = {one["name"] for one in container.get("env") or ()}
    if added := [one for one in common["env"] if one["name"] not in own]:
        container["env"] = [*(container.get("env") or ()), *added]
    mounts = list(container.get("volumeMounts") or ())
    volumes = {one["name"] for one in mounts}
    for mount in common["volumeMounts"]:
        if mount["name"] in volumes:
            continue
        path = posixpath.normpath(mount["mountPath"])
        if any(posixpath.normpath(one["mountPath"]) == path for one in mounts):
            spot.member("volumeMounts").warn(
                f"container {container['name']!r} mounts another volume at {path!r} and keeps it"
            )
        else:
            mounts.append(mount)
    if mounts:
        container["volumeMounts"] = mounts
