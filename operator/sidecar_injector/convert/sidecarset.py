"""OpenKruise's SidecarSets, v1alpha1 and v1beta1.

https://github.com/openkruise/kruise/blob/master/apis/apps/v1beta1/sidecarset_types.go
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sidecar_injector import names
from sidecar_injector.convert import findings, fitting, injection, naming, sidecars, sources
from sidecar_injector.core.injections import rules
from sidecar_injector.core.pods import selectors

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
    documents: Iterable[sources.SourceObject], *, target: injection.Target
) -> findings.Conversion:
    """The injections of each SidecarSet among the documents; other objects are passed over."""
    conversion = findings.Conversion()
    given = naming.Names()
    for document in documents:
        for source in sources.objects(document):
            spot = findings.Location(conversion, source.place)
            if _is_sidecarset(source.value, spot):
                _add(source.value, given=given, target=target, spot=spot)
    return conversion


def _is_sidecarset(value: Any, spot: findings.Location) -> bool:
    if not sources.is_object(value):
        spot.warn(
            "is left out: it is no Kubernetes object, for which apiVersion and kind are needed"
        )
        return False
    group, _, version = value["apiVersion"].partition("/")
    if (group, value["kind"]) != (GROUP, KIND):
        return False
    if version not in VERSIONS:
        spot.member("apiVersion").warn(
            f"is left out: {version!r} is unknown; known are {' and '.join(VERSIONS)}"
        )
    return version in VERSIONS


def _add(
    value: Json, *, given: naming.Names, target: injection.Target, spot: findings.Location
) -> None:
    inner = spot.member("spec")
    metadata, spec = (
        sources.mapping(value.get("metadata")),
        fitting.mapping(value.get("spec"), inner),
    )
    _warn_of_revisions(metadata, spot.member("metadata"))
    _warn_of_strategies(spec, inner)
    scope = _scope(spec, target=target, spot=inner)
    parts = sidecars.split(spec, target=target, spot=inner)
    annotations = _annotations(spec, target=target, spot=inner.member("patchPodMetadata"))

    name = str(metadata.get("name") or "")
    for index, part in enumerate(parts):
        wanted = f"{name}-{index + 1}" if index else name
        shaped = injection.present(
            **scope,
            hostNetworkPods="Inject",
            placement=part.placement,
            template=injection.present(
                metadata=injection.present(annotations=annotations if not index else None),
                spec=part.pod_spec,
            ),
            inherit=part.inherit,
        )
        given_name = given.given(wanted, spot.member("metadata.name"))
        spot.conversion.injections.append(target.resource(given_name, shaped, spot))
    spot.note(
        f"works on pods that are created from now on, in namespaces with the label"
        f" {names.INJECTION_LABEL}={names.ENABLED}"
    )


def _scope(spec: Json, *, target: injection.Target, spot: findings.Location) -> Json:
    """Which pods are meant; suspended where ours would mean more of them."""
    namespaces = spec.get("namespaceSelector")
    if namespace := spec.get("namespace"):
        if namespaces:
            spot.member("namespaceSelector").warn("is left out: namespace is given, which wins")
        namespaces = {"matchLabels": {names.NAMESPACE_NAME_LABEL: namespace}}

    before = len(spot.conversion.warnings)
    namespaces = _fitted_selector("namespaceSelector", namespaces, target, spot)
    selector = _fitted_selector("selector", spec.get("selector"), target, spot)
    if not any((selector or {}).values()):
        spot.member("selector").warn("is missing: no pod is selected there, and every pod here")
    injecting, where = spec.get("injectionStrategy"), spot.member("injectionStrategy")
    is_paused = fitting.fit(
        target.part("suspend"),
        fitting.mapping(injecting, where).get("paused"),
        where.member("paused"),
    )
    is_unsure = len(spot.conversion.warnings) > before
    if is_unsure and not is_paused:
        spot.warn("the injection is suspended: put this right first")
    return {
        "namespaceSelector": namespaces,
        "selector": selector,
        "suspend": is_paused or is_unsure,
    }


def _fitted_selector(
    field: str, value: Any, target: injection.Target, spot: findings.Location
) -> Json | None:
    fitted: Json | None = fitting.fit(target.part(field), value, spot.member(field))
    for where, sentence in selectors.problems(fitted, path=field):
        spot.member(where).warn(sentence)
    return fitted


def _annotations(spec: Json, *, target: injection.Target, spot: findings.Location) -> Json | None:
    found: Json = {}
    for item, where in fitting.items(spec.get("patchPodMetadata"), spot):
        _warn_of_unknown(item, ("annotations", "patchPolicy"), where)
        policy = item.get("patchPolicy") or "Retain"
        if policy != "Retain":
            where.member("patchPolicy").warn(
                f"{policy} has no counterpart: a pod that has the annotation keeps its own value"
            )
        listed = where.member("annotations")
        for key, value in fitting.mapping(item.get("annotations"), listed).items():
            there = listed.key(key)
            if rules.is_reserved(key):
                there.warn("is left out: the key is reserved for the injector")
            elif not selectors.is_qualified_name(key.lower()):
                there.warn("is left out: it is no annotation key")
            elif key in found:
                there.warn("is left out: an earlier item has the same key")
            else:
                found[key] = value
    schema = target.part("template", "metadata", "annotations")
    fitted: Json | None = fitting.fit(schema, found, spot)
    return fitted


def _warn_of_revisions(metadata: Json, spot: findings.Location) -> None:
    for field, keys in REVISION_KEYS.items():
        for key in keys:
            if key in sources.mapping(metadata.get(field)):
                spot.member(field).key(key).warn(NO_REVISIONS)


def _warn_of_strategies(spec: Json, spot: findings.Location) -> None:
    _warn_of_unknown(spec, FIELDS, spot)
    injecting = sources.mapping(spec.get("injectionStrategy"))
    where = spot.member("injectionStrategy")
    _warn_of_unknown(injecting, ("paused", "revision"), where)
    if injecting.get("revision"):
        where.member("revision").warn(NO_REVISIONS)
    if spec.get("customVersion"):
        spot.member("customVersion").warn(NO_REVISIONS)
    if spec.get("revisionHistoryLimit") not in (None, DEFAULT_HISTORY):
        spot.member("revisionHistoryLimit").warn(NO_REVISIONS)
    updating = spec.get("updateStrategy")
    if updating and sources.mapping(updating).get("type") != "NotUpdate":
        spot.member("updateStrategy").warn(
            "has no counterpart: pods that run keep the sidecar that they have until they are"
            " created anew, as with type NotUpdate"
        )


def _warn_of_unknown(value: Json, known: tuple[str, ...], spot: findings.Location) -> None:
    for field in value:
        if field not in known:
            spot.member(field).warn("is left out: the field is unknown")
