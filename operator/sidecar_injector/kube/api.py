"""What we need from a Kubernetes API, and how it says no.

Objects are plain JSON dicts from end to end, so a field that we have never heard of survives.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final, Protocol

from sidecar_injector import names

Json = dict[str, Any]
"""One JSON object as the API server sent it."""

JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
"""Merges lists by the keys that the built-in types declare; custom resources do not know it."""

UNAUTHORIZED: Final = 401
FORBIDDEN: Final = 403
NOT_FOUND: Final = 404
CONFLICT: Final = 409
"""Of a create: it exists already. Of a write with a resourceVersion: it has changed since."""
GONE: Final = 410
"""The version to go on from is no longer kept; only a new list helps."""
INVALID: Final = 422


OPENED: Final[Json] = {"type": "OPENED"}
"""What a watch yields first; nothing may be heard for a minute after it."""


class KubeError(Exception):
    """The API could not do what was asked; the text says what, and what would help."""


class CredentialsError(KubeError):
    """There is no usable identity or address; `source` is where it was looked for."""

    def __init__(self, *, source: str, detail: str) -> None:
        super().__init__(f"cannot use the credentials of {source}: {detail}")
        self.source, self.detail = source, detail


class UnreachableError(KubeError):
    """No answer came: refused, timed out, broken off, or a TLS failure."""

    def __init__(self, *, host: str, detail: str) -> None:
        super().__init__(f"the API server {host} is unreachable: {detail}")
        self.host, self.detail = host, detail


class SilentError(UnreachableError):
    """A watch on which not even a bookmark came: the connection is dead, or our version is not
    the server's (its store went back in time), and only a new list tells."""


class ApiError(KubeError):
    """The API server answered, and the answer is no.

    `reason` is the machine word of its Status object, `path` what was asked for.
    """

    def __init__(self, *, status: int, reason: str, message: str, path: str) -> None:
        super().__init__(f"{status} {reason} at {path}: {message}")
        self.status, self.reason, self.message, self.path = status, reason, message, path


@dataclasses.dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object: the name that its URL has, and the name that its manifests have."""

    api_version: str
    plural: str
    kind: str

    @property
    def group(self) -> str:
        """The API group as RBAC rules spell it; empty for the core group."""
        return self.api_version.rpartition("/")[0]

    def path(
        self, *, namespace: str | None = None, name: str | None = None, subresource: str = ""
    ) -> str:
        """The URL path of the collection, of one object, or of its subresource."""
        root = "/apis" if self.group else "/api"
        parts = [root, self.api_version]
        if namespace is not None:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name is not None:
            parts.append(name)
        if subresource:
            parts.append(subresource)
        return "/".join(parts)


NAMESPACES: Final = Resource("v1", "namespaces", "Namespace")
PODS: Final = Resource("v1", "pods", "Pod")
SECRETS: Final = Resource("v1", "secrets", "Secret")
SERVICES: Final = Resource("v1", "services", "Service")
SERVICE_ACCOUNTS: Final = Resource("v1", "serviceaccounts", "ServiceAccount")
DEPLOYMENTS: Final = Resource("apps/v1", "deployments", "Deployment")
LEASES: Final = Resource("coordination.k8s.io/v1", "leases", "Lease")
EVENTS: Final = Resource("events.k8s.io/v1", "events", "Event")
CUSTOM_RESOURCES: Final = Resource(
    "apiextensions.k8s.io/v1", "customresourcedefinitions", "CustomResourceDefinition"
)
MUTATING: Final = Resource(
    "admissionregistration.k8s.io/v1",
    "mutatingwebhookconfigurations",
    "MutatingWebhookConfiguration",
)
VALIDATING: Final = Resource(
    "admissionregistration.k8s.io/v1",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
)
INJECTIONS: Final = Resource(names.API_VERSION, names.PLURAL, names.KIND)
CLUSTER_INJECTIONS: Final = Resource(names.API_VERSION, names.CLUSTER_PLURAL, names.CLUSTER_KIND)


def by_kind(*resources: Resource) -> Mapping[str, Resource]:
    """The resources by their kind."""
    return {resource.kind: resource for resource in resources}


OWN_KINDS: Final = by_kind(INJECTIONS, CLUSTER_INJECTIONS)
WEBHOOK_CONFIGURATIONS: Final = by_kind(MUTATING, VALIDATING)
WORKLOADS: Final = by_kind(
    PODS,
    Resource("v1", "replicationcontrollers", "ReplicationController"),
    Resource("apps/v1", "daemonsets", "DaemonSet"),
    DEPLOYMENTS,
    Resource("apps/v1", "replicasets", "ReplicaSet"),
    Resource("apps/v1", "statefulsets", "StatefulSet"),
    Resource("batch/v1", "cronjobs", "CronJob"),
    Resource("batch/v1", "jobs", "Job"),
)
"""Pods, and everything built into Kubernetes that makes pods."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which objects of a resource are meant; the default is all of them in every namespace."""

    namespace: str | None = None
    label_selector: str = ""
    field_selector: str = ""
    metadata_only: bool = False
    """Ask for PartialObjectMetadata: the server sends neither spec nor status."""

    def query(self) -> dict[str, str]:
        """The selectors as URL parameters."""
        selectors = {"labelSelector": self.label_selector, "fieldSelector": self.field_selector}
        return {key: value for key, value in selectors.items() if value}


EVERYTHING: Final = Scope()


def by_name(name: str, *, namespace: str | None = None) -> Scope:
    """The one object of that name.

    RBAC with `resourceNames` allows list and watch only for requests with this field selector:
    https://kubernetes.io/docs/reference/access-authn-authz/rbac/#referring-to-resources
    """
    return Scope(namespace=namespace, field_selector=f"metadata.name={name}")


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """Some of a list's objects; all pages of a list are of one `resource_version`."""

    items: list[Json]
    resource_version: str


class Api(Protocol):
    """The calls that we make. Each may raise any KubeError; ApiError carries the status.

    Writes are attributed to the field manager `names.PRODUCT`. Nothing is retried, except once
    with fresh credentials after a 401.
    """

    async def get(self, resource: Resource, *, name: str, namespace: str | None = None) -> Json:
        """The object now (not from the API server's watch cache)."""
        ...

    def pages(
        self, resource: Resource, *, scope: Scope = EVERYTHING, limit: int = 500
    ) -> AsyncGenerator[Page]:
        """A consistent list in chunks of `limit`; there is always at least one page.

        ApiError 410 in the middle means that the snapshot has expired: begin again.
        """
        ...

    def watch(
        self,
        resource: Resource,
        *,
        resource_version: str,
        scope: Scope = EVERYTHING,
        timeout_seconds: int,
    ) -> AsyncGenerator[Json]:
        """Raw watch events (`type`, `object`) after `resource_version`, bookmarks and ERRORs too.

        The first is `OPENED`, of our own making: the server has accepted the watch. Ends when the
        server ends it, at the latest after `timeout_seconds`; raises UnreachableError when the
        connection breaks, and its subtype SilentError when nothing at all is heard for long.
        """
        ...

    async def create(
        self,
        resource: Resource,
        body: Json,
        *,
        namespace: str | None = None,
        dry_run: bool = False,
    ) -> Json:
        """The object as created; ApiError 409 when the name is taken."""
        ...

    async def replace(
        self, resource: Resource, body: Json, *, name: str, namespace: str | None = None
    ) -> Json:
        """Compare-and-swap: ApiError 409 unless `metadata.resourceVersion` is still current."""
        ...

    async def patch(
        self,
        resource: Resource,
        body: Json | list[Json],
        *,
        name: str,
        namespace: str | None = None,
        content_type: str = MERGE_PATCH,
        subresource: str = "",
    ) -> Json:
        """The object as patched; with a resourceVersion in the body it compares and swaps."""
        ...


async def get_or_none(
    client: Api, resource: Resource, *, name: str, namespace: str | None = None
) -> Json | None:
    """The object now; None if the API server answers that it does not exist."""
    try:
        return await client.get(resource, name=name, namespace=namespace)
    except ApiError as error:
        if error.status != NOT_FOUND:
            raise
        return None


def metadata(thing: Mapping[str, Any]) -> Json:
    """The `metadata` of an object, which the API server always sends."""
    found: Json = thing["metadata"]
    return found


def resource_version(thing: Mapping[str, Any]) -> str:
    """An opaque token: equal or not equal is all that it says."""
    return str(metadata(thing).get("resourceVersion", ""))
