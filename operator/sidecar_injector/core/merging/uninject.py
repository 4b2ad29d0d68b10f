"""Removing what the status annotation says was added: the merge, backwards.

For a pod that had none of our annotations, `uninject` of the injected pod is the pod itself, with
its null, empty and zero values.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from sidecar_injector import names
from sidecar_injector.core import patch
from sidecar_injector.core.merging import container_additions, defaults, marks, status_annotation
from sidecar_injector.core.merging.status_annotation import MAPS, NAMED_LISTS, Entry
from sidecar_injector.core.pods import api_fields, lenient
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.validity import security

Json = dict[str, Any]
ALIASES: Mapping[str, str] = {"serviceAccountName": "serviceAccount"}
"""Fields of the spec with older names, which the API server writes too, with the same value."""


def uninject(pod: Json) -> Json:
    """A copy of the pod without what injections added.

    What was changed since then stays. A pod without our annotation comes out equal.
    """
    recorded = status_annotation.read(pod_fields.metadata_map(pod, "annotations"))
    if recorded == status_annotation.NOTHING:
        return copy.deepcopy(pod)
    return _Undoing(pod, recorded).result()


class _Undoing:
    """One pod without what its annotation records."""

    def __init__(self, pod: Json, recorded: status_annotation.Provenance) -> None:
        self._recorded = recorded
        self._recorded_paths = {
            record["path"] for entry in recorded.entries for record in entry.patched
        }
        self._copies: dict[int, tuple[Any, bool]] = {}
        """The lists and objects of the copy by their ids, and whether each had members."""
        self._pod: Json = self._copied(pod)

    def result(self) -> Json:
        """The pod without everything that is recorded."""
        for entry in reversed(self._recorded.entries):
            _remove_items(self._pod, entry)
            for record in reversed(entry.patched):
                self._undo(record)
            for field in MAPS:
                _remove_members(pod_fields.metadata_map(self._pod, field), entry.members(field))
        for field, key in marks.ours(self._recorded):
            pod_fields.metadata_map(self._pod, field).pop(key, None)
        pod_fields.metadata_map(self._pod, "annotations").pop(names.STATUS_ANNOTATION, None)
        self._drop_empty(self._pod, "")
        return self._pod

    def _copied(self, value: Any) -> Any:
        if not isinstance(value, dict | list):
            return value
        result = value.copy()
        for key, member in value.items() if isinstance(value, dict) else enumerate(value):
            result[key] = self._copied(member)
        self._copies[id(result)] = result, bool(value)
        return result

    def _undo(self, record: Mapping[str, Any]) -> None:
        """Undo one record, if what it is about is still there and unchanged."""
        steps = list(patch.steps_of(record["path"]))
        if not steps:
            return
        # Of two variables of one name the last counts, so it is the one that got the text.
        parent = _walk(self._pod, steps[:-1], last=record["op"] == "append")
        match record["op"], parent:
            case "set", dict():
                self._unset(parent, steps[-1], record)
                if steps[-1] == "appArmorProfile":
                    _remove_profile(self._pod, steps[-3])
            case "append", dict():
                value, suffix = parent.get(steps[-1]), str(record.get("suffix", ""))
                if isinstance(value, str) and suffix and value.endswith(suffix):
                    parent[steps[-1]] = patch.in_style_of(value, value.removesuffix(suffix))
                    if value == suffix:
                        self._take_out(parent, steps[-1], record["path"])
            case "add", dict() if "value" in record:
                _remove_value(parent, steps[-1], record["value"])
            case "add", list():
                _remove_first(parent, lambda item: _is_named(item, steps[-1]))

    def _unset(self, parent: Json, field: str, record: Mapping[str, Any]) -> None:
        value = parent.get(field)
        if "value" in record and value != record["value"]:
            return
        if "previous" in record:
            parent[field] = patch.in_style_of(value, record["previous"])
        else:
            self._take_out(parent, field, record["path"])
        alias = ALIASES.get(field)
        if not alias or parent is not self._pod.get("spec"):
            return
        is_copy = patch.pointer(("spec", alias)) not in self._recorded_paths
        if is_copy and value and parent.get(alias) == value:
            if parent.get(field):
                parent[alias] = parent[field]
            else:
                del parent[alias]

    def _take_out(self, parent: Json, key: str, path: str) -> None:
        """Remove a member; what the author wrote as empty is put back in its place."""
        if path in self._recorded.empty:
            before = copy.copy(self._recorded.empty[path])
            parent[key] = patch.in_style_of(parent.get(key), before)
        else:
            parent.pop(key, None)

    def _drop_empty(self, value: Any, path: str) -> None:
        """Remove the lists and objects that became empty: injections created them."""
        if isinstance(value, list):
            for item in value:
                if isinstance(item, dict):
                    step = item.get("name") or item.get("ip")
                    self._drop_empty(item, f"{path}{patch.pointer((str(step),))}")
            return
        for key, member in list(value.items()):
            if isinstance(member, dict | list):
                member_path = f"{path}{patch.pointer((key,))}"
                self._drop_empty(member, member_path)
                if not member and self._copies.get(id(member), (None, False))[1]:
                    self._take_out(value, key, member_path)


def _remove_items(pod: Json, entry: Entry) -> None:
    for field in NAMED_LISTS:
        injected_names = set(entry.names(field))
        items = pod_fields.items(pod, field)
        for item in items:
            if item.get("name") in injected_names and _has_profile(item, pod):
                _remove_profile(pod, item["name"])
        items[:] = [item for item in items if item.get("name") not in injected_names]


def _remove_profile(pod: Json, name: str) -> None:
    """Remove the annotation that the API server wrote until 1.33 for the field `appArmorProfile`.

    A pod with an annotation that differs from the field, or without its container, is refused.
    """
    pod_fields.metadata_map(pod, "annotations").pop(f"{security.APP_ARMOR_PREFIX}{name}", None)


def _has_profile(container: Json, pod: Json) -> bool:
    """Whether a field says what AppArmor allows the container."""
    places = (container, pod.get("spec") or {})
    return any(lenient.child(place, "securityContext").get("appArmorProfile") for place in places)


def _remove_members(present: dict[str, str], added: Mapping[str, str]) -> None:
    for key, value in added.items():
        if present.get(key) == value:
            del present[key]


def _remove_value(parent: Json, field: str, value: Any) -> None:
    items = parent.get(field)
    if not isinstance(items, list):
        return
    if field == "hostAliases" and isinstance(value, dict):
        _remove_hostnames(items, value)
    else:
        kind = api_fields.CONTAINER.members.get(field) or api_fields.TEMPLATE.member(field)
        _remove_first(items, lambda item: defaults.same(item, value, kind), last=True)


def _remove_hostnames(aliases: list[Any], value: Mapping[str, Any]) -> None:
    """Remove an alias that was added, or its hostnames if it has others by now."""
    added = set(value.get("hostnames") or ())
    for index, alias in enumerate(aliases):
        if isinstance(alias, dict) and alias.get("ip") == value.get("ip"):
            hostnames = alias.get("hostnames")
            others = [name for name in hostnames or () if name not in added]
            if others and isinstance(hostnames, list):
                hostnames[:] = others
            elif hostnames:
                del aliases[index]
            return


def _remove_first(items: list[Any], matches: Callable[[Any], bool], *, last: bool = False) -> None:
    """Remove the first item that matches, or the last one."""
    order = range(len(items) - 1, -1, -1) if last else range(len(items))
    for index in order:
        if matches(items[index]):
            del items[index]
            return


def _walk(pod: Json, steps: list[str], *, last: bool) -> Any:
    """The value at a path of a record; `last` chooses among several items of one name."""
    current: Any = pod
    for step in steps:
        if isinstance(current, dict):
            current = current.get(step)
        elif isinstance(current, list):
            items = reversed(current) if last else current
            current = next((item for item in items if _is_named(item, step)), None)
    return current


def _is_named(item: Any, name: str) -> bool:
    if not isinstance(item, dict):
        return False
    if "mountPath" in item:
        return container_additions.clean_path(item["mountPath"]) == container_additions.clean_path(
            name
        )
    if "containerPort" in item:
        return str(item["containerPort"]) == name
    return name in (item.get("name"), item.get("ip"))
