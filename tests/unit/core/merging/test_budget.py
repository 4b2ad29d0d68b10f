"""The budget of work for one pod: what passes, what is skipped, and what a second call sees."""

from __future__ import annotations

import asyncio
import copy
import json

import pytest

from sidecar_injector.core import decide
from sidecar_injector.core.injections import namespace_view
from sidecar_injector.core.linting import validate
from sidecar_injector.core.merging import budget, merge, status_annotation
from sidecar_injector.core.reasons import PodVerdict, Reason
from sidecar_injector.httpserver import messages
from tests.kits.admission import Server, patched, review
from tests.kits.samples import (
    NAMESPACE,
    applied,
    container,
    decided,
    injection,
    namespace_with,
    pod,
    reasons,
    resource,
)  # fmt: skip


def env(count, prefix="E"):
    return [{"name": f"{prefix}{number}", "value": "x"} for number in range(count)]


def containers(count, **fields):
    return [container(f"c{number}", **copy.deepcopy(fields)) for number in range(count)]


def adding(count, name="log", **spec):
    """An injection of so many variables for each container."""
    return injection(name, template={}, applicationContainers={"env": env(count)}, **spec)


def ordinary(number):
    """An injection of one sidecar with a volume, which the pod's containers mount too."""
    mount = {"name": f"v{number}", "mountPath": f"/v{number}"}
    sidecar = container(f"s{number}", env=env(5), volumeMounts=[mount])
    return injection(
        f"log{number}",
        template={"spec": {
            "containers": [sidecar], "volumes": [{"name": mount["name"], "emptyDir": {}}],
        }},
        applicationContainers={"env": env(1, f"S{number}"), "volumeMounts": [mount]},
    )  # fmt: skip


HONEST = {
    "100 variables in 10 containers": (containers(10), [adding(100)]),
    "20 variables in 100 containers": (containers(100), [adding(20)]),
    "20 ordinary ones": (containers(3, env=env(30, "OWN")), [ordinary(n) for n in range(20)]),
    "the largest number of variables": (containers(10), [adding(512)]),
}


@pytest.mark.parametrize("case", HONEST)
def test_honest_injections_pass_and_the_second_call_changes_nothing(case):
    own, injections = HONEST[case]

    result = applied(pod(containers=own), *injections)

    assert {line.reason for line in result.evaluated} == {Reason.INJECTED}


TOO_MUCH = {
    "variables": (pod(containers=containers(60)), [adding(512)]),
    "containers": (pod(containers=containers(1200)), [adding(1)]),
    "quantities": (
        pod(containers=containers(1, resources={"limits": dict.fromkeys(map(str, range(999)), 1)})),
        [ordinary(n) for n in range(20)],
    ),
    "injections": (pod(), [ordinary(n) for n in range(200)]),
    "inherited mounts": (
        pod(
            volumes=[{"name": "v", "emptyDir": {}}],
            containers=containers(
                1, volumeMounts=[{"name": "v", "mountPath": f"/{n}"} for n in range(500)]
            ),
        ),
        [injection(
            inherit={"volumeMounts": {}},
            template={"spec": {"containers": [container(f"s{n}") for n in range(64)]}},
        )],
    ),
    "variables of inherited mounts": (
        pod(
            volumes=[{"name": "v", "emptyDir": {}}],
            containers=containers(
                1, volumeMounts=[
                    {"name": "v", "mountPath": f"/{n}", "subPathExpr": "$(A)"} for n in range(60)
                ],
            ),
        ),
        [injection(
            inherit={"volumeMounts": {}},
            template={"spec": {"containers": [container(f"s{n}") for n in range(8)]}},
        )],
    ),
    "sources of volumes": (
        pod(volumes=[{"name": "v", "projected": {"sources": [{}] * 70_000}}]),
        [injection(inherit={"volumeMounts": {}})],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TOO_MUCH)
def test_what_is_more_is_skipped_and_stays_skipped(case):
    subject, injections = TOO_MUCH[case]

    first = decided(subject, *injections)
    second = decided(first.pod, *injections)

    assert Reason.TOO_MUCH_WORK in first.reasons
    assert second.operations == []
    skipped = {key for key, reason in reasons(first).items() if reason == "TooMuchWork"}
    assert skipped == {key for key, reason in reasons(second).items() if reason == "TooMuchWork"}


def test_a_smaller_injection_after_one_that_is_too_much_is_added():
    large, small = adding(512, "a", priority=1), injection("b")

    result = decided(pod(containers=containers(60)), large, small)

    assert reasons(result) == {"a": "TooMuchWork", "b": "Injected"}


def test_too_much_refuses_the_pod_where_the_injection_must_be_added():
    result = decided(pod(containers=containers(60)), adding(512, failurePolicy="Fail"))

    assert result.verdict is PodVerdict.REFUSED
    assert result.reason is Reason.TOO_MUCH_WORK


def test_a_forged_record_does_not_make_work_for_nothing():
    names = [f"c{number}" for number in range(3000)]
    entry = {"kind": "SidecarInjection", "name": "log", "added": {"labels": {"a": "b"}}}
    text = json.dumps({"version": 1, "injections": [entry]})
    subject = pod(
        containers=[container(name) for name in names],
        annotations={"sidecar-injector.dev/status": text},
    )

    assert reasons(decided(subject, adding(100))) == {"log": "TooMuchWork"}


def test_an_injection_that_fits_no_pod_is_refused_when_it_is_applied():
    values = [{"name": f"v{n}", "configMap": {"name": "c", "items": [
        {"key": f"k{m}", "path": f"p{m}"} for m in range(64)]}} for n in range(50)]  # fmt: skip
    large = injection(template={"spec": {
        "volumes": values,
        "containers": [container(volumeMounts=[
            {"name": f"v{n}", "mountPath": f"/{n}"} for n in range(50)])],
    }})  # fmt: skip

    (error,) = validate.validate(large).errors

    assert "TooMuchWork" in str(error)


def test_one_that_others_wait_for_is_not_begun_if_it_takes_long():
    request = namespace_view.PodRequest(
        namespace=NAMESPACE, pod=pod(containers=containers(100)), is_waited_for=True
    )

    with pytest.raises(budget.LongWorkError):
        decide.decide(request, namespace_with(adding(20)))
    short = namespace_view.PodRequest(namespace=NAMESPACE, pod=pod(), is_waited_for=True)
    assert decide.decide(short, namespace_with(adding(20))).verdict is PodVerdict.INJECTED


def test_a_small_review_of_much_work_is_answered_beside_the_event_loop():
    spec = {"template": {}, "applicationContainers": {"env": env(20)}}
    server = Server(resource(**spec))
    subject = pod(containers=containers(100))

    async def answered():
        body = json.dumps(review(subject)).encode()
        answer = server.webhook.mutate(messages.Request("POST", "/mutate", {}, body))
        assert not isinstance(answer, messages.Response)
        return json.loads((await answer).body)["response"]

    assert patched(subject, asyncio.run(answered()))["spec"]["containers"][99]["env"] == env(20)


def test_globs_count_for_each_container_and_patterns_for_each_injection():
    slow = [f"a?{'*b' * 20}{number}" for number in range(60)]
    many = pod(containers=containers(200))
    selecting = injection(
        applicationContainers={"names": {"exclude": slow}, "env": env(1)}, template={}
    )
    assert reasons(decided(many, selecting)) == {"log": "TooMuchWork"}
    parameters = [
        {"name": f"p{number}", "from": {"podLabel": "x"}, "default": "a", "pattern": "a+"}
        for number in range(50)
    ]
    matching = [injection(f"log{n}", parameters=parameters) for n in range(3)]
    verdicts = [line.reason for line in decided(pod(), *matching).evaluated]
    assert verdicts.count(Reason.TOO_MUCH_WORK) == 2


def test_a_pod_that_is_too_large_by_itself_gets_what_is_small():
    """Some clusters store larger objects; with us a pod must not be worse off."""
    large = pod(containers=[container("app", env=[{"name": "A", "value": "x" * merge.MOST_BYTES}])])
    assert reasons(decided(large, ordinary(1))) == {"log1": "Injected"}
    value = "x" * merge.SMALL_BYTES
    big = injection(applicationContainers={"env": [{"name": "B", "value": value}]}, template={})
    assert reasons(decided(large, big)) == {"log": "TooMuchWork"}


@pytest.mark.parametrize("size", [1_000, 10_000])
def test_a_pod_does_not_become_larger_than_the_api_server_can_store(size):
    """Each injection adds a long variable to many containers; the same ones fit in each call."""
    injections = [
        injection(
            f"log{number}", template={},
            applicationContainers={"env": [{"name": f"E{number}", "value": "x" * size}]},
        )
        for number in range(2_000_000 // size // 50)
    ]  # fmt: skip
    subject = pod(containers=containers(50))
    decision = decided(subject, *injections)
    verdicts = [line.reason for line in decision.evaluated]
    fitting = verdicts.count(Reason.INJECTED)
    assert verdicts == fitting * [Reason.INJECTED] + (len(verdicts) - fitting) * [
        Reason.TOO_MUCH_WORK
    ]
    assert fitting * 50 * size < merge.MOST_BYTES
    again = decided(decision.pod, *injections)
    assert again.operations == []
    assert [line.reason for line in again.evaluated].count(Reason.ALREADY_INJECTED) == fitting


def test_a_second_call_that_is_decided_for_the_authors_pod_too_counts_twice():
    first, second = adding(1, "a"), adding(12, "b")
    subject = decided(pod(containers=containers(60)), first).pod
    counted = budget.Budget(subject, status_annotation.read(subject["metadata"]["annotations"]))
    assert counted.admits(first)
    assert counted.admits(second)
    assert counted.work < budget.SHORT < 2 * counted.work
    request = namespace_view.PodRequest(namespace=NAMESPACE, pod=subject, is_waited_for=True)
    with pytest.raises(budget.LongWorkError):
        decide.decide(request, namespace_with(first, second))
    assert decide.decide(request, namespace_with(first)).verdict is PodVerdict.UNCHANGED
