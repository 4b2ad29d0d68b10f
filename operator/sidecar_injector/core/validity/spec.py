"""What the API server requires of the fields of a pod: metadata, DNS, scheduling.

https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go
(ValidateObjectMeta, ValidatePodSpecificAnnotations, ValidateTolerationsInPodAnnotations,
ValidateServiceAccountName, validatePodDNSConfig, ValidateHostAliases, ValidateTolerations,
validateTaintEffect, validateTopologySpreadConstraints, ValidateTopologyKey,
ValidateWhenUnsatisfiable, ValidateSpreadConstraintNotRepeat, ValidatePositiveField,
validateMinDomains, validateNodeInclusionPolicy, ValidateMatchLabelKeysInTopologySpread,
ValidateMatchLabelKeysAndMismatchLabelKeys, validateLabelKeys)

Of validateAffinity only the rules for `matchLabelKeys`, which an added label can break.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson

from sidecar_injector import names
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.pods import formats, lenient, selectors, shapes
from sidecar_injector.core.pods.lenient import Json
from sidecar_injector.core.validity import label_selector

_MOST_NAMESERVERS = 3
_MOST_SEARCHES = 32
_LONGEST_SEARCHES = 2048
MOST_ANNOTATIONS = 256 * 1024
"""Bytes of all keys and values together."""
_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_TOLERATIONS = "scheduler.alpha.kubernetes.io/tolerations"
_TOLERATION_LIST = shapes.ListOf(
    shapes.Object(
        {"key": str, "operator": str, "value": str, "effect": str, "tolerationSeconds": int}
    )
)
_COST = re.compile(r"0|-?[1-9][0-9]{0,9}")
_UNSATISFIABLE = ("DoNotSchedule", "ScheduleAnyway")
_NODE_POLICIES = ("Honor", "Ignore")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_AFFINITIES = ("podAffinity", "podAntiAffinity")


def metadata_problems(pod: Mapping[str, Any], *, previous: Mapping[str, Json]) -> Iterator[str]:
    """Problems of labels and annotations; those that the metadata `previous` has are skipped."""
    old = previous.get("labels") or {}
    for key, value in pod_fields.metadata_map(pod, "labels").items():
        if key not in old or old[key] != value:
            yield from (f"label {key!r}: {sentence}" for sentence in _label(key, value))
    annotations = pod_fields.metadata_map(pod, "annotations")
    old = previous.get("annotations") or {}
    if annotations != old:
        yield from _annotations(annotations, old)


def _annotations(annotations: Mapping[str, str], old: Mapping[str, str]) -> Iterator[str]:
    for key in annotations.keys() - old.keys():
        if not selectors.is_qualified_name(key.lower()):
            yield (
                f"annotation {formats.quoted(key)} must be an optional DNS prefix and '/', then a"
                " name"
            )
    if annotation_bytes(annotations) > MOST_ANNOTATIONS:
        yield f"annotations must not be more than {MOST_ANNOTATIONS} bytes together"
    if (cost := annotations.get(_DELETION_COST)) is not None and not _is_cost(cost):
        yield f"annotation {_DELETION_COST!r} {formats.quoted(cost)} must be an integer of 32 bits"
    if (tolerations := annotations.get(_TOLERATIONS)) and tolerations != old.get(_TOLERATIONS):
        yield from _annotated_tolerations(tolerations)
    if names.MIRROR_ANNOTATION in annotations:
        # The ServiceAccount plugin refuses mirror pods with an account, and others get an account.
        yield f"annotation {names.MIRROR_ANNOTATION!r} is for what a kubelet mirrors"


def _annotated_tolerations(text: str) -> Iterator[str]:
    """Problems of tolerations in an annotation, which is older than the field."""
    where = f"annotation {_TOLERATIONS!r}"
    try:
        tolerations = orjson.loads(text)
    except orjson.JSONDecodeError:
        tolerations = text
    if tolerations is not None and any(shapes.problems(_TOLERATION_LIST, tolerations)):
        yield f"{where} must be a list of tolerations"
        return
    for toleration in tolerations or ():
        yield from (f"{where}: {sentence}" for sentence in _toleration(toleration or {}))


def _label(key: str, value: object) -> Iterator[str]:
    return (sentence for _, sentence in selectors.label_problems(key, value, path=""))


def annotation_bytes(annotations: Mapping[str, Any]) -> int:
    """The size that `MOST_ANNOTATIONS` limits."""
    try:
        return len("".join([*annotations, *annotations.values()]).encode())
    except (TypeError, UnicodeEncodeError):  # A value that is no string, or half a surrogate pair.
        return sum(_bytes(key) + _bytes(value) for key, value in annotations.items())


def _bytes(text: object) -> int:
    if not isinstance(text, str):
        return 0
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _is_cost(value: object) -> bool:
    return (
        isinstance(value, str)
        and _COST.fullmatch(value) is not None
        and -(2**31) <= int(value) < 2**31
    )


def problems(pod: Mapping[str, Any], *, previous: Mapping[str, Any]) -> Iterator[str]:
    """Problems of the fields that an injection can add to or can break by what it adds.

    Fields that are equal in the pod `previous`, with equal labels where labels matter, are skipped.
    """
    spec, old = pod.get("spec") or {}, previous.get("spec") or {}
    for field, check in _FIELDS:
        value = spec.get(field)
        if value and value != old.get(field):
            yield from check(spec)
    spread, affinity = spec.get("topologySpreadConstraints"), spec.get("affinity")
    if not spread and not affinity:
        return
    labels = pod_fields.metadata_map(pod, "labels")
    same_labels = labels == pod_fields.metadata_map(previous, "labels")
    if spread and not (same_labels and spread == old.get("topologySpreadConstraints")):
        yield from _spread(spec, labels)
    if affinity and not (same_labels and affinity == old.get("affinity")):
        for term in _terms(lenient.child(spec, "affinity")):
            yield from _label_keys(term, labels, where="affinity")


def _account(spec: Mapping[str, Any]) -> Iterator[str]:
    if not formats.DNS_SUBDOMAIN.accepts(account := spec["serviceAccountName"]):
        yield f"serviceAccountName {formats.DNS_SUBDOMAIN.refusal(account)}"


def _aliases(spec: Mapping[str, Any]) -> Iterator[str]:
    for alias in lenient.objects(spec, "hostAliases"):
        if not formats.is_ip(ip := alias.get("ip")):
            yield f"hostAliases: ip {formats.quoted(ip)} must be an IP address"
        for host in lenient.strings(alias, "hostnames"):
            if not formats.DNS_SUBDOMAIN.accepts(host):
                yield f"hostAliases[{ip}]: host name {formats.DNS_SUBDOMAIN.refusal(host)}"


def _tolerations(spec: Mapping[str, Any]) -> Iterator[str]:
    for toleration in lenient.objects(spec, "tolerations"):
        yield from _toleration(toleration)


def _dns(config: Json) -> Iterator[str]:
    nameservers = lenient.strings(config, "nameservers")
    searches = lenient.strings(config, "searches")
    if len(nameservers) > _MOST_NAMESERVERS:
        yield f"dnsConfig.nameservers must not be more than {_MOST_NAMESERVERS}"
    for address in nameservers:
        if not formats.is_ip(address):
            yield f"dnsConfig.nameservers: {formats.quoted(address)} must be an IP address"
    if len(searches) > _MOST_SEARCHES:
        yield f"dnsConfig.searches must not be more than {_MOST_SEARCHES}"
    if len(" ".join(searches)) > _LONGEST_SEARCHES:
        yield f"dnsConfig.searches must not be more than {_LONGEST_SEARCHES} characters together"
    for domain in searches:
        if domain != "." and not formats.SEARCH_DOMAIN.accepts(domain.removesuffix(".")):
            yield f"dnsConfig.searches: {formats.SEARCH_DOMAIN.refusal(domain)}"
    for option in lenient.objects(config, "options"):
        if not option.get("name"):
            yield "dnsConfig.options: name must not be empty"


def _toleration(toleration: Json) -> Iterator[str]:
    key, value = toleration.get("key"), toleration.get("value") or ""
    operator = toleration.get("operator") or "Equal"
    where = f"toleration of {formats.quoted(key or '')}"
    if key and not selectors.is_qualified_name(key):
        yield f"{where}: key must be an optional DNS prefix and '/', then a name"
    if not key and operator != "Exists":
        yield f"{where}: operator must be Exists where key is empty"
    if toleration.get("tolerationSeconds") is not None and toleration.get("effect") != "NoExecute":
        yield f"{where}: effect must be NoExecute where tolerationSeconds is set"
    if operator not in ("Equal", "Exists"):
        # Lt and Gt are behind a feature gate that is off by default.
        yield f"{where}: operator {formats.quoted(operator)} must be Equal or Exists"
    elif operator == "Exists" and value:
        yield f"{where}: value must be empty where operator is Exists"
    elif operator == "Equal":
        yield from (f"{where}: {sentence}" for sentence in _label("key", value))
    if effect := toleration.get("effect"):
        yield from formats.one_of(effect, _EFFECTS, where=f"{where}: effect")


def _spread(spec: Mapping[str, Any], labels: Mapping[str, str]) -> Iterator[str]:
    kinds: set[tuple[object, object]] = set()
    for constraint in lenient.objects(spec, "topologySpreadConstraints"):
        kind = constraint.get("topologyKey"), constraint.get("whenUnsatisfiable")
        where = f"topologySpreadConstraints[{kind[0]},{kind[1]}]"
        if kind in kinds:
            yield f"{where} must be there only once"
        kinds.add(kind)
        if not kind[0]:
            yield f"{where}: topologyKey must not be empty"
        if kind[1] not in _UNSATISFIABLE:
            accepted = " or ".join(_UNSATISFIABLE)
            yield f"{where}: whenUnsatisfiable must be {accepted}"
        if not lenient.is_integer(skew := constraint.get("maxSkew"), least=1, most=2**31 - 1):
            yield f"{where}: maxSkew {skew} must be greater than 0"
        if (domains := constraint.get("minDomains")) is not None:
            if not lenient.is_integer(domains, least=1, most=2**31 - 1):
                yield f"{where}: minDomains {domains} must be greater than 0"
            if kind[1] != _UNSATISFIABLE[0]:
                yield f"{where}: minDomains needs whenUnsatisfiable: {_UNSATISFIABLE[0]}"
        for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            policy = constraint.get(field)
            if policy is not None and policy not in _NODE_POLICIES:
                accepted = " or ".join(_NODE_POLICIES)
                yield f"{where}: {field} {formats.quoted(policy)} must be {accepted}"
        yield from label_selector.problems(constraint, "labelSelector", where=where)
        yield from _label_keys(constraint, labels, where=where)


def _terms(affinity: Json) -> Iterator[Json]:
    for kind in _AFFINITIES:
        rules = lenient.child(affinity, kind)
        yield from lenient.objects(rules, "requiredDuringSchedulingIgnoredDuringExecution")
        for preferred in lenient.objects(rules, "preferredDuringSchedulingIgnoredDuringExecution"):
            yield lenient.child(preferred, "podAffinityTerm")


def _label_keys(term: Json, labels: Mapping[str, str], *, where: str) -> Iterator[str]:
    """Problems of `matchLabelKeys`, which an added label can cause.

    The API server adds a requirement for each key that the pod has as a label. It refuses the pod
    if the selector has that key already.
    https://github.com/kubernetes/kubernetes/blob/master/pkg/registry/core/pod/strategy.go
    """
    wanted = lenient.strings(term, "matchLabelKeys")
    if not wanted:
        return
    selector = term.get("labelSelector")
    if selector is None:
        yield f"{where}: matchLabelKeys need a labelSelector"
    selected = set(lenient.child(selector, "matchLabels"))
    expressions = lenient.objects(selector, "matchExpressions")
    keys = [expression.get("key") for expression in expressions]
    for key in [*keys, *(key for key in wanted if key in labels)]:
        if key in wanted and key in selected:
            yield f"{where}: matchLabelKeys has {key!r}, which labelSelector has too"
        selected.add(str(key))
    for key in wanted:
        if not selectors.is_qualified_name(key):
            yield f"{where}: matchLabelKeys: {formats.quoted(key)} must be a label's key"


_FIELDS: tuple[tuple[str, Callable[[Mapping[str, Any]], Iterator[str]]], ...] = (
    ("serviceAccountName", _account),
    ("dnsConfig", lambda spec: _dns(lenient.child(spec, "dnsConfig"))),
    ("hostAliases", _aliases),
    ("tolerations", _tolerations),
)
"""Fields that depend on no other field."""
