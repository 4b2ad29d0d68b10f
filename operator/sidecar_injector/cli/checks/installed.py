"""What Helm brought: definitions, Deployment, rights, webhook configurations."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sidecar_injector import __version__, crds, names
from sidecar_injector.cli.checks.finding import FAILED, OK, WARNING, CheckResult, Scene
from sidecar_injector.cli.cluster import objects, release
from sidecar_injector.kube import api

PLURALS = {names.KIND: names.PLURAL, names.CLUSTER_KIND: names.CLUSTER_PLURAL}
UPGRADE = f"helm upgrade {names.PRODUCT} charts/{names.PRODUCT} -n"
ENTRIES = (
    ("MutatingWebhookConfiguration", api.MUTATING, names.MUTATE_WEBHOOK, names.MUTATE_PATH),
    ("ValidatingWebhookConfiguration", api.VALIDATING, names.VALIDATE_WEBHOOK,
     names.VALIDATE_PATH),
)  # fmt: skip


async def definitions(scene: Scene) -> AsyncIterator[CheckResult]:
    """Whether the cluster knows both kinds, as this version does."""
    for kind, plural in PLURALS.items():
        name = f"{plural}.{names.GROUP}"
        found = await objects.found(scene.asked, api.CUSTOM_RESOURCES, name=name)
        if found is None:
            yield CheckResult("definitions", FAILED, f"there is no {kind}", release.INSTALL)
            continue
        conditions = (found.get("status") or {}).get("conditions") or ()
        if not any(one["type"] == "Established" and one["status"] == "True" for one in conditions):
            remedy = f"kubectl describe crd {name}"
            yield CheckResult("definitions", FAILED, f"{kind} is not established", remedy)
        elif not _same_schema(found, kind):
            remedy = "use the CLI of the installed version, or upgrade the release"
            yield CheckResult("definitions", WARNING, f"{kind} is that of another version", remedy)
        else:
            yield CheckResult("definitions", OK, f"{kind} is established, {names.VERSION}")


async def replicas(scene: Scene) -> AsyncIterator[CheckResult]:
    """Whether the operator runs, in this version."""
    if (found := scene.release) is None:
        return
    place = f"Deployment {found.namespace}/{found.fullname}"
    if found.version != __version__:
        yield CheckResult(
            "version", WARNING, f"{place} is {found.version}, this CLI is {__version__}",
            "use the CLI of the installed version",
        )  # fmt: skip
    outside = await release.outside(scene.asked, found)
    logs = f"kubectl -n {found.namespace} get pods; kubectl -n {found.namespace} logs"
    remedy = f"{logs} deployment/{found.fullname}"
    if outside:
        yield CheckResult("replicas", OK, f"the operator runs outside of the cluster, at {outside}")
    elif not found.ready:
        yield CheckResult("replicas", FAILED, f"{place}: none of {found.wanted} is ready", remedy)
    elif found.ready < found.wanted:
        message = f"{place}: {found.ready} of {found.wanted} are ready"
        yield CheckResult("replicas", WARNING, message, remedy)
    elif found.wanted == 1:
        remedy = f"{UPGRADE} {found.namespace} --reuse-values --set replicas=2"
        message = f"{place}: with one replica, pods start bare while it restarts"
        yield CheckResult("replicas", WARNING, message, remedy)
    else:
        yield CheckResult("replicas", OK, f"{place}: {found.ready} of {found.wanted} are ready")


async def configurations(scene: Scene) -> AsyncIterator[CheckResult]:
    """Whether the API server asks us, and not somebody else."""
    if (found := scene.release) is None:
        return
    remedy = f"{UPGRADE} {found.namespace} --reuse-values"
    for kind, resource, name, path in ENTRIES:
        live = await objects.found(scene.asked, resource, name=found.fullname)
        entries = {one["name"]: one for one in (live or {}).get("webhooks") or ()}
        if live is None:
            yield CheckResult("webhooks", FAILED, f"there is no {kind} {found.fullname}", remedy)
        elif name not in entries:
            yield CheckResult("webhooks", FAILED, f"{kind} {found.fullname} has no {name}", remedy)
        elif wrong := _wrong_address(entries[name], found, path):
            yield CheckResult("webhooks", FAILED, f"{name} {wrong}", remedy)
        else:
            yield CheckResult("webhooks", OK, _said(name, entries[name]))


def _wrong_address(entry: api.Json, found: release.Release, path: str) -> str:
    service = entry["clientConfig"].get("service")
    if service is None:
        return f"asks {entry['clientConfig'].get('url')} instead of a Service"
    given = service["namespace"], service["name"], service.get("path")
    if given == (found.namespace, found.fullname, path):
        return ""
    return f"asks {given[0]}/{given[1]}{given[2]} instead of {found.namespace}/{found.fullname}"


def _said(name: str, entry: api.Json) -> str:
    return (
        f"{name}: failurePolicy {entry['failurePolicy']}, timeout {entry['timeoutSeconds']} s,"
        f" {', '.join(one for rule in entry['rules'] for one in rule['resources'])}"
    )


def _same_schema(found: api.Json, kind: str) -> bool:
    """The descriptions aside: a word does not change what is accepted."""
    served = {one["name"]: one for one in found["spec"]["versions"] if one.get("served")}
    if names.VERSION not in served:
        return False
    theirs = served[names.VERSION]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return _bare(theirs) == _bare(crds.spec_schema(kind))


def _bare(schema: object) -> object:
    if isinstance(schema, dict):
        # A property may be called description; a description is a text.
        return {
            key: _bare(value)
            for key, value in schema.items()
            if key != "description" or not isinstance(value, str)
        }
    return [_bare(one) for one in schema] if isinstance(schema, list) else schema
