"""What injected containers take from the pod's own, and what they never take."""

from __future__ import annotations

import copy

import pytest

from sidecar_injector.core.merging import inherit
from tests.kits.samples import container, decided, injection, pod, reasons

TOKEN = {"name": "kube-api-access-x", "mountPath": inherit.TOKEN_PATH, "readOnly": True}
DATA = {"name": "data", "mountPath": "/data"}
LOGS = {"name": "logs", "mountPath": "/var/log"}
VOLUMES = [{"name": mount["name"], "emptyDir": {}} for mount in (TOKEN, DATA, LOGS)]


def taking(*, sidecar=None, template=None, **inherited):
    spec = template or {"containers": [sidecar or container()]}
    return injection(template={"spec": spec}, inherit=inherited)


def subject(*mounts, **fields):
    return pod(containers=[container("app", volumeMounts=list(mounts), **fields)], volumes=VOLUMES)


def sidecar(decision):
    assert reasons(decision) == {"log": "Injected"}, decision.lines[0].message
    return decision.pod["spec"]["containers"][-1]


def test_mounts_are_taken_but_never_that_of_a_service_account_token():
    decision = decided(subject(DATA, TOKEN, LOGS), taking(volumeMounts={}))
    assert sidecar(decision)["volumeMounts"] == [DATA, LOGS]
    assert decided(decision.pod, taking(volumeMounts={})).operations == []


def test_without_a_word_about_mounts_none_are_taken():
    assert "volumeMounts" not in sidecar(decided(subject(DATA), taking(env=[])))


@pytest.mark.parametrize(
    ("exclude", "expected"),
    [
        (["logs"], [DATA]),
        (["l*"], [DATA]),
        (["/var/*"], [DATA]),
        (["/data"], [LOGS]),
        (["/logs"], [DATA, LOGS]),
    ],
)
def test_a_glob_that_begins_with_a_slash_means_the_path_and_any_other_the_volume(exclude, expected):
    result = decided(subject(DATA, LOGS), taking(volumeMounts={"exclude": exclude}))
    assert sidecar(result)["volumeMounts"] == expected


def test_a_path_is_inherited_from_the_first_named_container_that_has_it():
    other = {"name": "logs", "mountPath": "/data/"}
    two = pod(
        containers=[container("app", volumeMounts=[DATA]), container("db", volumeMounts=[other])],
        volumes=VOLUMES,
    )
    assert sidecar(decided(two, taking(volumeMounts={})))["volumeMounts"] == [DATA]
    result = decided(two, taking(volumeMounts={"fromContainers": ["d*"]}))
    assert sidecar(result)["volumeMounts"] == [other]


def test_what_the_template_mounts_itself_stays_as_it_is():
    own = {"name": "logs", "mountPath": "/data", "readOnly": True}
    result = decided(subject(DATA), taking(sidecar=container(volumeMounts=[own]), volumeMounts={}))
    assert sidecar(result)["volumeMounts"] == [own]


def test_init_containers_of_the_template_take_too():
    template = {"initContainers": [container()]}
    decision = decided(subject(DATA), taking(template=template, volumeMounts={}))
    assert decision.pod["spec"]["initContainers"][0]["volumeMounts"] == [DATA]


def test_what_another_injection_mounted_is_not_taken():
    earlier = injection(
        "a",
        template={"spec": {"volumes": [{"name": "agent", "emptyDir": {}}]}},
        applicationContainers={"volumeMounts": [{"name": "agent", "mountPath": "/agent"}]},
    )
    later = taking(volumeMounts={})
    decision = decided(subject(DATA), earlier, later)
    assert decision.pod["spec"]["containers"][-1]["volumeMounts"] == [DATA]
    assert decided(decision.pod, earlier, later).operations == []


def test_a_variable_is_inherited_unchanged():
    source = {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    wanted = [{"name": "PASSWORD", "fromContainer": "app"}]
    result = decided(subject(env=[{"name": "A", "value": "1"}, source]), taking(env=wanted))
    assert sidecar(result)["env"] == [source]


def test_a_variable_that_the_template_sets_is_not_taken():
    own = [{"name": "A", "value": "template"}]
    wanted = [{"name": "A", "fromContainer": "app"}]
    result = decided(
        subject(env=[{"name": "A", "value": "pod"}]), taking(sidecar=container(env=own), env=wanted)
    )
    assert sidecar(result)["env"] == own


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"name": "A", "fromContainer": "db"}, "there is no container 'db'"),
        ({"name": "B", "fromContainer": "app"}, "container 'app' has no variable B"),
    ],
)
def test_a_missing_source_is_a_missing_value(wanted, says):
    before = subject(env=[{"name": "A", "value": "1"}])
    decision = decided(before, taking(env=[wanted]))
    assert reasons(decision) == {"log": "MissingValue"}
    assert says in decision.lines[0].message
    assert decision.pod["spec"] == before["spec"]


def test_a_variable_that_an_injection_added_is_no_source():
    wanted = [{"name": "A", "fromContainer": "app"}]
    adding = injection(
        "a", template={}, applicationContainers={"env": [{"name": "A", "value": "1"}]}
    )
    decision = decided(pod(), adding, taking(env=wanted))
    assert reasons(decision) == {"a": "Injected", "log": "MissingValue"}


def test_a_mount_that_the_api_server_adds_between_two_calls_changes_nothing():
    log_injection = taking(volumeMounts={})
    once = decided(subject(DATA), log_injection)
    between = copy.deepcopy(once.pod)
    for each in between["spec"]["containers"]:
        each["volumeMounts"].append(TOKEN)
    assert decided(between, log_injection).operations == []
