"""What helps: a reason's remedy with the names filled in, and the command that does it.

Warnings, Events, `explain`, reports and JSON take their sentences from here.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
from typing import Any, Final

from sidecar_injector import names
from sidecar_injector.core.decision import Line
from sidecar_injector.core.injections import model
from sidecar_injector.core.pods import annotation, kinds
from sidecar_injector.core.pods.owner import Owner
from sidecar_injector.core.reasons import Reason, Verdict

NO_ANNOTATIONS: Final = dict.fromkeys((names.INJECT_ANNOTATION, names.TUTORIAL_INJECT_ANNOTATION))
"""Removes them in a patch, in which the null of an absent key is allowed."""
LONGEST_NAME: Final = 30
"""Characters of a name in a line that is cut: the remedy behind it must stay readable."""
LONGEST_DETAIL: Final = 1000
SHORTER_WORDS: Final = (24, 16, 12, 9)
"""Characters of the words of a detail, one after the other until there is room for it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The object in which a person changes a pod: its owner, or the pod itself."""

    namespace: str
    kind: str = "Pod"
    name: str = ""
    group: str = ""
    """The API group of a custom kind; empty for a kind of Kubernetes."""
    annotation: object = None
    """Our annotation in the pod template as it is now."""
    is_file: bool = False
    """It is changed in its file, not in a cluster."""

    @classmethod
    def of(cls, owner: Owner, annotation: object = None, *, is_file: bool = False) -> Subject:
        """An owner as what a remedy changes."""
        return cls(
            namespace=owner.namespace,
            kind=owner.kind,
            name=owner.name,
            group=owner.group,
            annotation=annotation,
            is_file=is_file,
        )

    @property
    def entry(self) -> kinds.Kind | None:
        """What is known of its kind."""
        return kinds.of_owner(self.group, self.kind)


@dataclasses.dataclass(frozen=True, slots=True)
class Remedy:
    """What to do."""

    text: str
    command: str = ""
    """For a shell; empty where no single command does it."""

    def __str__(self) -> str:
        return f"{self.text}: {self.command}" if self.command else self.text


def of(reason: Reason, subject: Subject, injection: model.Injection | None = None) -> Remedy:
    """What helps against a reason, on this object and for this injection."""
    text = reason.remedy
    if subject.kind == "Pod":
        # It has no template, and its containers do not change any more.
        text = text.replace("of the pod template", "of the pod")
        text = text.replace(" the pod template", " the pod, and create it again")
    metadata = _metadata(reason, subject, injection)
    if metadata and subject.is_file:
        return Remedy(": ".join(filter(None, (text, _in_file(subject, metadata)))))
    if metadata:
        return Remedy(text, _template(subject, metadata))
    return Remedy(text, _command(reason, subject, injection))


def sentence(line: Line, pod_name: str, *, characters: int = sys.maxsize) -> str:
    """What becomes of a pod without an injection that applies, what to do, and why.

    They stand in this order because lines are cut at their end. Where there is no room for so many
    characters, the code alone is the reason, and the middle of long names is left out.
    """
    consequence = "is refused without" if line.verdict is Verdict.REFUSED else "starts without"
    reference = _middle_cut(line.injection.reference, LONGEST_NAME)
    what = f"{_middle_cut(pod_name, LONGEST_NAME)} {consequence} {reference}"
    what = f"{what}: {line.reason.remedy} ({line.reason.value}"
    whole = f"{what}: {line.message})"
    if len(whole) <= characters:
        return whole
    detail = line.message.removeprefix(line.reason.sentence)[:LONGEST_DETAIL]
    room = characters - len(what) - 1
    for longest in SHORTER_WORDS:
        if len(detail) > room:
            detail = " ".join(_middle_cut(word, longest) for word in detail.split(" "))
    return f"{what}{detail})"


def _middle_cut(text: str, most: int) -> str:
    """The text in so many characters: names of one kind often differ at their end."""
    if len(text) <= most:
        return text
    end = (most - 1) // 2
    return f"{text[: most - 1 - end]}…{text[-end:]}"


def _command(reason: Reason, subject: Subject, injection: model.Injection | None) -> str:
    match reason:
        case Reason.NAMESPACE_NOT_ENABLED:
            label = f"{names.INJECTION_LABEL}={names.ENABLED}"
            return f"kubectl label namespace {_quoted(subject.namespace)} {label} --overwrite"
        case Reason.NOT_A_CREATE if subject.name:
            return _restart(subject)
    return _command_of_injection(reason, injection) if injection else ""


def _restart(subject: Subject) -> str:
    entry = subject.entry
    if entry is None or not entry.rolls:
        return ""
    if subject.group:
        workload = _quoted(f"{entry.resource}/{subject.name}")
        return f"kubectl {names.PRODUCT} restart {workload}{_in(subject)}"
    workload = _quoted(f"{subject.kind.lower()}/{subject.name}")
    return f"kubectl rollout restart {workload}{_in(subject)}"


def _metadata(
    reason: Reason, subject: Subject, injection: model.Injection | None
) -> dict[str, Any] | None:
    """What helps in the metadata of the pod template, as a patch; None for other remedies."""
    labels = {names.INJECTION_LABEL: None}
    match reason:
        case Reason.POD_LABEL_DISABLED:
            return {"labels": labels}
        case Reason.POD_ANNOTATION_DISABLED:
            return {"annotations": NO_ANNOTATIONS}
        case Reason.OPTED_OUT:
            return {"labels": labels, "annotations": NO_ANNOTATIONS}
        case Reason.NOT_REQUESTED | Reason.NOT_LISTED if injection:
            wanted = {names.INJECT_ANNOTATION: _with_name(subject, injection.reference)}
            return {"annotations": wanted}
    return None


def _in_file(subject: Subject, metadata: dict[str, Any]) -> str:
    """The YAML that sets an annotation of a template; empty where one is removed."""
    path = subject.entry.template_path if subject.entry else ()
    wanted = (metadata.get("annotations") or {}).get(names.INJECT_ANNOTATION)
    if not path or wanted is None:
        return ""
    yaml = f"annotations: {{{names.INJECT_ANNOTATION}: {json.dumps(wanted)}}}"
    for step in ("metadata", *reversed(path)):
        yaml = f"{step}: {{{yaml}}}"
    return yaml


def _command_of_injection(reason: Reason, injection: model.Injection) -> str:
    match reason:
        case Reason.SUSPENDED:
            return _patch(injection, {"suspend": False})
        case Reason.DRY_RUN:
            return _patch(injection, {"dryRun": False})
        case Reason.HOST_NETWORK:
            return _patch(injection, {"hostNetworkPods": "Inject"})
        case Reason.SELECTOR_MISMATCH:
            return _get(injection, "{.spec.selector}")
        case Reason.NAMESPACE_SELECTOR_MISMATCH:
            return _get(injection, "{.spec.namespaceSelector}")
        case Reason.INVALID:
            return f"kubectl describe {object_of(injection)}"
    return ""


def _template(subject: Subject, metadata: dict[str, Any]) -> str:
    """Change the metadata of the subject's pod template; nothing if it has none."""
    entry = subject.entry
    makes_new_pods = entry and (entry.rolls or entry.restart is kinds.Restart.NEXT_RUN)
    path = entry.template_path if entry and makes_new_pods else ()
    if not entry or not path or not subject.name:
        return ""
    body: dict[str, Any] = {"metadata": metadata}
    for step in reversed(path):
        body = {str(step): body}
    patch = shlex.quote(json.dumps(body, separators=(",", ":")))
    # Custom resources know no strategic merge patch.
    word, kind_of_patch = (
        (entry.resource, " --type=merge") if subject.group else (subject.kind.lower(), "")
    )
    return f"kubectl patch {word} {_quoted(subject.name)}{_in(subject)}{kind_of_patch} -p {patch}"


def _patch(injection: model.Injection, spec: dict[str, Any]) -> str:
    patch = shlex.quote(json.dumps({"spec": spec}, separators=(",", ":")))
    return f"kubectl patch {object_of(injection)} --type=merge -p {patch}"


def _get(injection: model.Injection, path: str) -> str:
    return f"kubectl get {object_of(injection)} -o jsonpath={shlex.quote(path)}"


def object_of(injection: model.Injection) -> str:
    """Kind, name and namespace, as arguments of kubectl."""
    namespace = f" -n {_quoted(injection.namespace)}" if injection.namespace else ""
    return f"{injection.kind.lower()} {_quoted(injection.name)}{namespace}"


def _with_name(subject: Subject, reference: str) -> str:
    """The annotation with one name more: what it asks for now is kept."""
    request = annotation.read({names.INJECT_ANNOTATION: subject.annotation})
    only = "only: " if request.requested is annotation.Requested.ONLY else ""
    return only + ", ".join((*request.listed, reference))


def _in(subject: Subject) -> str:
    return f" -n {_quoted(subject.namespace)}"


# In a file, names may be any text.
_quoted = shlex.quote
