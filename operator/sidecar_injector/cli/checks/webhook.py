"""Whether pods are injected: certificates, trust, and a pod through the real webhook."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sidecar_injector import names
from sidecar_injector.cli.checks.finding import FAILED, OK, WARNING, CheckContext, CheckResult
from sidecar_injector.cli.cluster import injections as cluster_injections
from sidecar_injector.cli.cluster import objects
from sidecar_injector.cli.cluster import pods as cluster_pods
from sidecar_injector.core import audit
from sidecar_injector.core.linting import trial
from sidecar_injector.core.reasons import Reason
from sidecar_injector.kube import api

PROBE = f"{names.PRODUCT}-check"
"""The name of an injection that does not exist: the webhook answers with a warning about it."""
ENABLE = f"kubectl label namespace NAME {cluster_pods.SELECTOR}"


async def certificates(context: CheckContext) -> AsyncIterator[CheckResult]:
    """Whether the served certificate is valid, and the API server trusts it."""
    if (release := context.release) is None:
        return
    # As in `run`: other verbs should not pay for the import of the cryptography.
    from sidecar_injector.cli.cluster import ca_bundles, certificates  # noqa: PLC0415

    live = await certificates.read(context.client, release, now=context.now)
    mode = live.mode
    logs = f"kubectl -n {release.namespace} logs deployment/{release.fullname}"
    bundle_problems = ca_bundles.problems(live.bundles)
    others = [problem for problem in live.problems if problem not in bundle_problems]
    repaired = "the operator repairs it within a second; if not: " if mode != "provided" else ""
    for problem in others:
        yield CheckResult("certificates", FAILED, problem, f"{repaired}{logs}")
    for certificate in live.certificates:
        if certificate.role == certificates.LEAF and not others:
            level = WARNING if certificate.due and certificate.due < context.now else OK
            message = f"{live.phase}; the leaf is valid until {certificate.ends:%Y-%m-%d %H:%M}"
            remedy = f"it should have been renewed: {logs}" if level == WARNING else ""
            yield CheckResult("certificates", level, f"{mode}: {message}", remedy)
    if bundle_problems:
        yield CheckResult("caBundle", FAILED, "; ".join(bundle_problems), f"{repaired}{logs}")
    else:
        yield CheckResult("caBundle", OK, "the API server trusts what is served")


async def namespaces(context: CheckContext) -> AsyncIterator[CheckResult]:
    """Whether a namespace is enabled, and none has a mistyped label."""
    scope = api.Scope(label_selector=names.INJECTION_LABEL)
    labelled = await objects.read_all(context.client, api.NAMESPACES, scope=scope)
    enabled = [namespace for namespace in labelled if objects.is_enabled(namespace)]
    for namespace in labelled:
        if audit.is_mistyped(cluster_injections.namespace(namespace)):
            name = api.metadata(namespace)["name"]
            value = objects.labels(namespace)[names.INJECTION_LABEL]
            yield CheckResult(
                "namespaces", WARNING, f"{name} has {names.INJECTION_LABEL}={value}",
                f"{ENABLE.replace('NAME', name)} --overwrite",
            )  # fmt: skip
    if enabled:
        yield CheckResult("namespaces", OK, f"{len(enabled)} enabled")
    else:
        yield CheckResult("namespaces", WARNING, "none is enabled: no pod is injected", ENABLE)


async def injections(context: CheckContext) -> AsyncIterator[CheckResult]:
    """Whether all injections are ready."""
    if context.injections is None:
        return
    for live in context.injections.injections:
        injection = live.injection
        conditions = (live.resource.get("status") or {}).get("conditions") or ()
        ready = next((condition for condition in conditions if condition["type"] == "Ready"), None)
        namespace = f"{injection.namespace}/" if injection.namespace else ""
        place = f"{injection.kind} {namespace}{injection.name}"
        if ready is None:
            remedy = "the operator writes it within a second, if it runs"
            yield CheckResult("injections", WARNING, f"{place} has no status", remedy)
        elif ready["status"] != "True" and ready["reason"] != "Suspended":
            remedy = f"kubectl describe {injection.kind.lower()} {injection.name}"
            message = f"{place} is not ready: {ready['reason']}: {ready['message']}"
            yield CheckResult("injections", WARNING, message, remedy)
    yield CheckResult("injections", OK, f"{len(context.injections.injections)} found")


async def pod(context: CheckContext) -> AsyncIterator[CheckResult]:
    """Whether the API server reaches the webhook: a pod is created as a dry run."""
    if context.release is None:
        return
    name = context.namespace or await _first_enabled(context)
    if name is None:
        yield CheckResult("dry-run pod", WARNING, "no enabled namespace to try it in", ENABLE)
        return
    try:
        await context.client.create(api.PODS, _pod(name), namespace=name, dry_run=True)
    except api.ApiError as error:
        yield CheckResult(
            "dry-run pod", WARNING, f"refused in {name}: {error.message}",
            "try another namespace with -n",
        )  # fmt: skip
        return
    if any(Reason.UNKNOWN_INJECTION.value in warning for warning in context.client.warnings):
        yield CheckResult("dry-run pod", OK, f"created in {name}, and the webhook was asked")
        return
    yield CheckResult(
        "dry-run pod", FAILED, f"created in {name}, and the webhook was not asked",
        f"the API server must reach TCP port {context.release.settings.webhook_port} of the"
        " operator's pods, and the namespace must be enabled",
    )  # fmt: skip


async def _first_enabled(context: CheckContext) -> str | None:
    excluded = {*names.SYSTEM_NAMESPACES, context.release.namespace if context.release else ""}
    enabled = map(api.metadata, await cluster_pods.enabled_namespaces(context.client, None))
    candidates = {
        metadata["name"] for metadata in enabled if "deletionTimestamp" not in metadata
    }  # fmt: skip
    return min(candidates - excluded, default=None)


def _pod(namespace: str) -> api.Json:
    """A pod that the restricted Pod Security level admits: nothing but the webhook is tried."""
    resources = {"cpu": "1m", "memory": "1Mi"}
    container = {
        "name": "check",
        "image": PROBE,
        "securityContext": trial.SECURITY_CONTEXT,
        "resources": {"requests": resources, "limits": resources},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"{PROBE}-",
            "namespace": namespace,
            "annotations": {names.INJECT_ANNOTATION: PROBE},
        },
        "spec": {"containers": [container], "automountServiceAccountToken": False},
    }
