"""Work grows with what is added: twice as many parts cost about twice as many function calls.

Calls are counted, not timed, so that a busy machine changes nothing.
"""

from __future__ import annotations

import json
import sys

import pytest

from sidecar_injector import names
from sidecar_injector.core import patch
from sidecar_injector.core.merging import author, merge, render, status_annotation
from sidecar_injector.core.reasons import Reason
from tests.kits.samples import container, decided, injection, pod

MOST = 2.5
"""Times as much work for twice as many parts."""
CONTAINERS, ITEMS = 4, 16
VOLUME = {"name": "v", "emptyDir": {}}


def env(count, prefix=""):
    return [{"name": f"{prefix}E{number}", "value": "x"} for number in range(count)]


def env_from(count, prefix=""):
    return [{"configMapRef": {"name": f"{prefix}c{number}"}} for number in range(count)]


def mounts(count, prefix=""):
    return [{"name": "v", "mountPath": f"/{prefix}{number}"} for number in range(count)]


LISTS = {"env": env, "envFrom": env_from, "appendEnv": env, "volumeMounts": mounts}
"""The lists of applicationContainers, each with what makes its items."""


def injecting(field, count, *, name="log", prefix="", priority=0):
    """An injection that adds so many items to each container of the pod."""
    return injection(
        name,
        priority=priority,
        template={"spec": {"volumes": [VOLUME]}},
        applicationContainers={field: LISTS[field](count, prefix)},
    )


def containers(count, **fields):
    return [container(f"c{number}", **fields) for number in range(count)]


def calls(function, *arguments):
    """How many functions are called, those of C included."""
    count = 0

    def counting(frame, event, argument):
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(counting)
    try:
        function(*arguments)
    finally:
        sys.setprofile(None)
    return count


def check_linear(work):
    """`work` makes a function and its arguments for a number of parts."""
    once = calls(*work(1))
    assert calls(*work(2)) / once < MOST


def more_containers(field, times):
    return pod(containers=containers(CONTAINERS * times)), injecting(field, ITEMS)


def more_items(field, times):
    return pod(containers=containers(CONTAINERS)), injecting(field, ITEMS * times)


def items_that_the_author_has(field, times):
    own = {"env" if field == "appendEnv" else field: LISTS[field](ITEMS * times)}
    subject = pod(containers=containers(CONTAINERS, **own), volumes=[VOLUME])
    return subject, injecting(field, ITEMS * times)


def items_of_two_injections(field, times):
    first = injecting(field, ITEMS * times, name="a", prefix="a", priority=1)
    second = injecting(field, ITEMS * times, name="b")
    return pod(containers=containers(CONTAINERS)), first, second


def items_of_the_first_call(field, times):
    subject, log_injection = more_items(field, times)
    return decided(subject, log_injection).pod, log_injection


@pytest.mark.parametrize("field", LISTS)
@pytest.mark.parametrize(
    "parts",
    [
        more_containers, more_items, items_that_the_author_has, items_of_two_injections,
        items_of_the_first_call,
    ],
)  # fmt: skip
def test_twice_as_much_costs_twice_as_much(parts, field):
    check_linear(lambda times: (decided, *parts(field, times)))


@pytest.mark.parametrize("field", ["env", "envFrom", "volumeMounts"])
def test_containers_that_are_merged_and_inherit_are_linear_too(field):
    def work(times):
        items = LISTS[field](ITEMS * times)
        inherited = {"volumeMounts": {}}
        if field == "env":
            inherited["env"] = [{"name": item["name"], "fromContainer": "app"} for item in items]
        log_injection = injection(
            onConflict="Merge",
            inherit=inherited,
            template={
                "spec": {"containers": [container("both", **{field: items})], "volumes": [VOLUME]}
            },
        )
        own = [container("app", **{field: items}), container("both")]
        return decided, pod(containers=own, volumes=[VOLUME]), log_injection

    check_linear(work)


def test_variables_that_come_with_mounts_are_linear_too():
    def work(times):
        numbers = range(ITEMS * times)
        env = [{"name": f"E{n}", "value": f"$(E{n - 1})/$(E{n % 7})"} for n in numbers]
        mounts = [
            {"name": VOLUME["name"], "mountPath": f"/{n}", "subPathExpr": f"$(E{n})"}
            for n in numbers
        ]
        own = [container("app", env=env, volumeMounts=mounts)]
        return decided, pod(containers=own, volumes=[VOLUME]), injection(
            inherit={"volumeMounts": {}}
        )  # fmt: skip

    check_linear(work)


def test_variables_beside_many_sources_are_linear_too():
    def work(times):
        numbers = range(ITEMS * times)
        sources = [{"configMapRef": {"name": "c"}, "prefix": f"P{n}"} for n in numbers]
        env = [{"name": f"E{n}", "value": "x"} for n in numbers]
        return decided, pod(containers=[container("app", envFrom=sources)]), injection(
            applicationContainers={"env": env}
        )  # fmt: skip

    check_linear(work)


@pytest.mark.parametrize(
    ("field", "item"),
    [
        ("tolerations", lambda number: {"key": f"k{number}", "operator": "Exists"}),
        ("imagePullSecrets", lambda number: {"name": f"s{number}"}),
        ("hostAliases", lambda number: {"ip": f"10.0.0.{number}", "hostnames": ["a"]}),
    ],
)
def test_lists_of_the_pod_are_linear_too(field, item):
    def work(times):
        items = [item(number) for number in range(ITEMS * times * 2)]
        return decided, pod(**{field: items[::2]}), injection(template={"spec": {field: items}})

    check_linear(work)


def sidecar(number):
    """An injection as most are: a container with a volume."""
    mounts = [{"name": f"v{number}", "mountPath": "/v"}]
    volume = {"name": f"v{number}", "emptyDir": {}}
    containers = [container(f"s{number}", volumeMounts=mounts)]
    return injection(
        f"i{number}", template={"spec": {"containers": containers, "volumes": [volume]}}
    )


@pytest.mark.parametrize("passes", [1, 2])
def test_an_injection_costs_the_same_however_many_others_match(passes):
    def work(times):
        injections = [sidecar(number) for number in range(32 * times)]
        subject = pod()
        for _ in range(passes):
            decision = decided(subject, *injections)
            before, subject = subject, decision.pod
        return decided, before, *injections

    check_linear(work)


def forged(times, *, texts=1, items=1, steps=0):
    """A pod of which the annotation claims that many texts were appended to its variables."""
    path = "/spec/containers/app/env/A/value" + "/a" * (steps * times)
    record = {"op": "append", "path": path, "suffix": "x"}
    entry = {"kind": "K", "name": "n", "patched": [record] * (texts * times)}
    text = json.dumps({"injections": [entry], "version": 1})
    env = [{"name": "A", "value": "x" * 1000}] * (items * times)
    return pod(annotations={names.STATUS_ANNOTATION: text}, containers=[container("app", env=env)])


@pytest.mark.parametrize("sizes", [{"texts": 400}, {"items": 400}, {"texts": 400, "items": 400}])
def test_the_authors_pod_is_found_in_linear_time(sizes):
    def work(times):
        subject = forged(times, **sizes)
        recorded = status_annotation.read(subject["metadata"]["annotations"])
        return author.pod_of, subject, recorded

    check_linear(work)


def test_a_path_of_many_steps_is_not_followed():
    subject = forged(1, steps=10_000)
    recorded = status_annotation.read(subject["metadata"]["annotations"])
    assert calls(author.pod_of, subject, recorded) < 1000


class CountingText(str):
    """Text that counts how often it is compared."""

    __slots__ = ()
    count = 0
    __hash__ = str.__hash__

    def __eq__(self, other):
        CountingText.count += 1
        return str.__eq__(self, other)


def test_records_of_the_first_call_are_not_compared_with_each_other():
    log_injection = injecting("env", ITEMS)
    once = decided(pod(containers=containers(CONTAINERS)), log_injection).pod
    recorded = status_annotation.read(once["metadata"]["annotations"])
    (entry,) = recorded.entries
    for record in entry.patched:
        record["path"] = CountingText(record["path"])
    once["spec"]["containers"].append(container("foreign"))

    context = render.RenderContext(
        namespace="demo", service_account="default", host_network=False, sources={}
    )
    editor = patch.Editor(once)
    line = merge.Merge(editor, recorded, context=context).fit(log_injection)
    assert line.reason is Reason.INJECTED
    assert CountingText.count < 10 * len(entry.patched)


@pytest.mark.parametrize("field", LISTS)
def test_what_was_added_before_is_known_again_in_linear_time(field):
    """By an injection itself, and by one that wants the same."""

    def again(count):
        both = [injecting(field, count, name=name) for name in "ab"]
        once = decided(pod(containers=containers(CONTAINERS)), *both).pod
        return calls(decided, once, *both)

    assert again(2 * ITEMS) <= MOST * again(ITEMS)
