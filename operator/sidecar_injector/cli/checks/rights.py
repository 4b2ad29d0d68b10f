"""The rights of the operator, and of the person who installs it."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Sequence

from sidecar_injector import names
from sidecar_injector.cli.checks.finding import FAILED, OK, UNKNOWN, CheckContext, CheckResult
from sidecar_injector.cli.cluster import release
from sidecar_injector.kube import api
from sidecar_injector.settings import Settings

REVIEWS = api.Resource("authorization.k8s.io/v1", "subjectaccessreviews", "SubjectAccessReview")
SELF_REVIEWS = api.Resource(
    "authorization.k8s.io/v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview"
)
ADMISSION = "admissionregistration.k8s.io"
CRD_GROUP = "apiextensions.k8s.io"
RBAC = "rbac.authorization.k8s.io"
READ = ("list", "watch")
OWN_KINDS = (names.PLURAL, names.CLUSTER_PLURAL)
WEBHOOKS = ("mutatingwebhookconfigurations", "validatingwebhookconfigurations")
POLICIES = ("mutatingadmissionpolicies", "mutatingadmissionpolicybindings")
GUARDS = ("validatingadmissionpolicies", "validatingadmissionpolicybindings")
WATCHED = ("namespaces", "pods", "serviceaccounts")
QUOTAS = ("limitranges", "resourcequotas")


@dataclasses.dataclass(frozen=True, slots=True)
class Right:
    """A verb on a resource, perhaps only in a namespace or on one object."""

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""

    def what(self) -> str:
        """The resource, as a sentence names it."""
        name = f" {self.name}" if self.name else ""
        namespace = f" in {self.namespace}" if self.namespace else ""
        return f"{self.resource}{name}{namespace}"

    def attributes(self) -> api.Json:
        """The `resourceAttributes` of an access review."""
        resource, _, subresource = self.resource.partition("/")
        attributes = {**dataclasses.asdict(self), "resource": resource, "subresource": subresource}
        return {key: value for key, value in attributes.items() if value}


async def of_operator(context: CheckContext) -> AsyncIterator[CheckResult]:
    """Whether the operator's ServiceAccount has all permissions that it needs."""
    if context.release is None:
        return
    user = context.release.service_account
    rights = needed(context.release.settings)
    try:
        lacking = [right for right in rights if not await _may(context.client, right, user=user)]
    except api.ApiError as error:
        if error.status != api.FORBIDDEN:
            raise
        remedy = "ask an administrator to run this check"
        yield CheckResult("rights", UNKNOWN, "you may not ask about the operator's rights", remedy)
        return
    if lacking:
        remedy = "the chart's rbac.create makes them; without it, bind them yourself"
        yield CheckResult("rights", FAILED, f"{user} may not {_listed(lacking)}", remedy)
    else:
        yield CheckResult("rights", OK, f"{user} has all permissions that it needs")


async def to_install(context: CheckContext) -> AsyncIterator[CheckResult]:
    """Whether the user may create what the chart has."""
    namespace = context.namespace or names.PRODUCT
    rights = _installing(namespace)
    lacking = [right for right in rights if not await _may(context.client, right)]
    if lacking:
        remedy = "ask an administrator to install it, or for these rights"
        yield CheckResult("rights", FAILED, f"you may not {_listed(lacking)}", remedy)
    else:
        yield CheckResult("rights", OK, "you may create everything that the chart has")


async def _may(client: api.Api, right: Right, *, user: str = "") -> bool:
    """Whether a ServiceAccount, or without it the user, has this right."""
    resource = REVIEWS if user else SELF_REVIEWS
    spec: api.Json = {"resourceAttributes": right.attributes()}
    if user:
        _, _, namespace, _ = user.split(":")
        spec |= {
            "user": user,
            "groups": ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"],
        }
    body = {
        "apiVersion": resource.api_version, "kind": resource.kind, "metadata": {}, "spec": spec,
    }  # fmt: skip
    review = await client.create(resource, body)
    return bool(review["status"].get("allowed"))


def needed(settings: Settings) -> list[Right]:
    """The rights that the chart's roles grant; a test compares the two."""
    namespace = settings.namespace
    writes_secret = settings.certificate_mode == release.SELF_SIGNED
    writes_bundle = settings.certificate_mode != "certManager"
    reads = ("get", *READ) if writes_bundle else READ
    webhooks = (*reads, "patch") if writes_bundle else reads
    secrets = (*reads, "update") if writes_secret else reads
    lease = names.lease_name(settings.fullname)
    policies = (*READ, "update") if settings.policies_are_managed else ()
    return [
        *_rights(READ, names.GROUP, OWN_KINDS),
        *_rights(("patch",), names.GROUP, [f"{plural}/status" for plural in OWN_KINDS]),
        *_rights(READ, "", WATCHED),
        *(_rights(READ, "", QUOTAS) if settings.quotas_are_checked else ()),
        *_rights(("create", "patch"), "events.k8s.io", ["events"]),
        *_rights(("get",), "apps", ["replicasets"]),
        *_rights(("get",), "batch", ["jobs"]),
        *_rights(READ, CRD_GROUP, ["customresourcedefinitions"]),
        *_rights(webhooks, ADMISSION, WEBHOOKS, name=settings.fullname),
        *_rights(policies, ADMISSION, POLICIES, name=settings.fullname),
        *_rights(policies, ADMISSION, GUARDS, name=names.guard_name(settings.fullname)),
        *(_rights(("create",), "", ["secrets"], namespace) if writes_secret else ()),
        *_rights(secrets, "", ["secrets"], namespace, settings.secret_name),
        *_rights(("create",), "coordination.k8s.io", ["leases"], namespace),
        *_rights(("get", "update"), "coordination.k8s.io", ["leases"], namespace, lease),
        *_rights(("get",), "apps", ["deployments"], namespace, settings.fullname),
    ]


def _rights(
    verbs: Sequence[str], group: str, resources: Sequence[str], namespace: str = "", name: str = ""
) -> list[Right]:
    return [
        Right(verb, group, resource, namespace, name) for resource in resources for verb in verbs
    ]


def _installing(namespace: str) -> list[Right]:
    create = ("create",)
    return [
        *_rights(create, CRD_GROUP, ["customresourcedefinitions"]),
        *_rights(create, ADMISSION, WEBHOOKS),
        *_rights(create, RBAC, ["clusterroles", "clusterrolebindings"]),
        *_rights(create, "apps", ["deployments"], namespace),
        *_rights(create, "", ["services", "serviceaccounts", "secrets"], namespace),
        *_rights(create, RBAC, ["roles", "rolebindings"], namespace),
    ]


def _listed(rights: Sequence[Right]) -> str:
    """The rights in a sentence, the verbs on one resource together."""
    verbs_on: dict[str, list[str]] = {}
    for right in rights:
        verbs_on.setdefault(right.what(), []).append(right.verb)
    return ", ".join(f"{'/'.join(verbs)} {what}" for what, verbs in verbs_on.items())
