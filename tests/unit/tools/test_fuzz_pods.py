"""The campaign with random pods sees what is broken, and makes it small."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.kits import samples
from tools.fuzz.pods import drawing, judge, minimise, promises, walking

STRING = {"type": "string"}
TYPES = {
    "ObjectMeta": {"labels": {"type": "object", "additionalProperties": STRING}},
    "PodSpec": {
        "containers": {
            "type": "array",
            "items": {"$ref": "#/components/schemas/io.k8s.api.core.v1.Container"},
        },
        "hostname": STRING,
    },
    "Container": {"name": STRING, "image": STRING, "tty": {"type": "boolean"}},
}
OPENAPI = {
    "components": {
        "schemas": {
            f"io.k8s.api.core.v1.{name}": {"properties": fields, "required": []}
            for name, fields in TYPES.items()
        }
    }
}
SCHEMAS = OPENAPI["components"]["schemas"]


class Court(judge.Judge):
    """An API server that accepts every pod, and changes it in one way before it stores it."""

    def __init__(self, change: Any = lambda pod: None) -> None:
        self._change = change

    def judge(self, pod: promises.Json) -> judge.Verdict:
        stored = copy.deepcopy(pod)
        self._change(stored)
        return judge.Verdict(stored)


def pair(**template: Any) -> promises.Pair:
    injection = samples.resource("one", template={"spec": template})
    injection["metadata"]["namespace"] = judge.NAMESPACE
    return promises.Pair(pod=samples.pod(), injections=(injection,))


def broken(pair: promises.Pair, court: judge.Judge) -> set[str]:
    return {item.promise for item in promises.Trial(pair, court).broken()}


def test_the_same_seed_draws_the_same_pod_and_others_another_one():
    pods = [drawing.Draw(OPENAPI, seed).pod() for seed in ("1", "1", "2")]
    assert pods[0] == pods[1] != pods[2]


def test_every_field_of_a_type_is_known_and_found_in_an_object():
    fields = walking.fields_below(SCHEMAS, "PodSpec")
    assert {"PodSpec.hostname", "Container.tty"} <= fields
    spec = {"containers": [{"name": "a", "tty": True}]}
    found = {
        name for name, place, key in walking.fields_of(SCHEMAS, "PodSpec", spec) if key in place
    }
    assert found == {"PodSpec.containers", "Container.name", "Container.tty"}


def test_a_pair_whose_pod_is_stored_as_it_is_breaks_no_promise():
    assert broken(pair(containers=[samples.container()]), Court()) == set()


def test_a_part_of_the_author_that_goes_only_with_us_is_noticed():
    def lose_image(pod: promises.Json) -> None:
        if len(pod["spec"]["containers"]) > 1:
            del pod["spec"]["containers"][0]["image"]

    promised = broken(pair(containers=[samples.container()]), Court(lose_image))
    assert "the author's part is untouched once stored" in promised


def test_a_container_that_the_api_server_drops_is_added_twice():
    def lose_ours(pod: promises.Json) -> None:
        del pod["spec"]["containers"][1:]

    promised = broken(pair(containers=[samples.container()]), Court(lose_ours))
    assert "twice is once" in promised


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, ""),
        ({"a": 1}, {"a": 2}, "/a: 1, now 2"),
        ({"a": 0}, {}, "/a: 0, now null"),
        ({"a": [1, 2]}, {"a": [0, 1, 3, 2]}, ""),
        ({"a": [1, 2]}, {"a": [2, 1]}, "/a: no 2"),
    ],
)
def test_lost_names_the_place(before, after, path):
    assert promises.lost(before, after) == path


@pytest.mark.parametrize(
    ("path", "whole", "left"),
    [
        ("spec.containers[0].image", False, {"spec": {"containers": [{"name": "a"}]}}),
        ("spec.containers[0].image", True, {"spec": {"containers": []}}),
        ("spec.Containers", False, {"spec": {}}),
    ],
)
def test_what_the_api_server_names_is_dropped(path, whole, left):
    pod = {"spec": {"containers": [{"name": "a", "image": "x"}]}}
    judge.drop(pod, path, whole=whole)
    assert pod == left


def test_a_failing_pair_is_made_as_small_as_it_can_be():
    large = pair(containers=[samples.container(tty=True, stdin=True)], shareProcessNamespace=True)
    small = minimise.minimal(large, lambda pair: "tty" in str(pair.injections))
    (injection,) = small.injections
    containers = [samples.container(tty=True)]
    assert injection["spec"] == {"template": {"spec": {"containers": containers}}}
