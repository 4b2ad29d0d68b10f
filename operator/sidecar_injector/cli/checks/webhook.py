"""Whether pods are injected: certificates, trust, and a pod through the real webhook."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sidecar_injector import names
from sidecar_injector.cli import operator_extra
from sidecar_injector.cli.checks.finding import FAILED, OK, WARNING, CheckContext, CheckResult
from sidecar_injector.cli.cluster import injections as cluster_injections
from sidecar_injector.cli.cluster import objects, probe
from sidecar_injector.cli.cluster import pods as cluster_pods
from sidecar_injector.core import near_misses, remedies
from sidecar_injector.kube import api

INTENDED = ("DryRun", "Suspended")
"""Why an injection is not ready because its author wants so."""
ENABLE = f"kubectl label namespace NAME {cluster_pods.SELECTOR}"


async def certificates(context: CheckContext) -> AsyncIterator[CheckResult]:
    """Whether the served certificate is valid, and the API server trusts it."""
    if (release := context.release) is None:
        return
    try:
        # As in `run`: other verbs should not pay for the import of the cryptography.
        with operator_extra.needed(operator_extra.CERTIFICATES):
            from sidecar_injector.cli.cluster import ca_bundles, certificates  # noqa: PLC0415
    except operator_extra.MissingPackageError as error:
        yield CheckResult("certificates", WARNING, error.reason, operator_extra.INSTALL)
        return

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
            message = (
                f"{live.phase}; serving certificate valid until {certificate.ends:%Y-%m-%d %H:%M}"
            )
            remedy = f"it should have been renewed: {logs}" if level == WARNING else ""
            yield CheckResult("certificates", level, f"{mode}: {message}", remedy)
    if bundle_problems:
        yield CheckResult("caBundle", FAILED, "; ".join(bundle_problems), f"{repaired}{logs}")
    else:
        yield CheckResult("caBundle", OK, "caBundle matches the serving certificate")


async def namespaces(context: CheckContext) -> AsyncIterator[CheckResult]:
    """Whether a namespace is enabled, and none nearly is."""
    scope = api.Scope(metadata_only=True)
    release_namespace = context.release.namespace if context.release else ""
    enabled = []
    for resource in await objects.read_all(context.client, api.NAMESPACES, scope=scope):
        namespace = cluster_injections.namespace(resource)
        findings = near_misses.of_namespace(namespace, release_namespace=release_namespace)
        for finding in findings:
            message = f"{namespace.name}: {finding.text}"
            yield CheckResult("namespaces", WARNING, message, finding.remedy)
        if namespace.is_enabled and not findings:
            enabled.append(namespace.name)
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
        elif ready["status"] != "True" and ready["reason"] not in INTENDED:
            remedy = f"kubectl describe {remedies.object_of(injection)}"
            message = f"{place} is not ready ({ready['reason']}): {ready['message']}"
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
    result = await probe.probe(context.client, name)
    if result.answer is probe.Answer.NOT_CALLED and not await _may_be_enabled(context, name):
        message = f"the namespace {name} is not enabled: its pods are not injected"
        yield CheckResult("dry-run pod", WARNING, message, ENABLE.replace("NAME", name))
        return
    level, remedy = _RATED[result.answer]
    port = context.release.settings.webhook_port
    remedy = remedy.format(namespace=context.release.namespace, port=port)
    yield CheckResult("dry-run pod", level, str(result), remedy)


_REACH = "kubectl -n {namespace} get pods; the API server must reach their TCP port {port}"
_RATED = {
    probe.Answer.ANSWERED: (OK, ""),
    probe.Answer.NOT_CALLED: (FAILED, _REACH),
    probe.Answer.REFUSED: (FAILED, _REACH),
    probe.Answer.UNKNOWN: (WARNING, "name another namespace: check -n NAMESPACE"),
}
"""The level of each answer, and what helps."""


async def _may_be_enabled(context: CheckContext, name: str) -> bool:
    """Whether the namespace is enabled, or may not be looked at."""
    try:
        return bool(await cluster_pods.enabled_namespaces(context.client, name))
    except api.ApiError:
        return True


async def _first_enabled(context: CheckContext) -> str | None:
    excluded = {*names.SYSTEM_NAMESPACES, context.release.namespace if context.release else ""}
    enabled = map(api.metadata, await cluster_pods.enabled_namespaces(context.client, None))
    candidates = {
        metadata["name"] for metadata in enabled if "deletionTimestamp" not in metadata
    }  # fmt: skip
    return min(candidates - excluded, default=None)
