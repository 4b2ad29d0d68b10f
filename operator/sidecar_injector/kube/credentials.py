"""Where the API server is and who we are: a kubeconfig, or the pod's own ServiceAccount."""

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
"""The logger that hears what the loader does not raise."""
NOWHERE: Final = (
    "no kubeconfig is given (--kubeconfig or KUBECONFIG) and this is no pod of a cluster"
)

UNUSABLE: Final = (
    config.ConfigException,
    yaml.YAMLError,
    OSError,
    ValueError,
    # What the loader stumbles into when a kubeconfig is empty or has the wrong shape.
    AttributeError,
    KeyError,
    TypeError,
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CredentialsSource:
    """Where to read credentials from; reading is left to `load`, as often as needed."""

    kubeconfig: str | None = None
    context: str | None = None
    temporary_folder: str | None = None
    """Where certificates that a kubeconfig embeds are written: TLS takes files only."""

    @property
    def label(self) -> str:
        """For error messages."""
        return f"kubeconfig {self.kubeconfig}" if self.kubeconfig else IN_CLUSTER

    async def load(self) -> configuration.Configuration:
        """Read the credentials as they are now; CredentialsError says what is wrong with them.

        A ServiceAccount's token is read again from its file every minute, as kubelet rotates it.
        """
        loaded = configuration.Configuration()
        try:
            if self.kubeconfig:
                await self._read(self.kubeconfig, loaded)
            else:
                config.load_incluster_config(  # type: ignore[no-untyped-call]  # as above
                    client_configuration=loaded
                )
        except UNUSABLE as error:
            raise api.CredentialsError(source=self.label, detail=_detail(error)) from error
        if _is_loopback(loaded.host):
            # Go's clients never use a proxy for loopback, Python's do.
            loaded.client_session_kwargs = {"trust_env": False}
        return loaded

    def namespace(self) -> str | None:
        """The namespace of the context, if it names one; CredentialsError as for `load`."""
        if not self.kubeconfig:
            return None
        try:
            files = _files(self.kubeconfig)
            wanted = self.context or _current(files)
            contexts = [one for _, content in files for one in content.get("contexts") or ()]
            named = [one["context"] for one in contexts if one["name"] == wanted]
            return (named[0].get("namespace") or None) if named else None
        except UNUSABLE as error:
            raise api.CredentialsError(source=self.label, detail=_detail(error)) from error

    async def _read(self, kubeconfig: str, loaded: configuration.Configuration) -> None:
        files = _files(kubeconfig)
        if not files:
            # The loader only logs that, and fails later over its own None.
            raise api.CredentialsError(source=self.label, detail=self._nothing(kubeconfig))
        with _complaints() as complaints:
            await config.load_kube_config(  # type: ignore[no-untyped-call]  # no annotations
                config_file=os.pathsep.join(path for path, _ in files),
                # Of several files the loader would take the last one's, kubectl takes the first's.
                context=self.context or _current(files),
                client_configuration=loaded,
                persist_config=False,
                temp_file_path=self.temporary_folder,
            )
        # A credential plugin that fails is only logged, and everything after it asked as nobody.
        if complaints and not (loaded.api_key or loaded.cert_file):
            raise api.CredentialsError(source=self.label, detail=complaints[0])

    def _nothing(self, kubeconfig: str) -> str:
        paths = [pathlib.Path(path).expanduser() for path in kubeconfig.split(os.pathsep)]
        return "it is empty" if any(map(pathlib.Path.is_file, paths)) else "there is no such file"


def find(
    environment: Mapping[str, str],
    *,
    kubeconfig: str | None = None,
    context: str | None = None,
    temporary_folder: str | None = None,
) -> CredentialsSource:
    """An explicit path, else `KUBECONFIG`, else the cluster that we run in.

    Raises CredentialsError if there is none of these.
    """
    path = kubeconfig or environment.get("KUBECONFIG") or None
    if path is None and "KUBERNETES_SERVICE_HOST" not in environment:
        raise api.CredentialsError(source="the environment", detail=NOWHERE)
    return CredentialsSource(kubeconfig=path, context=context, temporary_folder=temporary_folder)


def _files(kubeconfig: str) -> list[tuple[str, dict[str, Any]]]:
    """Path and content of each file that exists and is not empty: the others do not count."""
    found = []
    for path in kubeconfig.split(os.pathsep):
        file = pathlib.Path(path).expanduser()
        if path and file.is_file():
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
            if content is not None:
                found.append((str(file), content))
    return found


def _current(files: list[tuple[str, dict[str, Any]]]) -> str | None:
    """The current context: the first file that names one decides.

    https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
    """
    named = (content.get("current-context") for _, content in files)
    return next((str(name) for name in named if name), None)


class _Listener(logging.Handler):
    """Keeps the texts of errors that a library logs instead of raising them."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(" ".join(record.getMessage().split()))


@contextlib.contextmanager
def _complaints() -> Iterator[list[str]]:
    """What the loader logs as errors within the block, which nobody else hears."""
    listener, logger = _Listener(), logging.getLogger(LOADER)
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(listener)
    try:
        yield listener.texts
    finally:
        logger.removeHandler(listener)
        logger.propagate = propagate


def _detail(error: Exception) -> str:
    """One line about why credentials cannot be read."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        place = f"line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}"
        return f"it is no YAML: {place}: {error.problem}"
    if isinstance(error, AttributeError | KeyError | TypeError):
        return "it has not the shape of a kubeconfig"
    return " ".join(str(error).split()) or type(error).__name__


def _is_loopback(host: str) -> bool:
    name = urllib.parse.urlsplit(host).hostname or ""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
