"""What must hold for a pod and injections, and what breaks it."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import jsonpatch

from sidecar_injector import crds
from sidecar_injector.core import decide, decision
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.merging import uninject
from sidecar_injector.core.reasons import PodVerdict, Reason
from tools.fuzz.pods import judge

Json = dict[str, Any]
OF_THE_SERVER: Final = ("creationTimestamp", "managedFields", "uid")
EMPTY: Final[tuple[Any, ...]] = (None, [], {})
OF_A_PLUGIN: Final = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
"""Keys of tolerations that the API server adds to pods which do not tolerate everything."""
VOLUME_OF_TOKEN: Final = "kube-api-access-00000"  # noqa: S105 - a name
_RANDOM: Final = re.compile(r"kube-api-access-[a-z0-9]{5}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A pod as its author writes it, which the API server accepts, and injections."""

    pod: Json
    injections: tuple[Json, ...]

    @property
    def documents(self) -> list[Json]:
        return [self.pod, *self.injections]


@dataclasses.dataclass(frozen=True, slots=True)
class Broken:
    """A promise, and how it is broken."""

    promise: str
    detail: str


def read(resource: Json) -> model.Injection:
    """The injection as the operator reads it."""
    return model.read(resource, spec_schema=crds.spec_schema(resource["kind"]))


class Trial:
    """One pair before the API server."""

    def __init__(self, pair: Pair, court: judge.Judge) -> None:
        self._pair = pair
        self._court = court
        namespace = namespace_view.Namespace.assumed(judge.NAMESPACE)
        self._view = namespace_view.NamespaceView.of(
            namespace, map(read, pair.injections), service_accounts=("a", "default")
        )
        self.reasons: Counter[str] = Counter()

    def broken(self) -> Iterator[Broken]:
        """Every promise that is broken, for the pod of a file and for the pod of a request."""
        verdict = self._court.judge(self._pair.pod)
        if verdict.pod is None:
            return
        stored = cleaned(verdict.pod)
        yield from self._broken(self._pair.pod, stored)
        yield from self._broken(stored, stored)

    def _broken(self, before: Json, stored: Json) -> Iterator[Broken]:
        """For a pod that is decided about, and the same one as it is stored without us."""
        original = copy.deepcopy(before)
        first = self.decide(before)
        self.reasons.update(line.reason.value for line in first.lines)
        if before != original:
            yield Broken("the pod is not changed in place", "")
        if first.verdict is PodVerdict.REFUSED:
            return
        yield from self._of_patch(before, first, is_file=before is not stored)
        after = self._court.judge(dict(first.pod))
        if after.pod is None:
            yield Broken("accepted before is accepted after", after.message)
            return
        result = cleaned(after.pod)
        own = without_derived if before is not stored else _as_it_is
        if path := lost(own(stored), own(result)):
            yield Broken("the author's part is untouched once stored", path)
        left, wanted = (
            comparable(without_completed(without_derived(pod), result))
            for pod in (uninject.uninject(result), stored)
        )
        if path := difference(left, wanted):
            yield Broken("uninject is the inverse once stored", path)
        yield from _changes("twice is once", first, self.decide(result))

    def _of_patch(
        self, before: Json, first: decision.Decision, *, is_file: bool
    ) -> Iterator[Broken]:
        if jsonpatch.apply_patch(copy.deepcopy(before), first.operations) != first.pod:
            yield Broken("the patch makes the pod", "")
        # The API server drops zero values of a file, if they are not pointers of Go.
        unset = (*EMPTY, "", 0) if is_file else EMPTY
        if path := lost(before, first.pod, unset=unset):
            yield Broken("the author's part is untouched", path)
        if path := difference(comparable(uninject.uninject(dict(first.pod))), comparable(before)):
            yield Broken("uninject is the inverse", path)
        yield from _changes("twice is once, offline", first, self.decide(first.pod))

    def decide(self, pod: Mapping[str, Any]) -> decision.Decision:
        """What the operator makes of this pod with the pair's injections."""
        request = namespace_view.PodRequest(namespace=judge.NAMESPACE, pod=pod)
        return decide.decide(request, self._view)


def _changes(promise: str, first: decision.Decision, second: decision.Decision) -> Iterator[Broken]:
    """Where the second call does not find what the first one has left."""
    if second.operations:
        yield Broken(promise, f"operations {json.dumps(second.operations)[:300]}")
    reasons = {line.injection.identity: line.reason for line in second.lines}
    for line in first.lines:
        expected = Reason.ALREADY_INJECTED if line.reason is Reason.INJECTED else line.reason
        reason = reasons[line.injection.identity]
        if reason.level is not expected.level or (
            line.reason is Reason.INJECTED and reason is not expected
        ):
            yield Broken(promise, f"{line.injection.name}: {line.reason.value}, {reason.value}")


def cleaned(pod: Mapping[str, Any]) -> Json:
    """A stored pod as a request has it: without what only the API server sets."""
    text = _RANDOM.sub(VOLUME_OF_TOKEN, json.dumps(pod))
    result: Json = json.loads(text, object_hook=_without_merged_keys)
    result.pop("status", None)
    for field in OF_THE_SERVER:
        result["metadata"].pop(field, None)
    if result["metadata"].get("generateName"):
        result["metadata"].pop("name", None)
    return result


def _without_merged_keys(thing: Json) -> Json:
    """The API server writes the labels of matchLabelKeys into the selector, behind all webhooks."""
    keys = [*(thing.get("matchLabelKeys") or ()), *(thing.get("mismatchLabelKeys") or ())]
    selector = thing.get("labelSelector") or {}
    if keys and selector.get("matchExpressions"):
        expressions = [item for item in selector["matchExpressions"] if item["key"] not in keys]
        thing["labelSelector"] = {**selector, "matchExpressions": expressions}
    return thing


def comparable(value: Any) -> Any:
    """Without what counts as absent: null, what is empty, Go's zero values."""
    if isinstance(value, Mapping):
        members = {key: comparable(item) for key, item in value.items()}
        return {key: item for key, item in members.items() if item not in (*EMPTY, "", 0)}
    return [comparable(item) for item in value] if isinstance(value, list) else value


def without_derived(stored: Json) -> Json:
    """A pod without what the API server derives from the whole of it: tolerations, unless it has
    one of everything, and sums of the containers' resources.

    For a pod from a file they are derived with our parts in it; nothing tells them apart.
    """
    tolerations = stored["spec"].get("tolerations") or ()
    own = [item for item in tolerations if item.get("key") not in OF_A_PLUGIN]
    spec = {**stored["spec"], "tolerations": own}
    spec.pop("resources", None)
    return {**stored, "spec": spec}


def without_completed(pod: Json, injected: Json) -> Json:
    """The pod without what the API server copies from another field of the injected one: a port to
    the host's, on its network, and limits to requests. Nobody can tell them from the author's. It
    is also without the account that the API server fills in where a file names none."""
    spec = dict(pod["spec"])
    for alias in ("serviceAccount", "serviceAccountName"):
        if spec.get(alias) == "default":
            del spec[alias]
    containers = {}
    for field in ("containers", "initContainers"):
        present = {item["name"]: item for item in injected["spec"].get(field) or ()}
        containers[field] = [
            _without_copies(item, present.get(item["name"], item), injected)
            for item in pod["spec"].get(field) or ()
        ]
    return {**pod, "spec": {**spec, **containers}}


def _without_copies(container: Json, injected_container: Json, injected: Json) -> Json:
    limits = (injected_container.get("resources") or {}).get("limits") or {}
    resources = container.get("resources") or {}
    requests = (resources.get("requests") or {}).items()
    own = {key: value for key, value in requests if value != limits.get(key)}
    ports = container.get("ports") or []
    if injected["spec"].get("hostNetwork"):
        ports = [{**port, "hostPort": None} for port in ports]
    return {**container, "ports": ports, "resources": {**resources, "requests": own}}


def _as_it_is(stored: Json) -> Json:
    return stored


def difference(value: Any, other: Any, path: str = "") -> str:
    """Where two values differ first, as a path with both; empty if they are equal."""
    if value == other:
        return ""
    if isinstance(value, dict) and isinstance(other, dict):
        for key in sorted({*value, *other}):
            if found := difference(value.get(key), other.get(key), f"{path}/{key}"):
                return found
    if isinstance(value, list) and isinstance(other, list) and len(value) == len(other):
        for index, (item, another) in enumerate(zip(value, other, strict=True)):
            if found := difference(item, another, f"{path}/{index}"):
                return found
    return f"{path}: {json.dumps(value)[:200]} is not {json.dumps(other)[:200]}"


def lost(before: Any, after: Any, path: str = "", *, unset: Sequence[Any] = EMPTY) -> str:
    """Where something of the author's is missing, changed or in another order; else empty."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key, value in before.items():
            if value in unset:
                continue
            if found := lost(value, after.get(key), f"{path}/{key}", unset=unset):
                return found
        return ""
    if isinstance(before, list) and isinstance(after, list):
        return _lost_item(before, after, path, unset)
    may_change = (
        before == after
        or (path.endswith("/value") and str(after).startswith(str(before)))
        or (path.startswith("/spec/serviceAccount") and before == "default")
    )
    return (
        "" if may_change else f"{path}: {json.dumps(before)[:200]}, now {json.dumps(after)[:200]}"
    )


def _lost_item(before: Sequence[Any], after: Sequence[Any], path: str, unset: Sequence[Any]) -> str:
    """Items keep their order, and others may stand between them."""
    rest = iter(after)
    for item in before:
        problem = f"{path}: no {json.dumps(item)[:200]}"
        for candidate in rest:
            if not (found := lost(item, candidate, path, unset=unset)):
                break
            if isinstance(item, Mapping) and item.get("name") == candidate.get("name"):
                problem = found
        else:
            return problem
    return ""
