"""What has to be in the cluster besides the product: objects of templates, cert-manager."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

from sidecar_injector import names
from sidecar_injector.cli.checks.finding import OK, WARNING, CheckContext, CheckResult
from sidecar_injector.cli.cluster import objects
from sidecar_injector.cli.cluster import pods as cluster_pods
from sidecar_injector.core.linting import advice
from sidecar_injector.kube import api

MAX_OBJECTS = 200
"""That are looked for, one request each."""
RESOURCES = api.by_kind(
    api.Resource("v1", "configmaps", advice.CONFIG_MAP),
    api.SECRETS,
    api.Resource("v1", "persistentvolumeclaims", advice.CLAIM),
    api.SERVICE_ACCOUNTS,
)
CERT_MANAGER = "cert-manager"
"""Its usual namespace, and the name in its Deployment's labels."""


async def needed_objects(context: CheckContext) -> AsyncIterator[CheckResult]:
    """Whether the enabled namespaces have what the injections of the cluster refer to."""
    wanted = await _wanted(context)
    if not wanted:
        return
    unseen: dict[str, None] = {}
    missing = 0
    for (namespace, needed), reference in itertools.islice(wanted.items(), MAX_OBJECTS):
        resource = RESOURCES[needed.kind]
        try:
            existing = await api.get_or_none(
                context.client, resource, name=needed.name, namespace=namespace
            )
        except api.ApiError as error:
            if error.status != api.FORBIDDEN:
                raise
            unseen[f"{resource.plural} in {namespace}"] = None
            continue
        if existing is None:
            missing += 1
            yield CheckResult(
                "objects", WARNING, f"{namespace} has no {needed}, which {reference} needs",
                f"create it in {namespace}, or exclude that namespace by namespaceSelector",
            )  # fmt: skip
    if len(wanted) > MAX_OBJECTS:
        unseen[f"{len(wanted) - MAX_OBJECTS} objects more"] = None
    if unseen:
        yield CheckResult("objects", OK, f"not looked for: {', '.join(unseen)}")
    elif not missing:
        yield CheckResult("objects", OK, "every namespace has what cluster injections refer to")


async def cold_start(context: CheckContext) -> AsyncIterator[CheckResult]:
    """Whether the injector and cert-manager would wait for each other after a loss of all pods."""
    release = context.release
    if release is None or release.settings.certificate_mode != "certManager":
        return
    configuration = await api.get_or_none(context.client, api.MUTATING, name=release.fullname)
    policies = {entry.get("failurePolicy") for entry in (configuration or {}).get("webhooks") or ()}
    if "Fail" not in policies:
        return
    enabled = {api.metadata(each)["name"] for each in await _injected_namespaces(context)}
    for namespace in sorted(enabled & await _cert_manager_namespaces(context)):
        yield CheckResult(
            "cold start", WARNING,
            f"cert-manager's pods in {namespace} need the webhook (failurePolicy Fail), which needs"
            " cert-manager's certificate",
            f"kubectl label namespace {namespace} {names.INJECTION_LABEL}-",
        )  # fmt: skip


async def _cert_manager_namespaces(context: CheckContext) -> set[str]:
    scope = api.Scope(label_selector=f"{names.APP_NAME_LABEL}={CERT_MANAGER}")
    try:
        deployments = await objects.read_all(context.client, api.DEPLOYMENTS, scope=scope)
    except api.ApiError as error:
        if error.status != api.FORBIDDEN:
            raise
        deployments = []
    return {CERT_MANAGER, *(api.metadata(each)["namespace"] for each in deployments)}


async def _injected_namespaces(context: CheckContext) -> list[api.Json]:
    exempt = {*names.SYSTEM_NAMESPACES, context.release.namespace if context.release else ""}
    enabled = await cluster_pods.enabled_namespaces(context.client, None)
    return [each for each in enabled if api.metadata(each)["name"] not in exempt]


async def _wanted(context: CheckContext) -> dict[tuple[str, advice.NeededObject], str]:
    """Namespace and object, with an injection that needs it."""
    injections = [
        (live.injection, advice.needed_objects(live.injection))
        for live in (context.injections.injections if context.injections else ())
        if live.injection.namespace is None
        and not live.injection.errors
        and not live.injection.spec.get("suspend")
    ]
    if not any(needed for _, needed in injections):
        return {}
    wanted: dict[tuple[str, advice.NeededObject], str] = {}
    for namespace in await _injected_namespaces(context):
        for injection, needed in injections:
            if injection.namespace_selector(objects.labels(namespace)):
                name = api.metadata(namespace)["name"]
                for each in needed:
                    wanted.setdefault((name, each), injection.reference)
    return wanted
