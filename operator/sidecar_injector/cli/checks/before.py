"""What would stop an installation, or surprise after it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sidecar_injector import names
from sidecar_injector.cli.checks.finding import FAILED, OK, WARNING, CheckContext, CheckResult
from sidecar_injector.cli.cluster import objects, release
from sidecar_injector.cli.cluster import pods as cluster_pods
from sidecar_injector.kube import api

MANAGED_LABEL = "app.kubernetes.io/managed-by"
RELEASE_ANNOTATION = "meta.helm.sh/release-namespace"
"""Helm takes over only what carries both: https://helm.sh/docs/chart_template_guide/."""


async def other_release(context: CheckContext) -> AsyncIterator[CheckResult]:
    """Whether the product is installed already."""
    deployments = await objects.read_all(
        context.client, api.DEPLOYMENTS, scope=api.Scope(label_selector=release.SELECTOR)
    )
    for deployment in deployments:
        namespace = api.metadata(deployment)["namespace"]
        yield CheckResult(
            "release", WARNING, f"{names.PRODUCT} is installed already, in namespace {namespace}",
            f"helm upgrade it, or check it: {names.PRODUCT} check",
        )  # fmt: skip
    if not deployments:
        yield CheckResult("release", OK, "there is none yet")


async def leftovers(context: CheckContext) -> AsyncIterator[CheckResult]:
    """Whether there are objects that Helm would refuse to take over."""
    candidates = [
        (api.CUSTOM_RESOURCES, f"{resource.plural}.{resource.group}")
        for resource in api.OWN_KINDS.values()
    ]
    candidates += [(resource, names.PRODUCT) for resource in api.WEBHOOK_CONFIGURATIONS.values()]
    count = 0
    for resource, name in candidates:
        existing = await api.get_or_none(context.client, resource, name=name)
        if existing is None or _is_helms(existing):
            continue
        count += 1
        yield CheckResult(
            "leftovers", FAILED, f"{resource.plural} {name} is there, and not Helm's",
            f"kubectl delete {resource.plural} {name} (a definition takes its injections with it),"
            " or let Helm adopt it with --take-ownership",
        )  # fmt: skip
    if not count:
        yield CheckResult("leftovers", OK, "no leftovers of another installation")


async def other_injectors(context: CheckContext) -> AsyncIterator[CheckResult]:
    """Whether another webhook selects namespaces by our label."""
    count = 0
    for configuration in await objects.read_all(context.client, api.MUTATING):
        name = api.metadata(configuration)["name"]
        if objects.labels(configuration).get(names.APP_NAME_LABEL) == names.PRODUCT:
            continue
        for entry in configuration.get("webhooks") or ():
            labels = (entry.get("namespaceSelector") or {}).get("matchLabels") or {}
            if names.INJECTION_LABEL in labels:
                count += 1
                webhook = f"webhook {entry['name']} ({name})"
                yield CheckResult(
                    "others", WARNING, f"{webhook} also uses the label {names.INJECTION_LABEL}",
                    f"remove it when its injections are converted: {names.PRODUCT} convert -h",
                )  # fmt: skip
    if not count:
        yield CheckResult("others", OK, f"no other webhook uses the label {names.INJECTION_LABEL}")


async def labelled(context: CheckContext) -> AsyncIterator[CheckResult]:
    """Which namespaces would be in scope at once."""
    enabled = [
        api.metadata(namespace)["name"]
        for namespace in await cluster_pods.enabled_namespaces(context.client, None)
    ]
    if enabled:
        message = f"already enabled: {', '.join(sorted(enabled))}"
        yield CheckResult(
            "namespaces", OK, f"{message}: injection starts there right after the installation"
        )
    else:
        yield CheckResult("namespaces", OK, "none is enabled yet")


def _is_helms(resource: api.Json) -> bool:
    is_managed = objects.labels(resource).get(MANAGED_LABEL) == "Helm"
    return is_managed and RELEASE_ANNOTATION in (api.metadata(resource).get("annotations") or {})
