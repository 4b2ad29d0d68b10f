"""How much work the injections of one pod may be, counted before it is done.

Time would depend on the machine, so parts are counted: what an injection consists of, the
containers that it changes, what it adds to each of them, and for each injection what is in the pod
by then. One of these takes some microseconds.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Final

from sidecar_injector.core import patch
from sidecar_injector.core.injections import model
from sidecar_injector.core.limits import namespace_limits
from sidecar_injector.core.merging import inherit
from sidecar_injector.core.merging.status_annotation import Provenance
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.pods import globs, lenient

MOST: Final = 7_500
"""Of one pod, up to 80 ms. 512 variables in each of 10 containers are 7,000."""
SHORT: Final = 2_500
"""Of one pod for which others wait: up to 20 ms."""
INJECTION = 10
"""For each injection, whatever it is."""
CHANGED = 10
"""For each container that receives something: all of it is looked at again."""
PRESENT, GROWN = 8, 32
"""So many parts of the pod, or so many that injections add, cost each injection as much as one
part of its own."""
_ADDED_BEFORE = 3
"""Times as much work is accepted of an injection that an earlier call has added: its own parts are
in the pod by now, and what was done must not be refused."""
_MOUNT, _QUANTITY = 2, model.QUANTITY_PARTS
LISTS = ("env", "envFrom", "volumeDevices", "ports", "resizePolicy",
          "restartPolicyRules")  # fmt: skip
_AMOUNTS = ("limits", "requests", "claims")
OF_POD = ("volumes", "tolerations", "hostAliases", "imagePullSecrets", "topologySpreadConstraints",
           "resourceClaims")  # fmt: skip
_APPLIED = ("env", "envFrom", "volumeMounts", "appendEnv")


class LongWorkError(Exception):
    """The decision takes too long for those who wait; nothing is done yet."""

    def __init__(self, work: int) -> None:
        super().__init__(work)
        self.work = work
        """In parts."""


def weight(injection: model.Injection) -> tuple[int, int]:
    """At least what an injection without `inherit` takes of a budget, besides what is in the pod:
    for itself, and for each container that the pod has. Up to 32 injections may be tried."""
    # What a container receives counts as the injection's own work, and as what it has added.
    return INJECTION + injection.parts + injection.parts // 2, 2 * _of_each(injection)


def _of_each(injection: model.Injection) -> int:
    """What each of the author's containers receives."""
    applied = injection.spec.get("applicationContainers")
    if not applied:
        return 0
    items = sum(len(applied.get(field) or ()) for field in _APPLIED)
    selection = applied.get("names") or {}
    of_globs = sum(globs.weight(selection.get(field) or ()) for field in ("include", "exclude"))
    return (items + CHANGED if items else 0) + of_globs // globs.UNIT


class Budget:
    """Counts the work of one decision.

    What earlier calls have added counts as little as possible: the second call of the webhook must
    not refuse what the first one has done.
    """

    def __init__(
        self,
        pod: Mapping[str, Any],
        recorded: Provenance,
        limits: namespace_limits.NamespaceLimits | None = None,
    ) -> None:
        self._pod, self._recorded = pod, recorded
        self._limits_of_container, self._limits_of_pod = limits.parts if limits else (0, 0)
        self._added_before = {entry.identity for entry in recorded.entries}
        self.work = self._injections = self._own = self._added = 0

    def admits(self, injection: model.Injection) -> bool:
        """Whether this injection can be tried too; if so, its work is counted."""
        additions = self._applied(injection) + self._inherited(injection)
        own = self._own + injection.parts + additions + INJECTION + self._limits_of_pod
        added = self._added + injection.parts // 2 + additions + self._limited(injection)
        count = self._injections + 1
        work = own + count * self._parts // PRESENT + count * added // GROWN
        most = MOST * (_ADDED_BEFORE if injection.identity in self._added_before else 1)
        if work > most:
            return False
        self.work, self._own, self._added, self._injections = work, own, added, count
        return True

    def count_twice(self) -> None:
        """Count the work for a decision that is made about the author's pod, too."""
        self.work *= 2

    @functools.cached_property
    def _parts(self) -> int:
        records = sum(1 + len(entry.patched) for entry in self._recorded.entries)
        parts = max(_parts(self._pod), records)
        return parts + self._limits_of_container * len(pod_fields.containers(self._pod))

    def _limited(self, injection: model.Injection) -> int:
        """What it takes to compare the containers that are added now with limits."""
        if not self._limits_of_container or injection.identity in self._added_before:
            return 0
        containers = pod_fields.containers({"spec": injection.template_spec})
        return self._limits_of_container * len(containers)

    @functools.cached_property
    def _own_containers(self) -> list[tuple[str, Mapping[str, Any]]]:
        """The containers of the pod's author, each with the list that it is in."""
        added = {
            name
            for entry in self._recorded.entries
            for field in pod_fields.CONTAINER_LISTS
            for name in entry.names(field)
        }
        return [
            (field, container)
            for field in pod_fields.CONTAINER_LISTS
            for container in pod_fields.items(self._pod, field)
            if container["name"] not in added
        ]

    @functools.cached_property
    def _own_mounts(self) -> int:
        """The mounts of the author's containers without those that injections added.

        One with a `subPathExpr` counts as often as there may be variables that come with it.
        """
        recorded = {record["path"] for entry in self._recorded.entries for record in entry.patched}
        count = 0
        for field, container in self._own_containers:
            for mount in container.get("volumeMounts") or ():
                steps = ("spec", field, container["name"], "volumeMounts", str(mount["mountPath"]))
                if patch.pointer(steps) not in recorded:
                    count += inherit.MOST_REFERENCES if mount.get("subPathExpr") else 1
        return count

    @functools.cached_property
    def _sources(self) -> int:
        """The sources of projected volumes, each of which may hold credentials."""
        volumes = pod_fields.items(self._pod, "volumes")
        return sum(len(lenient.items(volume.get("projected"), "sources")) for volume in volumes)

    def _applied(self, injection: model.Injection) -> int:
        """What the author's containers receive."""
        each = _of_each(injection)
        return len(self._own_containers) * each if each else 0

    def _inherited(self, injection: model.Injection) -> int:
        """What the template's containers take from the author's."""
        inherited = injection.spec.get("inherit")
        if not inherited:
            return 0
        spec = injection.template_spec
        containers = sum(len(spec.get(field) or ()) for field in pod_fields.CONTAINER_LISTS)
        mounts, weight, sources = 0, 0, 0
        if (selection := inherited.get("volumeMounts")) is not None:
            mounts, sources = self._own_mounts, self._sources
            weight = mounts * sum(
                globs.weight(selection.get(field) or ()) for field in ("exclude", "credentials")
            )
            weight += len(self._own_containers) * globs.weight(
                selection.get("fromContainers") or ()
            )
        variables = len(inherited.get("env") or ())
        work = containers * (mounts + variables) + weight // globs.UNIT
        return work + sources // PRESENT


def _parts(pod: Mapping[str, Any]) -> int:
    """What the lists of a pod consist of, those that have no limit."""
    count = sum(len(pod_fields.items(pod, field)) for field in OF_POD)
    for container in pod_fields.containers(pod):
        count += 2
        for field in LISTS:
            if items := container.get(field):
                count += len(items)
        count += _MOUNT * len(container.get("volumeMounts") or ())
        resources = container.get("resources") or {}
        # Only what `shapes` checks: another member may have any type.
        count += _QUANTITY * sum(len(resources.get(field) or ()) for field in _AMOUNTS)
    return count
