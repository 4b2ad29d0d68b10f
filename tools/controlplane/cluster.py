"""One control plane: etcd, kube-apiserver and kube-controller-manager, up in seconds.

Without kube-controller-manager, namespaces still get their ServiceAccount; nothing is controlled.

Any number run side by side on ports of their own. None of their processes outlives the one that
started them (see `guard`), and their data is removed with them; logs stay after a failure.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tools.controlplane import (
    access,
    binaries,
    client,
    components,
    guard,
    ports,
    processes,
)

START_SECONDS: Final = 60
"""An idle machine takes 5; a CI machine that compiles something beside it has been seen at 20."""
_USERS_OWN: Final = ("HELM_", "KUBE", "XDG_")


class ControlPlane(access.Access):
    """A context manager; everything is up when it has been entered.

    `etcd`, `apiserver` and `controller_manager` are processes that a test may kill, freeze and
    start again; `client` and `kubectl` act as a member of system:masters.
    """

    def __init__(
        self,
        programs: binaries.Binaries,
        *,
        folder: pathlib.Path | None = None,
        apiserver_flags: Sequence[str] = (),
    ) -> None:
        """`folder` gets logs and kubeconfig; it is created if necessary and not removed.

        `apiserver_flags` are more words for the API server's command line.
        """
        self._own_folder = folder is None
        self.folder = folder or pathlib.Path(tempfile.mkdtemp(prefix="sidecar-injector-run-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.keep_logs = False
        """For a failure that this context manager does not see."""
        self._layout = components.Layout(
            folder=self.folder.absolute(),
            data=pathlib.Path(tempfile.mkdtemp(prefix="sidecar-injector-etcd-")),
            etcd_port=ports.free(),
            peer_port=ports.free(),
            api_port=ports.free(),
        )
        administrator = client.Client(
            server=self._layout.server,
            certificate_authority=self._layout.certificate_authority,
            token=secrets.token_urlsafe(),
        )
        super().__init__(
            kubeconfig=self._layout.kubeconfig,
            kubectl=programs.kubectl,
            helm=programs.helm,
            client=administrator,
        )
        self.programs = programs
        self.guard = guard.Guard()
        self.guard.discard(self._layout.data)
        self.etcd = self._component("etcd", components.etcd)
        self.apiserver = self._component("kube-apiserver", components.apiserver, *apiserver_flags)
        self.controller_manager = self._component(
            "kube-controller-manager", components.controller_manager
        )

    def __enter__(self) -> Self:
        try:
            self._write_files()
            self._start()
        except BaseException:
            # Ctrl-C while it starts, too: __exit__ is only called for what has been entered.
            self.keep_logs = True
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.keep_logs = self.keep_logs or kind is not None
        self.close()

    def close(self) -> None:
        """End everything at once. Logs are removed unless they are needed or `folder` was given."""
        for component in (self.controller_manager, self.apiserver, self.etcd):
            component.kill()
        self.guard.close()
        if self.keep_logs:
            print(f"the control plane's logs are kept in {self.folder}", file=sys.stderr)
        elif self._own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def wait_ready(self, *, seconds: float = START_SECONDS) -> None:
        """Return when the API server is ready; raises ProcessDiedError if it or etcd has ended."""

        def ready() -> bool:
            self.etcd.require_running()
            self.apiserver.require_running()
            return self.client.text("GET", "/readyz")[0] == 200

        self.wait("the API server is ready", ready, seconds=seconds)

    def user(self, token: str) -> client.Client:
        """The same API server as another user."""
        return dataclasses.replace(self.client, token=token)

    def write_kubeconfig(self, path: pathlib.Path, *, token: str) -> None:
        """For the user of a token."""
        self.user(token).write_kubeconfig(path)

    def wait_for_service_account(self, namespace: str) -> None:
        """Create it where no controller does, and return when pods can be created."""
        if self.programs.controller_manager is None:
            path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
            self.client.request("POST", path, {"metadata": {"name": "default"}})
        super().wait_for_service_account(namespace)

    def _component(
        self,
        name: str,
        command: Callable[[binaries.Binaries, components.Layout], tuple[str, ...]],
        *flags: str,
    ) -> processes.Process:
        return processes.Process(
            name=name,
            command=(*command(self.programs, self._layout), *flags),
            log=self.folder / f"{name}.log",
            guard=self.guard,
        )

    def _write_files(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        private = key.private_bytes(
            serialization.Encoding.PEM,
            # Not PKCS #8, which Kubernetes reads for RSA only:
            # https://github.com/kubernetes/client-go/blob/master/util/keyutil/key.go
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        for path, content in (
            (self._layout.service_account_key, private),
            (self._layout.tokens, f'{self.client.token},admin,admin,"system:masters"\n'.encode()),
        ):
            path.touch(mode=0o600)
            path.write_bytes(content)
        self.client.write_kubeconfig(self.kubeconfig)

    def _start(self) -> None:
        self.etcd.start()
        self.apiserver.start()
        self.wait_ready()
        if self.programs.controller_manager is not None:
            self.controller_manager.start()
        self.wait_for_service_account("default")

    def _environment(self) -> dict[str, str]:
        """Caches and settings of kubectl and helm are in the run's folder."""
        own = {key: text for key, text in os.environ.items() if not key.startswith(_USERS_OWN)}
        return {**own, "KUBECONFIG": str(self.kubeconfig), "HOME": str(self.folder / "home")}
