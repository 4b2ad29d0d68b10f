"""Where the API server is and who we are: a kubeconfig, or the pod's own ServiceAccount."""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import pathlib
import urllib.parse
from collections.abc import Mapping
from typing import Final

import yaml
from kubernetes.aio import config
from kubernetes.aio.client import configuration

from sidecar_injector.kube import api

IN_CLUSTER: Final = "the pod's ServiceAccount"
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
class Source:
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
                self._check_there(self.kubeconfig)
                await config.load_kube_config(  # type: ignore[no-untyped-call]  # no annotations
                    config_file=self.kubeconfig,
                    context=self.context,
                    client_configuration=loaded,
                    persist_config=False,
                    temp_file_path=self.temporary_folder,
                )
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

    def _check_there(self, kubeconfig: str) -> None:
        # The loader only logs that, and fails later over its own None.
        paths = [pathlib.Path(path).expanduser() for path in kubeconfig.split(os.pathsep)]
        if not any(path.is_file() for path in paths):
            raise api.CredentialsError(source=self.label, detail="there is no such file")


def find(
    environment: Mapping[str, str],
    *,
    kubeconfig: str | None = None,
    context: str | None = None,
    temporary_folder: str | None = None,
) -> Source:
    """An explicit path, else `KUBECONFIG`, else the cluster that we run in.

    Raises CredentialsError if there is none of these.
    """
    path = kubeconfig or environment.get("KUBECONFIG") or None
    if path is None and "KUBERNETES_SERVICE_HOST" not in environment:
        raise api.CredentialsError(source="the environment", detail=NOWHERE)
    return Source(kubeconfig=path, context=context, temporary_folder=temporary_folder)


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
