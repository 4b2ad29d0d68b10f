"""What creates a new pod in place of a deleted one."""

from __future__ import annotations

import dataclasses

from sidecar_injector.core.pods import kinds


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Owner:
    """What creates a new pod in place of a deleted one; a pod without controller owns itself."""

    namespace: str
    kind: str
    name: str
    group: str = ""
    """The API group of a custom kind; empty for a kind of Kubernetes."""

    def __str__(self) -> str:
        kind = f"{self.kind}.{self.group}" if self.kind in kinds.BUILT_IN else self.kind
        return f"{self.namespace}/{kind.rstrip('.')}/{self.name}"

    def as_json(self) -> dict[str, str]:
        """For programs; its shape is stable."""
        return {
            "namespace": self.namespace, "kind": self.kind, "group": self.group, "name": self.name,
        }  # fmt: skip

    @property
    def entry(self) -> kinds.Kind | None:
        """What is known of its kind."""
        return kinds.of_owner(self.group, self.kind)

    @property
    def rolls(self) -> bool:
        """Whether `restart` may make its controller replace pods."""
        return self.entry is not None and self.entry.rolls
