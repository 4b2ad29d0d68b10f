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
"""The ClusterRole of the chart with what verbs read, in a release with the default name."""
_POLICIES: Final = (
    "mutatingadmissionpolicies mutatingadmissionpolicybindings"
    " validatingadmissionpolicies validatingadmissionpolicybindings"
)
CLI_RIGHTS: Final[Mapping[tuple[str, str], frozenset[str]]] = {
    (group, resource): frozenset(verbs.split())
    for group, resources, verbs in (
        (names.GROUP, f"{names.PLURAL} {names.CLUSTER_PLURAL}", "get list watch"),
        ("", "limitranges namespaces pods replicationcontrollers", "get list"),
        ("", "resourcequotas serviceaccounts services", "get list"),
        ("apps", "daemonsets deployments replicasets statefulsets", "get list"),
        ("autoscaling", "horizontalpodautoscalers", "get list"),
        ("batch", "cronjobs jobs", "get list"),
        ("events.k8s.io", "events", "get list"),
        ("apiextensions.k8s.io", "customresourcedefinitions", "get list"),
        ("admissionregistration.k8s.io",
         "mutatingwebhookconfigurations validatingwebhookconfigurations", "get list"),
        ("admissionregistration.k8s.io", _POLICIES, "get"),
        ("authorization.k8s.io", "subjectaccessreviews", "create"),
    )
    for resource in resources.split()
}  # fmt: skip
"""What that role contains, by API group and resource; a test compares it with the chart."""
FIND_ROLE: Final = f"kubectl get clusterroles -l {names.APP_NAME_LABEL}={names.PRODUCT}"
_CLUSTER_SCOPED: Final = frozenset({
    names.CLUSTER_PLURAL, "customresourcedefinitions", "mutatingwebhookconfigurations",
    "subjectaccessreviews", "validatingwebhookconfigurations", *_POLICIES.split(),
})  # fmt: skip
"""No namespace narrows these; of `namespaces`, -n reads a single one."""
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
_NOT_IN_NAMES: Final = re.compile(r"[^a-zA-Z0-9.:@_-]")
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


def explained(
    error: api.KubeError, *, role: str = "", can_name_namespace: bool = False
) -> Explained:
    """An error of a cluster as people can use it; the arguments are those of `denied`."""
    if isinstance(error, api.UnreachableError):
        return _unreachable(error)
    if isinstance(error, api.CredentialsError):
        if not error.source:
            return Explained(error.detail, "Give one, as to kubectl")
        return Explained(f"{error.source}: {error.detail}", f"To see contexts: {LIST_CONTEXTS}")
    if isinstance(error, api.ApiError):
        if error.status == api.FORBIDDEN:
            return denied(error, role=role, can_name_namespace=can_name_namespace)
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
    if error.status == api.NOT_FOUND:
        return _missing(error)
    if api.is_overload(error):
        return Explained(
            f"the API server cannot answer now ({error.status}): {error.message}", "Try again"
        )
    return Explained(error.message or f"{error.status} {error.reason}")


def denied(error: api.ApiError, *, role: str = "", can_name_namespace: bool = False) -> Explained:
    """What the user may not do, and who can help; other refusals have the server's own words.

    `role` is the role's name in the release, if that is known. `can_name_namespace` says that the
    verb would read less with -n.
    """
    match = _DENIED.search(error.message)
    if not match:
        return Explained(error.message)
    verb, resource, place = match["verb"], match["resource"], match["namespace"]
    where = f" in namespace {place}" if place else ""
    # Kubernetes' own roles let a team look at its namespaces, one by one.
    is_narrowed = can_name_namespace and not place and resource not in _CLUSTER_SCOPED
    narrower = "Name one namespace with -n. " if is_narrowed else ""
    helper = "No role of the chart gives users this right: ask an administrator"
    if verb in CLI_RIGHTS.get((match["group"] or "", resource), ()):
        search = "" if role else f" (if the release has another name, its role is in: {FIND_ROLE})"
        command = binding(match["user"], namespace=place, role=role or CLI_ROLE)
        helper = f"An administrator can allow it{search}: {command}"
    what = f"namespace {place}" if resource == "namespaces" and place else f"{resource}{where}"
    return Explained(f"you may not {verb} {what}", f"{narrower}{helper}")


def binding(user: str, *, namespace: str | None, role: str = CLI_ROLE) -> str:
    """The command that lets a user read what verbs read, in a namespace or everywhere."""
    import shlex  # noqa: PLC0415 - as above
    import zlib  # noqa: PLC0415 - as above

    # RBAC accepts every path segment as a name; each user has a binding of its own.
    name = _NOT_IN_NAMES.sub("-", user)
    if name != user:
        name = f"{name}-{zlib.crc32(user.encode()):08x}"
    kind = f"rolebinding {role}-{name}"
    kind = f"{kind} -n {namespace}" if namespace else f"cluster{kind}"
    *_, account_namespace, account = ("", "", *user.split(":"))
    is_account = user.startswith("system:serviceaccount:")
    subject = (
        f"--serviceaccount={account_namespace}:{account}"
        if is_account
        else f"--user={shlex.quote(user)}"
    )
    return f"kubectl create {kind} --clusterrole={role} {subject}"


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
