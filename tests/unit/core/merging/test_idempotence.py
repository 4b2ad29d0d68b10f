"""What an injection adds never changes what is decided on the second call."""

from __future__ import annotations

import copy
import json

import pytest

from tests.kits.samples import container, decided, injection, pod, reasons

SECOND = {
    "host network": {"template": {"spec": {"containers": [container()], "hostNetwork": True}}},
    "annotation that is its own parameter's source": {
        "parameters": [{"name": "p", "from": {"podAnnotation": "level"}, "default": "info"}],
        "template": {
            "metadata": {"annotations": {"level": "debug"}},
            "spec": {"containers": [container(args=["$(params.p)"])]},
        },
    },
    "label that its own selector forbids": {
        "selector": {"matchExpressions": [{"key": "done", "operator": "DoesNotExist"}]},
        "template": {
            "metadata": {"labels": {"done": "yes"}},
            "spec": {"containers": [container()]},
        },
    },
    "service account that it asks for": {
        "template": {
            "spec": {
                "containers": [container(args=["$(pod.serviceAccountName)"])],
                "serviceAccountName": "sidecar",
            }
        }
    },
    "variable that it inherits": {
        "applicationContainers": {"env": [{"name": "A", "value": "ours"}]},
        "inherit": {"env": [{"name": "B", "fromContainer": "app"}]},
        "template": {"spec": {"containers": [container()]}},
    },
}


@pytest.mark.parametrize("spec", SECOND.values(), ids=SECOND)
def test_an_injection_that_touches_what_decides_is_still_there_on_the_second_call(spec):
    log_injection = injection(cluster=True, **spec)
    subject = pod(containers=[container("app", env=[{"name": "B", "value": "own"}])])
    once = decided(subject, log_injection)
    assert reasons(once) == {"cluster/log": "Injected"}
    twice = decided(once.pod, log_injection)
    assert reasons(twice) == {"cluster/log": "AlreadyInjected"}
    assert not twice.operations
    assert json.dumps(twice.pod) == json.dumps(once.pod)


def test_the_values_of_the_first_call_are_the_authors():
    once = decided(pod(), injection(**SECOND["annotation that is its own parameter's source"]))
    assert once.pod["spec"]["containers"][1]["args"] == ["info"]
    once = decided(pod(), injection(**SECOND["service account that it asks for"]))
    assert once.pod["spec"]["containers"][1]["args"] == ["default"]


def test_a_resource_that_changes_between_the_calls_leaves_its_older_parts():
    before = injection(template={"spec": {"containers": [container()]}})
    after = injection(template={"spec": {"containers": [container(args=["new"])]}})
    once = decided(pod(), before)
    twice = decided(once.pod, after)
    assert reasons(twice) == {"log": "Outdated"}
    assert not twice.operations


@pytest.mark.parametrize("index", [0, 1, 2])
def test_another_injectors_container_may_be_anywhere_in_between(index):
    both = [
        injection("a", placement={"containers": "First"}),
        injection("b", template={"spec": {"containers": [container("b")]}}),
    ]
    between = copy.deepcopy(decided(pod(), *both).pod)
    between["spec"]["containers"].insert(index, container("foreign"))
    again = decided(between, *both)
    assert reasons(again) == {"a": "AlreadyInjected", "b": "AlreadyInjected"}
    assert not again.operations


def test_a_hundred_containers_receive_their_variable_and_come_out_once():
    many = pod(containers=[container(f"c{number}") for number in range(100)])
    log_injection = injection(
        applicationContainers={
            "env": [{"name": "A", "value": "b"}],
            "appendEnv": [{"name": "C", "value": "d"}],
        }
    )
    decision = decided(many, log_injection)
    assert all(
        container["env"] == [{"name": "A", "value": "b"}, {"name": "C", "value": "d"}]
        for container in decision.pod["spec"]["containers"][:100]
    )
    assert not decided(decision.pod, log_injection).operations
