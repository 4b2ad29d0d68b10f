"""Adding parts to a pod: additive, in order, and recorded so that it can be taken out again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sidecar_injector import names
from sidecar_injector.core import decision, fit, model, patch, pods, render
from sidecar_injector.core.provenance import MAPS, NAMED_LISTS, Entry, Provenance, Skipped
from sidecar_injector.core.reasons import Reason

_FIRST = "First"


class Merge:
    """One pass over a pod: injections are fitted one after another, each whole or not at all."""

    def __init__(self, editor: patch.Editor, said: Provenance, *, tutorial: bool) -> None:
        self._editor = editor
        self._before = said
        self._said = said
        self._tutorial = tutorial
        """The pod asked in the tutorial's way and is answered in it too."""

    def fit(self, injection: model.Injection) -> decision.Line:
        """Add what the pod lacks of this injection; a conflict adds nothing and is the reason."""
        pod = self._editor.document
        parts = render.render(injection, pod)
        fitting = fit.Fit(pod=pod, parts=parts, said=self._said, identity=injection.identity)
        try:
            missing = fitting.missing(template_hash=injection.hash)
        except fit.Conflict as conflict:
            if fitting.is_outdated(template_hash=injection.hash):
                return decision.line(injection, Reason.OUTDATED)
            return decision.line(injection, conflict.reason, conflict.detail)

        details = {"kept": kept} if (kept := fitting.kept()) else {}
        if missing.is_empty:
            return decision.line(injection, Reason.ALREADY_INJECTED, details=details)
        if fitting.is_outdated(template_hash=injection.hash):
            return decision.line(injection, Reason.OUTDATED)
        self._add(injection, missing)
        return decision.line(injection, Reason.INJECTED, details=details)

    def finish(self, lines: Sequence[decision.Line]) -> None:
        """Write down what was added and what was skipped, if that is not what stands there."""
        skipped = tuple(
            Skipped(kind=one.injection.kind, name=one.injection.name, reason=one.reason.value)
            for one in lines
        )
        after = Provenance(self._said.entries, skipped)
        if after != self._before and (after.entries or after.skipped):
            path = ("metadata", "annotations", names.STATUS_ANNOTATION)
            self._editor.set(path, after.as_text())

    def _add(self, injection: model.Injection, missing: render.Parts) -> None:
        annotations = dict(missing.annotations)
        if self._tutorial:
            annotations |= self._lacking(names.TUTORIAL_STATUS_ANNOTATION, names.TUTORIAL_INJECTED)

        placement = injection.spec.get("placement") or {}
        first = placement.get("containers") == _FIRST
        if first and missing.containers and (own := self._first_own_container()):
            # kubectl logs and exec would otherwise turn to the sidecar.
            annotations |= self._lacking(names.DEFAULT_CONTAINER_ANNOTATION, own)
        self._place("containers", missing.containers, first=first)
        first = placement.get("initContainers", _FIRST) == _FIRST
        self._place("initContainers", missing.init_containers, first=first)
        self._place("volumes", missing.volumes, first=False)
        for field, members in (("labels", missing.labels), ("annotations", annotations)):
            for key, value in members.items():
                self._editor.set(("metadata", field, key), value)
        self._record(injection, missing, annotations)

    def _lacking(self, key: str, value: str) -> dict[str, str]:
        """The annotation, unless the pod has it."""
        present = pods.metadata_map(self._editor.document, "annotations")
        return {} if key in present else {key: value}

    def _place(self, field: str, items: tuple[dict[str, Any], ...], *, first: bool) -> None:
        path = ("spec", field)
        if not first:
            for item in items:
                self._editor.append(path, item)
            return
        # Several injections stand at the front as one block, in the order of decision.
        start = self._leading(field)
        for index, item in enumerate(items, start):
            self._editor.insert(path, index, item)

    def _leading(self, field: str) -> int:
        """How many items at the front of a list are ours."""
        ours = self._ours(field)
        count = 0
        for item in pods.items(self._editor.document, field):
            if item["name"] not in ours:
                break
            count += 1
        return count

    def _first_own_container(self) -> str | None:
        ours = self._ours("containers")
        containers = pods.items(self._editor.document, "containers")
        return next((one["name"] for one in containers if one["name"] not in ours), None)

    def _ours(self, field: str) -> set[str]:
        return {name for entry in self._said.entries for name in entry.names(field)}

    def _record(
        self, injection: model.Injection, added: render.Parts, annotations: dict[str, str]
    ) -> None:
        carried = self._carried(injection.identity)
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
        self._said = self._said.with_entry(
            Entry(
                kind=injection.kind,
                name=injection.name,
                generation=injection.generation,
                hash=injection.hash,
                mode=added.mode,
                added={field: value for field, value in members.items() if value},
            )
        )

    def _carried(self, identity: tuple[str, str]) -> dict[str, Any]:
        """What an earlier entry of this injection names and the pod still has."""
        entry = self._said.entry(identity) or Entry(kind=identity[0], name=identity[1])
        pod = self._editor.document
        present = {field: {one["name"] for one in pods.items(pod, field)} for field in NAMED_LISTS}
        lists = {
            field: [name for name in entry.names(field) if name in present[field]]
            for field in NAMED_LISTS
        }
        maps = {
            field: {
                key: value
                for key, value in entry.members(field).items()
                if pods.metadata_map(pod, field).get(key) == value
            }
            for field in MAPS
        }
        return {**lists, **maps}
