"""Whether pods are injected: certificates, trust, and a pod through the real webhook."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from sidecar_injector import names
from sidecar_injector.cli.checks.finding import FAILED, OK, WARNING, CheckResult, Scene
from sidecar_injector.cli.cluster import injections as cluster_injections
from sidecar_injector.cli.cluster import objects
from sidecar_injector.cli.cluster import pods as cluster_pods
from sidecar_injector.core import audit
from sidecar_injector.core.reasons import Reason
from sidecar_injector.kube import api

PROBE = f"{names.PRODUCT}-check"
"""The name of an injection that does not exist: the webhook answers with a warning about it."""
ENABLE = f"kubectl label namespace NAME {cluster_pods.SELECTOR}"


async def certificates(scene: Scene) -> AsyncIterator[CheckResult]:
    """Whether what is served is valid, and trusted by the API server."""
    if (found := scene.release) is None:
        return
    # As in `run`: other verbs should not pay for the import of the cryptography.
    from sidecar_injector.cli.cluster import ca_bundles, certificates  # noqa: PLC0415

    held = await certificates.read(scene.asked, found, now=scene.now)
    mode = held.mode
    logs = f"kubectl -n {found.namespace} logs deployment/{found.fullname}"
    wrong = ca_bundles.problems(held.bundles)
    others = [one for one in held.problems if one not in wrong]
    repaired = "the operator repairs it within a second; if not: " if mode != "provided" else ""
    for problem in others:
        yield CheckResult("certificates", FAILED, problem, f"{repaired}{logs}")
    for one in held.certificates:
        if one.role == certificates.LEAF and not others:
            level = WARNING if one.due and one.due < scene.now else OK
            message = f"{held.phase}; the leaf is valid until {one.ends:%Y-%m-%d %H:%M}"
            remedy = f"it should have been renewed: {logs}" if level == WARNING else ""
            yield CheckResult("certificates", level, f"{mode}: {message}", remedy)
    if wrong:
        yield CheckResult("caBundle", FAILED, "; ".join(wrong), f"{repaired}{logs}")
    else:
        yield CheckResult("caBundle", OK, "the API server trusts what is served")


async def namespaces(scene: Scene) -> AsyncIterator[CheckResult]:
    """Whether any namespace is enabled, and none means to be."""
    scope = api.Scope(label_selector=names.INJECTION_LABEL)
    labelled = await objects.listed(scene.asked, api.NAMESPACES, scope=scope)
    enabled = [one for one in labelled if objects.is_enabled(one)]
    for one in labelled:
        if audit.is_mistyped(cluster_injections.namespace(one)):
            name, value = api.metadata(one)["name"], objects.labels(one)[names.INJECTION_LABEL]
            yield CheckResult(
                "namespaces", WARNING, f"{name} has {names.INJECTION_LABEL}={value}",
                f"{ENABLE.replace('NAME', name)} --overwrite",
            )  # fmt: skip
    if enabled:
        yield CheckResult("namespaces", OK, f"{len(enabled)} enabled")
    else:
        yield CheckResult("namespaces", WARNING, "none is enabled: no pod is injected", ENABLE)


async def injections(scene: Scene) -> AsyncIterator[CheckResult]:
    """Whether all injections are in force."""
    if scene.known is None:
        return
    for one in scene.known.injections:
        conditions = (one.resource.get("status") or {}).get("conditions") or ()
        ready = next((each for each in conditions if each["type"] == "Ready"), None)
        place = f"{one.injection.kind} {one.injection.namespace or ''}/{one.injection.name}"
        place = place.replace(" /", " ")
        if ready is None:
            remedy = "the operator writes it within a second, if it runs"
            yield CheckResult("injections", WARNING, f"{place} has no status", remedy)
        elif ready["status"] != "True" and ready["reason"] != "Suspended":
            remedy = f"kubectl describe {one.injection.kind.lower()} {one.injection.name}"
            message = f"{place} is not ready: {ready['reason']}: {ready['message']}"
            yield CheckResult("injections", WARNING, message, remedy)
    yield CheckResult("injections", OK, f"{len(scene.known.injections)} found")


async def pod(scene: Scene) -> AsyncIterator[CheckResult]:
    """Whether the API server reaches the webhook: a pod is created as a dry run."""
    if scene.release is None:
        return
    name = scene.namespace or await _first_enabled(scene)
    if name is None:
        yield CheckResult("dry-run pod", WARNING, "no enabled namespace to try it in", ENABLE)
        return
    try:
        await scene.asked.create(api.PODS, _pod(name), namespace=name, dry_run=True)
    except api.ApiError as error:
        yield CheckResult(
            "dry-run pod", WARNING, f"refused in {name}: {error.message}",
            "try another namespace with -n",
        )  # fmt: skip
        return
    if any(Reason.UNKNOWN_INJECTION.value in one for one in scene.asked.warnings):
        yield CheckResult("dry-run pod", OK, f"created in {name}, and the webhook was asked")
        return
    yield CheckResult(
        "dry-run pod", FAILED, f"created in {name}, and the webhook was not asked",
        f"the API server must reach TCP port {scene.release.settings.webhook_port} of the"
        " operator's pods, and the namespace must be enabled",
    )  # fmt: skip


async def _first_enabled(scene: Scene) -> str | None:
    excluded = {*names.SYSTEM_NAMESPACES, scene.release.namespace if scene.release else ""}
    found = [
        api.metadata(one)["name"]
        for one in await cluster_pods.enabled_namespaces(scene.asked, None)
        if "deletionTimestamp" not in api.metadata(one)
    ]
    return next((one for one in sorted(found) if one not in excluded), None)


def _pod(namespace: str) -> dict[str, Any]:
    """One that the restricted Pod Security level admits, so that only the webhook is tried."""
    security = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    resources = {"cpu": "1m", "memory": "1Mi"}
    container = {
        "name": "check",
        "image": PROBE,
        "securityContext": security,
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
