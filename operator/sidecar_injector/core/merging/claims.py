"""What injections claim to have added to a pod, by name and by path."""

from __future__ import annotations

from collections.abc import Iterable

from sidecar_injector.core.merging import status_annotation
from sidecar_injector.core.merging.status_annotation import (
    Entry,
    ItemKey,
    Record,
    RecordsByPath,
)
from sidecar_injector.core.pods import fields as pod_fields


class Claims:
    """Entries of the status annotation, read once for all injections of a merge."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries: dict[tuple[str, str], Entry] = {}
        self._item_keys: set[ItemKey] = set()
        self._records_without_key: list[Record] = []
        self.names: dict[str, set[str]] = {field: set() for field in status_annotation.NAMED_LISTS}
        """What was added to the lists of the pod's spec, by list."""
        self.containers: dict[str, list[Entry]] = {}
        """Who claims a container, of whichever list, by its name."""
        self.volumes: dict[str, list[Entry]] = {}
        """Who claims a volume, by its name."""
        self.records: dict[str, list[tuple[Entry, Record]]] = {}
        """The records by path, each with its entry."""
        for entry in entries:
            self._claim(entry)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The entries in their order."""
        return tuple(self._entries.values())

    @property
    def item_keys(self) -> set[ItemKey]:
        """The keys of the list items that were added; computed when they are needed first."""
        self._item_keys.update(status_annotation.item_keys(self._records_without_key))
        self._records_without_key.clear()
        return self._item_keys

    def entry(self, identity: tuple[str, str]) -> Entry | None:
        """What this injection added; None without an entry."""
        return self._entries.get(identity)

    def records_of_others(self, own: Entry | None) -> RecordsByPath:
        """The records without those of one entry."""
        if own is None or not own.patched:
            return self.records
        others: dict[str, list[tuple[Entry, Record]]] = dict(self.records)
        for path in {record["path"] for record in own.patched}:
            others[path] = [pair for pair in others[path] if pair[0] is not own]
            if not others[path]:
                del others[path]
        return others

    def with_entry(self, new: Entry) -> Claims:
        """The claims with this entry, in the place of the injection's older one if there is one.

        The older claims are not to be used after that.
        """
        if new.identity in self._entries:
            return Claims((self._entries | {new.identity: new}).values())
        self._claim(new)
        return self

    def _claim(self, entry: Entry) -> None:
        self._entries[entry.identity] = entry
        for field, names in self.names.items():
            owners = self.containers if field in pod_fields.CONTAINER_LISTS else self.volumes
            # A forged entry may repeat a name.
            for name in dict.fromkeys(entry.names(field)):
                names.add(name)
                owners.setdefault(name, []).append(entry)
        for record in entry.patched:
            self.records.setdefault(record["path"], []).append((entry, record))
        self._records_without_key += entry.patched
