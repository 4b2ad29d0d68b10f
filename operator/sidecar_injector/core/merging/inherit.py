"""What injected containers take from the pod's own: volume mounts and single variables.

Only what the pod's author wrote is taken, not what an injection added to those containers. Two
kinds of mounts are not taken. A mount that may hold credentials is one of them: who may read it is
for the pod's author to say. The other kind is a mount that does not work in another container. The
mount of the service account's token is never taken: the API server adds it to every container.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sidecar_injector import names
from sidecar_injector.core import patch
from sidecar_injector.core.merging import container_additions, defaults
from sidecar_injector.core.merging.claims import Claims
from sidecar_injector.core.merging.status_annotation import RecordsByPath
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.pods import globs, lenient, references
from sidecar_injector.core.reasons import Conflict, Reason

Json = dict[str, Any]
CREDENTIAL_DIRECTORIES: Final = frozenset({"secrets", "spire", "spiffe-workload-api"})
"""Directories for credentials, wherever they are in a path: `/run/secrets`, `/vault/secrets`."""
CREDENTIAL_DRIVERS: Final = ("cert", "secret", "spiffe", "vault")
"""Parts of the names of CSI drivers: `secrets-store.csi.k8s.io`, `csi.spiffe.io`.
https://kubernetes-csi.github.io/docs/drivers.html"""
_CREDENTIAL_SOURCES: Final = ("secret", "serviceAccountToken", "clusterTrustBundle",
                              "podCertificate")  # fmt: skip
MOST_REFERENCES: Final = 16
"""Variables that come with one mount or one variable, so that the work has a limit."""
_PRIVATE_SOURCES: Final = ("secretKeyRef", "fileKeyRef")


class Inheritance:
    """What the containers of an injection take from one pod."""

    def __init__(self, spec: Mapping[str, Any], *, pod: Mapping[str, Any], claims: Claims) -> None:
        self._containers = {
            container["name"]: container
            for container in reversed(pod_fields.items(pod, "containers"))
            if container["name"] not in claims.containers
        }
        self._recorded = claims.records
        self._variables: dict[str, _Variables] = {}
        """Those of the containers whose variables were needed already."""
        self.left_out: dict[str, None] = {}
        """The paths of mounts that injected containers do not get, because they would break."""
        self.credentials: dict[str, None] = {}
        """The paths of the author's mounts that may hold credentials and are not taken."""
        mounts = spec.get("volumeMounts")
        volumes = pod_fields.items(pod, "volumes") if mounts is not None else ()
        self._credential_volumes = {each["name"] for each in volumes if holds_credentials(each)}
        self._mounts = self._inherited_mounts(mounts) if mounts is not None else {}
        self._env = self._inherited_variables(spec.get("env") or ())

    def into(self, container: Json, field: str) -> Json:
        """The container with what it takes; what it has already stays as it is.

        `field` is the list of the pod's spec that the container is for.
        """
        own_mounts, own_env = container.get("volumeMounts") or (), container.get("env") or ()
        devices = container.get("volumeDevices") or ()
        taken_paths = {container_additions.clean_path(mount["mountPath"]) for mount in own_mounts}
        taken_paths.update(
            container_additions.clean_path(device.get("devicePath")) for device in devices
        )
        device_names = {device.get("name") for device in devices}
        is_privileged = lenient.child(container, "securityContext").get("privileged") is True
        env = {variable["name"]: variable for variable in own_env}
        added = [variable for name, variable in self._env.items() if name not in env]
        env.update((variable["name"], variable) for variable in added)
        mounts = []
        for path, (mount, variables) in self._mounts.items():
            if path in taken_paths:
                continue
            is_refused = mount.get("name") in device_names or (
                mount.get("mountPropagation") == "Bidirectional" and not is_privileged
            )
            if is_refused or variables is None or not _agree(env, variables):
                steps = ("spec", field, container["name"], "volumeMounts", mount["mountPath"])
                self.left_out[patch.pointer(steps)] = None
                continue
            mounts.append(mount)
            added += [variable for variable in variables if variable["name"] not in env]
            env.update((variable["name"], variable) for variable in variables)
        result = dict(container)
        if mounts:
            result["volumeMounts"] = [*own_mounts, *mounts]
        if added:
            result["env"] = [*own_env, *added]
        return result

    def _inherited_mounts(
        self, spec: Mapping[str, Any]
    ) -> dict[str, tuple[Json, Sequence[Json] | None]]:
        """One mount per path, in the order of the containers, each with the variables that it needs
        or None if they cannot be taken."""
        sources = spec.get("fromContainers")
        exclude, credentials = (
            _MountGlobs(spec.get(field) or ()) for field in ("exclude", "credentials")
        )
        mounts: dict[str, tuple[Json, Sequence[Json] | None]] = {}
        for name, container in reversed(self._containers.items()):
            if sources is not None and not globs.matches(name, sources):
                continue
            for mount in container.get("volumeMounts") or ():
                path = container_additions.clean_path(mount.get("mountPath"))
                steps = ("spec", "containers", name, "volumeMounts", mount.get("mountPath") or "")
                pointer = patch.pointer(steps)
                is_left_out = (
                    path == names.TOKEN_PATH
                    or path in mounts
                    or pointer in self._recorded
                    or exclude.match(path, mount)
                )
                if is_left_out:
                    continue
                if self._is_credential(path, mount) and not credentials.match(path, mount):
                    self.credentials[pointer] = None
                    continue
                text = lenient.text(mount, "subPathExpr")
                mounts[path] = mount, self._variables_of(name).of_path(text) if text else ()
        return mounts

    def _is_credential(self, path: str, mount: Json) -> bool:
        if mount.get("name") in self._credential_volumes:
            return True
        return not CREDENTIAL_DIRECTORIES.isdisjoint(path.replace("\\", "/").split("/"))

    def _inherited_variables(self, wanted: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
        """The wanted variables, each behind those that its value refers to."""
        inherited: dict[str, Json] = {}
        for name, source in ((item["name"], item["fromContainer"]) for item in wanted):
            if source not in self._containers:
                raise Conflict(Reason.MISSING_VALUE, f"there is no container {source!r}")
            variables = self._variables_of(source)
            if name not in variables:
                message = f"container {source!r} has no variable {name}"
                raise Conflict(Reason.MISSING_VALUE, message)
            taken = variables.with_references([name])
            if taken is None or not _agree(inherited, taken):
                message = f"container {source!r}: what {name} refers to cannot be taken with it"
                raise Conflict(Reason.MISSING_VALUE, message)
            inherited.update((variable["name"], variable) for variable in taken)
        return inherited

    def _variables_of(self, container: str) -> _Variables:
        if container not in self._variables:
            env = self._containers[container].get("env") or ()
            self._variables[container] = _Variables(container, env, self._recorded)
        return self._variables[container]


class _Variables:
    """The variables of one container of the pod's author."""

    def __init__(self, container: str, env: Sequence[Json], recorded: RecordsByPath) -> None:
        self._container = container
        self._by_name: dict[str, tuple[int, Json]] = {}
        for position, variable in enumerate(env):
            path = patch.pointer(("spec", "containers", container, "env", variable["name"]))
            # An injection added what is recorded.
            if path not in recorded:
                own = container_additions.without_appended(variable, path, recorded)
                self._by_name[variable["name"]] = position, own
        self._references: dict[str, list[str]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def with_references(self, names: Iterable[str]) -> list[Json] | None:
        """The variables, and those that they refer to, in their order; None if they are too many.

        A name that the container does not set is left out.
        """
        waiting, taken = list(names), dict[str, tuple[int, Json]]()
        while waiting:
            name = waiting.pop()
            if name in taken or name not in self._by_name:
                continue
            if len(taken) == MOST_REFERENCES:
                return None
            taken[name] = self._by_name[name]
            waiting += self._references_of(name)
        in_order = sorted(taken.values(), key=lambda pair: pair[0])
        return [self._for_other_container(variable) for _, variable in in_order]

    def of_path(self, expression: str) -> list[Json] | None:
        """The variables that `subPathExpr` needs; None if they cannot be taken."""
        names = references.names(expression)
        variables = self.with_references(names)
        is_complete = len(expression) <= references.LONGEST and names <= self._by_name.keys()
        if variables is None or not is_complete or any(map(_is_private, variables)):
            return None
        return variables

    def _references_of(self, name: str) -> list[str]:
        """The variables that a value refers to, and no more of them than may be taken."""
        if (present := self._references.get(name)) is None:
            mentioned = references.names(lenient.text(self._by_name[name][1], "value"))
            present = sorted(mentioned & self._by_name.keys())[: MOST_REFERENCES + 1]
            self._references[name] = present
        return present

    def _for_other_container(self, variable: Json) -> Json:
        """Without a container's name, an amount would be that of the container that takes it."""
        source = lenient.child(variable, "valueFrom")
        reference = source.get("resourceFieldRef")
        if not isinstance(reference, dict) or reference.get("containerName"):
            return variable
        named = {"resourceFieldRef": {**reference, "containerName": self._container}}
        return {**variable, "valueFrom": {**source, **named}}


class _MountGlobs:
    """A glob that begins with a slash means the path of a mount, any other its volume's name."""

    def __init__(self, mount_globs: Iterable[str]) -> None:
        self._paths: list[str] = []
        self._names: list[str] = []
        for glob in mount_globs:
            (self._paths if glob.startswith("/") else self._names).append(glob)

    def match(self, path: str, mount: Json) -> bool:
        """Whether one of the globs means this mount."""
        name = mount.get("name") or ""
        return globs.matches(path, self._paths) or globs.matches(name, self._names)


def holds_credentials(volume: Json) -> bool:
    """Whether a volume may hold a key, a certificate, a token or a password."""
    if volume.get("secret") is not None:
        return True
    driver = lenient.text(volume.get("csi"), "driver")
    return any(part in driver for part in CREDENTIAL_DRIVERS) or any(
        source.get(kind) is not None
        for source in lenient.objects(volume.get("projected"), "sources")
        for kind in _CREDENTIAL_SOURCES
    )


def _is_private(variable: Json) -> bool:
    source = lenient.child(variable, "valueFrom")
    return any(source.get(kind) is not None for kind in _PRIVATE_SOURCES)


def _agree(env: Mapping[str, Json], variables: Iterable[Json]) -> bool:
    """Whether no variable is in `env` with another value."""
    field = defaults.CONTAINER.member("env")
    return all(
        variable["name"] not in env or defaults.same(env[variable["name"]], variable, field)
        for variable in variables
    )
