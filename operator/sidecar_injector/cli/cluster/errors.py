"""What went wrong with a cluster, in one sentence, and what helps."""

from __future__ import annotations

import dataclasses
import re
import urllib.parse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import click

from sidecar_injector import names
from sidecar_injector.kube import api

if TYPE_CHECKING:
    import ssl

CLI_ROLE: Final = f"{names.PRODUCT}-cli"
"""The ClusterRole of the chart with all that verbs read."""
LIST_CONTEXTS: Final = "kubectl config get-contexts"
CONTEXTS: Final = f"use --context ({LIST_CONTEXTS})"
_EXPIRED, _NOT_YET_VALID = 10, 9
_OTHER_NAME: Final = frozenset({62, 64})
"""OpenSSL's X509_V_ERR codes; all others say that the CA is not trusted."""
_DENIED: Final = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\S+) resource "(?P<resource>[^"]*)"'
    r'(?: in API group "(?P<group>[^"]*)")?(?: in the namespace "(?P<namespace>[^"]*)")?'
)
"""https://github.com/kubernetes/apiserver/blob/master/pkg/endpoints/handlers/responsewriters/errors.go"""
_OBJECT: Final = re.compile(
    r"/apis?/(?:[^/]+/)?v[^/]+(?:/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[^/]+)/(?P<name>[^/]+)"
)
_NAMESPACE: Final = re.compile(r"/api/v1/namespaces/(?P<name>[^/]+)")


@dataclasses.dataclass(frozen=True, slots=True)
class Explained:
    """A sentence about an error, without its full stop, and a remedy; that may be empty."""

    sentence: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.sentence}. {self.remedy}" if self.remedy else self.sentence


class ClusterError(click.ClickException):
    """The cluster did not answer, or refused: one line; exit status 2."""

    exit_code = 2

    def __init__(self, explained: Explained) -> None:
        super().__init__(str(explained))
        self.explained = explained


def explained(error: api.KubeError) -> Explained:
    """An error of a cluster as people can use it."""
    if isinstance(error, api.UnreachableError):
        return _unreachable(error)
    if isinstance(error, api.CredentialsError):
        if not error.source:
            return Explained(error.detail, "Give one, as to kubectl")
        return Explained(f"{error.source}: {error.detail}", f"To see contexts: {LIST_CONTEXTS}")
    if isinstance(error, api.ApiError):
        return _refused(error)
    return Explained(str(error))


def _unreachable(error: api.UnreachableError) -> Explained:
    # Every verb imports this module, and a failure is rare.
    import socket  # noqa: PLC0415
    import ssl  # noqa: PLC0415

    host, cause = f"the API server {error.host}", error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _untrusted(host, cause)
    if isinstance(cause, ssl.SSLError):
        reason = (cause.reason or str(cause)).lower().replace("_", " ")
        return Explained(
            f"{host} does not complete a TLS handshake ({reason})",
            "Check the scheme and the port of `server` in the kubeconfig",
        )
    if isinstance(cause, ConnectionRefusedError):
        return Explained(
            f"nothing listens at {error.host}",
            f"Start the cluster, or {CONTEXTS}",
        )
    if isinstance(cause, socket.gaierror):
        name = urllib.parse.urlsplit(error.host).hostname
        return Explained(
            f"the name {name} of the API server cannot be resolved",
            "Check the network, the VPN, and `server` in the kubeconfig",
        )
    if isinstance(cause, TimeoutError):
        return Explained(
            f"{host} does not answer ({error.detail})",
            "Check the network, the VPN and firewalls between here and there",
        )
    return Explained(f"{host} is unreachable: {error.detail}", f"Check the network, or {CONTEXTS}")


def _untrusted(host: str, error: ssl.SSLCertVerificationError) -> Explained:
    if error.verify_code == _EXPIRED:
        return Explained(
            f"the certificate of {host} has expired",
            "Renew it on the cluster, and check the clock of this machine: date -u",
        )
    if error.verify_code == _NOT_YET_VALID:
        return Explained(
            f"the certificate of {host} is not valid yet",
            "Check the clock of this machine: date -u",
        )
    if error.verify_code in _OTHER_NAME:
        return Explained(
            f"the certificate of {host} is for another name",
            "Use a name that the certificate has, or set `tls-server-name` in the kubeconfig",
        )
    return Explained(
        f"the certificate of {host} is signed by a CA that the kubeconfig does not trust",
        "Fetch the kubeconfig again: the cluster may have been created anew",
    )


def _refused(error: api.ApiError) -> Explained:
    if error.status == api.UNAUTHORIZED:
        return Explained(
            "the API server does not accept your credentials; they may have expired",
            f"Log in again, or {CONTEXTS}",
        )
    if error.status == api.FORBIDDEN:
        return denied(error)
    if error.status == api.NOT_FOUND:
        return _missing(error)
    if api.is_overload(error):
        return Explained(
            f"the API server cannot answer now ({error.status}): {error.message}", "Try again"
        )
    return Explained(error.message or f"{error.status} {error.reason}")


def denied(error: api.ApiError) -> Explained:
    """What the user may not do, and who can help; other refusals have the server's own words."""
    match = _DENIED.search(error.message)
    if not match:
        return Explained(error.message)
    place = match["namespace"]
    where = f" in namespace {place}" if place else ""
    # Kubernetes' own roles let a team look at its namespaces, one by one.
    narrower = "" if place else "Name one namespace with -n. "
    return Explained(
        f"you may not {match['verb']} {match['resource']}{where}",
        f"{narrower}An administrator can allow it: {binding(match['user'], namespace=place)}",
    )


def binding(user: str, *, namespace: str | None) -> str:
    """The command that lets a user read what verbs read, in a namespace or everywhere."""
    import shlex  # noqa: PLC0415 - as above

    kind = (
        f"rolebinding {CLI_ROLE} -n {namespace}" if namespace else f"clusterrolebinding {CLI_ROLE}"
    )
    *_, account_namespace, account = ("", "", *user.split(":"))
    is_account = user.startswith("system:serviceaccount:")
    subject = (
        f"--serviceaccount={account_namespace}:{account}"
        if is_account
        else f"--user={shlex.quote(user)}"
    )
    return f"kubectl create {kind} --clusterrole={CLI_ROLE} {subject}"


def no_namespace(name: str) -> Explained:
    """A namespace that does not exist."""
    return Explained(f"there is no namespace {name}", "See: kubectl get namespaces")


def _missing(error: api.ApiError) -> Explained:
    path = urllib.parse.unquote(error.path)
    if match := _NAMESPACE.fullmatch(path):
        return no_namespace(match["name"])
    if (match := _OBJECT.fullmatch(path)) and "not found" in error.message:
        kind = _SINGULAR.get(match["plural"], match["plural"])
        place = match["namespace"]
        where, option = (f" in namespace {place}", f" -n {place}") if place else ("", "")
        return Explained(
            f"there is no {kind} {match['name']}{where}",
            f"See: kubectl get {match['plural']}{option}",
        )
    return Explained(f"the API server does not know {path}: {error.message}")


_SINGULAR: Mapping[str, str] = {
    resource.plural: resource.kind.lower() for resource in api.WORKLOADS.values()
}
