"""Who may do what: the operator as it runs, and the person who installs it."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Sequence

from sidecar_injector import names
from sidecar_injector.cli.checks.finding import FAILED, OK, WARNING, CheckResult, Scene
from sidecar_injector.kube import api
from sidecar_injector.settings import Settings

OF_OTHERS = api.Resource("authorization.k8s.io/v1", "subjectaccessreviews", "SubjectAccessReview")
OF_MYSELF = api.Resource(
    "authorization.k8s.io/v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview"
)
ADMISSION = "admissionregistration.k8s.io"
RBAC = "rbac.authorization.k8s.io"
READ = ("list", "watch")
OWN_KINDS = (names.PLURAL, names.CLUSTER_PLURAL)
LOOKED_AT = ("namespaces", "pods", "serviceaccounts")


@dataclasses.dataclass(frozen=True, slots=True)
class Right:
    """To do something to a resource, maybe only in a namespace or to one object."""

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""

    def what(self) -> str:
        """All but the verb, as a sentence has it."""
        name = f" {self.name}" if self.name else ""
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.resource}{name}{where}"

    def attributes(self) -> api.Json:
        """As a review has them."""
        resource, _, subresource = self.resource.partition("/")
        given = {**dataclasses.asdict(self), "resource": resource, "subresource": subresource}
        return {key: value for key, value in given.items() if value}


async def of_operator(scene: Scene) -> AsyncIterator[CheckResult]:
    """Whether the operator's ServiceAccount may do what it must."""
    if (found := scene.release) is None:
        return
    who = found.service_account
    try:
        lacking = [
            one for one in needed(found.settings) if not await _may(scene.asked, one, who=who)
        ]
    except api.ApiError as error:
        if error.status != api.FORBIDDEN:
            raise
        remedy = "ask an administrator to run this check"
        yield CheckResult("rights", WARNING, "you may not ask about the operator's rights", remedy)
        return
    if lacking:
        remedy = "the chart's rbac.create makes them; without it, bind them yourself"
        yield CheckResult("rights", FAILED, f"{who} may not {_listed(lacking)}", remedy)
    else:
        yield CheckResult("rights", OK, f"{who} may do what it must")


async def to_install(scene: Scene) -> AsyncIterator[CheckResult]:
    """Whether the asking person may create what the chart has."""
    namespace = scene.namespace or names.PRODUCT
    lacking = [one for one in _installing(namespace) if not await _may(scene.asked, one)]
    if lacking:
        remedy = "ask an administrator to install it, or for these rights"
        yield CheckResult("rights", FAILED, f"you may not {_listed(lacking)}", remedy)
    else:
        yield CheckResult("rights", OK, "you may create everything that the chart has")


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


def needed(settings: Settings) -> list[Right]:
    """What the chart's roles grant, right by right: a test compares."""
    here = settings.namespace
    writes_secret = settings.certificate_mode == "selfSigned"
    writes_bundle = settings.certificate_mode != "certManager"
    reads = ("get", *READ) if writes_bundle else READ
    webhooks = (*reads, "patch") if writes_bundle else reads
    secrets = (*reads, "update") if writes_secret else reads
    lease = names.lease_name(settings.fullname)
    return [
        *(one for plural in OWN_KINDS for one in _rights(READ, names.GROUP, plural)),
        *(
            one
            for plural in OWN_KINDS
            for one in _rights(("patch",), names.GROUP, f"{plural}/status")
        ),
        *(one for plural in LOOKED_AT for one in _rights(READ, "", plural)),
        *_rights(("create", "patch"), "events.k8s.io", "events"),
        *_rights(READ, "apiextensions.k8s.io", "customresourcedefinitions"),
        *(
            one
            for plural in ("mutatingwebhookconfigurations", "validatingwebhookconfigurations")
            for one in _rights(webhooks, ADMISSION, plural, name=settings.fullname)
        ),
        *(_rights(("create",), "", "secrets", here) if writes_secret else ()),
        *_rights(secrets, "", "secrets", here, settings.secret_name),
        *_rights(("create",), "coordination.k8s.io", "leases", here),
        *_rights(("get", "update"), "coordination.k8s.io", "leases", here, lease),
        *_rights(("get",), "apps", "deployments", here, settings.fullname),
    ]


def _rights(
    verbs: Sequence[str], group: str, resource: str, namespace: str = "", name: str = ""
) -> list[Right]:
    return [Right(verb, group, resource, namespace, name) for verb in verbs]


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
    """The verbs on one thing together: without the roles it is all of them."""
    verbs: dict[str, list[str]] = {}
    for one in rights:
        verbs.setdefault(one.what(), []).append(one.verb)
    return ", ".join(f"{'/'.join(those)} {what}" for what, those in verbs.items())
