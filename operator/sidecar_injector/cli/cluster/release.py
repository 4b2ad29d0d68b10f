"""The release of the product in a cluster, read from the Deployment that has its labels."""

from __future__ import annotations

import dataclasses

from sidecar_injector import names
from sidecar_injector import settings as settings_module
from sidecar_injector.cli.cluster import objects
from sidecar_injector.kube import api

COMPONENT = "app.kubernetes.io/component=operator"
SELECTOR = f"{names.APP_NAME_LABEL}={names.PRODUCT},{COMPONENT}"
VERSION_LABEL = "app.kubernetes.io/version"
SELF_SIGNED = "selfSigned"
"""The certificate mode in which the operator makes the certificates."""
INSTALL = (
    f"helm install {names.PRODUCT} charts/{names.PRODUCT} -n {names.PRODUCT} --create-namespace"
)


class ReleaseError(api.KubeError):
    """There is no release, or more than one; the text says what would help."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One installation of the chart."""

    deployment: api.Json
    settings: settings_module.Settings
    """What the Deployment passes to the operator."""

    @property
    def namespace(self) -> str:
        """The namespace of the release."""
        return self.settings.namespace

    @property
    def fullname(self) -> str:
        """The name of Service, Deployment and both webhook configurations."""
        return self.settings.fullname

    @property
    def cli_role(self) -> str:
        """The ClusterRole of the chart with what verbs read."""
        return f"{self.fullname}-cli"

    @property
    def version(self) -> str:
        """The version of the operator, as its chart says."""
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
        """The user name that the API server checks rights of."""
        spec = self.deployment["spec"]["template"]["spec"]
        name = spec.get("serviceAccountName", "default")
        return f"system:serviceaccount:{self.namespace}:{name}"


async def find(client: api.Api, *, namespace: str | None = None) -> Release:
    """The release in that namespace, or the only one of the cluster.

    Raises ReleaseError if there is none or more than one. For a user who may not list all
    Deployments it is looked for in the namespace that the documents name.
    """
    try:
        deployments = await _deployments(client, namespace)
    except api.ApiError as error:
        if error.status != api.FORBIDDEN or namespace:
            raise
        namespace = names.PRODUCT
        deployments = await _deployments(client, namespace)
    if not deployments:
        place = f"namespace {namespace}" if namespace else "any namespace"
        raise ReleaseError(
            f"{names.PRODUCT} is not installed: no Deployment in {place} has the labels {SELECTOR}"
        )
    if len(deployments) > 1:
        places = ", ".join(
            sorted({api.metadata(deployment)["namespace"] for deployment in deployments})
        )
        raise ReleaseError(
            f"{names.PRODUCT} is installed {len(deployments)} times, in {places}: say which one is"
            " meant with --release-namespace"
        )
    return read(deployments[0])


async def outside(client: api.Api, release: Release) -> str:
    """Where the operator runs if not in this cluster (`service.type: ExternalName`); else empty."""
    service = await api.get_or_none(
        client, api.SERVICES, name=release.fullname, namespace=release.namespace
    )
    return str(service["spec"].get("externalName") or "") if service else ""


def read(deployment: api.Json) -> Release:
    """The release that a Deployment of the chart belongs to."""
    metadata = api.metadata(deployment)
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    fields = dataclasses.fields(settings_module.Settings)
    supported = {settings_module.variable(field.name) for field in fields}
    environment = {settings_module.variable("fullname"): metadata["name"]} | {
        variable["name"]: variable["value"]
        for variable in container.get("env") or ()
        if variable["name"] in supported and variable.get("value")
    }
    try:
        settings = settings_module.Settings.from_environment(environment)
    except settings_module.SettingError as error:
        raise ReleaseError(
            f"Deployment {metadata['namespace']}/{metadata['name']}: {error}"
        ) from error  # fmt: skip
    return Release(
        deployment=deployment,
        settings=dataclasses.replace(settings, namespace=metadata["namespace"]),
    )


async def settings_of(client: api.Api, *, chosen: str | None) -> settings_module.Settings:
    """Of the release in the chosen namespace, or of the only one; the defaults if it is unknown."""
    try:
        return (await find(client, namespace=chosen)).settings
    except api.KubeError:
        return settings_module.Settings(namespace=chosen or names.PRODUCT)


async def namespace_of(client: api.Api, *, chosen: str | None) -> str:
    """Where the injector runs: the chosen namespace, else that of the release, else the default."""
    return chosen or (await settings_of(client, chosen=None)).namespace


async def _deployments(client: api.Api, namespace: str | None) -> list[api.Json]:
    scope = api.Scope(namespace=namespace, label_selector=SELECTOR)
    return await objects.read_all(client, api.DEPLOYMENTS, scope=scope)
