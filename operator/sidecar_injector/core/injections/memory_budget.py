"""How many injections a replica has in memory: the oldest that fit; the others are never applied.

Whoever may create objects in a namespace may create any number of them.

| limit | value | reason |
|---|---:|---|
| injections of one namespace | 100 | a pod of it is compared with them |
| memory of the injections of one namespace | 4 MiB | 16 namespaces cannot take the room of all |
| memory of the injections of all namespaces | 64 MiB | three thousand usual ones |
| memory of the injections of the cluster | 32 MiB | sixteen hundred usual ones |

With what a replica needs at rest and its cached responses, all of it is below the chart's memory
limit. An older injection is never given up for a newer one, so nobody can take away what works.
"""

from __future__ import annotations

import bisect
import collections
import dataclasses
import json
from typing import Any, Final

MIB: Final = 1 << 20
INJECTION_BYTES: Final = 16384
"""Of an injection in memory, compiled and with what its pods have in common."""
VALUE_BYTES: Final = 128
"""Of a value of its spec in memory, beside its text."""

Key = tuple[str, str]
"""Namespace (empty for the cluster kind) and name."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of the injections of one kind."""

    number: int | None
    """In one namespace."""
    namespace_bytes: int
    all_bytes: int
    where: str
    """For people, of the limit for all."""


NAMESPACED: Final = Limits(
    number=100, namespace_bytes=4 * MIB, all_bytes=64 * MIB, where="all namespaces together"
)
CLUSTER: Final = Limits(
    number=None, namespace_bytes=32 * MIB, all_bytes=32 * MIB, where="the cluster"
)


def weight(spec: Any) -> int:
    """About how many bytes an injection with this spec takes in memory, once pods have it."""
    text = json.dumps(spec, separators=(",", ":"), ensure_ascii=False)
    return INJECTION_BYTES + len(text) + VALUE_BYTES * (text.count(",") + text.count(":"))


@dataclasses.dataclass(slots=True)
class _Usage:
    number: int = 0
    weight: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class _Exceeded:
    cause: str
    in_namespace: bool = True
    """Whether it is a limit of one namespace."""

    @property
    def sentence(self) -> str:
        return f"is never applied: {self.cause}, and older ones come first"


class MemoryBudget:
    """The injections of one kind that fit."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._by_age: list[tuple[str, Key]] = []
        """By time of creation, which is RFC 3339 and so sorts as text; then by key."""
        self._entries: dict[Key, tuple[str, int]] = {}
        """Time of creation and weight."""
        self._usage: collections.defaultdict[str, _Usage] = collections.defaultdict(_Usage)
        """By namespace."""
        self._weight = 0

    def put(self, key: Key, *, created: str, spec_weight: int) -> dict[Key, str]:
        """Add an injection, or change its weight.

        Returns which ones do not fit any more, and why. It may be among them.
        """
        self.remove(key)
        self._entries[key] = created, spec_weight
        bisect.insort(self._by_age, (created, key))
        self._add(key, 1, spec_weight)
        dropped: dict[Key, str] = {}
        while exceeded := self._exceeded(key[0]):
            newest = next(
                other
                for _, other in reversed(self._by_age)
                if not exceeded.in_namespace or other[0] == key[0]
            )
            dropped[newest] = exceeded.sentence
            self.remove(newest)
        return dropped

    def remove(self, key: Key) -> bool:
        """Forget an injection; says whether it was among those that fit."""
        if key not in self._entries:
            return False
        created, spec_weight = self._entries.pop(key)
        del self._by_age[bisect.bisect_left(self._by_age, (created, key))]
        self._add(key, -1, -spec_weight)
        return True

    def _exceeded(self, namespace: str) -> _Exceeded | None:
        limits, usage = self._limits, self._usage[namespace]
        if limits.number is not None and usage.number > limits.number:
            return _Exceeded(f"the namespace has more than {limits.number} injections")
        if usage.weight > limits.namespace_bytes and limits.namespace_bytes < limits.all_bytes:
            size = limits.namespace_bytes // MIB
            return _Exceeded(f"the injections of the namespace take more than {size} MiB of memory")
        if self._weight > limits.all_bytes:
            size = limits.all_bytes // MIB
            cause = f"the injections of {limits.where} take more than {size} MiB of memory"
            return _Exceeded(cause, in_namespace=False)
        return None

    def _add(self, key: Key, number: int, spec_weight: int) -> None:
        usage = self._usage[key[0]]
        usage.number += number
        usage.weight += spec_weight
        self._weight += spec_weight
        if not usage.number:
            del self._usage[key[0]]
