"""What is kept of a response: texts, which are counted, and nothing that they came from."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from typing import Any

import orjson
import pytest

from sidecar_injector import names
from sidecar_injector.webhook import admission_review, cluster_state, response
from tests.kits.admission import clash, review
from tests.kits.samples import NAMESPACE, pod, resource

Json = dict[str, Any]
OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "7", "more": [{}]}


@pytest.fixture
def state() -> cluster_state.ClusterState:
    cluster = cluster_state.ClusterState(release_namespace=names.PRODUCT)
    metadata = {"name": NAMESPACE, "labels": {names.INJECTION_LABEL: names.ENABLED}}
    cluster.namespace_changed(("", NAMESPACE), None, {"metadata": metadata})
    return cluster


def change(state: cluster_state.ClusterState, *, generation: int, **spec: Any) -> None:
    """The injections of a namespace: one is injected, one never fits."""
    for injection in (resource("log", **spec), clash()):
        injection["metadata"] |= {"generation": generation, "uid": f"uid-{generation}"}
        state.injection_changed((NAMESPACE, injection["metadata"]["name"]), None, injection)


def respond(state: cluster_state.ClusterState, subject: Json, **changes: Any) -> Any:
    """The response to a pod of an owner, as it comes from a body."""
    subject["metadata"]["ownerReferences"] = [{**OWNER, "controller": True}]
    body = orjson.dumps(review(subject, **changes))
    parsed = admission_review.read(body)
    pod_response = response.respond(parsed, state.of_namespace(parsed.request["namespace"]))
    assert pod_response is not None
    return pod_response


def reachable(thing: object) -> list[object]:
    """All objects that it keeps alive, apart from classes and modules."""
    seen: dict[int, object] = {}
    waiting = [thing]
    while waiting:
        each = waiting.pop()
        if id(each) not in seen and not isinstance(each, type):
            seen[id(each)] = each
            waiting += gc.get_referents(each)
    return list(seen.values())


def test_a_response_refers_to_texts_only(state: cluster_state.ClusterState) -> None:
    change(state, generation=1)
    pod_response = respond(state, pod())
    assert pod_response.skipped
    kept = {type(each) for each in reachable(pod_response)}
    assert kept == {
        response.PodResponse, response.Owner, response.SkippedInjection,
        str, bytes, int, bool, tuple, type(pod_response.skipped[0].reason),
        *(type(each) for each in reachable(pod_response.skipped[0].reason)),
    }  # fmt: skip


def test_an_injection_dies_with_its_change_although_responses_are_kept(
    state: cluster_state.ClusterState,
) -> None:
    kept, injections = [], []
    for generation in range(200):
        change(state, generation=generation)
        kept.append(respond(state, pod()))
        for name in ("log", "clash"):
            injection = state.injection(names.KIND, (NAMESPACE, name))
            assert injection is not None
            injections.append(weakref.ref(injection))
            del injection
    gc.collect()
    assert sum(injection() is not None for injection in injections) == 2, "the present ones"
    assert len({pod_response.serial for pod_response in kept}) == 200


@pytest.mark.parametrize(
    ("text", "others"), [("", 0), ("x", 0), ("x", 20), ("long" * 2000, 0), ("\u00fc" * 500, 3)]
)
def test_the_counted_bytes_are_those_in_memory(
    state: cluster_state.ClusterState, text: str, others: int
) -> None:
    variables = {"env": [{"name": "TEXT", "value": text}]}
    change(state, generation=1, applicationContainers=variables)
    for number in range(others):
        injection = clash()
        injection["metadata"]["name"] = f"clash-{number}"
        state.injection_changed((NAMESPACE, f"clash-{number}"), None, injection)
    respond(state, pod())
    gc.collect()
    tracemalloc.start()
    try:
        kept = [respond(state, pod(labels={"n": str(number)})) for number in range(50)]
        gc.collect()
        in_memory, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    counted = sum(pod_response.size for pod_response in kept)
    assert counted / 1.5 < in_memory < counted * 1.5


@pytest.mark.parametrize("field", ["apiVersion", "kind", "name"])
def test_a_reference_that_no_api_server_sends_is_no_owner(
    state: cluster_state.ClusterState, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert respond(state, pod()).owner is not None
    monkeypatch.delitem(OWNER, field)
    assert respond(state, pod()).owner is None
