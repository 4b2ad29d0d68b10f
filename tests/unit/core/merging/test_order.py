"""Injected containers have the same order in every pod, whichever call added them."""

from __future__ import annotations

import copy
import random

import pytest

from tests.kits.random_pods import SEED
from tests.kits.samples import applied, container, decided, injection, pod, round_trip

FIELDS = ("initContainers", "containers")


def names_in(subject, field):
    return [item["name"] for item in subject["spec"].get(field) or ()]


def drawn(choices, name):
    """An injection with containers of its own, placed at random."""
    spec = {
        field: [container(f"{name}{field[0]}{number}") for number in range(choices.randint(0, 2))]
        for field in FIELDS
    }
    return injection(
        name,
        cluster=choices.random() < 0.3,
        priority=choices.randint(-1, 1),
        sidecarMode=choices.choice(["Native", "Container"]),
        placement={field: choices.choice(["First", "Last"]) for field in FIELDS},
        template={"spec": spec},
    )


def expected(subject, injections, field):
    """By the documented rule: First, the author's, Last; priority; the template's order."""
    placed = {"First": [], "Last": []}
    for each in sorted(injections, key=lambda each: each.order):
        spec, native = each.template_spec, each.spec["sidecarMode"] == "Native"
        items = spec.get("containers", ()) if native is (field == "initContainers") else ()
        own = spec.get("initContainers", ()) if field == "initContainers" else ()
        names = [item["name"] for item in (*own, *items)]
        placed[each.spec["placement"][field]] += names
    return placed["First"] + names_in(subject, field) + placed["Last"]


@pytest.mark.parametrize("number", range(60))
def test_the_order_is_the_same_in_every_pod_and_by_every_call(number):
    choices = random.Random(SEED + number)
    injections = [drawn(choices, name) for name in "abcd"]
    earlier = choices.sample(injections, choices.randint(0, 3))
    for count in (0, 2):
        subject = pod(initContainers=[container(f"own{index}") for index in range(count)])
        for start in (subject, decided(subject, *earlier).pod):
            result = applied(start, *injections)
            for field in FIELDS:
                assert names_in(result.pod, field) == expected(subject, injections, field)


@pytest.mark.parametrize("placement", ["First", "Last"])
@pytest.mark.parametrize("gone", ["a0", "a1", "a2"])
def test_a_container_that_is_gone_comes_back_to_its_place(placement, gone):
    parts = [container(f"a{number}") for number in range(3)]
    both = [
        injection(
            "a", placement={"containers": placement}, template={"spec": {"containers": parts}}
        ),
        injection("b", placement={"containers": placement}),
    ]
    once = decided(pod(), *both).pod
    between = copy.deepcopy(once)
    between["spec"]["containers"] = [
        item for item in between["spec"]["containers"] if item["name"] != gone
    ]
    assert names_in(decided(between, *both).pod, "containers") == names_in(once, "containers")


@pytest.mark.parametrize("placement", ["First", "Last"])
def test_a_container_of_the_authors_that_is_merged_does_not_draw_others_to_it(placement):
    parts = [container("log", args=["-v"]), container("more")]
    log_injection = injection(
        onConflict="Merge",
        placement={"containers": placement},
        template={"spec": {"containers": parts}},
    )
    subject = pod(containers=[container("x"), container("log"), container("y")])
    result = round_trip(subject, log_injection).pod
    added = {"First": ["more", "x", "log", "y"], "Last": ["x", "log", "y", "more"]}
    assert names_in(result, "containers") == added[placement]


def test_what_another_injector_puts_in_front_or_behind_is_no_obstacle():
    a = injection("a", placement={"containers": "First"})
    b = injection(
        "b", placement={"containers": "First"}, template={"spec": {"containers": [container("b")]}}
    )
    once = copy.deepcopy(decided(pod(), a).pod)
    once["spec"]["containers"].insert(0, container("foreign"))
    assert names_in(decided(once, a, b).pod, "containers") == ["foreign", "sidecar", "b", "app"]
