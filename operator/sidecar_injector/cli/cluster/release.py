"""The release of the product in a cluster: found by its labels, read from its Deployment."""

from __future__ import annotations

import dataclasses

from sidecar_injector import names
from sidecar_injector import settings as declared
from sidecar_injector.cli.cluster import objects
from sidecar_injector.kube import api

COMPONENT = "app.kubernetes.io/component=operator"
SELECTOR = f"{names.APP_NAME_LABEL}={names.PRODUCT},{COMPONENT}"
VERSION_LABEL = "app.kubernetes.io/version"
SERVICES = api.SERVICES
INSTALL = (
    f"helm install {names.PRODUCT} charts/{names.PRODUCT} -n {names.PRODUCT} --create-namespace"
)


class ReleaseError(api.KubeError):
    """There is not exactly one release to speak of; the text says what would help."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One installation of the chart."""

    deployment: api.Json
    settings: declared.Settings
    """As its Deployment gives them to the operator."""

    @property
    def namespace(self) -> str:
        """Where it is."""
        return self.settings.namespace

    @property
    def fullname(self) -> str:
        """Of Service, Deployment and both webhook configurations."""
        return self.settings.fullname

    @property
    def version(self) -> str:
        """Of the operator, as its chart says."""
        return objects.labels(self.deployment).get(VERSION_LABEL, "unknown")

    @property
    def wanted(self) -> int:
        """How many replicas there should be."""
        return int(self.deployment["spec"].get("replicas", 1))

    @property
    def ready(self) -> int:
        """How many replicas say that they are ready."""
        return int((self.deployment.get("status") or {}).get("readyReplicas") or 0)

    @property
    def service_account(self) -> str:
        """As the API server calls it in questions of rights."""
        spec = self.deployment["spec"]["template"]["spec"]
        name = spec.get("serviceAccountName", "default")
        return f"system:serviceaccount:{self.namespace}:{name}"


async def find(asked: api.Api, *, namespace: str | None = None) -> Release:
    """The release in that namespace, or the only one of the cluster.

    Raises ReleaseError if there is none or more than one. Who may not list all Deployments is
    looked for the namespace that the documents name.
    """
    where = namespace
    try:
        found = await _deployments(asked, where)
    except api.ApiError as error:
        if error.status != api.FORBIDDEN or where:
            raise
        where = names.PRODUCT
        found = await _deployments(asked, where)
    if not found:
        place = f"namespace {where}" if where else "any namespace"
        raise ReleaseError(
            f"{names.PRODUCT} is not installed: no Deployment in {place} has the labels {SELECTOR}"
        )
    if len(found) > 1:
        places = ", ".join(sorted({api.metadata(one)["namespace"] for one in found}))
        raise ReleaseError(
            f"{names.PRODUCT} is installed {len(found)} times, in {places}: say which one is meant"
            " with --release-namespace"
        )
    return read(found[0])


async def outside(asked: api.Api, found: Release) -> str:
    """Where the operator runs if not in this cluster (`service.type: ExternalName`); else empty."""
    service = await objects.found(asked, SERVICES, name=found.fullname, namespace=found.namespace)
    return str(service["spec"].get("externalName") or "") if service else ""


def read(deployment: api.Json) -> Release:
    """The release that a Deployment of the chart belongs to."""
    metadata = api.metadata(deployment)
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    known = {declared.variable(one.name) for one in dataclasses.fields(declared.Settings)}
    environment = {
        one["name"]: one["value"]
        for one in container.get("env") or ()
        if one["name"] in known and one.get("value")
    }
    given = {declared.variable("fullname"): metadata["name"], **environment}
    try:
        settings = declared.Settings.from_environment(given)
    except declared.SettingError as error:
        raise ReleaseError(
            f"Deployment {metadata['namespace']}/{metadata['name']}: {error}"
        ) from error  # fmt: skip
    return Release(
        deployment=deployment,
        settings=dataclasses.replace(settings, namespace=metadata["namespace"]),
    )


async def namespace_of(asked: api.Api, *, given: str | None) -> str:
    """Where the injector runs, as far as the asking person can know; the usual place otherwise."""
    if given:
        return given
    try:
        return (await find(asked)).namespace
    except api.KubeError:
        return names.PRODUCT


async def _deployments(asked: api.Api, namespace: str | None) -> list[api.Json]:
    scope = api.Scope(namespace=namespace, label_selector=SELECTOR)
    return await objects.listed(asked, api.DEPLOYMENTS, scope=scope)
