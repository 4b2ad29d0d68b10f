"""The calls that we make to a Kubernetes API, its resources, and its errors.

Objects are plain JSON dicts everywhere, so fields that we do not know are preserved.
"""

from __future__ import annotations

import dataclasses
import re
import urllib.parse
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final, Protocol

from sidecar_injector import names
from sidecar_injector.core.pods import kinds

Json = dict[str, Any]
"""One JSON object as the API server sent it."""

MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
"""Merges lists by the keys that built-in types declare. Custom resources do not support it."""

UNAUTHORIZED: Final = 401
FORBIDDEN: Final = 403
NOT_FOUND: Final = 404
CONFLICT: Final = 409
"""A create: the object exists already. A write with a resourceVersion: it has changed since."""
GONE: Final = 410
"""The API server no longer has this resourceVersion: list again."""
INVALID: Final = 422
BAD_REQUEST: Final = 400
TOO_MANY_REQUESTS: Final = 429
GATEWAY_TIMEOUT: Final = 504

LONGEST_RETRY_AFTER: Final = 60.0
"""Seconds. A longer `Retry-After` is cut: whatever a proxy sends, we try again in a minute."""
NAME_BYTES: Final = 253
NAMESPACE_BYTES: Final = 63
_NOT_IN_A_NAME: Final = re.compile(r"[/%\x00-\x20\x7f-\x9f\ud800-\udfff]")
_LABEL: Final = "[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_SUBDOMAIN: Final = re.compile(rf"{_LABEL}(\.{_LABEL})*")

OPENED: Final[Json] = {"type": "OPENED"}
"""The first event of every watch, made by the client: the API server has accepted the watch.

The next event may come a minute later.
"""


class KubeError(Exception):
    """A call to the API failed; the text says what failed and what would help."""


class CredentialsError(KubeError):
    """There is no usable identity or address; `source` says where we looked for it."""

    def __init__(self, *, source: str, detail: str) -> None:
        super().__init__(f"cannot use the credentials of {source}: {detail}")
        self.source, self.detail = source, detail


class InvalidNameError(KubeError):
    """The name or namespace cannot be a part of a URL path, so nothing was sent."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{cut(name, 100)!a} cannot be the name of an object")


class UnreachableError(KubeError):
    """There was no usable response: connection refused or broken, timeout, TLS or HTTP failure."""

    def __init__(self, *, host: str, detail: str) -> None:
        super().__init__(f"the API server {host} is unreachable: {detail}")
        self.host, self.detail = host, detail


class SilentError(UnreachableError):
    """A watch received nothing, not even a bookmark.

    Either the connection is dead, or the API server's store was restored to a time before our
    resourceVersion. Only a new list finds out.
    """


class ApiError(KubeError):
    """The API server refused a request.

    `reason` is the code in its Status object, `path` the path of the request, and `retry_after`
    the seconds before which we should not try again.
    """

    def __init__(
        self, *, status: int, reason: str, message: str, path: str, retry_after: float = 0.0
    ) -> None:
        super().__init__(f"{status} {reason} at {path}: {message}")
        self.status, self.reason, self.message, self.path = status, reason, message, path
        self.retry_after = min(max(retry_after, 0.0), LONGEST_RETRY_AFTER)


def is_overload(error: KubeError) -> bool:
    """Whether the API server cannot handle requests at present, whatever they are."""
    return isinstance(error, ApiError) and (
        error.status == TOO_MANY_REQUESTS or error.status >= 500
    )


def needs_list(error: KubeError) -> bool:
    """Whether a watch cannot be continued from its resourceVersion, so that only a list helps.

    After any other refusal the version is still good. A list would only add load.
    """
    if isinstance(error, ApiError):
        too_large = (
            error.status == GATEWAY_TIMEOUT and "too large resource version" in str(error).lower()
        )
        # 400: the API server cannot read the version.
        return error.status in {GONE, BAD_REQUEST} or too_large
    return isinstance(error, SilentError)


def is_name(name: str) -> bool:
    """Whether an object may have this name: a DNS subdomain, as nearly all kinds demand.

    https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
    """
    return len(name) <= NAME_BYTES and _SUBDOMAIN.fullmatch(name) is not None


def check_segment(name: str, *, limit: int = NAME_BYTES) -> None:
    """InvalidNameError unless this is one segment of a path, for the API server as for us.

    The API server decodes a path before it splits it, so quotes do not help against `/`.
    https://github.com/kubernetes/apimachinery/blob/master/pkg/api/validation/path/name.go
    """
    if name in {"", ".", ".."} or _NOT_IN_A_NAME.search(name) or len(name.encode()) > limit:
        raise InvalidNameError(name)


def cut(text: str, limit: int) -> str:
    """The beginning of a text, at most `limit` bytes of UTF-8: the API server counts bytes."""
    encoded = text.encode(errors="replace")
    return encoded[:limit].decode(errors="ignore") if len(encoded) > limit else text


def _quoted(segment: str) -> str:
    if segment in {".", ".."}:
        return segment.replace(".", "%2E")
    return urllib.parse.quote(segment.encode(errors="surrogatepass"), safe="")


@dataclasses.dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object: its plural is part of URLs, its kind is part of manifests."""

    api_version: str
    plural: str
    kind: str

    @property
    def group(self) -> str:
        """The API group as in RBAC rules; empty for the core group."""
        return self.api_version.rpartition("/")[0]

    def path(
        self, *, namespace: str | None = None, name: str | None = None, subresource: str = ""
    ) -> str:
        """The URL path of the collection, of one object, or of its subresource.

        Each name is one segment, whatever it contains.
        """
        parts = ["apis" if self.group else "api", *self.api_version.split("/", maxsplit=1)]
        if namespace is not None:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name is not None:
            parts.append(name)
        if subresource:
            parts.append(subresource)
        return "/" + "/".join(map(_quoted, parts))


NAMESPACES: Final = Resource("v1", "namespaces", "Namespace")
PODS: Final = Resource("v1", "pods", "Pod")
SECRETS: Final = Resource("v1", "secrets", "Secret")
SERVICES: Final = Resource("v1", "services", "Service")
SERVICE_ACCOUNTS: Final = Resource("v1", "serviceaccounts", "ServiceAccount")
LIMIT_RANGES: Final = Resource("v1", "limitranges", "LimitRange")
RESOURCE_QUOTAS: Final = Resource("v1", "resourcequotas", "ResourceQuota")
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
POLICIES: Final = Resource(
    "admissionregistration.k8s.io/v1", "mutatingadmissionpolicies", "MutatingAdmissionPolicy"
)
POLICY_BINDINGS: Final = Resource(
    "admissionregistration.k8s.io/v1",
    "mutatingadmissionpolicybindings",
    "MutatingAdmissionPolicyBinding",
)
GUARDS: Final = Resource(
    "admissionregistration.k8s.io/v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy"
)
GUARD_BINDINGS: Final = Resource(
    "admissionregistration.k8s.io/v1",
    "validatingadmissionpolicybindings",
    "ValidatingAdmissionPolicyBinding",
)
INJECTIONS: Final = Resource(names.API_VERSION, names.PLURAL, names.KIND)
CLUSTER_INJECTIONS: Final = Resource(names.API_VERSION, names.CLUSTER_PLURAL, names.CLUSTER_KIND)


def by_kind(*resources: Resource) -> Mapping[str, Resource]:
    """The resources by their kind."""
    return {resource.kind: resource for resource in resources}


LIMITS: Final = by_kind(LIMIT_RANGES, RESOURCE_QUOTAS)
OWN_KINDS: Final = by_kind(INJECTIONS, CLUSTER_INJECTIONS)
WEBHOOK_CONFIGURATIONS: Final = by_kind(MUTATING, VALIDATING)
WORKLOADS: Final = by_kind(
    *(
        Resource(f"{entry.group}/v1".lstrip("/"), entry.plural, entry.kind)
        for entry in kinds.BUILT_IN.values()
        if entry.kind != "PodTemplate"
    )
)
"""Pods, and everything built into Kubernetes that makes pods."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """A selection of the objects of a resource; by default all, in every namespace."""

    namespace: str | None = None
    label_selector: str = ""
    field_selector: str = ""
    metadata_only: bool = False
    """Request PartialObjectMetadata: the API server sends neither spec nor status."""

    def query(self) -> dict[str, str]:
        """The selectors as URL parameters."""
        selectors = {"labelSelector": self.label_selector, "fieldSelector": self.field_selector}
        return {key: value for key, value in selectors.items() if value}


EVERYTHING: Final = Scope()


def by_name(name: str, *, namespace: str | None = None) -> Scope:
    """The object of this name.

    RBAC with `resourceNames` allows list and watch only for requests with this field selector:
    https://kubernetes.io/docs/reference/access-authn-authz/rbac/#referring-to-resources
    """
    return Scope(namespace=namespace, field_selector=f"metadata.name={name}")


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """A part of a list. All pages of a list have the same `resource_version`."""

    items: list[Json]
    resource_version: str


class Api(Protocol):
    """The calls that we make. Each may raise any KubeError; ApiError has the HTTP status.

    The field manager of writes is `names.PRODUCT`. A call is not retried, except once after a 401
    with credentials that are read again.
    """

    async def get(
        self,
        resource: Resource,
        *,
        name: str,
        namespace: str | None = None,
        metadata_only: bool = False,
    ) -> Json:
        """The newest state of the object (not from the API server's watch cache)."""
        ...

    def pages(
        self, resource: Resource, *, scope: Scope = EVERYTHING, limit: int = 500
    ) -> AsyncGenerator[Page]:
        """A consistent list in pages of at most `limit` objects; there is at least one page.

        ApiError 410 after the first page means that the snapshot has expired: start again.
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
        """Watch events (`type`, `object`) after `resource_version`, with bookmarks and ERRORs.

        The first event is `OPENED`. The stream ends when the API server ends it, at the latest
        after `timeout_seconds`. It raises UnreachableError when the connection breaks, and its
        subtype SilentError when nothing is received for too long.
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
        """Create an object and return it; ApiError 409 if the name exists already."""
        ...

    async def replace(
        self,
        resource: Resource,
        body: Json,
        *,
        name: str,
        namespace: str | None = None,
        dry_run: bool = False,
    ) -> Json:
        """Compare-and-swap: ApiError 409 unless `metadata.resourceVersion` is the current one."""
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
        """Patch an object and return it; with a resourceVersion it is a compare-and-swap."""
        ...

    async def document(self, path: str, *, accept: str = "") -> Json:
        """The JSON at a path that is not a resource: `/version`, `/openapi/v3/…`."""
        ...


async def get_or_none(
    client: Api, resource: Resource, *, name: str, namespace: str | None = None
) -> Json | None:
    """The newest state of the object; None if it does not exist."""
    try:
        return await client.get(resource, name=name, namespace=namespace)
    except ApiError as error:
        if error.status != NOT_FOUND:
            raise
        return None


async def owner_reference(
    client: Api, resource: Resource, *, name: str, namespace: str
) -> Json | None:
    """The reference that makes this object an owner; None if it is absent or being deleted."""
    owner = await get_or_none(client, resource, name=name, namespace=namespace)
    if owner is None or "deletionTimestamp" in metadata(owner):
        return None
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": name,
        "uid": metadata(owner)["uid"],
    }


def error_of(status: Mapping[str, Any], *, path: str) -> ApiError:
    """The error in an ERROR event of a watch, whose object is a Status."""
    details = status.get("details")
    seconds = details.get("retryAfterSeconds") if isinstance(details, dict) else None
    return ApiError(
        status=int(status.get("code", 500)),
        reason=str(status.get("reason", "Unknown")),
        message=str(status.get("message", "")),
        path=path,
        retry_after=float(seconds) if isinstance(seconds, int) else 0.0,
    )


def metadata(item: Mapping[str, Any]) -> Json:
    """The `metadata` of an object; the API server always sends it."""
    fields: Json = item["metadata"]
    return fields


def resource_version(item: Mapping[str, Any]) -> str:
    """An opaque token: two of them can only be compared for equality."""
    return str(metadata(item).get("resourceVersion", ""))
