"""One policy for all injections that are compiled, in the order in which they are tried.

The order of several policies is random in the API server, and each mutation costs a pod a round
trip through JSON: so there is one policy with one mutation, which is one JSON patch.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import pathlib
import traceback
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from sidecar_injector import names
from sidecar_injector.core import patch
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.linting import overlap, trial
from sidecar_injector.core.merging import budget
from sidecar_injector.core.merging.status_annotation import json_text
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.policies import (
    cel,
    doubts,
    filling,
    guard,
    injection,
    pod_facts,
    record,
    trials,
    unsupported,
)
from sidecar_injector.core.policies import scope as webhook_scope
from sidecar_injector.core.policies.injection import DEFER, Compiled

Json = dict[str, Any]
COMPILED_FROM: Final = f"{names.GROUP}/compiled-from"
COMPILED_HASH: Final = f"{names.GROUP}/compiled-hash"
API_VERSION: Final = "admissionregistration.k8s.io/v1"
OLDEST_MINOR: Final = 36
"""The first release that serves MutatingAdmissionPolicy as v1."""
MOST_CHARACTERS: Final = 256 << 10
"""Of a policy. A start of the API server compiles it, and until then no pod of any namespace is
accepted: docs/benchmarks.md has the delay."""
MOST_OF_INJECTION: Final = 32 << 10
MOST_INJECTIONS: Final = 200
"""In one policy: each takes at least 2,500 characters."""
Shadowing = Mapping[str, set[str] | None]
"""By bare name, the namespaces that have an injection of this name themselves; None for all names
if there are many."""
Tried = dict[model.Injection, list[trial.TrialResult]]
"""Injections in their order, each with the pods on which it was tried."""
_MOST_INJECTIONS: Final = 32
"""On one pod: `budget.weight` counts with so many."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """An injection that stays with the webhook, the field that is the cause, and why."""

    injection: model.Injection
    path: str
    why: str
    is_size: bool = False
    """Whether a limit of size is the cause."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What is known of the cluster in which a policy works."""

    release_namespace: str = names.PRODUCT
    """Its pods are never injected."""
    limited: Collection[str] = ()
    """Namespaces with a LimitRange or a ResourceQuota, which a policy cannot see: their pods are
    left to the webhook."""
    minor: int | None = None
    """The release, 36 for 1.36; None if it is not known, and then the newest."""
    scope: webhook_scope.Scope = dataclasses.field(default_factory=webhook_scope.Scope)
    """What the webhook is called for; without values of the chart if it is not known."""

    @property
    def exempt(self) -> set[str]:
        """Namespaces whose pods are never injected."""
        return {*names.SYSTEM_NAMESPACES, self.release_namespace}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """What became of the injections."""

    compiled: tuple[model.Injection, ...]
    left: tuple[Left, ...]
    policy: Json | None
    """The `spec` of the MutatingAdmissionPolicy; None if nothing is compiled."""
    guard: Json | None
    """The `spec` of a ValidatingAdmissionPolicy that holds `failurePolicy: Fail`; None without such
    injections."""
    unguarded: tuple[Left, ...] = ()
    """Compiled injections with `failurePolicy: Fail` that the guard cannot hold."""
    apart: Collection[str] = ()
    """Namespaces whose pods are left to the webhook for an injection of their own."""


def compile_chain(
    wanted: Iterable[model.Injection],
    place: Place,
    *,
    others: Iterable[model.Injection] = (),
) -> Chain:
    """Compile the `wanted` injections, in any order; `others` are those that the webhook does.

    Those that are suspended are in neither list of the result. Where all are too large for one
    policy, the last ones in their order are left.
    """
    wanted, others = [*wanted], [*others]
    shadowing = _shadowing(wanted, others)
    accepted, left, apart = _divided(wanted, others, place)
    policy = _sound_policy(accepted, left, shadowing, place, apart)
    while policy and (size := len(json_text(policy))) > MOST_CHARACTERS:
        left += _last_ones(accepted, size, place)
        policy = _sound_policy(accepted, left, shadowing, place, apart)
    # The guard holds also where the policy leaves a pod to the webhook.
    everywhere = {
        "matchConstraints": webhook_scope.constraints(place.scope, place.exempt),
        "matchConditions": [
            webhook_scope.NOT_A_MIRROR_POD, *webhook_scope.conditions(place.scope)
        ],
    }  # fmt: skip
    active = [each for each in (*wanted, *others) if not _is_idle(each)]
    guard_spec, unguarded = guard.of(accepted, active=active, scope=everywhere, shadowing=shadowing)
    return Chain(
        compiled=tuple(accepted),
        left=tuple(left),
        policy=policy,
        guard=guard_spec,
        unguarded=tuple(
            Left(injection=candidate, path=path, why=why) for candidate, path, why in unguarded
        ),
        apart=apart,
    )


def _divided(
    wanted: Iterable[model.Injection], others: Iterable[model.Injection], place: Place
) -> tuple[Tried, list[Left], set[str]]:
    """Those that can be compiled, why the rest is left, and the namespaces that are apart."""
    accepted: Tried = {}
    left: list[Left] = []
    apart: set[str] = set()
    others = [*others]
    for candidate in namespace_view.ordered(
        each for each in wanted if not each.spec.get("suspend")
    ):
        # More are not tried: thousands of injections must not take minutes.
        is_full = len(accepted) >= MOST_INJECTIONS
        outcome = _too_many(candidate, place) if is_full else _tried(candidate, place)
        if not isinstance(outcome, Left):
            outcome = _conflict(candidate, accepted, others, apart) or outcome
        if isinstance(outcome, Left):
            left.append(outcome)
            # The webhook does it, and so also what comes later and shares a part with it.
            others.append(candidate)
        else:
            accepted[candidate] = outcome
    return accepted, left, apart


def _last_ones(accepted: Tried, size: int, place: Place) -> list[Left]:
    """Take out of the `accepted`, which are of this size together, the last ones."""
    kept = len(accepted) * MOST_CHARACTERS // (size + MOST_CHARACTERS // 50)
    last = [*accepted][kept:]
    for candidate in last:
        del accepted[candidate]
    return [_too_many(candidate, place) for candidate in last]


def _too_many(candidate: model.Injection, place: Place) -> Left:
    why = f"is one too many for a policy, which may have {MOST_CHARACTERS} characters"
    if (size := len(json_text([*place.limited]))) > MOST_CHARACTERS // 8:
        why += f"; the names of {len(place.limited)} namespaces with limits alone are {size}"
    return Left(injection=candidate, path="spec", why=why, is_size=True)


def manifests(chain: Chain, *, name: str, guarded: bool) -> list[Json]:
    """The policy and its binding; with `guarded`, also the guard and its binding.

    All are `admissionregistration.k8s.io/v1`; the guard is called `NAME-guard`. The annotation
    `COMPILED_FROM` lists the injections, `COMPILED_HASH` has the hash of the spec.
    """
    result = []
    for kind, spec, own_name, binding in (
        ("MutatingAdmissionPolicy", chain.policy, name, {}),
        (
            "ValidatingAdmissionPolicy", chain.guard if guarded else None, guard_name(name),
            {"validationActions": ["Deny"]},
        ),
    ):  # fmt: skip
        if spec is None:
            continue
        labels = {"app.kubernetes.io/managed-by": names.PRODUCT}
        annotations = {COMPILED_FROM: _sources(chain.compiled), COMPILED_HASH: spec_hash(spec)}
        metadata = {"name": own_name, "labels": labels}
        result += [
            {
                "apiVersion": API_VERSION, "kind": kind,
                "metadata": {**metadata, "annotations": annotations}, "spec": spec,
            },
            {
                "apiVersion": API_VERSION, "kind": f"{kind}Binding", "metadata": metadata,
                "spec": {"policyName": own_name, **binding},
            },
        ]  # fmt: skip
    return result


def guard_name(name: str) -> str:
    """The name of the guard beside a policy; a name of a static manifest keeps its end."""
    start, end, rest = name.partition(".static.k8s.io")
    return f"{names.guard_name(start)}{end}{rest}"


def spec_hash(spec: Json) -> str:
    """What is the same for equal specs, and differs after an edit by hand."""
    return hashlib.sha256(json_text(spec).encode()).hexdigest()[: model.HASH_DIGITS]


def _sources(compiled: Iterable[model.Injection]) -> str:
    """The injections as compact JSON, each with the hash of its template."""
    return json_text(
        [
            {"kind": candidate.kind, "name": candidate.name, "hash": candidate.hash}
            | ({"namespace": candidate.namespace} if candidate.namespace else {})
            for candidate in compiled
        ]
    )


def _shadowing(wanted: Iterable[model.Injection], others: Iterable[model.Injection]) -> Shadowing:
    namespaces: dict[str, set[str]] = collections.defaultdict(set)
    shadowed = {candidate.name for candidate in wanted if candidate.is_cluster}
    for candidate in (*wanted, *others):
        # A pod is decided about as if there were no dry runs.
        if candidate.namespace and candidate.name in shadowed and not candidate.is_dry_run:
            namespaces[candidate.name].add(candidate.namespace)
    is_much = sum(map(len, namespaces.values())) > guard.MOST_NAMESPACES
    return dict.fromkeys(namespaces) if is_much else namespaces


def _tried(candidate: model.Injection, place: Place) -> list[trial.TrialResult] | Left:
    """An injection on all pods on which it must be tried, or why it is left to the webhook."""
    try:
        return _judged(candidate, place)
    except Exception as error:  # noqa: BLE001 - it is in the result
        return _bug(candidate, error)


def _judged(candidate: model.Injection, place: Place) -> list[trial.TrialResult] | Left:
    problem = next(unsupported.check(candidate, minor=place.minor), None)
    if problem := problem or next(filling.problems(candidate), None):
        return Left(injection=candidate, path=problem.path, why=problem.expectation)
    if (size := len(json_text(candidate.spec))) > MOST_OF_INJECTION:
        why = f"has {size} characters, at most {MOST_OF_INJECTION} are compiled"
        return Left(injection=candidate, path="spec", why=why, is_size=True)
    results = trials.of(candidate, minor=place.minor)
    if problem := next(trials.problems(candidate, results), None):
        return Left(injection=candidate, path=problem.path, why=problem.expectation)
    return results


def _conflict(
    candidate: model.Injection, accepted: Tried, others: Iterable[model.Injection], apart: set[str]
) -> Left | None:
    """Why it is left to the webhook for those that come before it and share a part with it.

    A namespace's own injection must not decide about the cluster: pods of its namespace are left to
    the webhook, which is noted in `apart`.
    """
    parts, namespaces = injection.shared_parts(candidate), set[str]()
    for other in (*accepted, *(other for other in others if _comes_before(other, candidate))):
        shared = parts & injection.shared_parts(other)
        if not shared or not overlap.can_meet(candidate, other):
            continue
        if other.namespace and candidate.is_cluster and other not in accepted:
            namespaces.add(other.namespace)
            continue
        why = f"shares {min(shared)} with {other.reference}, which comes first"
        return Left(injection=candidate, path="spec", why=why)
    if (number := len(apart | namespaces)) > guard.MOST_NAMESPACES:
        why = f"shares parts with injections of namespaces, and the policy would leave out {number}"
        return Left(injection=candidate, path="spec", why=why, is_size=True)
    apart |= namespaces
    return None


def _comes_before(other: model.Injection, candidate: model.Injection) -> bool:
    return other.order < candidate.order and not _is_idle(other)


def _is_idle(other: model.Injection) -> bool:
    """Whether nobody adds it."""
    return bool(other.errors or other.spec.get("suspend") or other.is_dry_run)


def _bug(candidate: model.Injection, error: Exception) -> Left:
    """An injection for which our own code fails; it must not stop all others."""
    # The place of the error, not its text, which may have a value of the template.
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{pathlib.PurePath(place.filename).name}:{place.lineno}"
    why = f"cannot be compiled because of a bug: {type(error).__name__} at {where}"
    return Left(injection=candidate, path="spec", why=why)


def _sound_policy(
    accepted: Tried, left: list[Left], shadowing: Shadowing, place: Place, apart: set[str]
) -> Json | None:
    """The policy, without those `accepted` that cannot be compiled, which become `left`."""
    try:
        return _policy(accepted, shadowing, place, apart) if accepted else None
    except Exception:
        # Each alone, to see which are the cause: only now, as it takes as long again.
        broken = []
        for each, results in accepted.items():
            try:
                _policy({each: results}, shadowing, place, apart)
            except Exception as error:  # noqa: BLE001 - it is in the result
                broken.append(_bug(each, error))
        if not broken:
            raise
    left += broken
    for bug in broken:
        del accepted[bug.injection]
    return _sound_policy(accepted, left, shadowing, place, apart)


def _policy(accepted: Tried, shadowing: Shadowing, place: Place, apart: set[str]) -> Json:
    """The spec of the policy; pods of the namespaces `apart` are left to the webhook."""
    variables = cel.Variables()
    pod_facts.define(variables)
    compiled = [
        Compiled(
            candidate, variables, index,
            matches=injection.matches(candidate, shadowing.get(candidate.name, ())),
            forbidden=trials.forbidden(results, minor=place.minor),
        )
        for index, (candidate, results) in enumerate(accepted.items())
    ]  # fmt: skip
    unclear = [name for name, namespaces in shadowing.items() if namespaces is None]
    mutation = _mutation(compiled, variables, unclear)
    return {
        # What fails in a policy is left to the webhook; a refusal would cost the pod.
        "failurePolicy": "Ignore",
        # Once, before any webhook: what the pod's author wrote.
        "reinvocationPolicy": "Never",
        # Without the namespaces whose limits a policy cannot see.
        "matchConstraints": webhook_scope.constraints(
            place.scope, {*place.exempt, *place.limited, *apart}
        ),
        "matchConditions": [*_conditions(compiled, place)],
        "variables": variables.used_by(mutation),
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": mutation}}],
    }


def _conditions(compiled: Sequence[Compiled], place: Place) -> Iterator[Json]:
    """Cheap questions first: a mutation costs a pod a round trip even if it does nothing."""
    annotations = "object.metadata.?annotations.orValue({})"

    def has_any(*keys: str) -> str:
        return cel.some(f"{cel.text(key)} in {annotations}" for key in keys)

    judged = has_any(names.STATUS_ANNOTATION, names.MIRROR_ANNOTATION)
    yield {"name": "not-judged-before", "expression": f"!{judged}"}
    yield from webhook_scope.conditions(place.scope)
    any_selected = _any_selected([piece.injection for piece in compiled])
    # One of 10,000 characters takes the API server 0.1 s once.
    if any_selected != "true" and len(any_selected) <= 8 * cel.SHORT:
        yield {"name": "selected", "expression": any_selected}
    if all(piece.injection.spec.get("activation") == "OnRequest" for piece in compiled):
        yield {"name": "requested", "expression": has_any(*doubts.REQUESTS)}


def _any_selected(injections: Iterable[model.Injection]) -> str:
    """Whether a pod may be meant at all; selectors of one label are one question for each key."""
    labels = "object.metadata.?labels.orValue({})"
    values: dict[tuple[str, str], list[str]] = collections.defaultdict(list)
    others: list[str] = []
    for candidate in injections:
        selector = candidate.spec.get("selector") or {}
        members = selector.get("matchLabels") or {}
        if len(members) == 1 and not selector.get("matchExpressions"):
            ((key, value),) = members.items()
            values[injection.where(candidate), key].append(value)
        else:
            others.append(cel.every([injection.where(candidate), cel.selector(selector, labels)]))
    questions = (
        cel.every([where, cel.selector(
            {"matchExpressions": [{"key": key, "operator": "In", "values": several}]}, labels
        )])
        for (where, key), several in values.items()
    )  # fmt: skip
    return cel.some(dict.fromkeys([*questions, *others]))


def _mutation(
    compiled: Sequence[Compiled], variables: cel.Variables, unclear: Collection[str]
) -> str:
    """The expression of the patch: all operations, or none where the pod is left alone.

    That is also where it asks for an `unclear` name.
    """
    matching = [f"[{piece.matches}]" for piece in compiled]
    sel = variables.let("sel", variables.sum("sel_", matching))
    codes = [f'[{sel}[{piece.index}] ? {piece.code} : ""]' for piece in compiled]
    variables.let("codes", variables.sum("codes_", codes))
    variables.let("inj", 'variables.codes.map(x, x == "Injected")')
    annotations = record.write(compiled, variables)
    operations = variables.let(
        "ops", variables.sum("ops_", [*_operations(compiled, variables, annotations)])
    )
    refusals = [
        record.skipped(f"variables.codes[{piece.index}]")
        for piece in compiled
        if piece.injection.must_succeed
    ]
    is_done = variables.let(
        "go",
        cel.every([
            f"!({doubts.any_of_pods()})",
            f"!({_is_too_much(compiled, variables)})",
            f"!variables.listed.exists(x, x in {cel.strings(sorted(unclear))})"
            if unclear else "true",
            f"!variables.codes.exists(x, x == {cel.text(DEFER)})",
            f"!({variables.short('refuse', cel.some(refusals))})",
            'variables.codes.exists(x, !(x in ["", "AlreadyInjected"]))',
            f"size(variables.status) <= {doubts.MOST_RECORDED}",
        ]),
    )  # fmt: skip
    patched = f'{operations}.map(x, JSONPatch{{op: "add", path: string(x.p), value: x.v}})'
    return f"{is_done} ? {patched} : []"


def _is_too_much(compiled: Sequence[Compiled], variables: cel.Variables) -> str:
    """Whether the injections that apply may be more work than the webhook accepts."""
    count = "size(object.spec.?{}.orValue({}))"
    parts = [count.format(field, "[]") for field in budget.OF_POD]
    of_container = [f"size(c.?{field}.orValue([]))" for field in budget.LISTS]
    amounts = [
        f"size(c.?resources.?{field}.orValue({empty}))"
        for field, empty in (("limits", "{}"), ("requests", "{}"), ("claims", "[]"))
    ]
    each = (
        f"2 + {' + '.join(of_container)} + 2 * size(c.?volumeMounts.orValue([]))"
        f" + {model.QUANTITY_PARTS} * ({' + '.join(amounts)})"
    )
    variables.let("parts", f"{' + '.join(parts)} + variables.every.map(c, {each}).sum()")
    work = [
        f"[variables.sel[{piece.index}] ? {own} + {applied} * size(variables.every) : 0]"
        for piece in compiled
        for own, applied in [piece.work]
    ]
    variables.let("work", variables.sum("work_", work))
    tried = variables.let("tried", "variables.sel.filter(x, x).size()")
    present = f"{tried} * (variables.parts / {budget.PRESENT} + 1)"
    return f"{tried} > {_MOST_INJECTIONS} || variables.work.sum() + {present} > {budget.MOST}"


def _operations(
    compiled: Sequence[Compiled],
    variables: cel.Variables,
    annotations: Iterable[record.Annotation],
) -> Iterator[str]:
    """Lists of operations, in an order in which each finds what it needs."""
    for field in pod_fields.CONTAINER_LISTS:
        yield from _received(compiled, field, variables)
    yield from _metadata(compiled, annotations)
    for field in dict.fromkeys(item.field for piece in compiled for item in piece.items):
        rows = [
            cel.either(cel.every([piece.injected, item.absent]), f"[{cel.literal(item.value)}]")
            for piece in compiled
            for item in piece.items
            if item.field == field
        ]
        yield from _appended(field, rows, variables)
    for field in ("volumes", *pod_fields.CONTAINER_LISTS):
        lists = [(piece, piece.lists[field]) for piece in compiled if piece.lists[field] != "[]"]
        rows = [
            cel.either(piece.injected, items) for piece, items in lists if _is_last(piece, field)
        ]
        yield from _appended(field, rows, variables)
        rows = [
            cel.either(piece.injected, items)
            for piece, items in lists
            if not _is_last(piece, field)
        ]
        yield from _prepended(field, rows, variables)


def _metadata(
    compiled: Sequence[Compiled], annotations: Iterable[record.Annotation]
) -> Iterator[str]:
    """Labels and annotations, those of the record included."""
    metadata = {
        field: [
            record.Annotation(member.key, cel.every([piece.injected, member.absent]), member.value)
            for piece in compiled
            for member in piece.members.get(field, ())
        ]
        for field in ("labels", "annotations")
    }
    any_injected = "variables.inj.exists(x, x)"
    mark = record.Annotation(names.INJECTED_LABEL, any_injected, names.INJECTED_LABEL_VALUE)
    metadata["labels"].append(mark)
    metadata["annotations"] += annotations
    for field, needed in (("labels", any_injected), ("annotations", "true")):
        is_absent = cel.every([f"!has(object.metadata.{field})", needed])
        yield cel.either(is_absent, f"[{cel.operation(f'/metadata/{field}', {})}]")
        for written in metadata[field]:
            path = patch.pointer(("metadata", field, written.key))
            yield cel.either(written.condition, f"[{cel.operation(path, written.value)}]")


def _is_last(piece: Compiled, field: str) -> bool:
    return field == "volumes" or not piece.is_first(field)


def _appended(field: str, rows: list[str], variables: cel.Variables) -> Iterator[str]:
    if rows:
        items = variables.let(f"x{field}", variables.sum(f"x{field}_", rows))
        yield _creation(field, items)
        yield f'{items}.map(x, {{"p": dyn("/spec/{field}/-"), "v": dyn(x)}})'


def _prepended(field: str, rows: list[str], variables: cel.Variables) -> Iterator[str]:
    if rows:
        items = variables.let(f"f{field}", variables.sum(f"f{field}_", rows))
        # A list that did not exist was created, if it was needed, for what is appended.
        yield _creation(field, items, f"x{field}" if variables.has(f"x{field}") else "")
        place = f'"/spec/{field}/" + string(n)'
        yield f'{items}.transformList(n, x, {{"p": dyn({place}), "v": dyn(x)}})'


def _creation(field: str, items: str, other: str = "") -> str:
    is_needed = [f"!has(object.spec.{field})", f"size({items}) > 0"]
    if other:
        is_needed.append(f"size(variables.{other}) == 0")
    return cel.either(cel.every(is_needed), f'[{{"p": dyn("/spec/{field}"), "v": dyn(dyn([]))}}]')


def _received(compiled: Sequence[Compiled], field: str, variables: cel.Variables) -> Iterator[str]:
    """What the pod's own containers of one list receive from all injections, in their order."""
    rows: dict[str, list[str]] = {"append": [], "envFrom": [], "env": [], "volumeMounts": []}
    for piece in compiled:
        for part in piece.received:
            if part.field == field:
                rows[part.kind].append(cel.either(piece.injected, f"{part.items}[i]"))
    facts, each = f"variables.{pod_facts.LISTS[field]}", []
    here = f'"/spec/{field}/" + string(i)'
    for kind, parts in rows.items():
        if not parts:
            continue
        name = f"x{field}{kind}"
        items = variables.let(name, f"{facts}.transformList(i, x, {cel.total(parts)})")
        if kind == "append":
            # Before the others: their positions are those of the author's variables.
            each.append(f'{items}[i].map(y, {{"p": dyn({here} + y.at), "v": dyn(y.value)}})')
            continue
        path = f'{here} + "/{kind}'
        is_needed = f"!x.{kind} && size({items}[i]) > 0"
        each.append(f'({is_needed} ? [{{"p": dyn({path}"), "v": dyn(dyn([]))}}] : [])')
        if kind == "volumeMounts":
            each.append(f'{items}[i].map(y, {{"p": dyn({path}/-"), "v": dyn(y)}})')
        else:
            value = '"v": dyn(y)'
            each.append(
                f'{items}[i].transformList(n, y, {{"p": dyn({path}/" + string(n)), {value}}})'
            )
    if each:
        yield f"{facts}.transformList(i, x, {cel.total(each)}).flatten()"
