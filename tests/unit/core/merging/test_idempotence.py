"""What an injection adds never changes what is decided on the second call."""

from __future__ import annotations

import copy
import json

import pytest

from sidecar_injector import names
from tests.kits.samples import (
    applied,
    container,
    decided,
    injection,
    pod,
    reasons,
    round_trip,
)

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


def texts(*appended):
    """One injection for each text and separator that is appended to OPTS."""
    return [
        injection(
            f"i{number}",
            template={},
            applicationContainers={
                "appendEnv": [{"name": "OPTS", "value": text, "separator": separator}]
            },
        )
        for number, (text, separator) in enumerate(appended)
    ]


@pytest.mark.parametrize("env", [[], [{"name": "OPTS"}], [{"name": "OPTS", "value": "own"}]])
@pytest.mark.parametrize(
    ("appended", "value"),
    [
        ([("-x", " "), ("-y", ",")], "-x,-y"),
        ([("-x", " "), ("-y", ","), ("-z", ";")], "-x,-y;-z"),
        ([("a,b", ","), ("c", " "), ("b", ",")], "a,b c"),
        ([("a", ""), ("b", ""), ("ab", ",")], "ab"),
        ([("x", "x"), ("x", ","), ("x", "x")], "x"),
    ],
)
def test_texts_with_different_separators_are_appended_once(env, appended, value):
    subject = pod(containers=[container("app", env=env)])
    decision = round_trip(subject, *texts(*appended))
    (variable,) = decision.pod["spec"]["containers"][0]["env"]
    if not any("value" in each for each in env):
        assert variable["value"] == value


def test_a_text_that_the_author_has_is_found_behind_what_others_append():
    subject = pod(containers=[container("app", env=[{"name": "OPTS", "value": "own,-y"}])])
    decision = round_trip(subject, *texts(("-y", ","), ("-x", " ")))
    assert reasons(decision) == {"i0": "AlreadyInjected", "i1": "Injected"}


def test_a_variable_is_inherited_without_what_injections_append():
    heir = injection(
        "heir",
        template={"spec": {"containers": [container("heir")]}},
        inherit={"env": [{"name": "OPTS", "fromContainer": "app"}]},
    )
    subject = pod(containers=[container("app", env=[{"name": "OPTS", "value": "own"}])])
    for priority in (0, 1):
        appended = [{"name": "OPTS", "value": "-x"}]
        before = injection(
            "x",
            priority=priority,
            template={},
            applicationContainers={"appendEnv": appended},
        )
        decision = round_trip(subject, before, heir)
        assert decision.pod["spec"]["containers"][-1]["env"] == [{"name": "OPTS", "value": "own"}]


def annotating(key):
    return injection("a", template={"metadata": {"annotations": {key: "unconfined"}}})


APPARMOR = "container.apparmor.security.beta.kubernetes.io/log"
FILE = {"fileKeyRef": {"volumeName": "v", "path": "p", "key": "k"}}
VOLUME = {"name": "v", "emptyDir": {}}
MOUNT = {"name": "v", "mountPath": "/log"}
VALUE = {"name": "A", "value": "1"}
LATER = {
    "annotation of a container": (
        annotating(APPARMOR),
        injection("b", template={"spec": {"containers": [container("log")]}}),
        "PodWouldBeInvalid",
    ),
    "annotation that a later one brings with its container": (
        annotating(APPARMOR),
        injection(
            "b",
            template={
                "metadata": {"annotations": {APPARMOR: "unconfined"}},
                "spec": {"containers": [container("log")]},
            },
        ),
        "PodWouldBeInvalid",
    ),
    "variable from a file": (
        injection(
            "a",
            template={
                "spec": {"containers": [container("fk", env=[{"name": "K", "valueFrom": FILE}])]}
            },
        ),
        injection(
            "b",
            template={
                "spec": {"containers": [container("log", volumeMounts=[MOUNT])],
                         "volumes": [VOLUME]}
            },
        ),
        "PodWouldBeInvalid",
    ),
    "container that a later one completes": (
        injection(
            "a",
            template={"spec": {"containers": [container("app", env=[VALUE])]}},
        ),
        injection("b", template={}, applicationContainers={"env": [VALUE]}),
        "ContainerConflict",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("first", "second", "reason"), LATER.values(), ids=LATER)
def test_an_injection_is_judged_without_those_that_come_later(first, second, reason):
    decision = round_trip(pod(), first, second)
    assert reasons(decision) == {"a": reason, "b": "Injected"}
    again = decided(decision.pod, first, second)
    assert reasons(again) == {"a": reason, "b": "AlreadyInjected"}
    # With the other one before, the same injection fits.
    before = injection("b", priority=1, **{
        key: value for key, value in second.spec.items() if key != "priority"
    })  # fmt: skip
    assert reasons(round_trip(pod(), first, before))["a"] in {"Injected", "AlreadyInjected"}


@pytest.mark.parametrize(
    "source", [names.STATUS_ANNOTATION, names.SAFE_TO_EVICT_ANNOTATION,
               names.DEFAULT_CONTAINER_ANNOTATION, names.TUTORIAL_STATUS_ANNOTATION]
)  # fmt: skip
@pytest.mark.parametrize("own", [True, False])
def test_a_parameter_reads_an_annotation_as_the_author_wrote_it(source, own):
    is_ours = source == names.STATUS_ANNOTATION
    log_injection = injection(
        parameters=[{"name": "p", "from": {"podAnnotation": source}, "default": "none"}],
        placement={"containers": "First"},
        template={
            "spec": {
                "containers": [container(args=["$(params.p)"], volumeMounts=[MOUNT])],
                "volumes": [VOLUME],
            }
        },
    )
    annotations = {names.TUTORIAL_INJECT_ANNOTATION: "yes"} | ({source: "q"} if own else {})
    subject = pod(annotations=annotations)
    decision = applied(subject, log_injection) if is_ours else round_trip(subject, log_injection)
    (sidecar,) = [each for each in decision.pod["spec"]["containers"] if each["name"] == "sidecar"]
    assert sidecar["args"] == ["q" if own and not is_ours else "none"]


def test_a_service_account_that_the_api_server_copies_into_the_alias_is_not_the_authors():
    log_injection = injection(**SECOND["service account that it asks for"])
    once = decided(pod(), log_injection).pod
    once["spec"]["serviceAccount"] = once["spec"]["serviceAccountName"]
    other = injection("other", template={
        "spec": {"containers": [container("other", args=["$(pod.serviceAccountName)"])]}
    })  # fmt: skip
    twice = decided(once, log_injection, other)
    assert reasons(twice) == {"log": "AlreadyInjected", "other": "Injected"}
    assert twice.pod["spec"]["containers"][-1]["args"] == ["default"]
