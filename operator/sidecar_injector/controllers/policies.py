"""Keeps the admission policy in which the compiled injections are; only the leader runs it.

The chart creates four objects that do nothing: a policy, a guard, and a binding of each. Here they
get what `core.policies` makes of the injections with `engine: Policy`, and the same nothing again
when there is none left.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from sidecar_injector import names
from sidecar_injector.controllers import loop, rate_limit
from sidecar_injector.controllers.policy_objects import (
    UPGRADE,
    PolicyObject,
    ProblemError,
    object_names,
    placeholders,
)
from sidecar_injector.core import status
from sidecar_injector.core.injections import model
from sidecar_injector.core.policies import chain, scope
from sidecar_injector.kube import api, events, informer, server_clock
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.settings import Settings
from sidecar_injector.webhook import cluster_state, worker

RELEASE_SECONDS: Final = 1.0
"""How often to check whether the release of the cluster is known."""
IN_FORCE_SECONDS: Final = 3.0
"""After a write: an API server reads its policies once a second, and compiles what has changed. In
this time nothing else is written."""

NAMESPACES_SECONDS: Final = 60.0
"""Changes inside namespaces are compiled no more often. While the policy changes, the guard asks
for nothing, and nobody who may edit one namespace should keep it so for all others."""

log = logging.getLogger(__name__)

Key = tuple[str, int | None]
"""The uid and generation of an injection: another one for each of its versions."""
Outcome = Callable[[model.Injection], status.Fields]
"""The condition `Compiled` of an injection."""
Wanted = Mapping[api.Resource, api.Json]
"""What the objects should be."""
Inputs = tuple[tuple[model.Injection, ...], tuple[model.Injection, ...], chain.Place]
"""The injections to compile, all others, and what is known of the cluster."""


@dataclasses.dataclass(frozen=True, slots=True)
class Compiled:
    """What became of the injections, and the objects that follow from it."""

    chain: chain.Chain
    wanted: Wanted


class PolicyController:
    """Compiles injections when they change, and compares the objects with the result."""

    def __init__(
        self,
        client: api.Api,
        *,
        settings: Settings,
        state: cluster_state.ClusterState,
        recorder: events.Recorder,
        metrics: Metrics,
        clocks: server_clock.Clocks,
    ) -> None:
        self._client, self._settings, self._state = client, settings, state
        self._recorder, self._metrics, self._clocks = recorder, metrics, clocks
        self._name, self._in_sync = settings.fullname, metrics.policy_in_sync
        self._in_sync.set(1)
        self._worker = worker.Worker()
        self._limiter = rate_limit.WriteLimiter(clocks.monotonic)
        self._objects: dict[api.Resource, PolicyObject] = {}
        self._webhook: informer.Informer | None = None
        self._inputs: Inputs | None = None
        self._compiled: Compiled | None = None
        self._outcomes: dict[Key, status.Fields] = {}
        self._reported = ""
        self._compiled_at = self._written_at = 0.0
        self._loop = loop.Loop(self.step, what="the policies")
        self.on_outcome: Callable[[str, informer.Key], None] = lambda kind, key: None
        """Called for each injection that has another outcome."""
        state.on_change = self._loop.wake

    def outcome(self, injection: model.Injection) -> status.Fields | None:
        """The condition `Compiled` of an injection; None if this replica does not know it."""
        return self._outcomes.get(key_of(injection))

    async def run(self) -> None:
        """While this replica leads, until cancelled."""
        # The leader before this one may have written until now.
        self._written_at = self._clocks.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                if self._settings.policies_are_managed:
                    self._objects = {
                        resource: PolicyObject(
                            self._client, resource, name=name, metrics=self._metrics,
                            limiter=self._limiter, on_change=self._loop.wake,
                        )
                        for resource, name in object_names(self._name).items()
                    }  # fmt: skip
                    self._webhook = informer.Informer(
                        self._client, api.MUTATING, metrics=self._metrics,
                        scope=api.by_name(self._name),
                        on_change=lambda key, old, new: self._loop.wake(),
                    )  # fmt: skip
                for each in self._informers:
                    group.create_task(each.run())
                group.create_task(self._loop.run())
        finally:
            self._objects, self._webhook = {}, None
            self._inputs, self._compiled = None, None
            self._outcomes, self._reported = {}, ""
            self._in_sync.set(1)

    @property
    def _informers(self) -> list[informer.Informer]:
        """What is followed while policies are managed."""
        webhook = [self._webhook] if self._webhook else []
        return [*webhook, *(each.informer for each in self._objects.values())]

    @property
    def _scope(self) -> scope.Scope | None:
        """What the API server calls the webhook for; None if it does not."""
        if self._webhook is None:
            return None
        return scope.of_webhook(self._webhook.objects.get(("", self._name)))

    async def step(self) -> float:
        """Write what differs; returns the seconds until the next turn."""
        everything = self._state.competing_injections(None)
        asking = tuple(each for each in everything if each.is_compiled)
        minor = self._state.kubernetes_minor
        if minor is None:
            return RELEASE_SECONDS
        if minor < chain.OLDEST_MINOR:
            self._publish(asking, lambda _: status.not_served(minor))
        elif not self._objects:
            self._publish(asking, lambda _: status.NOT_MANAGED)
        else:
            for each in self._informers:
                await each.tried.wait()
            compiled = await self._compile(everything, minor=minor)
            problem = await self._bring(compiled.wanted)
            self._report(problem)
            self._publish(asking, self._outcome_of(compiled.chain, problem))
        return loop.TICK_SECONDS

    async def _compile(self, everything: Sequence[model.Injection], *, minor: int) -> Compiled:
        """Compile unless nothing has changed. It may take a second, so it is done in a thread."""
        wanted = tuple(each for each in everything if each.is_compiled and not each.errors)
        # Also with errors: its name means it, and not the cluster's, in its namespace.
        others = tuple(each for each in everything if not each.is_compiled)
        place = chain.Place(
            release_namespace=self._settings.namespace,
            limited=self._state.limited_namespaces,
            minor=minor,
            scope=self._scope or scope.Scope(),
        )
        # An injection is read once for each of its versions, so that it is compared by identity.
        inputs = (wanted, others, place)
        if self._compiled is None or self._is_due(inputs):
            self._compiled = await self._worker.run(compile_all, self._name, inputs)
            self._inputs, self._compiled_at = inputs, self._clocks.monotonic()
        return self._compiled

    def _is_due(self, inputs: Inputs) -> bool:
        """Whether to compile now; what has to wait is seen again at the next tick."""
        if self._inputs is None or of_cluster(inputs) != of_cluster(self._inputs):
            return True
        is_early = self._clocks.monotonic() < self._compiled_at + NAMESPACES_SECONDS
        return inputs != self._inputs and not is_early

    async def _bring(self, wanted: Wanted) -> str:
        """Bring all objects into the wanted state; returns the first problem, or nothing.

        A guard refuses pods that lack what it asks for. So it asks for nothing while the policy
        changes, and for the new once the new policy is in force. An API server reads the two
        apart, so each has to be in force before the other one changes.
        """
        loosened = placeholders(self._name)[api.GUARDS]
        try:
            self._check_webhook()
            if await self._differ(wanted, api.POLICIES, api.POLICY_BINDINGS):
                await self._put({api.GUARDS: loosened})
                await self._put(
                    {each: wanted[each] for each in (api.POLICIES, api.POLICY_BINDINGS)}
                )
            await self._put({each: wanted[each] for each in (api.GUARD_BINDINGS, api.GUARDS)})
            await self._until_in_force()
        except ProblemError as problem:
            self._in_sync.set(0)
            return str(problem)
        except BaseException:
            self._in_sync.set(0)
            raise
        self._in_sync.set(1)
        return ""

    async def _differ(self, wanted: Wanted, *resources: api.Resource) -> bool:
        for each in resources:
            if await self._objects[each].differs(wanted[each]):
                return True
        return False

    async def _put(self, wanted: Wanted) -> None:
        """Write what differs, once everything before it is in force."""
        is_due = await self._differ(wanted, *wanted)
        if is_due:
            await self._until_in_force()
        try:
            for resource, item in wanted.items():
                await self._objects[resource].bring(item)
        finally:
            if is_due:
                # A call that fails, or is cancelled, may have been done.
                self._written_at = self._clocks.monotonic()

    async def _until_in_force(self) -> None:
        left = self._written_at + IN_FORCE_SECONDS - self._clocks.monotonic()
        if left > 0:
            await self._clocks.sleep(left)

    def _check_webhook(self) -> None:
        if self._scope is not None:
            return
        what = f"{api.MUTATING.kind} {self._name}"
        if self._webhook and self._webhook.problem:
            raise ProblemError(f"{what} cannot be read: {self._webhook.problem}")
        raise ProblemError(
            f"{what} has no entry {names.MUTATE_WEBHOOK}, so which pods are meant is not known:"
            f" {UPGRADE} adds it"
        )

    def _outcome_of(self, result: chain.Chain, problem: str) -> Outcome:
        compiled = set(map(key_of, result.compiled))
        left = {key_of(each.injection): each for each in result.left}
        unguarded = {key_of(each.injection): each for each in result.unguarded}

        def outcome(injection: model.Injection) -> status.Fields:
            key = key_of(injection)
            if injection.errors:
                return status.NOT_ACCEPTED
            if obstacle := left.get(key):
                return status.not_compiled(
                    f"{obstacle.path}: {obstacle.why}", is_size=obstacle.is_size
                )
            if problem:
                # Also if it is suspended: what was written before is still in force.
                return status.not_written(problem)
            if key not in compiled:
                return status.SUSPENDED
            obstacle = unguarded.get(key)
            return status.in_force(
                self._name, f"{obstacle.path}: {obstacle.why}" if obstacle else ""
            )

        return outcome

    def _publish(self, asking: Sequence[model.Injection], outcome: Outcome) -> None:
        before = self._outcomes
        self._outcomes = {key_of(each): outcome(each) for each in asking}
        for each in asking:
            if before.get(key_of(each)) != self._outcomes[key_of(each)]:
                self.on_outcome(names.CLUSTER_KIND, ("", each.name))

    def _report(self, problem: str) -> None:
        """Tell a problem once, and that it is over."""
        if problem == self._reported:
            return
        self._reported = problem
        if not problem:
            log.info("the policies are well again")
            return
        log.warning("%s", problem)
        about = events.ObjectRef(
            api_version=api.POLICIES.api_version, kind=api.POLICIES.kind, name=self._name
        )
        self._recorder.record(
            events.Event(
                regarding=about, reason="NotWritten", message=problem, action="WritePolicy"
            )
        )


def of_cluster(inputs: Inputs) -> Inputs:
    """The same without what editors of namespaces decide."""
    wanted, others, place = inputs
    cluster = tuple(each for each in others if each.is_cluster)
    return wanted, cluster, dataclasses.replace(place, limited=frozenset())


def compile_all(name: str, inputs: Inputs) -> Compiled:
    """Compile injections; the objects do nothing if there is none."""
    # Copies, since what is found out about an injection is in memory as long as it is.
    wanted, others = ([dataclasses.replace(each) for each in part] for part in inputs[:2])
    place = inputs[2]
    if not wanted:
        return Compiled(
            chain.Chain(compiled=(), left=(), policy=None, guard=None), placeholders(name)
        )
    result = chain.compile_chain(wanted, place, others=others)
    if result.policy is None:
        return Compiled(result, placeholders(name))
    objects_made = {each["kind"]: each for each in chain.manifests(result, name=name, guarded=True)}
    objects = {
        resource: objects_made.get(resource.kind, placeholder)
        for resource, placeholder in placeholders(name).items()
    }
    return Compiled(result, objects)


def key_of(injection: model.Injection) -> Key:
    """The key of this version of an injection."""
    return injection.uid, injection.generation
