"""Who may do what: the operator as it runs, and the person who installs it."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Sequence

from sidecar_injector import names
from sidecar_injector.cli.checks.finding import FAILED, OK, WARNING, Finding, Scene
from sidecar_injector.cli.live import release
from sidecar_injector.kube import api

OF_OTHERS = api.Resource("authorization.k8s.io/v1", "subjectaccessreviews")
OF_MYSELF = api.Resource("authorization.k8s.io/v1", "selfsubjectaccessreviews")
ADMISSION = "admissionregistration.k8s.io"
RBAC = "rbac.authorization.k8s.io"


@dataclasses.dataclass(frozen=True, slots=True)
class Right:
    """To do something to a resource, maybe only in a namespace or to one object."""

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        name = f" {self.name}" if self.name else ""
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.verb} {self.resource}{name}{where}"

    def attributes(self) -> api.Json:
        """As a review has them."""
        resource, _, subresource = self.resource.partition("/")
        given = {**dataclasses.asdict(self), "resource": resource, "subresource": subresource}
        return {key: value for key, value in given.items() if value}


async def of_operator(scene: Scene) -> AsyncIterator[Finding]:
    """Whether the operator's ServiceAccount may do what it must."""
    if (found := scene.release) is None:
        return
    who = found.service_account
    try:
        lacking = [one for one in _needed(found) if not await _may(scene.asked, one, who=who)]
    except api.ApiError as error:
        if error.status != api.FORBIDDEN:
            raise
        remedy = "ask an administrator to run this check"
        yield Finding("rights", WARNING, "you may not ask about the operator's rights", remedy)
        return
    if lacking:
        remedy = "the chart's rbac.create makes them; without it, bind them yourself"
        yield Finding("rights", FAILED, f"{who} may not {_listed(lacking)}", remedy)
    else:
        yield Finding("rights", OK, f"{who} may do what it must")


async def to_install(scene: Scene) -> AsyncIterator[Finding]:
    """Whether the asking person may create what the chart has."""
    namespace = scene.namespace or names.PRODUCT
    lacking = [one for one in _installing(namespace) if not await _may(scene.asked, one)]
    if lacking:
        remedy = "ask an administrator to install it, or for these rights"
        yield Finding("rights", FAILED, f"you may not {_listed(lacking)}", remedy)
    else:
        yield Finding("rights", OK, "you may create everything that the chart has")


async def _may(asked: api.Api, right: Right, *, who: str = "") -> bool:
    kind = "SubjectAccessReview" if who else "SelfSubjectAccessReview"
    spec: api.Json = {"resourceAttributes": right.attributes()}
    if who:
        _, _, namespace, _ = who.split(":")
        spec |= {
            "user": who,
            "groups": ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"],
        }
    body = {"apiVersion": OF_OTHERS.api_version, "kind": kind, "metadata": {}, "spec": spec}
    answer = await asked.create(OF_OTHERS if who else OF_MYSELF, body)
    return bool(answer["status"].get("allowed"))


def _needed(found: release.Release) -> list[Right]:
    settings = found.settings
    own = settings.certificate_mode == "selfSigned"
    everywhere = [
        Right(verb, names.GROUP, plural)
        for plural in (names.PLURAL, names.CLUSTER_PLURAL)
        for verb in ("list", "watch")
    ]
    everywhere += [
        Right("patch", names.GROUP, f"{names.PLURAL}/status"),
        Right("patch", names.GROUP, f"{names.CLUSTER_PLURAL}/status"),
        Right("list", "", "namespaces"),
        Right("watch", "", "namespaces"),
        Right("list", "", "pods"),
        Right("list", "", "serviceaccounts"),
        Right("watch", "", "serviceaccounts"),
        Right("create", "events.k8s.io", "events"),
    ]
    webhooks = [
        Right(verb, ADMISSION, resource, name=settings.fullname)
        for resource in ("mutatingwebhookconfigurations", "validatingwebhookconfigurations")
        for verb in (("get", "patch") if own else ("get",))
    ]
    secrets = [
        Right(verb, "", "secrets", settings.namespace, settings.secret_name)
        for verb in (("get", "update") if own else ("get",))
    ]
    lease = names.lease_name(settings.fullname)
    leases = [
        Right(verb, "coordination.k8s.io", "leases", settings.namespace, lease)
        for verb in ("get", "update")
    ]
    return [*everywhere, *webhooks, *secrets, *leases]


def _installing(namespace: str) -> list[Right]:
    cluster = [
        Right("create", group, resource)
        for group, resource in (
            ("apiextensions.k8s.io", "customresourcedefinitions"),
            (ADMISSION, "mutatingwebhookconfigurations"),
            (ADMISSION, "validatingwebhookconfigurations"),
            (RBAC, "clusterroles"),
            (RBAC, "clusterrolebindings"),
        )
    ]
    inside = [
        Right("create", group, resource, namespace)
        for group, resource in (
            ("apps", "deployments"),
            ("", "services"),
            ("", "serviceaccounts"),
            ("", "secrets"),
            (RBAC, "roles"),
            (RBAC, "rolebindings"),
        )
    ]
    return [*cluster, *inside]


def _listed(rights: Sequence[Right]) -> str:
    return ", ".join(map(str, rights))
