"""kubectl, helm and a small client for one cluster, no matter who runs it."""

from __future__ import annotations

import os
import pathlib
import subprocess
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from tools.controlplane import client, errors, waiting

Result = TypeVar("Result")
COMMAND_SECONDS: Final = 120


class Access:
    """All of it acts as the user of the kubeconfig."""

    def __init__(
        self,
        *,
        kubeconfig: pathlib.Path,
        kubectl: pathlib.Path,
        helm: pathlib.Path,
        client: client.Client,
    ) -> None:
        self.kubeconfig, self.client = kubeconfig, client
        self._kubectl, self._helm = kubectl, helm

    def wait(self, what: str, probe: Callable[[], Result], *, seconds: float = 30) -> Result:
        """See `waiting.until`."""
        return waiting.until(probe, what=what, seconds=seconds)

    def kubectl(
        self,
        *arguments: str,
        stdin: str | None = None,
        check: bool = True,
        seconds: float = COMMAND_SECONDS,
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl. Raises CommandError for an exit status, if `check`."""
        return self._run(self._kubectl, arguments, stdin=stdin, check=check, seconds=seconds)

    def helm(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """The same for helm, without the user's own repositories and plugins."""
        return self._run(self._helm, arguments, stdin=None, check=check, seconds=COMMAND_SECONDS)

    def reading(self, *arguments: str) -> subprocess.Popen[str]:
        """A kubectl that prints while it runs; the caller leaves it as a context manager."""
        return subprocess.Popen(
            [self._kubectl, *arguments],
            env=self._environment(),
            stdout=subprocess.PIPE,
            text=True,
        )

    def create_namespace(self, name: str, *, labels: Mapping[str, str] | None = None) -> None:
        """Return when pods can be created, which is when its default ServiceAccount exists."""
        metadata = {"name": name, "labels": dict(labels or {})}
        self.client.request("POST", "/api/v1/namespaces", {"metadata": metadata})
        self.wait_for_service_account(name)

    def wait_for_service_account(self, namespace: str) -> None:
        """Until then the ServiceAccount admission plugin refuses every pod."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
        self.wait(f"ServiceAccount default in {namespace}", lambda: self.client.get(path))

    def wait_for_definitions(self, *which: str) -> None:
        """Until then their kinds are unknown; `which` are arguments of `kubectl wait`.

        kubectl gives up on a definition that has no conditions yet.
        """
        command = ("wait", "--for=condition=Established", *which)
        self.wait("the definitions are established", lambda: self.kubectl(*command))

    def execute(self, pod: str, *command: str, namespace: str, container: str = "") -> str:
        """What a command prints in a container. Raises CommandError for an exit status."""
        where = ("--namespace", namespace, *(("--container", container) if container else ()))
        return self.kubectl("exec", pod, *where, "--", *command).stdout

    def _run(
        self,
        program: pathlib.Path,
        arguments: tuple[str, ...],
        *,
        stdin: str | None,
        check: bool,
        seconds: float,
    ) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            [program, *arguments],
            input=stdin,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if check and result.returncode != 0:
            raise errors.CommandError(
                command=(program.name, *arguments), status=result.returncode, stderr=result.stderr
            )
        return result

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
