"""One of the four admission objects that the chart creates, and that the operator updates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from sidecar_injector import names
from sidecar_injector.controllers import rate_limit
from sidecar_injector.core.policies import chain
from sidecar_injector.kube import api, informer
from sidecar_injector.observability.metrics import Metrics

MANAGED_BY: Final = "app.kubernetes.io/managed-by"
HELM: Final = "Helm"
OURS: Final = {names.APP_NAME_LABEL: names.PRODUCT, MANAGED_BY: HELM}
"""The labels that the chart puts on its objects."""
ANNOTATIONS: Final = frozenset({chain.COMPILED_FROM, chain.COMPILED_HASH})
UPGRADE: Final = "helm upgrade RELEASE CHART --reuse-values --set policies.managed=true"
QUOTED_VALUE: Final = ": Invalid value: "
"""In a refusal. What follows is an expression of the policy, in which values of variables are."""
CONDITIONS: Final = [{"name": "nothing-is-compiled", "expression": "false"}]
CONSTRAINTS: Final = {
    "namespaceSelector": {"matchLabels": {names.INJECTION_LABEL: names.ENABLED}},
    "resourceRules": [
        {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    ],
}
NO_OPERATION: Final = '[JSONPatch{op: "test", path: "/kind", value: "Pod"}]'


class ProblemError(Exception):
    """An object cannot be what it should be; the text says why, and what would help."""


def object_names(fullname: str) -> Mapping[api.Resource, str]:
    """The four objects with their names."""
    guard = names.guard_name(fullname)
    return {
        api.POLICIES: fullname,
        api.POLICY_BINDINGS: fullname,
        api.GUARDS: guard,
        api.GUARD_BINDINGS: guard,
    }


def placeholders(fullname: str) -> Mapping[api.Resource, api.Json]:
    """The objects as the chart creates them: they do nothing. A test compares them with the chart.

    A policy must have a mutation, and an empty list has not the type of one.
    """
    off: api.Json = {
        "failurePolicy": "Ignore",
        "matchConstraints": CONSTRAINTS,
        "matchConditions": CONDITIONS,
    }
    mutation = {"patchType": "JSONPatch", "jsonPatch": {"expression": NO_OPERATION}}
    guard = names.guard_name(fullname)
    specs: dict[api.Resource, api.Json] = {
        api.POLICIES: {**off, "reinvocationPolicy": "Never", "mutations": [mutation]},
        api.POLICY_BINDINGS: {"policyName": fullname},
        api.GUARDS: {**off, "validations": [{"expression": "true"}]},
        api.GUARD_BINDINGS: {"policyName": guard, "validationActions": ["Deny"]},
    }
    return {resource: {"metadata": {}, "spec": spec} for resource, spec in specs.items()}


class PolicyObject:
    """Follows an object and updates it; it is never created, as that right is not ours."""

    def __init__(
        self,
        client: api.Api,
        resource: api.Resource,
        *,
        name: str,
        metrics: Metrics,
        limiter: rate_limit.WriteLimiter,
        on_change: Callable[[], None],
    ) -> None:
        self._client, self._resource, self._name = client, resource, name
        self._what = f"{resource.kind} {name}"
        self._writes, self._limiter = metrics.writes, limiter
        self._asked: api.Json = {}
        """What was last compared."""
        self._answer: api.Json = {}
        """The same as the API server stores it, with its defaults."""
        self._owns_fields = False
        """Whether fields may be ours since a write, and are still to be given up."""
        self.informer = informer.Informer(
            client,
            resource,
            metrics=metrics,
            scope=api.by_name(name),
            # Also `managedFields`, some of which are given up.
            keep=lambda item: item,
            on_change=lambda key, old, new: on_change(),
        )

    async def differs(self, wanted: api.Json) -> bool:
        """Whether the object must be written. The API server says so in a dry run, once."""
        live = self._live()
        body = _changed(live, wanted)
        if self._asked != wanted:
            self._answer = (await self._replace(body, dry_run=True))["spec"]
            self._asked = wanted
        same = _annotations(body) == _annotations(live) and live["spec"] == self._answer
        if same:
            self._limiter.observe_correct(self._resource)
        return not same

    async def bring(self, wanted: api.Json) -> bool:
        """Write the object if it differs, after the dry run; whether it was written.

        The fields that are written become ours, and Helm, which applies server-side, would refuse
        a rollback for a conflict over them: so we give them up afterwards.
        """
        if not await self.differs(wanted):
            if self._owns_fields:
                # The API server writes into the status of a new policy, and can be faster.
                await self._give_up_fields(self._live())
            return False
        value = _annotations(wanted).get(chain.COMPILED_HASH)
        if self._limiter.delay(self._resource, value):
            raise ProblemError(
                f"somebody keeps rewriting {self._what}: it is repaired once a minute"
            )
        self._owns_fields = True
        written = await self._replace(_changed(self._live(), wanted))
        # An API server that was upgraded may add more defaults than it did in the dry run.
        self._answer = written["spec"]
        self._limiter.count(self._resource, value)
        self._writes.labels(self._resource.plural, "written").inc()
        await self._give_up_fields(written)
        return True

    async def _give_up_fields(self, item: api.Json) -> None:
        entries = api.metadata(item).get("managedFields") or ()
        others = [entry for entry in entries if entry.get("manager") != names.PRODUCT]
        metadata = {**api.metadata(item), "managedFields": others}
        await self._replace({**item, "metadata": metadata})
        self._owns_fields = False

    def _live(self) -> api.Json:
        live = self.informer.objects.get(("", self._name))
        if live is None and self.informer.problem:
            raise ProblemError(f"{self._what} cannot be read: {self.informer.problem}")
        if live is None:
            raise ProblemError(f"{self._what} does not exist: {UPGRADE} creates it")
        labels = api.metadata(live).get("labels") or {}
        if any(labels.get(key) != value for key, value in OURS.items()):
            wanted = ",".join(f"{key}={value}" for key, value in OURS.items())
            raise ProblemError(
                f"{self._what} is somebody else's, as it lacks the labels {wanted}: delete it, and"
                f" {UPGRADE} creates it"
            )
        return live

    async def _replace(self, body: api.Json, *, dry_run: bool = False) -> api.Json:
        try:
            return await self._client.replace(
                self._resource, body, name=self._name, dry_run=dry_run
            )
        except api.ApiError as error:
            result = "conflict" if error.status == api.CONFLICT else "failed"
            self._writes.labels(self._resource.plural, result).inc()
            passes = {api.CONFLICT, api.UNAUTHORIZED}
            if error.status in passes or api.is_overload(error):
                raise
            message = error.message.partition(QUOTED_VALUE)[0]
            raise ProblemError(
                f"the API server refuses to update {self._what}: {error.reason}: {message}"
            ) from None


def _changed(live: api.Json, wanted: api.Json) -> api.Json:
    """The object with another spec, and with our annotations as they should be."""
    kept = {key: value for key, value in _annotations(live).items() if key not in ANNOTATIONS}
    ours = {key: value for key, value in _annotations(wanted).items() if key in ANNOTATIONS}
    metadata = {**api.metadata(live), "annotations": {**kept, **ours}}
    return {**live, "metadata": metadata, "spec": wanted["spec"]}


def _annotations(item: api.Json) -> api.Json:
    annotations: api.Json = api.metadata(item).get("annotations") or {}
    return annotations
