"""What injected containers take from the pod's own: volume mounts and single variables.

Only what the pod's author wrote is taken, not what an injection added to those containers. The
mount of the service account's token is never taken: the API server adds it to every container.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sidecar_injector.core import patch
from sidecar_injector.core.merging import container_additions
from sidecar_injector.core.merging.claims import Claims
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.pods import globs
from sidecar_injector.core.reasons import Conflict, Reason

Json = dict[str, Any]
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path, no secret
"""https://github.com/kubernetes/kubernetes/blob/master/plugin/pkg/admission/serviceaccount/admission.go"""


class Inheritance:
    """What the containers of an injection take from one pod."""

    def __init__(self, spec: Mapping[str, Any], *, pod: Mapping[str, Any], claims: Claims) -> None:
        self._containers = {
            container["name"]: container
            for container in reversed(pod_fields.items(pod, "containers"))
            if container["name"] not in claims.containers
        }
        self._recorded = claims.records
        mounts = spec.get("volumeMounts")
        self._mounts = self._inherited_mounts(mounts) if mounts is not None else {}
        self._env = self._inherited_variables(spec.get("env") or ())

    def into(self, container: Json) -> Json:
        """The container with what it takes; what it has already stays as it is."""
        own_mounts = container.get("volumeMounts") or ()
        own_env = container.get("env") or ()
        own_paths = {container_additions.clean_path(mount["mountPath"]) for mount in own_mounts}
        own_names = {variable["name"] for variable in own_env}
        mounts = [mount for path, mount in self._mounts.items() if path not in own_paths]
        env = [variable for variable in self._env if variable["name"] not in own_names]
        result = dict(container)
        if mounts:
            result["volumeMounts"] = [*own_mounts, *mounts]
        if env:
            result["env"] = [*own_env, *env]
        return result

    def _inherited_mounts(self, spec: Mapping[str, Any]) -> dict[str, Json]:
        """One mount per path, in the order of the containers.

        In `exclude` a glob that begins with a slash means the path, any other the volume's name.
        """
        sources, exclude = spec.get("fromContainers"), spec.get("exclude") or ()
        path_globs = [glob for glob in exclude if glob.startswith("/")]
        name_globs = [glob for glob in exclude if not glob.startswith("/")]
        mounts: dict[str, Json] = {}
        for name, container in reversed(self._containers.items()):
            if sources is not None and not globs.matches(name, sources):
                continue
            for mount in container.get("volumeMounts") or ():
                path = container_additions.clean_path(mount.get("mountPath"))
                is_left_out = (
                    path == TOKEN_PATH
                    or self._is_recorded(name, "volumeMounts", mount.get("mountPath") or "")
                    or globs.matches(path, path_globs)
                    or globs.matches(mount.get("name") or "", name_globs)
                )
                if not is_left_out:
                    mounts.setdefault(path, mount)
        return mounts

    def _inherited_variables(self, wanted: Sequence[Mapping[str, Any]]) -> list[Json]:
        by_container: dict[str, dict[str, Json]] = {}
        variables: list[Json] = []
        for name, source in ((item["name"], item["fromContainer"]) for item in wanted):
            container = self._containers.get(source)
            if container is None:
                raise Conflict(Reason.MISSING_VALUE, f"there is no container {source!r}")
            if source not in by_container:
                env = reversed(container.get("env") or ())
                by_container[source] = {variable["name"]: variable for variable in env}
            variable = by_container[source].get(name)
            if variable is None or self._is_recorded(source, "env", name):
                message = f"container {source!r} has no variable {name}"
                raise Conflict(Reason.MISSING_VALUE, message)
            path = patch.pointer(("spec", "containers", source, "env", name))
            variables.append(container_additions.without_appended(variable, path, self._recorded))
        return variables

    def _is_recorded(self, container: str, list_name: str, key: str) -> bool:
        """Whether an injection added this item to the container."""
        return patch.pointer(("spec", "containers", container, list_name, key)) in self._recorded
