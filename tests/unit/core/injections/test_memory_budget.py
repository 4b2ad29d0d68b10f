"""Which injections a replica keeps: the oldest that fit, whatever order they come in."""

from __future__ import annotations

import gc
import itertools
import tracemalloc

import orjson
import pytest

from sidecar_injector import names
from sidecar_injector.controllers import injections
from sidecar_injector.core import decide
from sidecar_injector.core.injections import memory_budget, namespace_view
from sidecar_injector.webhook import cluster_state
from tests.kits.samples import NAMESPACE, container, pod, resource

SMALL = memory_budget.Limits(
    number=3, namespace_bytes=4 << 20, all_bytes=6 << 20, where="all namespaces together"
)


def put(
    subject: memory_budget.MemoryBudget, namespace: str, name: str, mebibytes: int
) -> dict[memory_budget.Key, str]:
    """Add one that was created when its name says."""
    return subject.put((namespace, name), created=name, spec_weight=mebibytes << 20)


@pytest.mark.parametrize(
    ("injections", "expected"),
    [
        ([("a", "1", 1), ("a", "2", 1), ("a", "3", 1), ("a", "4", 1)], "123"),
        ([("a", "1", 2), ("a", "2", 2), ("a", "3", 1)], "12"),
        ([("a", "1", 3), ("a", "2", 1), ("b", "3", 2), ("b", "4", 1), ("c", "5", 1)], "123"),
        ([("a", "1", 9)], ""),
    ],
)
def test_the_oldest_that_fit_are_kept_in_whatever_order_they_come(
    injections: list[tuple[str, str, int]], expected: str
) -> None:
    for order in itertools.permutations(injections):
        subject = memory_budget.MemoryBudget(SMALL)
        kept: set[memory_budget.Key] = set()
        for namespace, name, mebibytes in order:
            kept.add((namespace, name))
            kept -= put(subject, namespace, name, mebibytes).keys()
        assert {name for _, name in kept} == set(expected)


def test_the_reason_names_the_limit() -> None:
    subject = memory_budget.MemoryBudget(SMALL)
    for name in "123":
        assert not put(subject, "a", name, 1)
    expected = "the namespace has more than 3 injections"
    assert expected in put(subject, "a", "4", 1)["a", "4"]
    expected = "the injections of the namespace take more than 4 MiB of memory"
    assert expected in put(subject, "b", "5", 5)["b", "5"]
    expected = "the injections of all namespaces together take more than 6 MiB of memory"
    assert expected in put(subject, "b", "6", 4)["b", "6"]


def test_what_is_removed_makes_room() -> None:
    subject = memory_budget.MemoryBudget(SMALL)
    for name in "123":
        put(subject, "a", name, 1)
    subject.remove(("a", "1"))
    subject.remove(("a", "1"))
    assert not put(subject, "a", "4", 1)
    assert not put(subject, "a", "4", 2), "a changed one is counted once"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"env": [{"name": f"V{number}", "value": str(number)} for number in range(500)]},
        {"env": [{"name": "V", "value": "x" * 100_000}]},
        {"volumeMounts": [{"name": "data", "mountPath": f"/a{number}"} for number in range(500)]},
        {"command": ["x"] * 500},
    ],
)
def test_the_weight_is_about_what_an_injection_takes_in_memory(fields: dict[str, object]) -> None:
    volumes = [{"name": "data", "emptyDir": {}}]
    bodies = []
    for number in range(5):
        containers = [container(f"c{number}", **fields)]
        template = {"spec": {"containers": containers, "volumes": volumes if fields else []}}
        bodies.append(orjson.dumps(resource(f"i{number}", template=template)))
    state = cluster_state.ClusterState(release_namespace=names.PRODUCT)
    metadata = {"name": NAMESPACE, "labels": {names.INJECTION_LABEL: names.ENABLED}}
    state.namespace_changed(("", NAMESPACE), None, {"metadata": metadata})
    # What is loaded once, whatever the injection is, is in memory from here on.
    state.injection_changed((NAMESPACE, "warm-up"), None, resource("warm-up"))
    request = namespace_view.PodRequest(namespace=NAMESPACE, pod=pod())
    decide.decide(request, state.of_namespace(NAMESPACE).view)
    tracemalloc.start()
    try:
        objects = [injections.fields(orjson.loads(body)) for body in bodies]
        for each in objects:
            state.injection_changed((NAMESPACE, each["metadata"]["name"]), None, each)
        decide.decide(request, state.of_namespace(NAMESPACE).view)
        gc.collect()
        in_memory, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    counted = sum(memory_budget.weight(each["spec"]) for each in objects)
    assert in_memory < 1.5 * counted
