"""Puts the parts that a pod lacks into it, each in its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sidecar_injector import names
from sidecar_injector.core import patch
from sidecar_injector.core.merging import additions, order, render, status_annotation
from sidecar_injector.core.merging.claims import Claims
from sidecar_injector.core.merging.status_annotation import Record
from sidecar_injector.core.pods import fields as pod_fields


class Placing:
    """Where parts go in a pod; `claims` say which items injections added before."""

    def __init__(self, editor: patch.Editor, claims: Claims, container_order: order.Order) -> None:
        self.editor = editor
        self._claims = claims
        self._order = container_order

    def place(
        self, parts: render.Parts, placement: Mapping[str, str], *, wanted: render.Parts
    ) -> list[Record]:
        """Put the parts into the pod; the records of those that are not whole items.

        `wanted` are the parts with those that the pod has already.
        """
        records = self._apply(parts.additions) if parts.additions else []
        records += self._allow_eviction(parts)
        for field, missing, of_field in (
            ("containers", parts.containers, wanted.containers),
            ("initContainers", parts.init_containers, wanted.init_containers),
        ):
            if missing:
                self._insert(field, missing, placement, wanted=of_field)
        for volume in parts.volumes:
            self.editor.append(("spec", "volumes"), volume)
        return records

    def _apply(self, parts: Iterable[additions.Addition]) -> list[Record]:
        records: list[Record] = []
        item_keys = set(self._claims.item_keys)
        for addition in parts:
            added = addition.apply(self.editor, item_keys)
            # The next items go behind these: the template's order stays.
            item_keys.update(status_annotation.item_keys(added))
            records += added
        return records

    def companions(self, parts: render.Parts, placement: Mapping[str, str]) -> dict[str, str]:
        """Annotations that people expect with what was added, unless the pod has them."""
        annotations: dict[str, str] = {}
        if order.is_first(placement, "containers") and parts.containers:
            # kubectl logs and exec would otherwise choose the sidecar.
            injected_names = self._claims.names["containers"].union(parts.names["containers"])
            containers = pod_fields.items(self.editor.document, "containers")
            own_names = (container["name"] for container in containers)
            own_name = next((name for name in own_names if name not in injected_names), None)
            if own_name:
                annotations |= self.lacking(names.DEFAULT_CONTAINER_ANNOTATION, own_name)
        if parts.local_volumes:
            annotations |= self.lacking(
                names.SAFE_TO_EVICT_ANNOTATION, ",".join(parts.local_volumes)
            )
        return annotations

    def lacking(self, key: str, value: str) -> dict[str, str]:
        """The annotation, unless the pod has it."""
        present = pod_fields.metadata_map(self.editor.document, "annotations")
        return {} if key in present else {key: value}

    def _allow_eviction(self, parts: render.Parts) -> list[Record]:
        """Add volumes to the list of those that do not keep the autoscaler from removing a node.

        https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md
        """
        if not parts.local_volumes:
            return []
        key = names.SAFE_TO_EVICT_ANNOTATION
        current = pod_fields.metadata_map(self.editor.document, "annotations").get(key)
        listed = (current or "").split(",")
        suffix = "".join(f",{name}" for name in parts.local_volumes if name not in listed)
        if not current or not suffix:
            return []
        path = ("metadata", "annotations", key)
        self.editor.set(path, current + suffix)
        return [{"op": "append", "path": patch.pointer(path), "suffix": suffix}]

    def _insert(
        self,
        field: str,
        missing: Sequence[dict[str, Any]],
        placement: Mapping[str, str],
        *,
        wanted: Sequence[dict[str, Any]],
    ) -> None:
        present = pod_fields.items(self.editor.document, field)
        first = order.is_first(placement, field)
        places = self._order.places(present, missing, wanted=wanted, field=field, first=first)
        for index, item in [*places]:
            self.editor.insert(("spec", field), index, item)
