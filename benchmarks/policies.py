"""What the API server pays for compiled policies: for a pod, beside the webhook, and at start."""

from __future__ import annotations

import contextlib
import dataclasses
import http
import http.client
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from benchmarks import creations, errors, policy_install, policy_starts, product, results, reviews
from sidecar_injector import names
from sidecar_injector.core.policies import chain
from sidecar_injector.kube import api
from tools.controlplane import binaries, client, cluster, operators, policies, release

TITLE: Final = "Policies"
TEXT: Final = """\
A control plane of its own, with one replica that the API server calls directly. A pod as a
ReplicaSet makes it, created {count} times in a row over one kept-alive connection, one case after
the other in {rounds} rounds; medians, with the least and the most of the rounds. Processor time is
that of kube-apiserver and of the replica, from /proc, with whatever else they do meanwhile. The
{many} injections are those of `benchmarks/policies.yaml`; {applied} apply to the pod. Ratios
are formed round by round. Then pods to which nothing is done, with the policy bound and without it
in turn, {idle} a round: {few} simple injections with selectors of their own, and as many as the
limit of a policy lets in ({most}). The ratio is that of the least of all rounds, because other work
on the machine only adds to processor time. Last, starts of the API server, {starts} for each number
of injections, while pods are tried without a pause: a pod is refused if it is answered, but not
created, and bare if it is created without its sidecar. Measured by `make bench PARTS=policies`."""
PLAIN: Final = "plain"
ONE, MANY = "one", "many"
CASES: Final = ("policy", "webhook", "both")
BY_WEBHOOK: Final = "bench-webhook"
"""A label of namespaces whose pods the webhook gets."""
LABELS: Final = {"app": "web", "runtime": "java", "vault": "yes", "scratch": "yes", "team": "red"}
ANNOTATIONS: Final = {
    names.INJECT_ANNOTATION: "log-shipper,debug-tools,nginx",
    "vault.example.com/role": "web", "sql.example.com/instance": "db:web",
}  # fmt: skip
FEW: Final = 10
NUMBERS: Final = (1, FEW, 25, policy_starts.WANTED)
"""Of simple injections; of the last number the limit of a policy lets in some."""
UNCOUNTED: Final = 20
"""The first ones open connections and fill caches."""
MOST_FOR_NOTHING: Final = 1.10
"""Times what a pod costs without a policy."""
SLOWEST_START: Final = 3.0
Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """What pods in a row have cost, in milliseconds each."""

    server: float
    """Processor time of the API server."""
    replica: float
    latency: float


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Idle:
    """Processor time of the API server, in milliseconds a pod, round by round."""

    injections: int
    case: str
    bound: list[float] = dataclasses.field(default_factory=list)
    free: list[float] = dataclasses.field(default_factory=list)
    """Without the binding."""

    @property
    def ratio(self) -> float:
        """Of the least of both: other work on the machine only adds."""
        return min(self.bound) / min(self.free)

    @property
    def ratios(self) -> list[float]:
        """Round by round."""
        return [one / base for one, base in zip(self.bound, self.free, strict=True)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scene:
    """The servers that are measured."""

    plane: cluster.ControlPlane
    replica: operators.Replica
    connection: http.client.HTTPConnection

    def block(self, namespace: str, pod: Json, count: int) -> Block:
        """Create so many pods, and delete them without counting that."""
        path = release.pods(namespace)
        before = self.plane.apiserver.cpu_seconds(), self.replica.cpu_seconds()
        waited = []
        for _ in range(count):
            began = time.perf_counter()
            status, text = self.plane.client.send(self.connection, "POST", path, pod)
            waited.append(time.perf_counter() - began)
            if status != http.HTTPStatus.CREATED:
                seen = client.message(text)
                raise errors.WrongAnswerError(server=path, seen=seen, wanted="created")
        after = self.plane.apiserver.cpu_seconds(), self.replica.cpu_seconds()
        server, replica = (
            (end - begin) / count * 1e3 for begin, end in zip(before, after, strict=True)
        )
        self.plane.client.send(self.connection, "DELETE", f"{path}?gracePeriodSeconds=0")
        return Block(server=server, replica=replica, latency=statistics.median(waited) * 1e3)


def measure(bench: product.Bench) -> results.Result:
    """Costs of a pod, pods that nothing is done to, starts."""
    rounds, count = int(bench.pick(7, 3)), int(bench.pick(80, 40))
    starts = int(bench.pick(3, 1))
    with _scene(bench) as scene:
        bench.report.begin("creating pods by policies and by the webhook")
        applied = _install(scene.plane)
        costs = _rounds(scene, rounds=rounds, count=count)
        _uninstall(scene.plane)
        bench.report.begin("creating pods that no policy means")
        sets = [policy_install.compiled(policy_install.simple(number)) for number in NUMBERS]
        most = len(sets[-1].compiled)
        idle = [
            one
            for made in (sets[NUMBERS.index(FEW)], sets[-1])
            for one in _idle(scene, made, rounds=rounds, count=count * 2)
        ]
        scene.replica.kill()
        bench.report.begin("starting the API server")
        seen = [policy_starts.measure(scene.plane, made, times=starts)
                for made in (None, *sets)]  # fmt: skip
    many = len(policy_install.realistic(MANY))
    text = TEXT.format(
        count=count,
        rounds=rounds,
        many=many,
        applied=applied,
        idle=count * 2,
        few=FEW,
        most=most,
        starts=starts,
    )
    tables = [cost_table(costs), idle_table(idle), policy_starts.table(seen)]
    return results.Result(title=TITLE, text=text, figures=_figures(idle, seen), tables=tables)


@contextlib.contextmanager
def _scene(bench: product.Bench) -> Iterator[Scene]:
    bench.report.begin("starting a control plane for policies")
    with cluster.ControlPlane(binaries.cached()) as plane:
        product.install(plane)
        with product.started(plane, replicas=1) as running:
            replica = running.replicas[0]
            creations.reach_directly(plane, replica)
            _narrow_webhook(plane)
            plane.create_namespace(PLAIN)
            plane.create_namespace("idle", labels=release.ENABLED)
            for size in (ONE, MANY):
                for case in CASES:
                    label = {} if case == "policy" else {BY_WEBHOOK: ""}
                    labels = {**release.ENABLED, **label, "team": "red"}
                    plane.create_namespace(f"{case}-{size}", labels=labels)
            plane.controller_manager.kill()
            with contextlib.closing(plane.client.connect()) as connection:
                yield Scene(plane=plane, replica=replica, connection=connection)


def _narrow_webhook(plane: cluster.ControlPlane) -> None:
    """The webhook gets the pods of labelled namespaces only."""
    webhooks = plane.client.get(release.CONFIGURATION)["webhooks"]
    for webhook in webhooks:
        rows = webhook["namespaceSelector"].setdefault("matchExpressions", [])
        rows.append({"key": BY_WEBHOOK, "operator": "Exists"})
    change = {"webhooks": webhooks}
    plane.client.request("PATCH", release.CONFIGURATION, change, content=client.MERGE_PATCH)


def pod() -> Json:
    """What many of the injections apply to."""
    made = reviews.created_pod()
    labels = {**made["metadata"].get("labels", {}), **LABELS}
    return {**made, "metadata": {**made["metadata"], "labels": labels, "annotations": ANNOTATIONS}}


def _install(plane: cluster.ControlPlane) -> int:
    """Injections and policies of every case; how many injections of the long chain apply."""
    for size in (ONE, MANY):
        for case in CASES:
            namespace = f"{case}-{size}"
            wanted = policy_install.realistic(namespace)[: 1 if size == ONE else None]
            stored = [
                plane.client.request("POST", release.injections(namespace), one) for one in wanted
            ]
            if case == "webhook":
                continue
            made = policy_install.compiled({**one, "kind": names.KIND} for one in stored)
            policy_install.require_compiled(made)
            policies.create(plane.client, policy_install.manifests(made, namespace, [namespace]))
    for size in (ONE, MANY):
        for case in CASES:
            policy_install.wait_in_force(plane, f"{case}-{size}", pod())
    return _applied(plane)


def _applied(plane: cluster.ControlPlane) -> int:
    """How many injections the pods of all cases get; WrongAnswerError if these are not the same."""
    counts = {}
    for case in CASES:
        path = f"{release.pods(f'{case}-{MANY}')}?dryRun=All"
        made = plane.client.request("POST", path, pod())
        record: str = made["metadata"]["annotations"][names.STATUS_ANNOTATION]
        counts[case] = record.count('"hash"')
    if len(set(counts.values())) > 1:
        raise errors.WrongAnswerError(server="pods", seen=counts, wanted="the same injections")
    return counts[CASES[0]]


def _uninstall(plane: cluster.ControlPlane) -> None:
    for size in (ONE, MANY):
        for case in ("policy", "both"):
            name = f"{case}-{size}"
            kinds = (api.POLICIES.kind, api.POLICY_BINDINGS.kind)
            objects = [{"kind": kind, "metadata": {"name": name}} for kind in kinds]
            policies.delete(plane.client, objects)
    for size in (ONE, MANY):
        policy_install.wait_in_force(plane, f"policy-{size}", pod(), wanted=False)


def _rounds(scene: Scene, *, rounds: int, count: int) -> dict[str, list[Block]]:
    """The blocks of each namespace, in turn."""
    blocks: dict[str, list[Block]] = {
        PLAIN: [], **{f"{case}-{size}": [] for size in (ONE, MANY) for case in CASES}
    }  # fmt: skip
    for namespace in blocks:
        scene.block(namespace, pod(), UNCOUNTED)
    for _ in range(rounds):
        for namespace, found in blocks.items():
            found.append(scene.block(namespace, pod(), count))
    return blocks


def _idle(scene: Scene, made: chain.Chain, *, rounds: int, count: int) -> list[Idle]:
    """Pods that the policy leaves alone, in turn with its binding and without."""
    selected = {**pod(), "metadata": {"generateName": "a-", "labels": {"app": "app-0"}}}
    policy, binding = policy_install.manifests(made, "idle")
    cases = {"namespace not enabled": PLAIN, "no selector means it": "idle"}
    found = {case: Idle(injections=len(made.compiled), case=case) for case in cases}
    policies.create(scene.plane.client, [policy])
    for number in range(rounds):
        # Who is first takes turns: caches grow.
        for bound in (True, False) if number % 2 else (False, True):
            if bound:
                policies.create(scene.plane.client, [binding])
            policy_install.wait_in_force(scene.plane, "idle", selected, wanted=bound)
            for case, namespace in cases.items():
                # What the change itself costs is over then.
                scene.block(namespace, pod(), UNCOUNTED)
                cost = scene.block(namespace, pod(), count).server
                (found[case].bound if bound else found[case].free).append(cost)
            if bound:
                policies.delete(scene.plane.client, [binding])
                policy_install.wait_in_force(scene.plane, "idle", selected, wanted=False)
    policies.delete(scene.plane.client, [policy])
    return [*found.values()]


def _figures(idle: Sequence[Idle], seen: Sequence[policy_starts.Starts]) -> list[results.Figure]:
    """What is promised of pods that policies leave alone, and of starts; the first has none."""
    figures = [
        results.Figure(
            name=f"a pod that a policy of {one.injections} leaves alone, {one.case}",
            value=one.ratio, unit="×", most=MOST_FOR_NOTHING,
            note=f"round by round {results.Spread.of(one.ratios)}",
        )
        for one in idle
    ]  # fmt: skip
    slowest = max(one.slowest for one in seen[1:])
    failed = sum(one.refused + one.bare for one in seen[1:])
    figures += [
        results.Figure(
            name="the slowest pod of a start of the API server, added by policies",
            value=slowest - seen[0].slowest,
            unit="s",
            most=SLOWEST_START,
            note=f"{slowest:.2f} s instead of {seen[0].slowest:.2f} s",
        ),
        results.Figure(name="pods refused or bare at these starts", value=failed, most=0),
    ]
    return figures


def cost_table(blocks: Mapping[str, Sequence[Block]]) -> results.Table:
    """A row for each case."""
    plain, rows = blocks[PLAIN], []
    for namespace, found in blocks.items():
        case, _, size = namespace.partition("-")
        ratio = [one.server / base.server for one, base in zip(found, plain, strict=True)]
        added = [one.latency - base.latency for one, base in zip(found, plain, strict=True)]
        rows.append((
            f"{case}, {'1 injection' if size == ONE else 'all injections'}" if size else "nothing",
            str(results.Spread.of(one.server for one in found)),
            str(results.Spread.of(ratio)) if size else "–",
            str(results.Spread.of(one.replica for one in found)),
            str(results.Spread.of(one.latency for one in found)),
            str(results.Spread.of(added)) if size else "–",
        ))  # fmt: skip
    headings = (
        "case", "API server, ms", "times nothing", "replica, ms", "latency, ms", "added, ms",
    )  # fmt: skip
    return results.Table(headings=headings, rows=rows)


def idle_table(idle: Sequence[Idle]) -> results.Table:
    """A row for each case."""
    rows = [
        (
            one.case, f"{one.injections}", str(results.Spread.of(one.free)),
            str(results.Spread.of(one.bound)), f"{one.ratio:.2f}",
            str(results.Spread.of(one.ratios)),
        )
        for one in idle
    ]  # fmt: skip
    headings = (
        "pods that the policy leaves alone", "injections", "without, ms", "with it, ms",
        "times, of the least", "times, round by round",
    )  # fmt: skip
    return results.Table(headings=headings, rows=rows)
