"""What injections claim to have added to a pod, by name and by path."""

from __future__ import annotations

from collections.abc import Iterable

from sidecar_injector.core.merging import status_annotation
from sidecar_injector.core.merging.status_annotation import Entry, ItemKey, Record
from sidecar_injector.core.pods import fields as pod_fields


class Claims:
    """Entries of the status annotation, read once for all injections of a merge.

    Where two entries claim the same container or volume, the first one counts.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries: dict[tuple[str, str], Entry] = {}
        self._item_keys: set[ItemKey] = set()
        self._records_without_key: list[Record] = []
        self.names: dict[str, set[str]] = {field: set() for field in status_annotation.NAMED_LISTS}
        """What was added to the lists of the pod's spec, by list."""
        self.containers: dict[str, Entry] = {}
        """Which injection added a container, to whichever list."""
        self.volumes: dict[str, Entry] = {}
        """Which injection added a volume."""
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
        """The keys of the list items that were added; computed when the first merge needs them."""
        self._item_keys.update(status_annotation.item_keys(self._records_without_key))
        self._records_without_key.clear()
        return self._item_keys

    def entry(self, identity: tuple[str, str]) -> Entry | None:
        """What this injection added; None without an entry."""
        return self._entries.get(identity)

    def without(self, identity: tuple[str, str]) -> Claims:
        """The claims of all other injections."""
        if identity not in self._entries:
            return self
        return Claims(entry for entry in self.entries if entry.identity != identity)

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
            for name in entry.names(field):
                names.add(name)
                owners.setdefault(name, entry)
        for record in entry.patched:
            self.records.setdefault(record["path"], []).append((entry, record))
        self._records_without_key += entry.patched
