"""What is nearly a word of ours: keys, values and places that do not have the effect they seem to.

The one table of such mistakes. The webhooks, Events, the audit and the command line print it.
Only keys that look like ours are read, and at most `MOST` findings are made of a workload.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sidecar_injector import names
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.pods import annotation, lenient, workloads
from sidecar_injector.core.reasons import Reason

MOST: Final = 5
"""Findings about one workload or namespace."""
MOST_COMPARED: Final = 200
"""Injections that a name without an injection is compared with."""
MAX_SHOWN: Final = 64
"""Characters of a value or key in a sentence."""
_MAX_REMEDY: Final = 32
"""Characters of a corrected value."""

_OURS: Final = f"{names.GROUP}/"
_ANNOTATIONS: Final = frozenset(
    {
        names.INJECT_ANNOTATION,
        names.STATUS_ANNOTATION,
        names.INJECTED_ANNOTATION,
        names.SKIPPED_ANNOTATION,
    }
)
"""The keys that mean something on a pod."""
_HINT: Final = "sidecar"
"""In every key that is looked at."""
_NEAR_PREFIXES: Final = frozenset(
    {"sidecarinject", "sidecarinjection", "sidecarinjector", "sidecarinjectordev",
     "sidecarinjectiondev", "sidecarinjectorio", "sidecarinjectors"}
)  # fmt: skip
"""Before the slash, without separators."""
_NEAR_LABELS: Final = frozenset(
    {
        "sidecarinject",
        "sidecarinjection",
        "sidecarinjections",
        "sidecarinjector",
        "sidecarinjectorinjection",
    }
)
"""The label without separators, and what people write for it. `istio-injection` is Istio's own."""
_SEPARATORS: Final = re.compile(r"[-_.]")
_MAX_KEY: Final = 317
"""Characters of a key that the API server accepts."""
_YES: Final = annotation.YES | {"enabled", "enable", "inject", "injected", "all", "always"}
_NO: Final = annotation.NO | {"disabled", "disable", "none", "never", "skip", "ignore", "deny"}
_ONLY: Final = re.compile(r"\s*only\s*[:\s]", re.IGNORECASE)
_NAMESPACE: Final = re.compile(rf"\A(?!{names.CLUSTER_PREFIX})[-.a-z0-9]+/(?=[^/]+\Z)")
"""Before a name, as in `demo/nginx`."""
_ITEM: Final = re.compile(r"[a-z0-9][-./a-z0-9]*")
_WRITE_ANY: Final = "write yes, no, or names with commas between"


@dataclasses.dataclass(frozen=True, slots=True)
class NearMiss:
    """One mistake: what is written, what follows from it, and what to write instead."""

    reason: Reason
    subject: str
    """The name, or the key of the label or annotation, that it is about."""
    text: str
    """What is written, the value in quotes, and the consequence."""
    remedy: str
    """What to write instead; a command where there is one."""
    value: str
    short: str
    """The sentence in fewer words, with `%s` in the place of the value."""

    @property
    def message(self) -> str:
        """The sentence."""
        return f"{self.text}; {self.remedy}"

    @property
    def command(self) -> str:
        """The command at the end of the remedy; empty if there is none."""
        _, kubectl, rest = self.remedy.partition("kubectl ")
        return kubectl + rest

    @property
    def key(self) -> str:
        """The key of the label or annotation."""
        is_name = self.reason is Reason.UNKNOWN_INJECTION
        return names.INJECT_ANNOTATION if is_name else self.subject

    def fitting(self, characters: int) -> str:
        """The sentence in so many characters: the value is cut, never the remedy."""
        cut = self.short % quoted(self.value)
        keyed = cut if self.value == self.key else f"{self.key}: {cut}"
        for sentence in (self.message, keyed):
            if len(sentence) <= characters:
                return sentence
        return self.short % quoted(self.value, characters - len(self.short) + len("%s"))


def quoted(value: object, characters: int = MAX_SHOWN) -> str:
    """A value in quotes, printable and cut."""
    room = max(characters - 2, 1)
    text = str(value)[: room + 1]
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return f"'{text}'" if len(text) <= room else f"'{text[: room - 1]}…'"


def of_pod(
    labels: Mapping[str, Any],
    annotations: Mapping[str, Any],
    requested: annotation.InjectRequest,
    view: namespace_view.NamespaceView | None,
) -> list[NearMiss]:
    """The mistakes in the metadata of a pod or a template; nothing about names without a view."""
    if not (requested.unreadable or requested.listed or _concerns(labels, annotations)):
        return []
    return list(itertools.islice(_of_pod(labels, annotations, requested, view), MOST))


def _concerns(labels: Mapping[str, Any], annotations: Mapping[str, Any]) -> bool:
    """Whether a key is to be looked at; a plain loop is faster, as this runs for every pod."""
    for key in labels:
        if _HINT in key:
            return True
    for key in annotations:  # noqa: SIM110 - see above
        if _HINT in key and key not in _ANNOTATIONS:
            return True
    return False


def _of_pod(
    labels: Mapping[str, Any],
    annotations: Mapping[str, Any],
    requested: annotation.InjectRequest,
    view: namespace_view.NamespaceView | None,
) -> Iterator[NearMiss]:
    for key in requested.unreadable:
        yield _unreadable(key, annotations[key])
    if view:
        # A name without a prefix may also mean an injection of the cluster.
        for name in requested.listed:
            if not view.has(name) and not view.has(names.CLUSTER_PREFIX + name):
                yield _unknown_injection(name, view)
    for key, value in labels.items():
        if _HINT in key and (label := _label_of_pod(key, value)):
            yield label
    read: frozenset[str] | None = None
    for key in annotations:
        if _HINT in key and key not in _ANNOTATIONS:
            for finding in _annotation_of_pod(key, annotations[key]):
                # Not before: keys of other products, which many pods have, need no look.
                read = _read_by_parameters(view) if read is None else read
                if key not in read:
                    yield finding


def of_workload(manifest: Mapping[str, Any], path: workloads.Path) -> list[NearMiss]:
    """What stands in the metadata of a workload, and is read only in that of its pod template."""
    template = _metadata_at(manifest, path)
    kind = workloads.kind_of(manifest)[1][:MAX_SHOWN]
    findings = (
        finding
        for length in range(len(path))
        for metadata in [_metadata_at(manifest, path[:length])]
        for finding in _misplaced(metadata, template, kind, workloads.field((*path, "metadata")))
    )
    return list(itertools.islice(findings, MOST))


def of_manifest(manifest: Mapping[str, Any]) -> list[NearMiss]:
    """The mistakes in a file's namespace, pod or workload, whatever injections there are."""
    metadata = lenient.child(manifest, "metadata")
    if workloads.kind_of(manifest) == ("", "Namespace"):
        labels, annotations = (lenient.child(metadata, each) for each in ("labels", "annotations"))
        name = str(metadata.get("name"))
        return of_namespace(namespace_view.Namespace(name, labels, annotations))
    findings = []
    for path in workloads.pod_paths(manifest):
        template = _metadata_at(manifest, path)
        labels, annotations = (lenient.child(template, each) for each in ("labels", "annotations"))
        findings += of_pod(labels, annotations, annotation.read(annotations), None)
        findings += of_workload(manifest, path)
    return findings[:MOST]


def of_namespace(
    namespace: namespace_view.Namespace, *, release_namespace: str = ""
) -> list[NearMiss]:
    """The mistakes in the metadata of a namespace."""
    return list(itertools.islice(_of_namespace(namespace, release_namespace), MOST))


def _metadata_at(manifest: Mapping[str, Any], path: workloads.Path) -> Mapping[str, Any]:
    return lenient.child(workloads.at(manifest, path), "metadata")


def _unreadable(key: str, value: object) -> NearMiss:
    """An annotation of ours, or the tutorial's, that cannot be read."""
    why, remedy = _why_unreadable(key, value)
    return NearMiss(
        Reason.INVALID_ANNOTATION, key,
        f"the annotation {key}: {quoted(value)} is ignored: it {why}", remedy,
        str(value)[:MAX_SHOWN], f"%s {why}; {remedy}",
    )  # fmt: skip


def _why_unreadable(key: str, value: object) -> tuple[str, str]:
    """What is wrong with the value, and what to write instead."""
    if not isinstance(value, str):
        return "is not a text", _WRITE_ANY
    if len(value) > annotation.MAX_CHARACTERS:
        return f"has over {annotation.MAX_CHARACTERS} characters", _WRITE_ANY
    if not value.strip(" ,"):
        return "is empty", _WRITE_ANY
    if key == names.TUTORIAL_INJECT_ANNOTATION:
        return "is not yes or no", f"names go into {names.INJECT_ANNOTATION}"
    only = _ONLY.match(value)
    names_part = value[only.end() :] if only else value
    items = _ITEM.findall(names_part.lower().replace("_", "-"))
    if only and not items:
        return "lists no name", "to get nothing, write 'no'"
    has_namespaces = any(_NAMESPACE.match(item) for item in items)
    items = [_NAMESPACE.sub("", item) for item in items]
    listed = [item for item in items if not annotation.is_word(item)]
    corrected = ("only: " if only else "") + ",".join(dict.fromkeys(listed))
    remedy = _WRITE_ANY
    if len(corrected) <= _MAX_REMEDY and _is_readable(corrected):
        remedy = f"write '{corrected}'"
    if has_namespaces:
        return "has a namespace, and names have none", remedy
    if len(listed) < len(items) and listed:
        word = next(item for item in items if annotation.is_word(item))
        return f"mixes {word} and names", remedy.replace("write", f"write '{word}' or", 1)
    if only and ":" not in only[0]:
        return "has no colon after only", remedy
    if names_part.lower() != names_part:
        return "has capital letters", remedy
    if "," not in names_part and len(items) > 1:
        return "has no commas", remedy
    return "is not a list of names", remedy


def _is_readable(value: str) -> bool:
    return not annotation.read({names.INJECT_ANNOTATION: value}).unreadable


def _unknown_injection(name: str, view: namespace_view.NamespaceView) -> NearMiss:
    if name in _YES | _NO:
        word = "yes" if name in _YES else "no"
        remedy, short = f"write '{word}'", f"is no injection; write '{word}'"
    elif near := nearest(name, view):
        remedy = f"did you mean '{near}'?"
        short = f"does not exist; {remedy}"
    else:
        place = f"-n {view.namespace.name}" if len(view.namespace.name) < 33 else "-A"
        command = f"kubectl get {names.PRODUCT} {place}"
        remedy, short = f"see the names: {command}", f"does not exist; {command}"
    return NearMiss(
        Reason.UNKNOWN_INJECTION, name,
        f"the annotation {names.INJECT_ANNOTATION} lists {quoted(name)}, and no such injection"
        " exists", remedy,
        name, f"%s {short}",
    )  # fmt: skip


def nearest(name: str, view: namespace_view.NamespaceView) -> str:
    """The existing injection that a name probably means; empty if none is like it."""
    is_cluster, plain = name.startswith(names.CLUSTER_PREFIX), name.removeprefix("cluster/")

    def written(injection: model.Injection) -> str:
        return injection.reference if is_cluster else injection.name

    injections = (*view.own.injections[:MOST_COMPARED], *view.cluster.injections[:MOST_COMPARED])
    for is_like in (_is_typo, _is_part):
        if match := next((each for each in injections if is_like(plain, each.name)), None):
            return written(match)
    return ""


def _is_part(name: str, other: str) -> bool:
    shorter, longer = sorted((name, other), key=len)
    return len(shorter) > 2 and shorter in longer


def _is_typo(name: str, other: str) -> bool:
    """Whether they differ by a letter, or by two neighbours that changed places; linear."""
    if abs(len(name) - len(other)) > 1:
        return False
    start = _common(name, other)
    name, other = name[start:][::-1], other[start:][::-1]
    end = _common(name, other)
    name, other = name[end:], other[end:]
    return max(len(name), len(other)) < 2 or (len(name) == 2 and name == other[::-1])


def _common(name: str, other: str) -> int:
    """The number of letters that both begin with."""
    pairs = zip(name, other, strict=False)
    return next(
        (index for index, (left, right) in enumerate(pairs) if left != right),
        min(len(name), len(other)),
    )


def _label_of_pod(key: str, value: object) -> NearMiss | None:
    if key == names.INJECTION_LABEL:
        return _injection_label_of_pod(str(value))
    if _is_near_label(key):
        return _near_label_of_pod(key, str(value))
    if key == names.INJECT_ANNOTATION or _is_near_key(key):
        remedy = f"write it as annotation {names.INJECT_ANNOTATION}"
        if str(value).lower() in _NO - annotation.NO:
            remedy = f"write {names.INJECTION_LABEL}={names.DISABLED}"
        return NearMiss(
            Reason.MISPLACED_ANNOTATION, key,
            f"the label {quoted(key)}={quoted(value)} has no effect", remedy,
            str(value)[:MAX_SHOWN], f"label %s has no effect; {remedy}",
        )  # fmt: skip
    return None


def _near_label_of_pod(key: str, value: str) -> NearMiss | None:
    """Others may use such a key for something else: only a word of ours as its value counts."""
    if value.lower() not in _YES | _NO:
        return None
    remedy = f"write {names.INJECTION_LABEL}={names.DISABLED}"
    if value.lower() in _YES:
        remedy = f"write the annotation {names.INJECT_ANNOTATION}: 'yes'"
    return NearMiss(
        Reason.UNKNOWN_LABEL, key, f"the label {key}={quoted(value)} has no effect", remedy,
        key, f"label %s is ignored; {remedy}",
    )  # fmt: skip


def _is_near_label(key: str) -> bool:
    """Whether it is the key of our label with a mistake in it."""
    spelling = _SEPARATORS.sub("-", key[:_MAX_KEY].lower())
    is_near = spelling.replace("-", "") in _NEAR_LABELS or _is_typo(spelling, names.INJECTION_LABEL)
    return is_near and key != names.INJECTION_LABEL


def _injection_label_of_pod(value: str) -> NearMiss | None:
    if value in (names.ENABLED, names.DISABLED):
        return None
    key, remedy = names.INJECTION_LABEL, f"write {names.INJECTION_LABEL}={names.DISABLED}"
    effect = "does not opt the pod out"
    if value.lower() in _YES:
        effect, remedy = "has no effect", f"write the annotation {names.INJECT_ANNOTATION}: 'yes'"
    return NearMiss(
        Reason.UNKNOWN_LABEL_VALUE, key, f"the label {key}={quoted(value)} {effect}", remedy,
        value, f"label %s {effect}; {remedy}",
    )  # fmt: skip


def _annotation_of_pod(key: str, value: object) -> Iterator[NearMiss]:
    if key == names.INJECTION_LABEL:
        remedy = f"make it a label: {key}={names.DISABLED}"
        yield NearMiss(
            Reason.MISPLACED_LABEL, key,
            f"the annotation {key}: {quoted(value)} has no effect", remedy,
            str(value)[:MAX_SHOWN], f"annotation %s has no effect; {remedy}",
        )  # fmt: skip
    elif key.startswith(_OURS) or _is_near_key(key) or key == names.PRODUCT:
        remedy = f"write {names.INJECT_ANNOTATION}"
        yield NearMiss(
            Reason.UNKNOWN_ANNOTATION, key,
            f"the annotation {quoted(key)} has no effect", remedy,
            key, f"%s has no effect; {remedy}",
        )  # fmt: skip


def _is_near_key(key: str) -> bool:
    """Whether it is the key of our annotation with a mistake in it."""
    prefix, slash, name = key[:_MAX_KEY].lower().rpartition("/")
    is_prefix = _SEPARATORS.sub("", prefix) in _NEAR_PREFIXES
    return bool(slash) and is_prefix and (_is_typo(name, "inject") or name in _YES)


def _read_by_parameters(view: namespace_view.NamespaceView | None) -> frozenset[str]:
    """The keys from which parameters of injections take their values."""
    injections = (*view.own.injections, *view.cluster.injections) if view else ()
    return frozenset(
        key
        for injection in injections
        if not injection.errors
        for parameter in injection.spec.get("parameters") or ()
        for key in (parameter.get("from") or {}).values()
    )


def _misplaced(
    metadata: Mapping[str, Any], template: Mapping[str, Any], kind: str, where: str
) -> Iterator[NearMiss]:
    """What is in this metadata and not in the template's, where it would have an effect."""
    annotations = lenient.child(metadata, "annotations")
    inner = lenient.child(template, "annotations")
    place = "the pod template" if len(where) > len("spec.template.metadata") else where
    for key, value in annotations.items():
        is_ours = _HINT in key and (key == names.INJECT_ANNOTATION or _is_near_key(key))
        if is_ours and inner.get(key) != value:
            yield NearMiss(
                Reason.MISPLACED_ANNOTATION, key,
                f"the annotation {quoted(key)} on the {kind} itself has no effect",
                f"move it to {where}.annotations",
                str(value)[:MAX_SHOWN], f"%s on the {kind} is ignored; move it to {place}",
            )  # fmt: skip
    labels, key = lenient.child(metadata, "labels"), names.INJECTION_LABEL
    value = labels.get(key)
    is_no = isinstance(value, str) and value.lower() in _NO
    if is_no and lenient.child(template, "labels").get(key) != value:
        yield NearMiss(
            Reason.MISPLACED_LABEL, key,
            f"the label {key}={quoted(value)} on the {kind} itself opts no pod out",
            f"move it to {where}.labels",
            str(value), f"%s on the {kind} opts nothing out; move it to {place}",
        )  # fmt: skip


def _of_namespace(
    namespace: namespace_view.Namespace, release_namespace: str
) -> Iterator[NearMiss]:
    name, label = namespace.name, names.INJECTION_LABEL
    command = f"kubectl label namespace {shlex.quote(name)} {label}"
    enable = f"{command}={names.ENABLED}"
    if label in namespace.labels:
        value = namespace.labels[label]
        if value not in (names.ENABLED, names.DISABLED):
            text = f"the label {label}={quoted(value)} means nothing, so no pod is injected here"
            yield _of(Reason.UNKNOWN_LABEL_VALUE, label, value, text, f"{enable} --overwrite")
        elif namespace.is_enabled and name in names.SYSTEM_NAMESPACES | {release_namespace}:
            why = Reason.NAMESPACE_EXCLUDED.sentence
            text = f"the label {label}={quoted(value)} has no effect: {why}"
            yield _of(Reason.NAMESPACE_EXCLUDED, label, value, text, f"{command}-")
        return
    for key, value in namespace.labels.items():
        is_near = _HINT in key and (_is_near_key(key) or _is_near_label(key))
        if key == names.GROUP or is_near:
            text = f"the label {key}={quoted(value)} has no effect, so no pod is injected here"
            yield _of(Reason.UNKNOWN_LABEL, key, value, text, f"{enable} {shlex.quote(f'{key}-')}")
    for key, value in namespace.annotations.items():
        if key in (label, names.INJECT_ANNOTATION):
            text = f"the annotation {key}: {quoted(value)} has no effect on a namespace"
            yield _of(Reason.MISPLACED_LABEL, key, value, text, enable)


def _of(reason: Reason, subject: str, value: str, text: str, remedy: str) -> NearMiss:
    return NearMiss(reason, subject, text, remedy, value, f"%s has no effect; {remedy}")
