"""The API server's address and our identity: from a kubeconfig or the pod's ServiceAccount."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import logging
import os
import pathlib
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml
from kubernetes.aio import config
from kubernetes.aio.client import configuration

from sidecar_injector.kube import api

IN_CLUSTER: Final = "the pod's ServiceAccount"
LOADER: Final = "kubernetes.aio.config.kube_config"
"""The logger to which the loader writes errors that it does not raise."""
NOWHERE: Final = (
    "no kubeconfig is given (--kubeconfig or KUBECONFIG) and this is no pod of a cluster"
)

UNUSABLE: Final = (
    config.ConfigException,
    yaml.YAMLError,
    OSError,
    ValueError,
    # The loader raises these when a kubeconfig is empty or has the wrong structure.
    AttributeError,
    KeyError,
    TypeError,
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CredentialsSource:
    """Where credentials come from; `load` reads them, as often as needed."""

    kubeconfig: str | None = None
    context: str | None = None
    temporary_folder: str | None = None
    """A folder for certificates that are embedded in a kubeconfig: TLS reads files only."""

    @property
    def label(self) -> str:
        """For error messages."""
        return f"kubeconfig {self.kubeconfig}" if self.kubeconfig else IN_CLUSTER

    async def load(self) -> configuration.Configuration:
        """Read the present credentials; CredentialsError if they cannot be used.

        A ServiceAccount's token is read again from its file every minute, as kubelet rotates it.
        """
        settings = configuration.Configuration()
        try:
            if self.kubeconfig:
                await self._read(self.kubeconfig, settings)
            else:
                config.load_incluster_config(  # type: ignore[no-untyped-call]  # no annotations
                    client_configuration=settings
                )
        except UNUSABLE as error:
            raise api.CredentialsError(source=self.label, detail=_detail(error)) from error
        if _is_loopback(settings.host):
            # Go's clients never use a proxy for a loopback address, Python's do.
            settings.client_session_kwargs = {"trust_env": False}
        return settings

    async def _read(self, kubeconfig: str, settings: configuration.Configuration) -> None:
        files = _files(kubeconfig)
        if not files:
            # The loader only logs that, and raises a misleading error later.
            raise api.CredentialsError(source=self.label, detail=self._missing(kubeconfig))
        with _logged_errors() as errors:
            await config.load_kube_config(  # type: ignore[no-untyped-call]  # no annotations
                config_file=os.pathsep.join(path for path, _ in files),
                # The loader takes the context of the last file, kubectl that of the first.
                context=self.context or _current(files),
                client_configuration=settings,
                persist_config=False,
                temp_file_path=self.temporary_folder,
            )
        # The loader only logs that a credential plugin failed; all requests would be anonymous.
        if errors and not (settings.api_key or settings.cert_file):
            raise api.CredentialsError(source=self.label, detail=errors[0])

    def _missing(self, kubeconfig: str) -> str:
        paths = [pathlib.Path(path).expanduser() for path in kubeconfig.split(os.pathsep)]
        return "it is empty" if any(map(pathlib.Path.is_file, paths)) else "there is no such file"


def find(
    environment: Mapping[str, str],
    *,
    kubeconfig: str | None = None,
    context: str | None = None,
    temporary_folder: str | None = None,
) -> CredentialsSource:
    """The kubeconfig of an explicit path, else of `KUBECONFIG`, else the pod's ServiceAccount.

    Raises CredentialsError if there is none of them.
    """
    path = kubeconfig or environment.get("KUBECONFIG") or None
    if path is None and "KUBERNETES_SERVICE_HOST" not in environment:
        raise api.CredentialsError(source="the environment", detail=NOWHERE)
    return CredentialsSource(kubeconfig=path, context=context, temporary_folder=temporary_folder)


def _files(kubeconfig: str) -> list[tuple[str, dict[str, Any]]]:
    """Path and content of each file that exists and is not empty; others are ignored."""
    files = []
    for path in kubeconfig.split(os.pathsep):
        file = pathlib.Path(path).expanduser()
        if path and file.is_file():
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
            if content is not None:
                files.append((str(file), content))
    return files


def _current(files: list[tuple[str, dict[str, Any]]]) -> str | None:
    """The current context, from the first file that has one.

    https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
    """
    contexts = (content.get("current-context") for _, content in files)
    return next((str(name) for name in contexts if name), None)


class _ErrorHandler(logging.Handler):
    """Keeps the texts of errors that a library logs and does not raise."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(" ".join(record.getMessage().split()))


@contextlib.contextmanager
def _logged_errors() -> Iterator[list[str]]:
    """The errors that the loader logs within the block; they reach no other handler."""
    handler, logger = _ErrorHandler(), logging.getLogger(LOADER)
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield handler.texts
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


def _detail(error: Exception) -> str:
    """Why credentials cannot be read, in one line."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        place = f"line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}"
        return f"it is not valid YAML: {place}: {error.problem}"
    if isinstance(error, AttributeError | KeyError | TypeError):
        return "it has not the shape of a kubeconfig"
    return " ".join(str(error).split()) or type(error).__name__


def _is_loopback(host: str) -> bool:
    name = urllib.parse.urlsplit(host).hostname or ""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
