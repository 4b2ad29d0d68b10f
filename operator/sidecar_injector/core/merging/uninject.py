"""Taking out what the status annotation says was added: the merge, backwards.

For a pod that carried none of our annotations, `uninject` of the injected pod is the pod itself,
where absent, null and empty are one.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from sidecar_injector import names
from sidecar_injector.core.merging import containerparts, status_annotation
from sidecar_injector.core.merging.status_annotation import MAPS, NAMED_LISTS, Entry
from sidecar_injector.core.pods import fields as pod_fields

Json = dict[str, Any]


def uninject(pod: Mapping[str, Any]) -> Json:
    """The pod without what we added; the given one is not changed.

    What is no longer as we left it stays. A pod without our annotation comes out equal.
    """
    result: Json = copy.deepcopy(dict(pod))
    said = status_annotation.read(pod_fields.metadata_map(result, "annotations"))
    for entry in reversed(said.entries):
        _remove_items(result, entry)
        for record in reversed(entry.patched):
            _undo(result, record)
        for field in MAPS:
            _remove_members(pod_fields.metadata_map(result, field), entry.members(field))
    annotations = pod_fields.metadata_map(result, "annotations")
    if said != status_annotation.NOTHING:
        annotations.pop(names.STATUS_ANNOTATION, None)
    _drop_empty(result, pod)
    return result


def _remove_items(pod: Json, entry: Entry) -> None:
    for field in NAMED_LISTS:
        ours = set(entry.names(field))
        items = pod_fields.items(pod, field)
        items[:] = [item for item in items if item.get("name") not in ours]


def _remove_members(present: dict[str, str], ours: Mapping[str, str]) -> None:
    for key, value in ours.items():
        if present.get(key) == value:
            del present[key]


def _undo(pod: Json, record: Mapping[str, Any]) -> None:
    """Undo one record if what it is about is still there and still ours."""
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
        _remove_first(items, lambda item: item == value, last=True)


def _remove_hostnames(aliases: list[Any], value: Mapping[str, Any]) -> None:
    for alias in aliases:
        if isinstance(alias, dict) and alias.get("ip") == value.get("ip"):
            gone = set(value.get("hostnames") or ())
            alias["hostnames"] = [one for one in alias.get("hostnames") or () if one not in gone]
    aliases[:] = [one for one in aliases if not isinstance(one, dict) or one.get("hostnames")]


def _remove_first(items: list[Any], is_it: Any, *, last: bool = False) -> None:
    order = range(len(items) - 1, -1, -1) if last else range(len(items))
    for index in order:
        if is_it(items[index]):
            del items[index]
            return


def _walk(pod: Json, steps: list[str]) -> Any:
    here: Any = pod
    for step in steps:
        if isinstance(here, dict):
            here = here.get(step)
        elif isinstance(here, list):
            here = next((item for item in here if _is_named(item, step)), None)
    return here


def _is_named(item: Any, name: str) -> bool:
    if not isinstance(item, dict):
        return False
    if "mountPath" in item:
        return containerparts.clean(item["mountPath"]) == containerparts.clean(name)
    if "containerPort" in item:
        return str(item["containerPort"]) == name
    return bool(item.get("name") == name)


def _drop_empty(result: Json, before: Mapping[str, Any]) -> None:
    """Lists and maps that are empty now and were made by us: absent in a pod without us."""
    for part in ("metadata", "spec"):
        members: Json = result.get(part) or {}
        for key in list(members):
            was = (before.get(part) or {}).get(key)
            if members[key] in ({}, []) and was not in ({}, []):
                del members[key]


def _unescaped(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")
