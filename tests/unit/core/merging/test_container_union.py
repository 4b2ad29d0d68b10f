"""`onConflict: Merge`: a container of the pod's keeps all that it sets and takes the rest."""

from __future__ import annotations

import copy

import pytest

from tests.kits.samples import container, decided, injection, pod, reasons, round_trip


def merging(template, *, volumes=(), **fields):
    spec = {"containers": [{**container("app"), **template}], "volumes": list(volumes)}
    return injection(onConflict="Merge", template={"spec": spec}, **fields)


def merged(own, template, **fields):
    """The pod's container; the patch is strict, the second pass silent, the way back exact."""
    subject = pod(containers=[container("app", **own)])
    log_injection = merging(template, **fields)
    decision = round_trip(subject, log_injection)
    assert reasons(decision) == {"log": "Injected"}, decision.lines[0].message
    (result,) = decision.pod["spec"]["containers"]
    return result


def test_skip_is_the_default_and_a_conflict():
    log_injection = injection(template={"spec": {"containers": [container("app", tty=True)]}})
    assert reasons(decided(pod(), log_injection)) == {"log": "ContainerConflict"}


@pytest.mark.parametrize(
    ("own", "template", "result"),
    [
        ({}, {"workingDir": "/w"}, {"workingDir": "/w"}),
        ({"workingDir": "/own"}, {"workingDir": "/w", "tty": True},
         {"workingDir": "/own", "tty": True}),
        ({"args": ["own"]}, {"args": ["a"], "tty": True}, {"args": ["own"], "tty": True}),
        ({"env": [{"name": "A", "value": "own"}]},
         {"env": [{"name": "B", "value": "b"}, {"name": "A", "value": "a"}]},
         {"env": [{"name": "A", "value": "own"}, {"name": "B", "value": "b"}]}),
        ({"ports": [{"containerPort": 80}]},
         {"ports": [{"containerPort": 80, "name": "http"},
                    {"containerPort": 80, "protocol": "UDP"}]},
         {"ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]}),
        ({"resources": {"requests": {"cpu": "1"}}},
         {"resources": {"requests": {"cpu": "2", "memory": "1Gi"}, "limits": {"cpu": "4"}}},
         {"resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "4"}}}),
        ({"securityContext": {"runAsUser": 1}},
         {"securityContext": {"runAsUser": 2, "readOnlyRootFilesystem": True}},
         {"securityContext": {"runAsUser": 1, "readOnlyRootFilesystem": True}}),
        ({"securityContext": {"capabilities": {"drop": ["ALL"]}}},
         {"securityContext": {"capabilities": {"add": ["CHOWN"]}}, "tty": True},
         {"securityContext": {"capabilities": {"drop": ["ALL"]}}, "tty": True}),
        ({"envFrom": [{"configMapRef": {"name": "own"}}]},
         {"envFrom": [{"configMapRef": {"name": "own"}}, {"configMapRef": {"name": "c"}}]},
         {"envFrom": [{"configMapRef": {"name": "c"}}, {"configMapRef": {"name": "own"}}]}),
    ],
    ids=str,
)  # fmt: skip
def test_the_container_keeps_what_it_sets_and_takes_the_rest(own, template, result):
    assert merged(own, template) == {**container("app"), **result}


@pytest.mark.parametrize(
    "field", ["image", "imagePullPolicy", "terminationMessagePath", "terminationMessagePolicy"]
)
def test_what_the_api_server_always_sets_is_never_taken(field):
    values = {"imagePullPolicy": "Always", "terminationMessagePolicy": "FallbackToLogsOnError"}
    result = merged({}, {field: values.get(field, "/other"), "tty": True})
    assert result == {**container("app"), "tty": True}


def test_a_file_and_the_same_pod_after_defaulting_take_the_same():
    template = {"image": "other:2", "livenessProbe": {"httpGet": {"port": 80}}, "tty": True}
    defaults = {
        "imagePullPolicy": "IfNotPresent",
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    }
    assert merged(defaults, template) == {**merged({}, template), **defaults}


def test_a_mount_that_is_taken_brings_its_volume():
    volume = {"name": "v", "emptyDir": {}}
    mount = {"name": "v", "mountPath": "/v"}
    assert merged({}, {"volumeMounts": [mount]}, volumes=[volume])["volumeMounts"] == [mount]


def test_a_container_that_has_everything_is_left_alone():
    subject = pod(containers=[container("app", tty=True)])
    decision = decided(subject, merging({"tty": True}))
    assert reasons(decision) == {"log": "AlreadyInjected"}
    assert decision.operations == []


def test_a_container_that_keeps_something_against_the_template_is_reported():
    subject = pod(containers=[container("app", workingDir="/own")])
    decision = decided(subject, merging({"workingDir": "/w", "tty": True}))
    assert decision.lines[0].details == {"kept": ["/spec/containers/app"]}


def test_nothing_is_merged_across_the_lists_nor_into_a_native_sidecar():
    subject = pod(initContainers=[container("setup")])
    spec = {"containers": [container("setup", tty=True)]}
    log_injection = injection(onConflict="Merge", template={"spec": spec})
    assert reasons(decided(subject, log_injection)) == {"log": "ContainerConflict"}
    native = injection(onConflict="Merge", sidecarMode="Native", template={"spec": spec})
    assert reasons(decided(subject, native)) == {"log": "ContainerConflict"}


def test_the_pods_containers_keep_their_order():
    subject = pod(containers=[container("one"), container("app"), container("two")])
    decision = decided(subject, merging({"tty": True}, placement={"containers": "First"}))
    assert [container["name"] for container in decision.pod["spec"]["containers"]] == [
        "one",
        "app",
        "two",
    ]


SOURCES = [{"configMapRef": {"name": "own"}}]


def test_sources_are_placed_before_the_authors_whose_values_count():
    result = merged({"envFrom": SOURCES}, {"envFrom": [{"secretRef": {"name": "ours"}}]})
    assert result["envFrom"] == [{"secretRef": {"name": "ours"}}, *SOURCES]


def test_a_variable_that_may_come_from_the_authors_sources_is_left_out():
    template = {"tty": True, "env": [{"name": "A", "value": "a"}, {"name": "B", "value": "b"}]}
    own = {"envFrom": [{**SOURCES[0], "prefix": "A"}]}
    subject = pod(containers=[container("app", **own)])
    decision = round_trip(subject, merging(template))
    (result,) = decision.pod["spec"]["containers"]
    assert result == {**container("app"), **own, "tty": True, "env": template["env"][1:]}
    assert decision.lines[0].details["leftOut"] == ["/spec/containers/app/env/A"]


def test_a_container_with_a_policy_of_its_own_is_merged_and_keeps_it():
    assert merged({"restartPolicy": "OnFailure"}, {"tty": True}, sidecarMode="Container") == {
        **container("app"), "restartPolicy": "OnFailure", "tty": True,
    }  # fmt: skip


@pytest.mark.parametrize(("value", "reason"), [("$(A)", "ContainerConflict"), ("x", "Injected")])
def test_a_container_is_not_merged_without_a_variable_that_the_rest_needs(value, reason):
    template = {"env": [{"name": "A", "value": "a"}, {"name": "B", "value": value}]}
    subject = pod(containers=[container("app", envFrom=[{**SOURCES[0], "prefix": "A"}])])
    assert reasons(round_trip(subject, merging(template))) == {"log": reason}


def test_a_field_that_the_api_server_drops_is_added_once():
    """One whose feature gate is off, say: it is gone from the pod of the second call."""
    subject = pod(os={"name": "linux"})
    log_injection = merging({"lifecycle": {"stopSignal": "SIGUSR1"}})
    first = copy.deepcopy(decided(subject, log_injection).pod)
    (app,) = first["spec"]["containers"]
    assert app.pop("lifecycle")
    assert reasons(decided(first, log_injection)) == {"log": "AlreadyInjected"}
