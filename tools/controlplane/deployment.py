"""What a kubelet runs for an installed Deployment, as a process outside a pod. Pure."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Mapping
from typing import Any, Final

from tools.controlplane import errors, ports

_KEYED_FIELD: Final = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
_LEAST_PATH: Final = "/usr/local/bin:/usr/bin:/bin"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """One replica's command and environment, complete: nothing is inherited."""

    command: tuple[str, ...]
    environment: dict[str, str]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """A Deployment of one container, as the API server returned it."""

    manifest: dict[str, Any]

    @property
    def name(self) -> str:
        """NAMESPACE/NAME, for messages."""
        return f"{self.namespace}/{self.manifest['metadata']['name']}"

    @property
    def namespace(self) -> str:
        """Where it was installed."""
        return str(self.manifest["metadata"]["namespace"])

    @property
    def replicas(self) -> int:
        """How many it wants."""
        return int(self.manifest["spec"]["replicas"])

    @property
    def service_account(self) -> str:
        """Whose token its pods get."""
        return str(self._pod["serviceAccountName"])

    def launch(
        self, *, pod_name: str, programs: pathlib.Path, overrides: Mapping[str, str]
    ) -> Launch:
        """The process in the place of the pod `pod_name`.

        The command is in the folder `programs`, in the place of the image. Only
        `overrides` change the environment. Raises DeploymentError for what only a pod has.
        """
        container = self._container()
        words = [str(word) for word in (*container["command"], *container.get("args", ()))]
        variables = {
            entry["name"]: self._value(entry, pod_name=pod_name)
            for entry in container.get("env", ())
        }
        for text in (*words, *variables.values()):
            if "$(" in text:
                raise self._refuse("command, args or env", text, "text without $(VARIABLE)")
        return Launch(
            command=(str(programs / words[0]), *words[1:]),
            environment={"PATH": _LEAST_PATH, **variables, **overrides},
        )

    @property
    def _template(self) -> dict[str, Any]:
        return dict(self.manifest["spec"]["template"])

    @property
    def _pod(self) -> dict[str, Any]:
        return dict(self._template["spec"])

    def _container(self) -> dict[str, Any]:
        containers = self._pod["containers"]
        if len(containers) != 1:
            names = [container["name"] for container in containers]
            raise self._refuse("spec.template.spec.containers", names, "one container")
        container = dict(containers[0])
        if not container.get("command"):
            raise self._refuse(
                "command", container.get("command"), "a command (there is no image to take it from)"
            )
        if container.get("envFrom"):
            raise self._refuse("envFrom", container["envFrom"], "env only")
        return container

    def _value(self, entry: Mapping[str, Any], *, pod_name: str) -> str:
        source = entry.get("valueFrom")
        if source is None:
            return str(entry.get("value", ""))
        field = f"env {entry['name']}"
        if "fieldRef" not in source:
            raise self._refuse(field, source, "a value or a fieldRef")
        path = str(source["fieldRef"]["fieldPath"])
        keyed = _KEYED_FIELD.fullmatch(path)
        if keyed:
            return str(self._template["metadata"].get(keyed[1], {}).get(keyed[2], ""))
        fields = {
            "metadata.name": pod_name,
            "metadata.namespace": self.namespace,
            "spec.serviceAccountName": self.service_account,
            "status.podIP": ports.LOOPBACK,
            "status.hostIP": ports.LOOPBACK,
        }
        if path not in fields:
            raise self._refuse(field, path, f"one of {', '.join(fields)}, a label, an annotation")
        return fields[path]

    def _refuse(self, field: str, value: object, accepted: str) -> errors.DeploymentError:
        return errors.DeploymentError(
            deployment=self.name, field=field, value=value, accepted=accepted
        )
