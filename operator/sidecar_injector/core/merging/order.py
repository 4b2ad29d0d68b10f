"""Where containers go: those placed First before the pod's own, those placed Last behind them.

Both are in the order in which injections are tried, and in the order of their template. So the
order is the same in every pod, and whichever call of the webhook added which of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from sidecar_injector.core.injections import model
from sidecar_injector.core.merging.status_annotation import Entry
from sidecar_injector.core.pods import fields as pod_fields

FIRST: Final = "First"
_DEFAULTS: Mapping[str, str] = {"initContainers": FIRST, "containers": "Last"}

Json = dict[str, Any]


def is_first(placement: Mapping[str, str], field: str) -> bool:
    """Whether what is added to a list comes before what the pod has there."""
    return placement.get(field, _DEFAULTS[field]) == FIRST


class Order:
    """The injected containers of a pod that decide where the next ones go.

    `recorded` are the entries of an earlier call, `candidates` the injections that are tried in
    this one.
    """

    def __init__(self, recorded: Sequence[Entry], candidates: Iterable[model.Injection]) -> None:
        self._earlier_first = _names()
        self._later_last = _names()
        self._own: Entry | None = None
        entries = {entry.identity: entry for entry in recorded}
        for injection in candidates if entries else ():
            if entry := entries.get(injection.identity):
                _update(self._later_last, injection, entry, first=False)

    def begin(self, injection: model.Injection, entry: Entry | None) -> None:
        """It is the turn of this injection; `entry` is what an earlier call added."""
        self._own = entry
        if entry:
            for field, names in self._later_last.items():
                names.difference_update(entry.names(field))

    def end(self, injection: model.Injection, entry: Entry | None) -> None:
        """The turn of this injection is over; `entry` is what the pod has of it."""
        if entry:
            _update(self._earlier_first, injection, entry, first=True)

    def places(
        self,
        present: Sequence[Json],
        missing: Sequence[Json],
        *,
        wanted: Sequence[Json],
        field: str,
        first: bool,
    ) -> Iterator[tuple[int, Json]]:
        """The missing ones of the wanted containers, each with the index at which to insert it,
        one after another."""
        neighbours = (self._earlier_first if first else self._later_last)[field]
        own_names = set(self._own.names(field)) if self._own else set()
        if not neighbours and not own_names:
            # Nearly always: no other injection is on this side of the list.
            yield from enumerate(missing, 0 if first else len(present))
            return
        indices = {container["name"]: index for index, container in enumerate(present)}
        beside = (index for name, index in indices.items() if name in neighbours)
        own = [indices[name] for name in own_names if name in indices]
        if first:
            position = 1 + max(beside, default=-1)
        else:
            position = min(itertools.chain(beside, own), default=len(present))
        inserted = 0
        for container in wanted:
            index = indices.get(container["name"])
            if index is None:
                yield position, container
                position, inserted = position + 1, inserted + 1
            elif container["name"] in own_names:
                position = max(position, index + inserted + 1)


def _names() -> dict[str, set[str]]:
    return {field: set() for field in pod_fields.CONTAINER_LISTS}


def _update(
    names: Mapping[str, set[str]], injection: model.Injection, entry: Entry, *, first: bool
) -> None:
    placement = injection.spec.get("placement") or {}
    for field in entry.added.keys() & names.keys():
        if is_first(placement, field) is first:
            names[field].update(entry.names(field))
