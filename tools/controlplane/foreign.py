"""A cluster that somebody else runs. It is reached by its kubeconfig and is left as it was."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import os
import pathlib
import shutil
import socket
import tempfile
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

from tools import environments
from tools.controlplane import access, binaries, client, errors, guard, processes

CONNECT_SECONDS: Final = 15
DELETE_SECONDS: Final = 180
_SOCKET: Final = "api"
_HELM_FOLDERS: Final = ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")


class ForeignError(errors.ControlPlaneError):
    """The cluster of a kubeconfig cannot be used as it is."""

    def __init__(self, problem: str, *, remedy: str) -> None:
        super().__init__(f"this cluster cannot be used: {problem}; {remedy}")


class Foreign(access.Access):
    """A context manager. Namespaces that it created are deleted when it is left.

    The client goes through `kubectl proxy`, which knows every way to log in, on a Unix socket in a
    folder that only this user can read. Raises ForeignError when the server does not answer.
    """

    def __init__(self, kubeconfig: pathlib.Path) -> None:
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sidecar-injector-foreign-"))
        self._namespaces: list[str] = []
        super().__init__(
            kubeconfig=kubeconfig.absolute(),
            kubectl=binaries.command("kubectl"),
            helm=binaries.command("helm"),
            client=_Client(socket=self.folder / _SOCKET),
        )
        self.guard = guard.Guard()
        self.guard.discard(self.folder)
        self.proxy = processes.Process(
            name="kubectl proxy",
            command=(str(self._kubectl), "proxy", f"--unix-socket={self.folder / _SOCKET}",
                     "--reject-paths=^$"),
            log=self.folder / "proxy.log",
            guard=self.guard,
            environment=self._environment(),
        )  # fmt: skip

    def __enter__(self) -> Self:
        try:
            self._require_server()
            self.proxy.start()
            self.wait("kubectl proxy is up", self._is_up)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Delete what was created, and end the proxy whatever became of that."""
        try:
            for name in self._namespaces:
                self.delete_namespace(name, wait=False)
            for name in tuple(self._namespaces):
                self.delete_namespace(name)
        finally:
            self.proxy.kill()
            self.guard.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def configuration(self) -> dict[str, Any]:
        """Context, cluster and user of the kubeconfig, with all files in it; no server is asked."""
        self._require_file()
        options = ("--minify", "--flatten", "--raw", "--output=json")
        answer = self.kubectl("config", "view", *options, check=False)
        if answer.returncode != 0:
            reason = environments.last_line(answer.stderr)
            raise ForeignError(
                f"kubectl cannot read {self.kubeconfig}: {reason}",
                remedy=f"try it yourself: kubectl --kubeconfig={self.kubeconfig} config view",
            )
        return dict(json.loads(answer.stdout))

    def context(self) -> str:
        """The one that the kubeconfig chooses."""
        return str(self.configuration()["current-context"])

    def server(self) -> str:
        """The address of its API server."""
        (entry,) = self.configuration()["clusters"]
        return str(entry["cluster"]["server"])

    def write_kubeconfig(self, path: pathlib.Path, *, token: str) -> None:
        """For the user of a token."""
        configuration = self.configuration()
        configuration["users"][0]["user"] = {"token": token}
        path.touch(mode=0o600)
        path.write_text(json.dumps(configuration), "utf-8")

    def create_namespace(self, name: str, *, labels: Mapping[str, str] | None = None) -> None:
        """It is deleted at the end."""
        self.adopt_namespace(name)
        super().create_namespace(name, labels=labels)

    def adopt_namespace(self, name: str) -> None:
        """A namespace that a manifest of ours creates; it is deleted at the end."""
        self._namespaces.append(name)

    def delete_namespace(self, name: str, *, wait: bool = True) -> None:
        """Return when it is gone, unless another call waits for that."""
        self.kubectl(
            *("delete", "namespace", name, "--ignore-not-found", f"--wait={wait}".lower()),
            *((f"--timeout={DELETE_SECONDS}s",) if wait else ()),
            seconds=DELETE_SECONDS + CONNECT_SECONDS,
        )
        if wait and name in self._namespaces:
            self._namespaces.remove(name)

    def _require_file(self) -> None:
        if not self.kubeconfig.is_file():
            raise ForeignError(
                f"the kubeconfig {self.kubeconfig} is not a file",
                remedy="give the path of an existing file: KUBECONFIG=~/.kube/config",
            )

    def _require_server(self) -> None:
        self._require_file()
        answer = self.kubectl("version", f"--request-timeout={CONNECT_SECONDS}s", check=False)
        if answer.returncode != 0:
            reason = environments.last_line(answer.stderr)
            raise ForeignError(
                f"kubectl gets no answer with {self.kubeconfig}: {reason}",
                remedy=f"try it yourself: kubectl --kubeconfig={self.kubeconfig} version",
            )

    def _is_up(self) -> bool:
        self.proxy.require_running()
        return self.client.text("GET", "/version")[0] == http.client.OK

    def _environment(self) -> dict[str, str]:
        """The user's own, which plugins that log in may need, without settings of Helm."""
        own = {name: text for name, text in os.environ.items() if not name.startswith("HELM_")}
        folders = {name: str(self.folder / name.lower()) for name in _HELM_FOLDERS}
        return {**own, **folders, "KUBECONFIG": str(self.kubeconfig)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Client(client.Client):
    """Whoever may open the socket is the user."""

    socket: pathlib.Path
    server: str = "http://localhost"
    certificate_authority: pathlib.Path = pathlib.Path(os.devnull)
    token: str = ""

    def connect(self) -> http.client.HTTPConnection:
        return _Connection(self.socket)

    def _identity(self) -> dict[str, str]:
        return {}


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: pathlib.Path) -> None:
        super().__init__("localhost", timeout=client.TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        with contextlib.ExitStack() as stack:
            connection = stack.enter_context(socket.socket(socket.AF_UNIX))
            connection.settimeout(self.timeout)
            connection.connect(str(self._path))
            stack.pop_all()
            self.sock = connection
