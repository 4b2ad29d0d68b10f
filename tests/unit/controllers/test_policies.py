"""The admission policies are what the injections ask for, and a problem with them is told."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import datetime
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from sidecar_injector import names
from sidecar_injector.controllers import policies, policy_objects, rate_limit
from sidecar_injector.core import status
from sidecar_injector.core.policies import chain, scope
from sidecar_injector.kube import api, events, server_clock
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.settings import POLICIES, Settings
from sidecar_injector.webhook import cluster_state
from tests.kits import fake_api
from tests.kits.samples import resource

NAME = names.PRODUCT
START = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
NOTHING = policy_objects.placeholders(NAME)
OBJECTS = policy_objects.object_names(NAME)
LABELS = dict(policy_objects.OURS)
LEFT = "left"
"""An injection of this name is left to the webhook, one called LARGE for its size."""
LARGE = "large"


class Compiler:
    """In place of `core.policies`: the names of the injections are their policy."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[str], list[str], chain.Place]] = []

    def compile_chain(self, wanted: Any, place: chain.Place, *, others: Any) -> chain.Chain:
        self.calls.append(([each.name for each in wanted], [each.name for each in others], place))
        left = tuple(
            chain.Left(injection=each, path="spec.x", why="no", is_size=each.name == LARGE)
            for each in wanted
            if each.name in {LEFT, LARGE}
        )
        compiled = tuple(
            each
            for each in wanted
            if each.name not in {LEFT, LARGE} and not each.spec.get("suspend")
        )
        text = ",".join(sorted(f"{each.name}.{each.generation}" for each in compiled))
        strict = sorted(each.name for each in compiled if each.must_succeed)
        return chain.Chain(
            compiled=compiled,
            left=left,
            policy={"text": text} if compiled else None,
            guard={"text": ",".join(strict)} if strict else None,
        )

    def manifests(self, made: chain.Chain, *, name: str, guarded: bool) -> list[chain.Json]:
        assert guarded
        assert made.policy
        metadata = {"name": name, "annotations": {chain.COMPILED_HASH: made.policy["text"]}}
        binding = {"policyName": name, "matchResources": {}}
        objects = [
            {"kind": api.POLICIES.kind, "metadata": metadata, "spec": made.policy},
            {"kind": api.POLICY_BINDINGS.kind, "metadata": metadata, "spec": binding},
        ]
        if made.guard:
            objects.append({"kind": api.GUARDS.kind, "metadata": metadata, "spec": made.guard})
        return objects


class Server(fake_api.FakeApi):
    """Adds a default to each spec, as the API server does, and keeps who owns the fields."""

    def __init__(self) -> None:
        super().__init__()
        self.defaults: api.Json = {"matchPolicy": "Equivalent"}
        self.fail_second: api.Resource | None = None
        """The first replace that changes no spec of this one meets a conflict."""
        self.on_write: Callable[[str, Any], None] = lambda kind, text: None
        self.written: list[tuple[str, Any]] = []
        """The changes of specs, in order: kind, and the text of the policy."""

    async def replace(self, resource: api.Resource, body: api.Json, **options: Any) -> api.Json:
        body = copy.deepcopy(body)
        body["spec"] = {**self.defaults, **body["spec"]}
        before = self.objects.get(resource, {}).get(("", options["name"]), {"metadata": {}})
        owners = copy.deepcopy(before["metadata"].get("managedFields", []))
        body["metadata"].setdefault("managedFields", owners)
        if not options.get("dry_run") and before.get("spec") != body["spec"]:
            entry = {"manager": names.PRODUCT, "operation": "Update"}
            body["metadata"]["managedFields"].append(entry)
            self.written.append((resource.kind, body["spec"].get("text")))
            self.on_write(*self.written[-1])
        elif not options.get("dry_run") and resource == self.fail_second:
            self.fail_second = None
            raise fake_api.refusal(409, "Conflict")
        return await super().replace(resource, body, **options)


class World:
    """The leader, and a cluster in memory."""

    def __init__(self, *, managed: bool = True) -> None:
        self.server, self.metrics = Server(), Metrics()
        self.state = cluster_state.ClusterState(release_namespace=NAME)
        self.slept: list[float] = []
        self.changed: list[str] = []
        self.recorder = events.Recorder(self.server, instance="r", now=lambda: START)
        self.seconds = 0.0
        self.controller = policies.PolicyController(
            self.server, settings=Settings(policies=POLICIES[managed]), state=self.state,
            recorder=self.recorder, metrics=self.metrics,
            clocks=server_clock.Clocks(
                now=lambda: START, monotonic=lambda: self.seconds, sleep=self.sleep
            ),
        )  # fmt: skip
        self.controller.on_outcome = lambda kind, key: self.changed.append(key[1])
        for kind, name in OBJECTS.items():
            self.place(kind, name)
        self.call_webhook()
        self.state.release_read(37)

    def place(self, kind: api.Resource, name: str, **labels: str) -> None:
        """The object as the chart creates it."""
        spec = {**NOTHING[kind]["spec"], "matchPolicy": "Equivalent"}
        managers = [{"manager": "helm", "operation": "Apply"}]
        metadata = {"name": name, "labels": LABELS | labels, "managedFields": managers}
        self.server.seed(kind, {"metadata": metadata, "spec": copy.deepcopy(spec)})

    def call_webhook(self, *, ca_bundle: str = "", **selectors: Any) -> None:
        """The webhook configuration, with an entry of these selectors."""
        entry = {"name": names.MUTATE_WEBHOOK, "clientConfig": {"caBundle": ca_bundle}, **selectors}
        self.server.seed(api.MUTATING, {"metadata": {"name": NAME}, "webhooks": [entry]})

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        for _ in range(30):
            await asyncio.sleep(0)
        self.seconds += seconds

    async def idle(self) -> None:
        """Give the leader enough turns to do what it must not do."""
        for _ in range(300):
            await asyncio.sleep(0)

    def apply(self, name: str, *, generation: int = 1, **spec: Any) -> None:
        raw = resource(name, cluster=True, **{"engine": "Policy", **spec})
        raw["metadata"] |= {"uid": name, "generation": generation}
        self.state.cluster_injection_changed(("", name), None, raw)

    def delete(self, name: str) -> None:
        self.state.cluster_injection_changed(("", name), {}, None)

    def spec(self, kind: api.Resource = api.POLICIES) -> api.Json:
        spec: api.Json = self.live(kind)["spec"]
        return spec

    def live(self, kind: api.Resource = api.POLICIES) -> api.Json:
        return self.server.objects[kind]["", OBJECTS[kind]]

    def outcome(self, name: str) -> status.Fields | None:
        injection = self.state.injection(names.CLUSTER_KIND, ("", name))
        assert injection
        return self.controller.outcome(injection)

    def in_sync(self) -> float | None:
        return self.metrics.registry.get_sample_value("sidecar_injector_policy_in_sync")

    async def until(self, name: str, reason: str) -> status.Fields:
        """Let the leader work until an injection has an outcome with this reason."""

        async def wait() -> status.Fields:
            while True:
                fields = self.outcome(name)
                if fields and fields[1] == reason:
                    return fields
                await asyncio.sleep(0.001)

        return await asyncio.wait_for(wait(), 10)

    @contextlib.asynccontextmanager
    async def leading(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.controller.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def events(self) -> list[api.Json]:
        await fake_api.run_until_idle(self.recorder.run)
        return list(self.server.objects.get(api.EVENTS, {}).values())


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Compiler:
    made = Compiler()
    monkeypatch.setattr(chain, "compile_chain", made.compile_chain)
    monkeypatch.setattr(chain, "manifests", made.manifests)
    return made


@pytest.fixture
def world(compiler: Compiler) -> World:
    return World()


async def test_what_is_compiled_is_written_and_then_in_force(world: World) -> None:
    world.apply("log")
    async with world.leading():
        state, _, message = await world.until("log", "InForce")

    assert state == "True"
    assert NAME in message
    assert world.spec()["text"] == "log.1"
    assert world.live()["metadata"]["annotations"] == {chain.COMPILED_HASH: "log.1"}
    assert world.spec(api.GUARDS)["validations"] == [{"expression": "true"}]
    assert world.changed == ["log"]
    assert world.slept[0] == policies.IN_FORCE_SECONDS, "it is reported when it is in force"


async def test_what_is_as_it_should_be_is_not_written(world: World) -> None:
    world.apply("log")
    async with world.leading():
        await world.until("log", "InForce")
    written = list(world.server.written)
    async with world.leading():
        await world.until("log", "InForce")

    assert world.server.written == written


async def test_the_fields_that_are_written_are_given_up_again(world: World) -> None:
    """Otherwise Helm refuses to roll back."""
    world.apply("log")
    async with world.leading():
        await world.until("log", "InForce")

    managers = world.live()["metadata"]["managedFields"]
    assert [entry["manager"] for entry in managers] == ["helm"]


async def test_fields_that_could_not_be_given_up_are_given_up_later(world: World) -> None:
    """The API server writes into the status of a new policy; it was faster."""
    world.server.fail_second = api.GUARDS
    world.apply("log", failurePolicy="Fail")
    async with world.leading():
        await world.until("log", "InForce")

    assert world.server.fail_second is None
    managers = world.live(api.GUARDS)["metadata"]["managedFields"]
    assert [entry["manager"] for entry in managers] == ["helm"]


async def test_a_default_that_an_upgraded_api_server_adds_is_not_somebody_s(
    world: World,
) -> None:
    world.apply("log")
    async with world.leading():
        await world.until("log", "InForce")
        world.server.defaults["newDefault"] = 1
        edited = copy.deepcopy(world.live())
        edited["spec"] |= world.server.defaults
        world.server.seed(api.POLICIES, edited)
        await world.idle()
        written = world.server.calls["replace", api.POLICIES.plural]
        for _ in range(5):
            world.seconds += rate_limit.SLOW_SECONDS
            world.state.on_change()
            await world.idle()
        assert world.server.calls["replace", api.POLICIES.plural] == written
        await world.until("log", "InForce")


async def test_an_injection_that_wants_the_webhook_again_leaves_nothing(world: World) -> None:
    world.apply("log", failurePolicy="Fail")
    async with world.leading():
        await world.until("log", "InForce")
        assert world.spec(api.GUARDS)["text"] == "log"
        world.delete("log")
        await fake_api.eventually(lambda: "text" not in world.spec(), "nothing is in force")
        await fake_api.eventually(lambda: "text" not in world.spec(api.GUARDS))

    assert chain.COMPILED_HASH not in world.live()["metadata"]["annotations"]


@pytest.mark.parametrize(
    "change",
    [
        {"spec": {"text": "by hand"}},
        {"metadata": {"annotations": {chain.COMPILED_HASH: "by hand"}}},
        {"metadata": {"annotations": None}},
    ],
    ids=str,
)
async def test_a_change_by_hand_is_undone(world: World, change: api.Json) -> None:
    world.apply("log")
    async with world.leading():
        await world.until("log", "InForce")
        await world.sleep(0)
        before = world.live()
        edited = copy.deepcopy(before)
        for part, fields in change.items():
            edited[part] |= fields
        world.server.seed(api.POLICIES, edited)

        def is_mended() -> bool:
            live = world.live()
            noted = [each["metadata"].get("annotations") for each in (live, before)]
            return live["spec"] == before["spec"] and noted[0] == noted[1]

        assert not is_mended()
        await fake_api.eventually(is_mended, "it is mended")


async def test_the_guard_asks_for_nothing_while_the_policy_changes(world: World) -> None:
    world.apply("log", failurePolicy="Fail")
    async with world.leading():
        await world.until("log", "InForce")
        world.server.written.clear()
        world.apply("log", generation=2, failurePolicy="Fail", priority=5)
        await world.until("log", "InForce")

    guard, policy = api.GUARDS.kind, api.POLICIES.kind
    assert world.server.written == [(guard, None), (policy, "log.2"), (guard, "log")]


@pytest.mark.parametrize("accident", ["none", "the leader ends", "the binding is refused"])
@pytest.mark.parametrize("after", [api.GUARDS, api.POLICIES], ids=lambda kind: kind.plural)
async def test_policy_and_guard_change_only_once_the_other_is_in_force(
    world: World, accident: str, after: api.Resource
) -> None:
    world.apply("log", failurePolicy="Fail")
    async with world.leading():
        await world.until("log", "InForce")
    writes: list[tuple[float, str]] = []
    world.server.written.clear()
    world.server.on_write = lambda kind, text: writes.append((world.seconds, kind))
    world.apply("log", generation=2, failurePolicy="Fail", priority=5)
    if accident == "the leader ends":
        async with world.leading():
            await fake_api.eventually(lambda: writes and writes[-1][1] == after.kind)
    if accident == "the binding is refused":
        edited = copy.deepcopy(world.live(api.POLICY_BINDINGS))
        edited["spec"]["policyName"] = "by hand"
        world.server.seed(api.POLICY_BINDINGS, edited)
        refusals = [fake_api.refusal(500, "InternalError")] * 2
        world.server.failures["replace", api.POLICY_BINDINGS.plural] = refusals
    async with world.leading():
        await world.until("log", "InForce")

    kinds = [kind for _, kind in writes if kind != api.POLICY_BINDINGS.kind]
    assert kinds == [api.GUARDS.kind, api.POLICIES.kind, api.GUARDS.kind]
    for (before, first), (now, second) in itertools.pairwise(writes):
        if api.GUARDS.kind in {first, second}:
            assert now - before >= policies.IN_FORCE_SECONDS, (first, second)


async def test_each_injection_says_what_became_of_it(world: World, compiler: Compiler) -> None:
    for name in ("log", LEFT, LARGE):
        world.apply(name)
    world.apply("wrong", template={})
    world.apply("other", engine="Webhook")
    world.apply("later", suspend=True)
    async with world.leading():
        await world.until("log", "InForce")
        assert world.outcome(LEFT) == ("False", "Unsupported", "the webhook injects it: spec.x: no")
        assert world.outcome(LARGE) == ("False", "TooLarge", "the webhook injects it: spec.x: no")
        assert world.outcome("wrong") == status.NOT_ACCEPTED
        assert world.outcome("later") == status.SUSPENDED
        assert world.outcome("other") is None

    wanted, others, place = compiler.calls[-1]
    assert (sorted(wanted), others) == (sorted(["later", LARGE, LEFT, "log"]), ["other"])
    assert (place.release_namespace, place.minor) == (NAME, 37)


async def test_only_enabled_namespaces_with_limits_are_left_out(
    world: World, compiler: Compiler
) -> None:
    labels = {names.INJECTION_LABEL: names.ENABLED}
    for name, enabled in (("team", True), ("plain", True), ("other", False)):
        metadata = {"name": name, "labels": labels if enabled else {}}
        world.state.namespace_changed(("", name), None, {"metadata": metadata})
    for name in ("team", "other"):
        world.state.limits_changed("LimitRange", (name, "x"), {"metadata": {"name": "x"}})
    world.apply("log")
    async with world.leading():
        await world.until("log", "InForce")
        assert compiler.calls[-1][2].limited == {"team"}
        world.state.limits_changed("LimitRange", ("team", "x"), None)
        world.seconds += policies.NAMESPACES_SECONDS
        await fake_api.eventually(lambda: len(compiler.calls) == 2, "it is compiled again")
        await fake_api.eventually(lambda: compiler.calls[-1][2].limited == frozenset())


async def test_who_edits_a_namespace_cannot_keep_the_guard_off(
    world: World, compiler: Compiler
) -> None:
    labels = {names.INJECTION_LABEL: names.ENABLED}
    world.state.namespace_changed(
        ("", "team"), None, {"metadata": {"name": "team", "labels": labels}}
    )
    world.apply("log", failurePolicy="Fail")
    async with world.leading():
        await world.until("log", "InForce")
        world.server.written.clear()
        for number in range(30):
            item = {"metadata": {"name": "x"}} if number % 2 else None
            world.state.limits_changed("LimitRange", ("team", "x"), item)
            raw = resource("own", engine="Webhook", priority=number)
            raw["metadata"] |= {"namespace": "team", "uid": str(number)}
            world.state.injection_changed(("team", "own"), None, raw)
            await world.idle()
            world.seconds += 1
        assert (world.server.written, len(compiler.calls)) == ([], 1)
        world.apply("log", generation=2, failurePolicy="Fail")
        await world.until("log", "InForce")
        assert world.spec()["text"] == "log.2", "an administrator does not wait"


async def test_a_namespaced_injection_with_errors_is_known_to_the_compiler(
    world: World, compiler: Compiler
) -> None:
    raw = resource("log", template={})
    world.state.injection_changed(("team", "log"), None, raw)
    world.apply("log")
    async with world.leading():
        await world.until("log", "InForce")
    assert compiler.calls[-1][:2] == (["log"], ["log"])


async def test_the_pods_of_the_webhook_are_meant(world: World, compiler: Compiler) -> None:
    world.apply("log")
    async with world.leading():
        await world.until("log", "InForce")
        selector = {"matchLabels": {"tier": "web"}}
        world.call_webhook(objectSelector=selector)
        await fake_api.eventually(lambda: len(compiler.calls) == 2, "it is compiled again")
        assert compiler.calls[-1][2].scope == scope.Scope(pods=selector)
        world.call_webhook(objectSelector=selector, ca_bundle="eA==")
        await world.sleep(0)
        assert len(compiler.calls) == 2, "the pods are the same"


async def test_while_nobody_calls_the_webhook_nothing_is_written(world: World) -> None:
    world.server.take(api.MUTATING, name=NAME)
    world.apply("log")
    async with world.leading():
        fields = await world.until("log", "NotWritten")
        assert f"{api.MUTATING.kind} {NAME} has no entry {names.MUTATE_WEBHOOK}" in fields[2]
        assert (world.server.written, world.in_sync()) == ([], 0)
        world.call_webhook()
        await world.until("log", "InForce")
        world.server.take(api.MUTATING, name=NAME)
        world.apply("log", generation=2, suspend=True)
        await world.until("log", "NotWritten")
        assert world.spec()["text"] == "log.1", "it is in force, so it is not called suspended"


async def test_a_webhook_that_cannot_be_read_is_not_called_missing(world: World) -> None:
    refusals = [fake_api.refusal(403, "Forbidden", "you may not")] * 1000
    world.server.failures["list", api.MUTATING.plural] = refusals
    world.apply("log")
    async with world.leading():
        fields = await world.until("log", "NotWritten")
        assert f"{api.MUTATING.kind} {NAME} cannot be read: " in fields[2]
        assert world.server.written == []


async def test_nothing_is_compiled_twice(world: World, compiler: Compiler) -> None:
    world.apply("log")
    async with world.leading():
        await world.until("log", "InForce")
        for _ in range(3):
            world.state.on_change()
            await world.sleep(0)

    assert len(compiler.calls) == 1


async def test_an_older_cluster_is_named(compiler: Compiler) -> None:
    world = World()
    world.state.release_read(35)
    world.apply("log")
    async with world.leading():
        fields = await world.until("log", "NotServed")

    assert "1.35" in fields[2]
    assert compiler.calls == []


async def test_without_the_chart_s_value_the_way_is_told(compiler: Compiler) -> None:
    world = World(managed=False)
    world.apply("log")
    async with world.leading():
        fields = await world.until("log", "NotManaged")

    assert "--set policies.managed=true" in fields[2]
    assert compiler.calls == []
    assert not any(api.POLICIES.plural in call for call in world.server.calls)
    assert world.in_sync() == 1


def forbidden() -> api.ApiError:
    return fake_api.refusal(403, "Forbidden", "policies is forbidden: no update")


async def test_without_the_right_to_write_there_is_one_condition_and_one_event(
    world: World,
) -> None:
    world.server.failures["replace", api.POLICIES.plural] = [forbidden() for _ in range(50)]
    world.apply("log")
    world.apply(LEFT)
    async with world.leading():
        fields = await world.until("log", "NotWritten")
        world.apply("second")
        await world.until("second", "NotWritten")
        assert world.outcome(LEFT) == ("False", "Unsupported", "the webhook injects it: spec.x: no")
        assert world.in_sync() == 0

    assert "no update" in fields[2]
    (event,) = await world.events()
    assert event["regarding"]["kind"] == api.POLICIES.kind
    assert event["note"] in fields[2]
    assert "series" not in event
    assert world.in_sync() == 1, "a replica that does not lead has no alert"


async def test_a_refusal_is_told_without_the_expression(world: World) -> None:
    message = 'policy "x" is invalid: spec.variables[3]: Invalid value: "SECRET": syntax'
    refusals = [fake_api.refusal(422, "Invalid", message)] * 1000
    world.server.failures["replace", api.POLICIES.plural] = refusals
    world.apply("log")
    async with world.leading():
        fields = await world.until("log", "NotWritten")

    assert "spec.variables[3]" in fields[2]
    assert "SECRET" not in fields[2]


async def test_a_missing_object_is_named_with_the_command(world: World) -> None:
    world.server.take(api.GUARD_BINDINGS, name=OBJECTS[api.GUARD_BINDINGS])
    world.apply("log")
    async with world.leading():
        fields = await world.until("log", "NotWritten")
        assert f"{api.GUARD_BINDINGS.kind} {NAME}-guard does not exist: helm upgrade" in fields[2]
        world.place(api.GUARD_BINDINGS, OBJECTS[api.GUARD_BINDINGS])
        await world.until("log", "InForce")
        assert world.in_sync() == 1


async def test_what_is_somebody_else_s_is_left_alone(world: World) -> None:
    world.place(api.POLICIES, NAME, **{policy_objects.MANAGED_BY: names.PRODUCT})
    world.apply("log")
    async with world.leading():
        fields = await world.until("log", "NotWritten")

    assert "somebody else's" in fields[2]
    assert world.server.written == []


async def test_an_object_that_is_changed_again_and_again_is_written_rarely(world: World) -> None:
    world.apply("log")
    async with world.leading():
        await world.until("log", "InForce")
        for _ in range(20):
            edited = copy.deepcopy(world.live())
            edited["spec"]["text"] = "by hand"
            world.server.seed(api.POLICIES, edited)
            await world.sleep(0)
            await world.sleep(0)
        fields = await world.until("log", "NotWritten")

    assert "keeps rewriting" in fields[2]
    assert len([kind for kind, _ in world.server.written if kind == api.POLICIES.kind]) < 10


async def test_a_write_that_comes_too_late_is_tried_again(world: World) -> None:
    world.server.failures["replace", api.POLICIES.plural] = [fake_api.refusal(409, "Conflict")]
    world.apply("log")
    async with world.leading():
        await world.until("log", "InForce")


async def test_another_version_of_an_injection_has_no_outcome_yet(world: World) -> None:
    world.apply("log")
    async with world.leading():
        await world.until("log", "InForce")
        world.apply("log", generation=2)
        assert world.outcome("log") is None
        await world.until("log", "InForce")
    assert world.outcome("log") is None, "a replica that does not lead knows nothing"
