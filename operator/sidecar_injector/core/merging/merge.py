"""Adding parts to a pod: additive, in order, and recorded so that it can be taken out again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sidecar_injector import names
from sidecar_injector.core import decision, patch
from sidecar_injector.core.injections import model
from sidecar_injector.core.merging import fit, render
from sidecar_injector.core.merging.conflict import Conflict
from sidecar_injector.core.merging.status_annotation import (
    MAPS,
    NAMED_LISTS,
    Entry,
    Provenance,
    Skipped,
)
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.reasons import Reason
from sidecar_injector.core.validity import spec as spec_rules

_FIRST = "First"

Check = Callable[[Mapping[str, Any], Mapping[str, Any], render.Parts], Conflict | None]
"""Of a pod before and after some parts: why it must not come out like that, if it must not."""


class Merge:
    """One pass over a pod: injections are fitted one after another, each whole or not at all."""

    def __init__(
        self,
        editor: patch.Editor,
        said: Provenance,
        *,
        around: render.RenderContext,
        tutorial: bool,
        check: Check,
    ) -> None:
        self._editor = editor
        self._before = said
        self._said = said
        self._around = around
        self._check = check
        self._tutorial = tutorial
        """The pod asked in the tutorial's way and is answered in it too."""

    def fit(self, injection: model.Injection) -> decision.Line:
        """Add what the pod lacks of this injection; a conflict adds nothing and is the reason."""
        pod = self._editor.document
        missing, outdated, details = render.Parts(), False, {}
        try:
            parts = render.render(
                injection, pod=pod, entries=self._said.entries, around=self._around
            )
            merges = injection.spec.get("onConflict") == "Merge"
            fitting = fit.Fit(
                pod=pod,
                parts=parts,
                said=self._said,
                identity=injection.identity,
                merges=merges,
                host_network=self._around.host_network,
            )
            outdated = fitting.is_outdated(template_hash=injection.hash)
            missing = fitting.missing(template_hash=injection.hash)
            if kept := fitting.kept():
                details = {"kept": kept}
            if missing.is_empty:
                return decision.line(injection, Reason.ALREADY_INJECTED, details=details)
            if not outdated:
                self._add(injection, missing)
        except Conflict as conflict:
            if not outdated:
                return decision.line(injection, conflict.reason, conflict.detail)
        if outdated:
            return decision.line(injection, Reason.OUTDATED)
        return decision.line(injection, Reason.INJECTED, missing.summary(), details=details)

    def finish(self, lines: Sequence[decision.Line]) -> None:
        """Write down what was added and what was skipped, if that is not what stands there."""
        skipped = tuple(
            Skipped(kind=one.injection.kind, name=one.injection.name, reason=one.reason.value)
            for one in lines
        )
        after = Provenance(self._said.entries, skipped)
        # Why one is skipped may be seen differently once a later one is there: not worth a patch.
        is_right = after.entries == self._before.entries and after.same_skipped(self._before)
        if not is_right and (after.entries or after.skipped):
            self._write(after.as_text())

    def _write(self, text: str) -> None:
        """Set the annotation, unless the pod would be refused for the size of them all: then it is
        better to be injected and not to say so."""
        present = pod_fields.metadata_map(self._editor.document, "annotations")
        wanted = {**present, names.STATUS_ANNOTATION: text}
        if spec_rules.annotation_bytes(wanted) <= spec_rules.MOST_ANNOTATIONS:
            self._editor.set(("metadata", "annotations", names.STATUS_ANNOTATION), text)

    def _add(self, injection: model.Injection, missing: render.Parts) -> None:
        """Add all that is missing, or nothing: the result is checked before it is taken over."""
        placing = _Placing(self._editor.fork(), self._said)
        patched = placing.place(missing, injection.spec.get("placement") or {})
        annotations = {
            **missing.annotations,
            **placing.companions(missing, injection.spec.get("placement") or {}),
        }
        if self._tutorial:
            annotations |= placing.lacking(
                names.TUTORIAL_STATUS_ANNOTATION, names.TUTORIAL_INJECTED
            )
        for field, members in (("labels", missing.labels), ("annotations", annotations)):
            for key, value in members.items():
                placing.editor.set(("metadata", field, key), value)

        if conflict := self._check(self._editor.document, placing.editor.document, missing):
            raise conflict
        self._record(injection, missing, annotations, patched)
        self._editor.adopt(placing.editor)

    def _record(
        self,
        injection: model.Injection,
        added: render.Parts,
        annotations: dict[str, str],
        patched: list[dict[str, Any]],
    ) -> None:
        """Say what was added, besides what an earlier entry of it names and the pod still has."""
        entry = self._said.entry(injection.identity)
        carried = _carried(entry, self._editor.document)
        fresh: dict[str, Any] = {
            "containers": [one["name"] for one in added.containers],
            "initContainers": [one["name"] for one in added.init_containers],
            "volumes": [one["name"] for one in added.volumes],
            "labels": dict(added.labels),
            "annotations": annotations,
        }
        members: dict[str, Any] = {
            field: [*carried[field], *(x for x in fresh[field] if x not in carried[field])]
            for field in NAMED_LISTS
        } | {field: carried[field] | fresh[field] for field in MAPS}
        before = [one for one in entry.patched if one not in patched] if entry else []
        self._said = self._said.with_entry(
            Entry(
                kind=injection.kind,
                name=injection.name,
                generation=injection.generation,
                hash=injection.hash,
                mode=added.mode,
                added={field: value for field, value in members.items() if value},
                patched=(*before, *patched),
            )
        )


class _Placing:
    """Where parts go; `said` tells which items are ours."""

    def __init__(self, editor: patch.Editor, said: Provenance) -> None:
        self.editor = editor
        self._said = said

    def place(self, parts: render.Parts, placement: Mapping[str, str]) -> list[dict[str, Any]]:
        """Put the parts into the pod; what to write down about those that are no items."""
        patched: list[dict[str, Any]] = []
        for addition in parts.additions:
            # Two of them may be one, and a list may be full by now.
            if addition.is_lacking(self.editor.document):
                # What stands in front since a moment ago is ours too: the template's order stays.
                now = Entry(kind="", name="", patched=tuple(patched))
                patched += addition.apply(self.editor, [*self._said.entries, now])
        patched += self._allow_eviction(parts)
        first = placement.get("containers") == _FIRST
        self._insert("containers", parts.containers, first=first)
        first = placement.get("initContainers", _FIRST) == _FIRST
        self._insert("initContainers", parts.init_containers, first=first)
        self._insert("volumes", parts.volumes, first=False)
        return patched

    def companions(self, parts: render.Parts, placement: Mapping[str, str]) -> dict[str, str]:
        """Annotations that people expect around what was added, unless the pod has them."""
        annotations: dict[str, str] = {}
        if placement.get("containers") == _FIRST and parts.containers:
            # kubectl logs and exec would otherwise turn to the sidecar.
            ours = self._ours("containers") | {one["name"] for one in parts.containers}
            containers = pod_fields.items(self.editor.document, "containers")
            own = next((one["name"] for one in containers if one["name"] not in ours), None)
            if own:
                annotations |= self.lacking(names.DEFAULT_CONTAINER_ANNOTATION, own)
        if emptied := _empty_dirs(parts):
            annotations |= self.lacking(names.SAFE_TO_EVICT_ANNOTATION, ",".join(emptied))
        return annotations

    def lacking(self, key: str, value: str) -> dict[str, str]:
        """The annotation, unless the pod has it."""
        present = pod_fields.metadata_map(self.editor.document, "annotations")
        return {} if key in present else {key: value}

    def _allow_eviction(self, parts: render.Parts) -> list[dict[str, Any]]:
        """The autoscaler keeps a node for a pod with local volumes that are not listed here.

        https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md
        """
        key = names.SAFE_TO_EVICT_ANNOTATION
        before = pod_fields.metadata_map(self.editor.document, "annotations").get(key)
        listed = (before or "").split(",")
        suffix = "".join(f",{name}" for name in _empty_dirs(parts) if name not in listed)
        if not before or not suffix:
            return []
        path = ("metadata", "annotations", key)
        self.editor.set(path, before + suffix)
        return [{"op": "append", "path": patch.pointer(path), "suffix": suffix}]

    def _insert(self, field: str, items: tuple[dict[str, Any], ...], *, first: bool) -> None:
        path = ("spec", field)
        if not first:
            for item in items:
                self.editor.append(path, item)
            return
        # Several injections stand at the front as one block, in the order of decision.
        for index, item in enumerate(items, self._leading(field)):
            self.editor.insert(path, index, item)

    def _leading(self, field: str) -> int:
        """How many items at the front of a list are ours."""
        ours = self._ours(field)
        count = 0
        for item in pod_fields.items(self.editor.document, field):
            if item["name"] not in ours:
                break
            count += 1
        return count

    def _ours(self, field: str) -> set[str]:
        return {name for entry in self._said.entries for name in entry.names(field)}


def _empty_dirs(parts: render.Parts) -> list[str]:
    return [one["name"] for one in parts.volumes if one.get("emptyDir") is not None]


def _carried(entry: Entry | None, pod: Mapping[str, Any]) -> dict[str, Any]:
    """What an entry names and the pod still has."""
    if entry is None:
        return {**{field: [] for field in NAMED_LISTS}, **{field: {} for field in MAPS}}
    present = {
        field: {one["name"] for one in pod_fields.items(pod, field)} for field in NAMED_LISTS
    }
    lists = {field: [one for one in entry.names(field) if one in present[field]]
             for field in NAMED_LISTS}  # fmt: skip
    maps = {
        field: {
            key: value
            for key, value in entry.members(field).items()
            if pod_fields.metadata_map(pod, field).get(key) == value
        }
        for field in MAPS
    }
    return {**lists, **maps}
