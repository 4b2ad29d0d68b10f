"""What would stop an installation, or surprise after it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sidecar_injector import names
from sidecar_injector.cli.checks.finding import FAILED, OK, WARNING, CheckResult, Scene
from sidecar_injector.cli.checks.installed import ENTRIES, PLURALS
from sidecar_injector.cli.cluster import objects, release
from sidecar_injector.cli.cluster import pods as cluster_pods
from sidecar_injector.kube import api

MANAGED_LABEL = "app.kubernetes.io/managed-by"
RELEASE_ANNOTATION = "meta.helm.sh/release-namespace"
"""Helm takes over only what carries both: https://helm.sh/docs/chart_template_guide/."""


async def other_release(scene: Scene) -> AsyncIterator[CheckResult]:
    """Whether it is installed already."""
    found = await objects.listed(
        scene.asked, api.DEPLOYMENTS, scope=api.Scope(label_selector=release.SELECTOR)
    )
    for one in found:
        place = api.metadata(one)["namespace"]
        yield CheckResult(
            "release", WARNING, f"{names.PRODUCT} is installed already, in namespace {place}",
            f"helm upgrade it, or check it: {names.PRODUCT} check",
        )  # fmt: skip
    if not found:
        yield CheckResult("release", OK, "there is none yet")


async def leftovers(scene: Scene) -> AsyncIterator[CheckResult]:
    """Whether objects are there that Helm would refuse to take over."""
    wanted = [(api.CUSTOM_RESOURCES, f"{one}.{names.GROUP}") for one in PLURALS.values()]
    wanted += [(resource, names.PRODUCT) for _, resource, _, _ in ENTRIES]
    count = 0
    for resource, name in wanted:
        found = await objects.found(scene.asked, resource, name=name)
        if found is None or _is_helms(found):
            continue
        count += 1
        yield CheckResult(
            "leftovers", FAILED, f"{resource.plural} {name} is there, and not Helm's",
            f"kubectl delete {resource.plural} {name} (a definition takes its injections with it),"
            " or let Helm adopt it with --take-ownership",
        )  # fmt: skip
    if not count:
        yield CheckResult("leftovers", OK, "nothing that Helm would refuse to take over")


async def other_injectors(scene: Scene) -> AsyncIterator[CheckResult]:
    """Whether somebody else is asked about the pods of the namespaces that carry our label."""
    count = 0
    for one in await objects.listed(scene.asked, api.MUTATING):
        name = api.metadata(one)["name"]
        if objects.labels(one).get(names.APP_NAME_LABEL) == names.PRODUCT:
            continue
        for entry in one.get("webhooks") or ():
            labels = (entry.get("namespaceSelector") or {}).get("matchLabels") or {}
            if names.INJECTION_LABEL in labels:
                count += 1
                yield CheckResult(
                    "others", WARNING, f"webhook {entry['name']} ({name}) uses our label as well",
                    f"remove it when its injections are converted: {names.PRODUCT} convert -h",
                )  # fmt: skip
    if not count:
        yield CheckResult("others", OK, "no other webhook uses our label")


async def labelled(scene: Scene) -> AsyncIterator[CheckResult]:
    """Which namespaces would be in scope from the first moment on."""
    found = [
        api.metadata(one)["name"]
        for one in await cluster_pods.enabled_namespaces(scene.asked, None)
    ]
    if found:
        message = f"enabled already: {', '.join(sorted(found))}"
        yield CheckResult("namespaces", OK, f"{message}; their new pods are in scope at once")
    else:
        yield CheckResult("namespaces", OK, "none is enabled yet")


def _is_helms(thing: api.Json) -> bool:
    annotations = api.metadata(thing).get("annotations") or {}
    return objects.labels(thing).get(MANAGED_LABEL) == "Helm" and RELEASE_ANNOTATION in annotations
