"""What a decision looks at, read from a cluster: injections, the namespace, service accounts."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

from sidecar_injector import crds, names
from sidecar_injector import settings as settings_module
from sidecar_injector.cli.cluster import objects, release
from sidecar_injector.core.injections import model
from sidecar_injector.core.injections import namespace_view as views
from sidecar_injector.core.limits import namespace_limits
from sidecar_injector.core.pods import lenient
from sidecar_injector.core.validity import releases
from sidecar_injector.kube import api

WEBHOOK, POLICY = "Webhook", "Policy"
UNJUDGED = frozenset({"NotManaged", "Unknown"})
"""Reasons by which the operator does not say whether a policy has an injection: somebody else may
have applied one."""


class NoDefinitionsError(release.ReleaseError):
    """The cluster does not know our kinds."""

    def __init__(self) -> None:
        super().__init__(
            f"the cluster has no {names.KIND}: {names.PRODUCT} is not installed; {release.INSTALL}"
        )


@dataclasses.dataclass(frozen=True, slots=True)
class LiveInjection:
    """A custom resource, and the injection that is read from it."""

    resource: api.Json
    injection: model.Injection

    @property
    def compiled(self) -> api.Json:
        """The condition that says what became of it as a policy; empty if it has none."""
        conditions = lenient.objects(lenient.child(self.resource, "status"), "conditions")
        return next((each for each in conditions if each.get("type") == "Compiled"), {})

    @property
    def engine(self) -> str:
        """What adds it, as far as the operator says so."""
        if not self.injection.is_compiled:
            return WEBHOOK
        if self.compiled.get("status") == "True":
            return POLICY
        reason = self.compiled.get("reason", "Unknown")
        return f"{POLICY if reason in UNJUDGED else WEBHOOK}: {reason}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadInjections:
    """All injections that the user may see."""

    injections: Sequence[LiveInjection]
    notes: Sequence[str] = ()
    """What could not be seen, in sentences."""

    def of(self, namespace: str) -> tuple[model.Injection, ...]:
        """The injections that may apply in a namespace, in the order in which they are tried."""
        return views.ordered((*self.cluster.injections, *self._own(namespace)))

    def ages(self, namespace: str) -> dict[tuple[str, str], str]:
        """When each injection that may apply in a namespace was created, by its identity."""
        return {
            live.injection.identity: str(api.metadata(live.resource).get("creationTimestamp", ""))
            for live in self.injections
            if live.injection.namespace in (namespace, None)
        }

    @functools.cached_property
    def cluster(self) -> views.Index:
        """The injections of the cluster."""
        return views.Index(self._own(None))

    def own(self, namespace: str) -> views.Index:
        """The injections of a namespace."""
        return views.Index(self._own(namespace))

    def _own(self, namespace: str | None) -> list[model.Injection]:
        injections = (live.injection for live in self.injections)
        return [injection for injection in injections if injection.namespace == namespace]


async def injections(client: api.Api, *, namespace: str | None = None) -> ReadInjections:
    """The injections of a namespace (None: of every namespace) and of the cluster.

    Raises NoDefinitionsError where the cluster does not know the kinds. A user who may not read
    the cluster kind gets a note about it.
    """
    live: list[LiveInjection] = []
    notes: list[str] = []
    for kind, resource in api.OWN_KINDS.items():
        scope = api.Scope(namespace=namespace if kind == names.KIND else None)
        try:
            items = await objects.read_all(client, resource, scope=scope)
        except api.ApiError as error:
            if error.status == api.NOT_FOUND:
                raise NoDefinitionsError from error
            if error.status != api.FORBIDDEN or kind == names.KIND:
                raise
            notes.append(f"you may not list {resource.plural}: what they do is not shown")
            continue
        # The items of a list are without version and kind.
        head = {"apiVersion": names.API_VERSION, "kind": kind}
        live += [read_live({**item, **head}) for item in items]
    return ReadInjections(injections=live, notes=notes)


def read_live(resource: api.Json) -> LiveInjection:
    """A custom resource with its kind, read as the operator reads it."""
    return LiveInjection(
        resource, model.read(resource, spec_schema=crds.spec_schema(resource["kind"]))
    )


def namespace(resource: api.Json) -> views.Namespace:
    """What a decision needs of a namespace."""
    metadata = api.metadata(resource)
    return views.Namespace(
        metadata["name"], metadata.get("labels") or {}, metadata.get("annotations") or {}
    )


async def namespace_view(
    client: api.Api,
    name: str,
    *,
    injections: ReadInjections,
    release_namespace: str,
    resource: api.Json | None = None,
    limits: namespace_limits.NamespaceLimits | None = None,
) -> views.NamespaceView:
    """What decisions look at in a namespace; `resource` is the namespace, if already read."""
    return views.NamespaceView(
        namespace=namespace(resource or await client.get(api.NAMESPACES, name=name)),
        cluster=injections.cluster,
        own=injections.own(name),
        service_accounts=await _service_accounts(client, name, injections.of(name)),
        limits=limits,
        release_namespace=release_namespace,
        kubernetes_minor=await kubernetes_minor(client),
    )


async def kubernetes_minor(client: api.Api) -> int | None:
    """The release of the cluster, 32 for 1.32; None if it is not known."""
    version = await client.document("/version")
    return releases.minor_of(str(version.get("gitVersion")))


async def limits(
    client: api.Api,
    namespace: str,
    *,
    settings: settings_module.Settings,
    notes: list[str],
    of_files: Sequence[api.Json] = (),
) -> namespace_limits.NamespaceLimits | None:
    """What LimitRanges and ResourceQuotas allow; None if there are none, or they are not checked.

    Those of files come before those of the cluster. `notes` takes what does not count of both.
    """
    if not settings.quotas_are_checked:
        if of_files:
            notes.append(
                "the operator does not check LimitRanges and ResourceQuotas"
                " (quotas.enabled=false): those of the files do not count"
            )
        return None
    resources = [*of_files]
    for kind, resource in api.LIMITS.items():
        items = await objects.unless_forbidden(
            objects.read_all(client, resource, scope=api.Scope(namespace=namespace)),
            notes=notes,
            consequence=f"what the {kind}s of namespace {namespace} forbid is not known",
        )
        for item in items or ():
            resources.append({**item, "kind": kind})
            if remark := namespace_limits.remark(resources[-1]):
                notes.append(f"{kind} {namespace}/{api.metadata(item)['name']} {remark}")
    return namespace_limits.of_objects(resources)


async def _service_accounts(
    client: api.Api, namespace: str, applying: Sequence[model.Injection]
) -> frozenset[str] | None:
    """The names, if an injection depends on them and the user may read them."""
    if not any(injection.template_spec.get("serviceAccountName") for injection in applying):
        return None
    scope = api.Scope(namespace=namespace, metadata_only=True)
    try:
        accounts = await objects.read_all(client, api.SERVICE_ACCOUNTS, scope=scope)
    except api.ApiError as error:
        if error.status != api.FORBIDDEN:
            raise
        return None
    return frozenset(api.metadata(account)["name"] for account in accounts)
