"""What injected containers take from the pod's own: volume mounts and single variables.

Only what the pod's author wrote is taken: nothing that an injection added to those containers, and
never the mount of the service account's token, which the API server adds to every container itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sidecar_injector.core import patch
from sidecar_injector.core.merging import containerparts
from sidecar_injector.core.merging.conflict import Conflict
from sidecar_injector.core.merging.status_annotation import Entry
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.reasons import Reason

Json = dict[str, Any]
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path, no secret
"""https://github.com/kubernetes/kubernetes/blob/master/plugin/pkg/admission/serviceaccount/admission.go"""


class Inheritance:
    """What there is to take from one pod."""

    def __init__(
        self,
        spec: Mapping[str, Any],
        *,
        pod: Mapping[str, Any],
        ours: frozenset[str],
        entries: Sequence[Entry],
    ) -> None:
        own = [one for one in pod_fields.items(pod, "containers") if one["name"] not in ours]
        self._recorded = {one.get("path") for entry in entries for one in entry.patched}
        mounts = spec.get("volumeMounts")
        self._mounts = self._own_mounts(mounts, own) if mounts is not None else []
        self._env = [self._variable(one, own) for one in spec.get("env") or ()]

    def into(self, container: Json) -> Json:
        """The container with what it takes; what it has already stays as it is."""
        paths = {
            containerparts.clean(one["mountPath"]) for one in container.get("volumeMounts") or ()
        }
        names = {one["name"] for one in container.get("env") or ()}
        mounts = [
            one for one in self._mounts if containerparts.clean(one["mountPath"]) not in paths
        ]
        env = [one for one in self._env if one["name"] not in names]
        result = dict(container)
        if mounts:
            result["volumeMounts"] = [*(container.get("volumeMounts") or ()), *mounts]
        if env:
            result["env"] = [*(container.get("env") or ()), *env]
        return result

    def _own_mounts(self, spec: Mapping[str, Any], own: Iterable[Json]) -> list[Json]:
        """One mount per path, in the order of the containers."""
        sources = spec.get("fromContainers")
        found: dict[str, Json] = {}
        for container in own:
            if not containerparts.matches(container["name"], ["*"] if sources is None else sources):
                continue
            for mount in container.get("volumeMounts") or ():
                path = containerparts.clean(mount.get("mountPath"))
                if not self._is_left_out(mount, path, container["name"], spec):
                    found.setdefault(path, mount)
        return list(found.values())

    def _is_left_out(self, mount: Json, path: str, container: str, spec: Mapping[str, Any]) -> bool:
        """A glob that begins with a slash means the path, any other the volume's name."""
        globs = spec.get("exclude") or ()
        by_path = [one for one in globs if one.startswith("/")]
        by_name = [one for one in globs if not one.startswith("/")]
        return (
            path == TOKEN_PATH
            or self._is_recorded(container, "volumeMounts", mount.get("mountPath") or "")
            or containerparts.matches(path, by_path)
            or containerparts.matches(mount.get("name") or "", by_name)
        )

    def _variable(self, wanted: Mapping[str, Any], own: Iterable[Json]) -> Json:
        name, source = wanted["name"], wanted["fromContainer"]
        container = next((one for one in own if one["name"] == source), None)
        if container is None:
            raise Conflict(Reason.MISSING_VALUE, f"there is no container {source!r}")
        for variable in container.get("env") or ():
            if variable.get("name") == name and not self._is_recorded(source, "env", name):
                found: Json = variable
                return found
        raise Conflict(Reason.MISSING_VALUE, f"container {source!r} has no variable {name}")

    def _is_recorded(self, container: str, what: str, key: str) -> bool:
        return patch.pointer(("spec", "containers", container, what, key)) in self._recorded
