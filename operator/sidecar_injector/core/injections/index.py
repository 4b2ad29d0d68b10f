"""Injections by a label that a pod must carry, so that few of them are tried on a pod.

The index is exact: an injection that is not a candidate fails one of the first two rules of
matching, the selector for namespaces or the selector for pods, and the index says which.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sidecar_injector.core.injections import model
from sidecar_injector.core.reasons import Reason

Labels = Mapping[str, Any]


class Index:
    """The injections of one namespace, sorted by `Injection.order`."""

    def __init__(self, injections: Sequence[model.Injection], *, namespace_labels: Labels) -> None:
        self._injections = injections
        self._in_namespace: set[int] = set()
        """The positions of the injections whose namespaceSelector matches."""
        self._always: list[int] = []
        self._by_label: dict[str, dict[str, list[int]]] = {}
        for position, injection in enumerate(injections):
            if injection.namespace_selector(namespace_labels):
                self._add(position, injection)

    def _add(self, position: int, injection: model.Injection) -> None:
        self._in_namespace.add(position)
        if injection.required_label is None:
            self._always.append(position)
        else:
            key, value = injection.required_label
            self._by_label.setdefault(key, {}).setdefault(value, []).append(position)

    def candidates(self, labels: Labels) -> Candidates:
        """The injections that may select a pod with these labels, and why the others do not."""
        candidates = list(self._always)
        for key, positions in self._by_label.items():
            value = labels.get(key)
            if isinstance(value, str):
                candidates += positions.get(value, ())
        candidates.sort()
        return Candidates(self._injections, candidates, self._in_namespace)


class Candidates:
    """Some injections of a namespace, by their positions in ascending order."""

    __slots__ = ("_in_namespace", "_injections", "_positions")

    def __init__(
        self, injections: Sequence[model.Injection], positions: list[int], in_namespace: set[int]
    ) -> None:
        self._injections = injections
        self._positions = positions
        self._in_namespace = in_namespace

    def __iter__(self) -> Iterator[model.Injection]:
        return (self._injections[position] for position in self._positions)

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why the other injections do not apply, each reason once."""
        elsewhere = len(self._in_namespace) < len(self._injections)
        unselected = len(self._positions) < len(self._in_namespace)
        return (
            *((Reason.NAMESPACE_SELECTOR_MISMATCH,) if elsewhere else ()),
            *((Reason.SELECTOR_MISMATCH,) if unselected else ()),
        )

    def not_candidates(self) -> Iterator[tuple[model.Injection, Reason]]:
        """The other injections, each with its reason."""
        candidates = set(self._positions)
        for position, injection in enumerate(self._injections):
            if position not in self._in_namespace:
                yield injection, Reason.NAMESPACE_SELECTOR_MISMATCH
            elif position not in candidates:
                yield injection, Reason.SELECTOR_MISMATCH
