"""What Helm installs: definitions, Deployment, webhook configurations."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sidecar_injector import __version__, crds, names
from sidecar_injector.cli.checks.finding import FAILED, OK, WARNING, CheckContext, CheckResult
from sidecar_injector.cli.cluster import release as cluster_release
from sidecar_injector.core.injections import namespace_view as views
from sidecar_injector.kube import api

UPGRADE = f"helm upgrade {names.PRODUCT} charts/{names.PRODUCT} -n"
WEBHOOKS = (
    (api.MUTATING, names.MUTATE_WEBHOOK, names.MUTATE_PATH),
    (api.MUTATING, names.OPTED_OUT_WEBHOOK, names.MUTATE_PATH),
    (api.VALIDATING, names.VALIDATE_WEBHOOK, names.VALIDATE_PATH),
    (api.VALIDATING, names.WORKLOADS_WEBHOOK, names.WORKLOADS_PATH),
)
"""The kind of configuration, and the name and path of the webhook in it."""
OPT_OUT = f"the label {names.INJECTION_LABEL}={names.DISABLED}"
OPTIONAL = frozenset({names.WORKLOADS_WEBHOOK})
"""What the chart can leave out."""


async def definitions(context: CheckContext) -> AsyncIterator[CheckResult]:
    """Whether the cluster knows both kinds, as this version does."""
    for kind, resource in api.OWN_KINDS.items():
        name = f"{resource.plural}.{resource.group}"
        definition = await api.get_or_none(context.client, api.CUSTOM_RESOURCES, name=name)
        if definition is None:
            install = cluster_release.INSTALL
            yield CheckResult("definitions", FAILED, f"there is no {kind}", install)
        elif not _is_established(definition):
            remedy = f"kubectl describe crd {name}"
            yield CheckResult("definitions", FAILED, f"{kind} is not established", remedy)
        elif not _has_our_schema(definition, kind):
            remedy = "use the CLI of the installed version, or upgrade the release"
            yield CheckResult("definitions", WARNING, f"{kind} is that of another version", remedy)
        else:
            yield CheckResult("definitions", OK, f"{kind} is established, {names.VERSION}")


async def replicas(context: CheckContext) -> AsyncIterator[CheckResult]:
    """Whether the operator runs, in this version."""
    if (release := context.release) is None:
        return
    namespace, name = release.namespace, release.fullname
    place = f"Deployment {namespace}/{name}"
    if release.version != __version__:
        yield CheckResult(
            "version", WARNING, f"{place} is {release.version}, this CLI is {__version__}",
            "use the CLI of the installed version",
        )  # fmt: skip
    remedy = f"kubectl -n {namespace} get pods; kubectl -n {namespace} logs deployment/{name}"
    ready = f"{place}: {release.ready} of {release.wanted} are ready"
    if outside := await cluster_release.outside(context.client, release):
        yield CheckResult("replicas", OK, f"the operator runs outside of the cluster, at {outside}")
    elif not release.ready:
        message = f"{place}: none of {release.wanted} is ready"
        yield CheckResult("replicas", FAILED, message, remedy)
    elif release.ready < release.wanted:
        yield CheckResult("replicas", WARNING, ready, remedy)
    elif release.wanted == 1:
        remedy = f"{UPGRADE} {namespace} --reuse-values --set replicas=2"
        message = f"{place}: with one replica, pods start bare while it restarts"
        yield CheckResult("replicas", WARNING, message, remedy)
    else:
        yield CheckResult("replicas", OK, ready)


async def configurations(context: CheckContext) -> AsyncIterator[CheckResult]:
    """Whether the API server calls our webhooks, at the address of the release."""
    if (release := context.release) is None:
        return
    remedy = f"{UPGRADE} {release.namespace} --reuse-values"
    for resource, name, path in WEBHOOKS:
        configuration = await api.get_or_none(context.client, resource, name=release.fullname)
        place = f"{resource.kind} {release.fullname}"
        entries = {entry["name"]: entry for entry in (configuration or {}).get("webhooks") or ()}
        if name in OPTIONAL and name not in entries:
            continue
        if name == names.OPTED_OUT_WEBHOOK and name not in entries:
            if mandatory := _mandatory(context):
                value = "--set webhook.optedOutPods=true"
                message = f"optOut of {mandatory} does not hold against {OPT_OUT}: {place} has no"
                yield CheckResult("webhooks", WARNING, f"{message} {name}", f"{remedy} {value}")
        elif configuration is None:
            yield CheckResult("webhooks", FAILED, f"there is no {place}", remedy)
        elif name not in entries:
            yield CheckResult("webhooks", FAILED, f"{place} has no {name}", remedy)
        elif problem := _address_problem(entries[name], release, path):
            yield CheckResult("webhooks", FAILED, f"{name} {problem}", remedy)
        else:
            yield CheckResult("webhooks", OK, _summary(entries[name]))


def _mandatory(context: CheckContext) -> str:
    """The injections in force that no pod may opt out of; empty if there are none."""
    index = context.injections.cluster if context.injections else views.NO_INJECTIONS
    in_force = index.members(index.mandatory & index.applicable)
    return ", ".join(injection.reference for injection in in_force)


def _address_problem(entry: api.Json, release: cluster_release.Release, path: str) -> str:
    """What is wrong with the address that the API server calls; empty if nothing is."""
    service = entry["clientConfig"].get("service")
    if service is None:
        return f"asks {entry['clientConfig'].get('url')} instead of a Service"
    # Without a path the API server calls the root.
    address = f"{service['namespace']}/{service['name']}{service.get('path') or '/'}"
    wanted = f"{release.namespace}/{release.fullname}"
    return "" if address == f"{wanted}{path}" else f"asks {address} instead of {wanted}"


def _summary(entry: api.Json) -> str:
    resources = [resource for rule in entry["rules"] for resource in rule["resources"]]
    return (
        f"{entry['name']}: failurePolicy {entry['failurePolicy']},"
        f" timeout {entry['timeoutSeconds']} s, {', '.join(resources)}"
    )


def _is_established(definition: api.Json) -> bool:
    return any(
        condition["type"] == "Established" and condition["status"] == "True"
        for condition in (definition.get("status") or {}).get("conditions") or ()
    )


def _has_our_schema(definition: api.Json, kind: str) -> bool:
    """Descriptions are not compared: they do not change what is accepted."""
    served = {
        version["name"]: version
        for version in definition["spec"]["versions"]
        if version.get("served")
    }
    if names.VERSION not in served:
        return False
    theirs = served[names.VERSION]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return _without_descriptions(theirs) == _without_descriptions(crds.spec_schema(kind))


def _without_descriptions(schema: object) -> object:
    if isinstance(schema, dict):
        # A property may be called description; a description is a text.
        return {
            key: _without_descriptions(value)
            for key, value in schema.items()
            if key != "description" or not isinstance(value, str)
        }
    if isinstance(schema, list):
        return [_without_descriptions(item) for item in schema]
    return schema
