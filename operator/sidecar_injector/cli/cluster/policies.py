"""The admission policies of compiled injections: what they should be, and what a cluster has."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence

from sidecar_injector import names
from sidecar_injector import settings as settings_module
from sidecar_injector.cli.cluster import injections as cluster_injections
from sidecar_injector.cli.cluster import objects
from sidecar_injector.cli.cluster import pods as cluster_pods
from sidecar_injector.core.pods import lenient
from sidecar_injector.core.policies import chain, scope
from sidecar_injector.kube import api

SAME, ABSENT, EDITED, STALE = "same", "not there", "edited by hand", "stale"
UNNEEDED = "not needed"
NOBODY = frozenset({"NotAccepted", "Suspended"})
"""Reasons of the condition `Compiled` by which nothing adds an injection."""


class NotServedError(api.KubeError):
    """The cluster has no such policies."""

    def __init__(self, version: str) -> None:
        super().__init__(
            f"Kubernetes {version} does not serve {api.POLICIES.api_version} {api.POLICIES.kind},"
            f" which 1.{chain.OLDEST_MINOR} brings: the webhook does all injections until the"
            " cluster is upgraded"
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """An object of the cluster, compared with what it should be."""

    resource: api.Resource
    name: str
    state: str
    message: str

    @property
    def is_there(self) -> bool:
        """Whether the cluster has it."""
        return self.state != ABSENT

    def __str__(self) -> str:
        return f"{self.resource.kind} {self.name}"


async def check_served(client: api.Api) -> None:
    """Raises NotServedError unless the API server knows these policies in v1."""
    path = f"/apis/{api.POLICIES.api_version}"
    plurals = {
        lenient.text(item, "name")
        for item in lenient.objects(await client.document(path), "resources")
    }
    if api.POLICIES.plural not in plurals:
        version = await client.document("/version")
        raise NotServedError(str(version.get("gitVersion")).removeprefix("v"))


async def place(
    client: api.Api,
    settings: settings_module.Settings,
    *,
    minor: int | None = None,
    notes: list[str],
) -> chain.Place:
    """What compiling needs to know of a cluster; `minor` counts instead of its own release."""
    webhook = await objects.unless_forbidden(
        api.get_or_none(client, api.MUTATING, name=settings.fullname),
        notes=notes,
        consequence="the policy works also where the webhook's own selectors exclude a pod",
    )
    return chain.Place(
        release_namespace=settings.namespace,
        limited=await _limited(client, notes) if settings.quotas_are_checked else (),
        minor=minor or await cluster_injections.kubernetes_minor(client),
        scope=scope.of_webhook(webhook) or scope.Scope(),
    )


def compiled(
    injections: cluster_injections.ReadInjections, place: chain.Place, *, as_files: bool = False
) -> chain.Chain:
    """What becomes of a cluster's injections; `as_files`: without generations, as in files."""
    every = [live.injection for live in injections.injections]
    if as_files:
        every = [dataclasses.replace(injection, generation=None) for injection in every]
    asking = [injection for injection in every if injection.is_compiled]
    others = [injection for injection in every if not injection.is_compiled]
    return chain.compile_chain(asking, place, others=others)


async def _limited(client: api.Api, notes: list[str]) -> list[str]:
    """The enabled namespaces with a LimitRange or a ResourceQuota."""
    limited: set[str] = set()
    for kind, resource in api.LIMITS.items():
        items = await objects.unless_forbidden(
            objects.read_all(client, resource, scope=api.Scope(metadata_only=True)),
            notes=notes,
            consequence=f"the policy adds sidecars also where a {kind} forbids them",
        )
        limited |= {api.metadata(item)["namespace"] for item in items or ()}
    enabled = await cluster_pods.enabled_namespaces(client, None)
    return sorted(limited & {api.metadata(namespace)["name"] for namespace in enabled})


async def compare(client: api.Api, *chains: chain.Chain, name: str, guarded: bool) -> list[State]:
    """The policy and its binding, with `guarded` also the guard and its binding, as they are.

    They are the same if they are those of one of the chains. What is neither wanted nor compiled is
    left out. Raises NotServedError.
    """
    await check_served(client)
    manifests = [chain.manifests(each, name=name, guarded=guarded) for each in chains]
    pairs = [((api.POLICIES, api.POLICY_BINDINGS), name)]
    if guarded:
        pairs.append(((api.GUARDS, api.GUARD_BINDINGS), chain.guard_name(name)))
    states = []
    for resources, own_name in pairs:
        is_compiled_now = False
        for resource in resources:
            wanted = [each for of in manifests for each in of if each["kind"] == resource.kind]
            live = await api.get_or_none(client, resource, name=own_name)
            # A binding is not marked.
            is_compiled_now = is_compiled_now or bool(live and list(_compiled_from(live)))
            if wanted or (live and is_compiled_now):
                state, message = _state(wanted, live)
                states.append(State(resource=resource, name=own_name, state=state, message=message))
    return states


def _state(wanted: Sequence[api.Json], live: api.Json | None) -> tuple[str, str]:
    if live is None:
        return ABSENT, ""
    if not wanted:
        return UNNEEDED, "no injection is compiled to it"
    if any(live["spec"] == manifest["spec"] for manifest in wanted):
        return SAME, ""
    hash_before = (api.metadata(live).get("annotations") or {}).get(chain.COMPILED_HASH)
    if hash_before is None and live["kind"] in (api.POLICIES.kind, api.GUARDS.kind):
        return STALE, "not compiled from injections"
    if hash_before != chain.spec_hash(live["spec"]):
        return EDITED, ""
    others = {*_compiled_from(live)} ^ {*_compiled_from(wanted[0])}
    if others:
        names_of_others = ", ".join(sorted({reference for reference, _ in others}))
        return STALE, f"compiled from other injections: {names_of_others}"
    return STALE, "compiled from other generations of them, by another version or for another place"


def _compiled_from(item: api.Json) -> Iterator[tuple[str, str]]:
    """Reference and hash of each injection of a policy. Anybody may have edited what it says."""
    try:
        entries = json.loads(api.metadata(item)["annotations"][chain.COMPILED_FROM])
    except (KeyError, ValueError, RecursionError):
        return
    for entry in lenient.objects({"entries": entries}, "entries"):
        namespace, name = (lenient.text(entry, key) for key in ("namespace", "name"))
        reference = f"{namespace}/{name}" if namespace else f"{names.CLUSTER_PREFIX}{name}"
        yield reference, lenient.text(entry, "hash")


def remedies(states: Sequence[State], command: str) -> list[str]:
    """The commands after which the objects are what they should be; `command` prints these."""
    kinds = {each.state for each in states}
    # `kubectl apply` keeps what somebody has added to a list; `replace` needs every object.
    write = "replace" if EDITED in kinds and ABSENT not in kinds else "apply"
    lines = [f"{command} | kubectl {write} -f -"] if kinds & {ABSENT, EDITED, STALE} else []
    unneeded = [each for each in states if each.state == UNNEEDED]
    return [*lines, *(f"kubectl delete {each.resource.plural} {each.name}" for each in unneeded)]


def obstacle(live: cluster_injections.LiveInjection, result: chain.Chain) -> str:
    """Why the webhook does an injection that asks for the policy; empty if the policy does it."""
    condition = live.compiled
    if condition.get("status") == "True" or condition.get("reason") in NOBODY:
        return ""
    if condition.get("reason", "Unknown") not in cluster_injections.UNJUDGED:
        return f"{condition.get('reason')}: {condition.get('message')}"
    key = live.injection.identity
    lefts = (f"{left.path}: {left.why}" for left in result.left if left.injection.identity == key)
    return next(lefts, "")
