"""OpenKruise's SidecarSets, v1alpha1 and v1beta1.

https://github.com/openkruise/kruise/blob/master/apis/apps/v1beta1/sidecarset_types.go
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sidecar_injector import names
from sidecar_injector.convert import findings, fitting, injection, meetings, sidecars, sources
from sidecar_injector.core.injections import rules
from sidecar_injector.core.pods import lenient, selectors

GROUP = "apps.kruise.io"
KIND = "SidecarSet"
VERSIONS = ("v1alpha1", "v1beta1")
FIELDS = (
    "selector", "namespace", "namespaceSelector", "initContainers", "containers", "volumes",
    "imagePullSecrets", "patchPodMetadata", "injectionStrategy", "updateStrategy",
    "revisionHistoryLimit", "customVersion",
)  # fmt: skip
DEFAULT_HISTORY = 10
NO_REVISIONS = "has no counterpart: pods get what the injection says when they are created"
REVISION_KEYS = {
    "labels": ("apps.kruise.io/sidecarset-custom-version",),
    "annotations": ("apps.kruise.io/sidecarset-canary", "apps.kruise.io/sidecarset-base"),
}

Json = dict[str, Any]


def convert(
    documents: Iterable[sources.SourceObject], *, target: findings.Target
) -> findings.Conversion:
    """The injections of each SidecarSet in the documents; other objects are skipped."""
    conversion = findings.Conversion(target)
    sets: list[meetings.ConvertedSet] = []
    for document in documents:
        for source in sources.objects(document):
            location = findings.Location(conversion, source.place)
            if _is_sidecarset(source.value, location):
                start = len(conversion.injections)
                _add(source.value, location)
                sets.append(meetings.converted(conversion.injections[start:], location))
    meetings.warn(sets)
    return conversion


def _is_sidecarset(value: Any, location: findings.Location) -> bool:
    if not sources.is_object(value):
        location.warn("is left out: it is not a Kubernetes object: apiVersion and kind are needed")
        return False
    group, _, version = value["apiVersion"].partition("/")
    if (group, value["kind"]) != (GROUP, KIND):
        return False
    if version not in VERSIONS:
        location.member("apiVersion").warn(
            f"is left out: {version!r} is unknown; known are {' and '.join(VERSIONS)}"
        )
    return version in VERSIONS


def _add(value: Json, location: findings.Location) -> None:
    inner = location.member("spec")
    metadata = lenient.child(value, "metadata")
    spec = fitting.mapping(value.get("spec"), inner)
    _warn_of_revisions(metadata, location.member("metadata"))
    _warn_of_strategies(spec, inner)
    scope = _scope(spec, inner)
    groups = sidecars.split(spec, inner)
    annotations = _annotations(spec, inner.member("patchPodMetadata"))

    name = str(metadata.get("name") or "")
    for index, group in enumerate(groups):
        wanted_name = f"{name}-{index + 1}" if index else name
        injection_spec = injection.present(
            **scope,
            # The order of the parts: by their names, the tenth would be behind the first.
            priority=len(groups) - 1 - index,
            hostNetworkPods="Inject",
            placement=group.placement,
            template=injection.present(
                metadata=injection.present(annotations=annotations if not index else None),
                spec=group.pod_spec,
            ),
            inherit=group.inherit,
        )
        unique_name = injection.free_name(wanted_name, location.member("metadata.name"))
        injection.add(unique_name, injection_spec, location)
    if any(
        group.placement.get("containers") == sidecars.PLACES[sidecars.BEFORE] for group in groups
    ):
        inner.member("containers").note(
            f"they stand first: a pod without the annotation {names.DEFAULT_CONTAINER_ANNOTATION}"
            " gets it, so that kubectl takes the pod's own container"
        )
    location.note(
        f"works on pods that are created from now on, in namespaces with the label"
        f" {names.INJECTION_LABEL}={names.ENABLED}"
    )


def _scope(spec: Json, location: findings.Location) -> Json:
    """Which pods are selected; suspended where the injection would select more of them."""
    namespaces = spec.get("namespaceSelector")
    if namespace := spec.get("namespace"):
        if namespaces:
            location.member("namespaceSelector").warn("is left out: namespace is given, which wins")
        namespaces = {"matchLabels": {names.NAMESPACE_NAME_LABEL: namespace}}

    before = len(location.conversion.warnings)
    namespaces = _fitted_selector("namespaceSelector", namespaces, location)
    for name in _system_namespaces(namespaces):
        location.member("namespaceSelector").note(f"no pod of {name} is ever injected")
    selector = _fitted_selector("selector", spec.get("selector"), location)
    if not any((selector or {}).values()):
        location.member("selector").warn("is missing: no pod is selected there, and every pod here")
    at = location.member("injectionStrategy")
    strategy = fitting.mapping(spec.get("injectionStrategy"), at)
    is_paused = fitting.fit(at.target.part("suspend"), strategy.get("paused"), at.member("paused"))
    is_unsure = len(location.conversion.warnings) > before
    if is_unsure and not is_paused:
        location.warn("the injection is suspended: put this right first")
    return {
        "namespaceSelector": namespaces,
        "selector": selector,
        "suspend": is_paused or is_unsure,
    }


def _system_namespaces(selector: Json | None) -> set[str]:
    """The system namespaces that a selector names."""
    key = names.NAMESPACE_NAME_LABEL
    selected = {(selector or {}).get("matchLabels", {}).get(key)}
    for expression in (selector or {}).get("matchExpressions") or ():
        if expression["key"] == key and expression["operator"] == "In":
            selected.update(expression["values"])
    return selected & set(names.SYSTEM_NAMESPACES)


def _fitted_selector(field: str, value: Any, location: findings.Location) -> Json | None:
    fitted: Json | None = fitting.fit(location.target.part(field), value, location.member(field))
    for path, sentence in selectors.problems(fitted, path=field):
        location.member(path).warn(sentence)
    return fitted


def _annotations(spec: Json, location: findings.Location) -> Json | None:
    annotations: Json = {}
    for item, place in fitting.items(spec.get("patchPodMetadata"), location):
        _warn_of_unknown(item, ("annotations", "patchPolicy"), place)
        policy = item.get("patchPolicy") or "Retain"
        if policy != "Retain":
            place.member("patchPolicy").warn(
                f"{policy} has no counterpart: a pod that has the annotation keeps its own value"
            )
        at = place.member("annotations")
        for key, value in fitting.mapping(item.get("annotations"), at).items():
            if rules.is_reserved(key):
                at.key(key).warn("is left out: the key is reserved for the injector")
            elif not selectors.is_qualified_name(key.lower()):
                at.key(key).warn("is left out: it is no annotation key")
            elif key in annotations:
                at.key(key).warn("is left out: an earlier item has the same key")
            else:
                annotations[key] = value
    schema = location.target.part("template", "metadata", "annotations")
    fitted: Json | None = fitting.fit(schema, annotations, location)
    return fitted


def _warn_of_revisions(metadata: Json, location: findings.Location) -> None:
    for field, keys in REVISION_KEYS.items():
        for key in keys:
            if key in lenient.child(metadata, field):
                location.member(field).key(key).warn(NO_REVISIONS)


def _warn_of_strategies(spec: Json, location: findings.Location) -> None:
    _warn_of_unknown(spec, FIELDS, location)
    strategy = lenient.child(spec, "injectionStrategy")
    at = location.member("injectionStrategy")
    _warn_of_unknown(strategy, ("paused", "revision"), at)
    if strategy.get("revision"):
        at.member("revision").warn(NO_REVISIONS)
    if spec.get("customVersion"):
        location.member("customVersion").warn(NO_REVISIONS)
    if spec.get("revisionHistoryLimit") not in (None, DEFAULT_HISTORY):
        location.member("revisionHistoryLimit").warn(NO_REVISIONS)
    # RollingUpdate is the default.
    if lenient.child(spec, "updateStrategy").get("type") != "NotUpdate":
        location.member("updateStrategy").warn(
            "has no counterpart: pods that run keep the sidecar that they have until they are"
            " created anew, as with type NotUpdate"
        )


def _warn_of_unknown(value: Json, fields: tuple[str, ...], location: findings.Location) -> None:
    for field in value:
        if field not in fields:
            location.member(field).warn("is left out: the field is unknown")
