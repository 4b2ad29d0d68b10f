"""Adds parts to a pod, in order, and records them so that they can be removed."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sidecar_injector import names
from sidecar_injector.core import decision, patch
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.merging import (
    additions,
    fit,
    marks,
    order,
    placing,
    render,
    status_annotation,
)
from sidecar_injector.core.merging.claims import Claims
from sidecar_injector.core.merging.status_annotation import (
    Entry,
    ItemKey,
    Provenance,
    Record,
    Skipped,
    json_text,
)
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.pods import lenient
from sidecar_injector.core.reasons import Conflict, Level, Reason
from sidecar_injector.core.validity import container as container_rules
from sidecar_injector.core.validity import pod as pod_rules
from sidecar_injector.core.validity import pod_security, releases
from sidecar_injector.core.validity import spec as spec_rules

MOST_BYTES: Final = 1536 << 10
"""Of a pod as JSON, with everything that is added. The API server cannot store a larger one.
https://etcd.io/docs/latest/dev-guide/limit/"""
SMALL_BYTES: Final = 16 << 10
"""What an injection adds to a larger pod nevertheless: the pod is too large without us, too."""
_FRAME_BYTES: Final = len(names.STATUS_ANNOTATION) + len(
    json_text({"injections": [], "kept": status_annotation.MARK_WORDS, "version": 1})
)
"""What the annotation may have besides its entries."""


class Merge:
    """One pass over a pod: injections are added one after another, each completely or not at all.

    `recorded` is what the pod's annotation claims, and `candidates` are the injections that are
    added in turn. With `tutorial`, the pod is annotated in the tutorial's way too. Without a `view`
    of the namespace, only the rules of the API server for any pod limit the result, in the release
    `minor`.
    """

    def __init__(
        self,
        editor: patch.Editor,
        recorded: Provenance,
        *,
        context: render.RenderContext,
        candidates: Iterable[model.Injection] = (),
        view: namespace_view.NamespaceView | None = None,
        minor: int | None = None,
        tutorial: bool = False,
    ) -> None:
        self._order = order.Order(recorded.entries, candidates)
        self._wishes: dict[str, Any] = {}
        self._wished_parts: set[ItemKey] = set()
        self._editor = editor
        self._recorded = recorded
        self._claims = Claims(recorded.entries)
        self._context = context
        self._view = view
        self._minor = view.kubernetes_minor if view else minor
        self._tutorial = tutorial
        self.first_call: Merge | None = None
        """The same for the pod as its author wrote it. On a second call it says what the first
        call did: an injection that was skipped then is skipped again, for the same reason."""
        self._most_record_bytes = spec_rules.MOST_ANNOTATIONS if recorded.entries else 0
        """At least the bytes of all entries in the annotation."""

    @functools.cached_property
    def _room(self) -> int:
        """Bytes that may be added; measured only for a pod to which something is added."""
        return MOST_BYTES - lenient.size(self._editor.document)

    def fit(self, injection: model.Injection) -> decision.Line:
        """Add what the pod lacks of this injection; a conflict adds nothing and is the reason."""
        identity = injection.identity
        recorded = self._claims.entry(identity)
        self._order.begin(injection, recorded)
        current = recorded if recorded and recorded.hash == injection.hash else None
        if self.first_call:
            line = self.first_call.fit(injection)
            if line.reason.level is Level.FIT and recorded is None:
                self._order.end(injection, None)
                return line
        parts = None
        try:
            parts = render.render(
                injection,
                pod=self._editor.document,
                claims=self._claims,
                context=self._context,
            )
            line = self._fit_parts(injection, parts, current.patched if current else ())
        except Conflict as conflict:
            line = decision.line(injection, conflict.reason, conflict.detail)
        except patch.TooLargeError:
            line = decision.line(injection, Reason.TOO_MUCH_WORK)
        if parts and current:
            self._remember(parts, current)
        self._order.end(injection, self._claims.entry(identity))
        return line

    def settled(self, line: decision.Line) -> decision.Line:
        """The line, or that the injection is there, if an earlier call has added it.

        What others changed since is no conflict with ourselves, and cannot undo what is done.
        """
        if line.reason.level is not Level.FIT:
            return line
        if (entry := self._claims.entry(line.injection.identity)) is None:
            return line
        pod = self._editor.document
        is_whole = all(
            len(_names_still_present(entry, pod, field)) == len(entry.names(field))
            for field in status_annotation.NAMED_LISTS
        )
        if entry.hash != line.injection.hash or not is_whole:
            return line
        detail = f"nothing is added to what has come since ({line.reason.value})"
        return decision.line(line.injection, Reason.ALREADY_INJECTED, detail)

    def _remember(self, parts: render.Parts, entry: Entry) -> None:
        """Keep what an injection wants that an earlier call added, for those after it.

        One that wants the same shares it, even if others have changed it since.
        """
        lists = zip(
            status_annotation.NAMED_LISTS,
            (parts.containers, parts.init_containers, parts.volumes),
            strict=True,
        )
        for field, items in lists:
            added = set(entry.names(field))
            for item in items:
                if item["name"] in added:
                    self._wishes.setdefault(patch.pointer(("spec", field, item["name"])), item)
        records = set(additions.settled_keys(entry.patched))
        for addition in parts.additions if records else ():
            self._wished_parts.update(addition.settled_parts(records))

    def _fit_parts(
        self, injection: model.Injection, parts: render.Parts, records: Sequence[Record]
    ) -> decision.Line:
        fitting = fit.Fit(
            parts,
            pod=self._editor.document,
            claims=self._claims,
            injection=injection,
            host_network=self._context.host_network,
            wishes=self._wishes,
            settled=(set(additions.settled_keys(records)), self._wished_parts),
        )
        conflicts = itertools.chain(
            fit.conflicts_with_author(fitting), fit.conflicts_with_injections(fitting)
        )
        conflict = next(conflicts, None)
        missing = fit.missing_parts(fitting)
        paths = fit.preserved_paths(fitting)
        details = {"kept": paths} if paths else {}
        if fitting.left_out:
            details[decision.LEFT_OUT] = list(fitting.left_out)
        if parts.credentials:
            details["credentials"] = list(parts.credentials)
        if conflict is None and missing.is_empty:
            return decision.line(injection, Reason.ALREADY_INJECTED, details=details)
        if fit.is_outdated(fitting):
            return decision.line(injection, Reason.OUTDATED)
        if conflict:
            raise conflict
        self._add(injection, missing, parts)
        return decision.line(injection, Reason.INJECTED, missing.summary, details=details)

    def finish(self, skipped_lines: Sequence[decision.Line]) -> None:
        """Write the annotation and the marks, where they do not say what was added and skipped."""
        entries = {entry.identity: entry for entry in self._claims.entries}
        skipped = []
        for line in skipped_lines:
            # An injection is under one of both: under the former while the pod has a part of it.
            entry = entries.get(line.injection.identity)
            if entry and _has_any(self._editor.document, entry):
                continue
            entries.pop(line.injection.identity, None)
            kind, name = line.injection.identity
            skipped.append(Skipped(kind=kind, name=name, reason=line.reason.value))
        before, pod = self._recorded, self._editor.document
        empty = status_annotation.all_empty(pod, self._editor.empty, before=before)
        is_first = before == status_annotation.NOTHING
        kept = marks.of_author(pod.get("metadata") or {}) if is_first else before.kept
        after = Provenance(tuple(entries.values()), tuple(skipped), empty, kept)
        # On a second call another reason for skipping may come first: that is not worth a patch.
        is_right = after.entries == before.entries and after.same_skipped(before)
        if after.entries or after.skipped:
            self._write(before if is_right else after, is_right=is_right)

    def _write(self, provenance: Provenance, *, is_right: bool) -> None:
        """Set the marks, and the annotation unless it `is_right`.

        Where there is no room, the annotations among the marks are left out first, then what was
        skipped, then what was empty.
        """
        metadata = self._editor.document.get("metadata") or {}
        present = metadata.get("annotations") or {}
        entries, empty, kept = provenance.entries, provenance.empty, provenance.kept
        marked = marks.changes(provenance, metadata)
        for content, members in (
            (provenance, marked["annotations"]),
            (provenance, {}),
            (Provenance(entries, (), empty, kept), {}),
            (Provenance(entries, kept=kept), {}),
        ):
            text = present[names.STATUS_ANNOTATION] if is_right else content.as_text()
            wanted = present | members | {names.STATUS_ANNOTATION: text}
            if spec_rules.annotation_bytes(wanted) > spec_rules.MOST_ANNOTATIONS:
                continue
            if content.entries or content.skipped:
                if text != present.get(names.STATUS_ANNOTATION):
                    members[names.STATUS_ANNOTATION] = text
                self._editor.set_members(status_annotation.LABELS, marked["labels"])
                self._editor.set_members(status_annotation.PARENTS, members)
            return

    def _add(self, injection: model.Injection, missing: render.Parts, parts: render.Parts) -> None:
        """Add all that is missing, or nothing: the result is checked before it is adopted."""
        before = self._editor.document
        room = max(self._room, SMALL_BYTES)
        draft = placing.Placing(self._editor.fork(room=room), self._claims, self._order)
        placement = injection.spec.get("placement") or {}
        records = draft.place(missing, placement, wanted=parts)
        annotations = {**draft.companions(missing, placement), **missing.annotations}
        if self._tutorial:
            annotations |= draft.lacking(names.TUTORIAL_STATUS_ANNOTATION, names.TUTORIAL_INJECTED)
        for field, members in (("labels", missing.labels), ("annotations", annotations)):
            for key, value in members.items():
                draft.editor.set(("metadata", field, key), value)

        after = draft.editor.document
        conflict = _result_conflict(
            before,
            after,
            view=self._view,
            minor=self._minor,
            precomputed=missing.precomputed,
            is_template_only=not (
                missing.additions or missing.labels or injection.spec.get("inherit")
            ),
        )
        if conflict:
            raise conflict
        used = room - (draft.editor.room or 0)
        self._record(self._entry(injection, missing, annotations, records), after, used)
        self._editor.adopt(draft.editor)
        self._room -= used

    def _record(self, entry: Entry, after: Mapping[str, Any], used: int) -> None:
        """Claim what was added. A Conflict if the pod `after` has no room for the annotation:
        without a record, the next call would take these parts for the author's."""
        older = self._claims.entry(entry.identity)
        self._most_record_bytes += entry.most_bytes(used)
        # Annotations that were added are among the records, all others are in the pod as it came.
        most = MOST_BYTES - self._room + 2 * self._most_record_bytes
        if older or most > spec_rules.MOST_ANNOTATIONS:
            entries = [other for other in self._claims.entries if other is not older]
            size = sum(each.length + 1 for each in (*entries, entry))
            _check_annotations(after, size)
            self._most_record_bytes = size
        self._claims = self._claims.with_entry(entry)

    def _entry(
        self,
        injection: model.Injection,
        added: render.Parts,
        annotations: dict[str, str],
        records: list[Record],
    ) -> Entry:
        """What was added, and what the pod still has of the injection's older entry."""
        names_added = added.names
        members_added = {"labels": dict(added.labels), "annotations": annotations}
        if older := self._claims.entry(injection.identity):
            pod = self._editor.document
            names_added = {
                field: list(dict.fromkeys([*_names_still_present(older, pod, field), *added_names]))
                for field, added_names in names_added.items()
            }
            for field, members in members_added.items():
                members_added[field] = _members_still_present(older, pod, field) | members
            texts = set(map(json_text, records))
            older_records = (record for record in older.patched if json_text(record) not in texts)
            records = [*older_records, *records]
        parts = {**names_added, **members_added}
        return Entry(
            kind=injection.kind,
            name=injection.name,
            generation=injection.generation,
            hash=injection.hash,
            mode=added.mode,
            added={field: value for field, value in parts.items() if value},
            patched=tuple(records),
            left_out=added.left_out,
        )


def _has_any(pod: Mapping[str, Any], entry: Entry) -> bool:
    """Whether the pod has anything of what was added; what was patched is not looked for."""
    return (
        bool(entry.patched)
        or any(_names_still_present(entry, pod, field) for field in status_annotation.NAMED_LISTS)
        or any(_members_still_present(entry, pod, field) for field in status_annotation.MAPS)
    )


def _check_annotations(pod: Mapping[str, Any], record_bytes: int) -> None:
    """Raises Conflict if the pod has no room for a status annotation with so many bytes of entries,
    each with a comma behind it."""
    annotations = dict(pod_fields.metadata_map(pod, "annotations"))
    annotations.pop(names.STATUS_ANNOTATION, None)
    size = spec_rules.annotation_bytes(annotations) + _FRAME_BYTES + record_bytes - 1
    if size > spec_rules.MOST_ANNOTATIONS:
        raise Conflict(
            Reason.TOO_MUCH_WORK,
            f"with {names.STATUS_ANNOTATION} the annotations would have {size} bytes, at most"
            f" {spec_rules.MOST_ANNOTATIONS} are accepted",
        )


def _names_still_present(entry: Entry, pod: Mapping[str, Any], field: str) -> list[str]:
    present = {item["name"] for item in pod_fields.items(pod, field)}
    return [name for name in entry.names(field) if name in present]


def _members_still_present(entry: Entry, pod: Mapping[str, Any], field: str) -> dict[str, str]:
    present = pod_fields.metadata_map(pod, field)
    return {key: value for key, value in entry.members(field).items() if present.get(key) == value}


def _result_conflict(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    *,
    view: namespace_view.NamespaceView | None,
    minor: int | None,
    precomputed: container_rules.TemplateProblems | None,
    is_template_only: bool,
) -> Conflict | None:
    """Why the resulting pod `after` must not be adopted; None if it may be.

    Without a `view` of the namespace, only what the API server requires of every pod is checked.
    `is_template_only`: nothing but containers and volumes of the template, and annotations, came.
    """
    if view and (conflict := _of_namespace(before, after, view)):
        return conflict
    if minor and (problem := releases.problem(before=before, after=after, minor=minor)):
        return Conflict(Reason.POD_WOULD_BE_INVALID, problem)
    is_surely_valid = is_template_only and pod_rules.is_surely_valid(
        before=before, after=after, precomputed=precomputed
    )
    if not is_surely_valid and (
        problem := pod_rules.problem(before=before, after=after, precomputed=precomputed)
    ):
        return Conflict(Reason.POD_WOULD_BE_INVALID, problem)
    # Last, since they take the pod for valid.
    return view.limits.conflict(before=before, after=after) if view and view.limits else None


def _of_namespace(
    before: Mapping[str, Any], after: Mapping[str, Any], view: namespace_view.NamespaceView
) -> Conflict | None:
    """What the namespace does not accept: a missing ServiceAccount, Pod Security."""
    account = additions.scalar(after, "serviceAccountName")
    exists = view.service_accounts is None or account in view.service_accounts
    if not exists and account != additions.scalar(before, "serviceAccountName"):
        return Conflict(Reason.MISSING_SERVICE_ACCOUNT, repr(account))
    if names.POD_SECURITY_ENFORCE_LABEL in view.namespace.labels:
        newest = view.kubernetes_minor or pod_security.NEWEST
        policy = pod_security.Policy.of(view.namespace.labels, newest=newest)
        violations = pod_security.violations(policy, after)
        present = set(pod_security.violations(policy, before)) if violations else set()
        for violation in violations:
            if violation not in present:
                return Conflict(Reason.POD_SECURITY, f"{policy.level}: {violation}")
    return None
