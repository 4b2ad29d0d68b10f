"""Removing what the status annotation says was added: the merge, backwards.

For a pod that had none of our annotations, `uninject` of the injected pod is the pod itself, where
absent, null and empty count as equal.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from sidecar_injector import names
from sidecar_injector.core.merging import container_additions, defaults, status_annotation
from sidecar_injector.core.merging.status_annotation import MAPS, NAMED_LISTS, Entry
from sidecar_injector.core.pods import api_fields
from sidecar_injector.core.pods import fields as pod_fields

Json = dict[str, Any]


def uninject(pod: Mapping[str, Any]) -> Json:
    """A copy of the pod without what injections added.

    What was changed since then stays. A pod without our annotation comes out equal.
    """
    result: Json = copy.deepcopy(dict(pod))
    recorded = status_annotation.read(pod_fields.metadata_map(result, "annotations"))
    for entry in reversed(recorded.entries):
        _remove_items(result, entry)
        for record in reversed(entry.patched):
            _undo(result, record)
        for field in MAPS:
            _remove_members(pod_fields.metadata_map(result, field), entry.members(field))
    annotations = pod_fields.metadata_map(result, "annotations")
    if recorded != status_annotation.NOTHING:
        annotations.pop(names.STATUS_ANNOTATION, None)
    _drop_empty(result, pod)
    return result


def _remove_items(pod: Json, entry: Entry) -> None:
    for field in NAMED_LISTS:
        injected_names = set(entry.names(field))
        items = pod_fields.items(pod, field)
        items[:] = [item for item in items if item.get("name") not in injected_names]


def _remove_members(present: dict[str, str], added: Mapping[str, str]) -> None:
    for key, value in added.items():
        if present.get(key) == value:
            del present[key]


def _undo(pod: Json, record: Mapping[str, Any]) -> None:
    """Undo one record, if what it is about is still there and unchanged."""
    steps = [_unescaped(step) for step in record["path"].split("/")[1:]]
    if not steps:
        return
    parent = _walk(pod, steps[:-1])
    match record["op"], parent:
        case "set", dict():
            _unset(parent, steps[-1], record)
        case "append", dict():
            value, suffix = parent.get(steps[-1]), str(record.get("suffix", ""))
            if isinstance(value, str) and suffix and value.endswith(suffix):
                parent[steps[-1]] = value.removesuffix(suffix)
                if value == suffix:
                    del parent[steps[-1]]
        case "add", dict() if "value" in record:
            _remove_value(parent, steps[-1], record["value"])
        case "add", list():
            _remove_first(parent, lambda item: _is_named(item, steps[-1]))


def _unset(parent: Json, field: str, record: Mapping[str, Any]) -> None:
    if "value" in record and parent.get(field) != record["value"]:
        return
    if "previous" in record:
        parent[field] = record["previous"]
    else:
        parent.pop(field, None)


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
    for alias in aliases:
        if isinstance(alias, dict) and alias.get("ip") == value.get("ip"):
            added = set(value.get("hostnames") or ())
            hostnames = alias.get("hostnames") or ()
            alias["hostnames"] = [name for name in hostnames if name not in added]
    aliases[:] = [
        alias for alias in aliases if not isinstance(alias, dict) or alias.get("hostnames")
    ]


def _remove_first(items: list[Any], matches: Callable[[Any], bool], *, last: bool = False) -> None:
    """Remove the first item that matches, or the last one."""
    order = range(len(items) - 1, -1, -1) if last else range(len(items))
    for index in order:
        if matches(items[index]):
            del items[index]
            return


def _walk(pod: Json, steps: list[str]) -> Any:
    current: Any = pod
    for step in steps:
        if isinstance(current, dict):
            current = current.get(step)
        elif isinstance(current, list):
            current = next((item for item in current if _is_named(item, step)), None)
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
    return bool(item.get("name") == name)


def _drop_empty(result: Json, before: Mapping[str, Any]) -> None:
    """Remove the lists and maps that became empty: injections created them."""
    for part in ("metadata", "spec"):
        members: Json = result.get(part) or {}
        for key in list(members):
            previous = (before.get(part) or {}).get(key)
            if members[key] in ({}, []) and previous not in ({}, []):
                del members[key]


def _unescaped(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")
