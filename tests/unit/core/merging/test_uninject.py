"""Taking out what was added, and nothing else."""

from __future__ import annotations

import copy
import json

import pytest

from sidecar_injector import names
from sidecar_injector.core.merging import uninject
from tests.kits.samples import container, decided, injection, meaningful, pod, reasons, round_trip

CONFIG = {"name": "conf", "configMap": {"name": "conf"}}
MOUNT = {"name": "conf", "mountPath": "/conf"}


def full(name="log", **fields):
    """An injection that leaves something everywhere."""
    return injection(
        name,
        template={
            "metadata": {"labels": {"team": "a"}, "annotations": {"example.com/a": "b"}},
            "spec": {
                "containers": [container()],
                "initContainers": [container("setup")],
                "volumes": [CONFIG, {"name": "tmp", "emptyDir": {}}],
                "serviceAccountName": "robot",
                "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a", "b"]}],
                "tolerations": [{"key": "a", "operator": "Exists"}],
            },
        },
        applicationContainers={
            "env": [{"name": "A", "value": "1"}],
            "volumeMounts": [MOUNT, {"name": "tmp", "mountPath": "/tmp"}],
            "appendEnv": [{"name": "OPTIONS", "value": "-x"}],
        },
        **fields,
    )


def own(**fields):
    """A pod that has something of everything already."""
    env = [{"name": "OPTIONS", "value": "-own"}, {"name": "B", "value": "2"}]
    return pod(
        labels={"app": "web"},
        annotations={names.SAFE_TO_EVICT_ANNOTATION: "cache"},
        containers=[container("app", env=env)],
        volumes=[{"name": "cache", "emptyDir": {}}],
        hostAliases=[{"ip": "10.0.0.1", "hostnames": ["a"]}],
        serviceAccountName="default",
        **fields,
    )


def test_the_pod_comes_back():
    decision = decided(own(), full())
    assert reasons(decision) == {"log": "Injected"}
    annotation = decision.pod["metadata"]["annotations"][names.SAFE_TO_EVICT_ANNOTATION]
    assert annotation == "cache,tmp"
    assert uninject.uninject(decision.pod) == own()


def test_a_pod_without_anything_comes_back_without_anything():
    back = uninject.uninject(decided(pod(), full()).pod)
    assert back == pod()


def test_several_injections_are_taken_out_in_turn():
    env = [{"name": "OPTIONS", "value": "-y"}]
    other = injection("other", template={}, applicationContainers={"appendEnv": env})
    decision = decided(own(), full(), other)
    app = decision.pod["spec"]["containers"][0]
    assert {"name": "OPTIONS", "value": "-own -x -y"} in app["env"]
    assert uninject.uninject(decision.pod) == own()


def test_the_given_pod_is_not_changed():
    injected = decided(own(), full()).pod
    before = copy.deepcopy(injected)
    uninject.uninject(injected)
    assert injected == before


def test_a_pod_that_was_never_injected_comes_out_equal():
    assert uninject.uninject(own()) == own()


def test_what_was_changed_since_stays():
    injected = copy.deepcopy(decided(own(), full()).pod)
    injected["metadata"]["labels"]["team"] = "b"
    injected["spec"]["serviceAccountName"] = "other"
    for variable in injected["spec"]["containers"][0]["env"]:
        if variable["name"] == "OPTIONS":
            variable["value"] = "-else"
    back = uninject.uninject(injected)
    assert back["metadata"]["labels"] == {"app": "web", "team": "b"}
    assert back["spec"]["serviceAccountName"] == "other"
    assert {"name": "OPTIONS", "value": "-else"} in back["spec"]["containers"][0]["env"]


def test_what_another_injector_added_in_between_stays():
    injected = copy.deepcopy(decided(own(), full()).pod)
    mesh = container("mesh", volumeMounts=[{"name": "mesh", "mountPath": "/mesh"}])
    injected["spec"]["containers"].insert(0, mesh)
    injected["spec"]["volumes"].append({"name": "mesh", "emptyDir": {}})
    back = uninject.uninject(decided(injected, full()).pod)
    assert [container["name"] for container in back["spec"]["containers"]] == ["mesh", "app"]
    assert meaningful(back["spec"]["containers"][0]) == mesh
    assert [volume["name"] for volume in back["spec"]["volumes"]] == ["cache", "mesh"]


@pytest.mark.parametrize("first", [True, False])
def test_another_injector_between_two_calls_changes_nothing_for_us(first):
    placement = {"containers": "First" if first else "Last", "initContainers": "First"}
    log_injection = full(placement=placement)
    once = copy.deepcopy(decided(own(), log_injection).pod)
    for position, name in ((0, "before"), (len(once["spec"]["containers"]) + 1, "behind")):
        once["spec"]["containers"].insert(position, container(name))
    twice = decided(once, log_injection).pod
    # The newcomers receive what application containers do; nothing else moves.
    expected = [each["name"] for each in once["spec"]["containers"]]
    assert [each["name"] for each in twice["spec"]["containers"]] == expected
    by_name = {each["name"]: each for each in twice["spec"]["containers"]}
    assert by_name["before"]["env"] == by_name["behind"]["env"]
    for name in ("app", "sidecar"):
        assert by_name[name] in once["spec"]["containers"]
    assert decided(twice, log_injection).operations == []


def defaulted(subject):
    """As the API server hands a pod to the second call: its defaults are filled in."""
    result = copy.deepcopy(subject)
    spec = result["spec"]
    spec |= {"restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "securityContext": {}}
    spec["serviceAccount"] = spec["serviceAccountName"]
    for volume in spec["volumes"]:
        if "configMap" in volume:
            volume["configMap"]["defaultMode"] = 0o644
    token = {
        "name": "kube-api-access-1",
        "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
    }
    for field in ("containers", "initContainers"):
        for each in spec.get(field) or ():
            each["terminationMessagePath"] = "/dev/termination-log"
            each["terminationMessagePolicy"] = "File"
            each["imagePullPolicy"] = "IfNotPresent"
            each.setdefault("resources", {})
            each["volumeMounts"] = [*(each.get("volumeMounts") or []), dict(token)]
    spec["volumes"].append({"name": token["name"], "emptyDir": {}})
    return result


def test_the_api_servers_defaulting_between_two_calls_changes_nothing():
    once = decided(own(), full()).pod
    between = defaulted(once)
    decision = decided(between, full())
    assert reasons(decision) == {"log": "AlreadyInjected"}
    assert decision.operations == []


@pytest.mark.parametrize("path", ["", "/", "/spec", "/spec/containers/0", "/spec/~2/x", "spec"])
@pytest.mark.parametrize("op", ["set", "add", "append"])
def test_a_forged_annotation_is_survived(path, op):
    record = {"op": op, "path": path, "value": "x", "suffix": "x", "previous": "y"}
    entry = {"kind": names.KIND, "name": "log", "patched": [record]}
    forged = {"injections": [entry], "version": 1}
    subject = pod(annotations={names.STATUS_ANNOTATION: json.dumps(forged)})
    assert uninject.uninject(subject)["spec"]["containers"] == pod()["spec"]["containers"]


ALIAS = {"ip": "10.0.0.1"}


@pytest.mark.parametrize(
    "aliases",
    [
        [{"ip": "10.0.0.9"}],
        [ALIAS],
        [{**ALIAS, "hostnames": []}],
        [{**ALIAS, "hostnames": ["a"]}, {**ALIAS, "hostnames": ["z"]}],
    ],
)
def test_an_alias_of_the_author_stays_with_or_without_names(aliases):
    template = {"spec": {"hostAliases": [{**ALIAS, "hostnames": ["a", "b"]}]}}
    subject = pod(hostAliases=aliases)
    decision = decided(subject, injection(template=template))
    assert reasons(decision) == {"log": "Injected"}
    assert uninject.uninject(decision.pod) == subject


def test_hostnames_that_somebody_added_to_our_alias_stay():
    template = {"spec": {"hostAliases": [{**ALIAS, "hostnames": ["a"]}]}}
    injected = copy.deepcopy(decided(pod(), injection(template=template)).pod)
    injected["spec"]["hostAliases"][0]["hostnames"].append("theirs")
    back = uninject.uninject(injected)
    assert back["spec"]["hostAliases"] == [{**ALIAS, "hostnames": ["theirs"]}]


def test_of_two_variables_of_one_name_the_last_loses_the_text_that_it_got():
    env = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
    subject = pod(containers=[container("app", env=env)])
    text = injection(
        template={}, applicationContainers={"appendEnv": [{"name": "A", "value": "x"}]}
    )
    decision = decided(subject, text)
    assert decision.pod["spec"]["containers"][0]["env"][1]["value"] == "2 x"
    assert uninject.uninject(decision.pod) == subject


@pytest.mark.parametrize("of_pod", [True, False])
def test_the_annotation_that_an_old_api_server_wrote_for_a_sidecar_goes_with_it(of_pod):
    """A pod with an AppArmor annotation for a container that it does not have is refused."""
    profile = {"securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}}
    prefix = "container.apparmor.security.beta.kubernetes.io/"
    subject = pod(**(profile if of_pod else {}))
    subject["metadata"]["annotations"] = {f"{prefix}app": "runtime/default"}
    sidecar = container("log", **({} if of_pod else profile))
    stored = decided(subject, injection(template={"spec": {"containers": [sidecar]}})).pod
    annotations = {**stored["metadata"]["annotations"], f"{prefix}log": "runtime/default"}
    stored = {**stored, "metadata": {**stored["metadata"], "annotations": annotations}}
    assert uninject.uninject(stored) == subject


def test_the_annotation_for_a_profile_that_was_merged_goes_with_it():
    prefix = "container.apparmor.security.beta.kubernetes.io/"
    confined = container("app", securityContext={"appArmorProfile": {"type": "Unconfined"}})
    merging = injection(onConflict="Merge", template={"spec": {"containers": [confined]}})
    stored = copy.deepcopy(decided(pod(), merging).pod)
    stored["metadata"]["annotations"][f"{prefix}app"] = "unconfined"
    assert uninject.uninject(stored) == pod()


def test_two_names_of_the_account_that_differ_come_back():
    """The API server reads `serviceAccountName`; a file may have another one in the old field."""
    subject = pod(serviceAccountName="default", serviceAccount="robot")
    robot = injection(template={"spec": {"serviceAccountName": "robot"}})
    result = round_trip(subject, robot)
    assert result.pod["spec"]["serviceAccountName"] == "robot"


@pytest.mark.parametrize("before", [{}, {"serviceAccountName": "default"}])
def test_the_alias_that_the_api_server_fills_in_goes_with_the_account(before):
    injected = copy.deepcopy(decided(pod(**before), full()).pod)
    injected["spec"]["serviceAccount"] = "robot"
    back = uninject.uninject(injected)["spec"]
    assert back.get("serviceAccountName") == before.get("serviceAccountName")
    assert back.get("serviceAccount") == before.get("serviceAccountName")


def test_what_was_empty_is_recorded_and_put_back():
    subject = pod(containers=[container("app", env=[])], volumes=None, serviceAccountName="")
    subject["metadata"]["labels"] = {}
    decision = decided(subject, full())
    recorded = json.loads(decision.pod["metadata"]["annotations"][names.STATUS_ANNOTATION])
    assert recorded["empty"] == {
        "/metadata/labels": {}, "/spec/containers/app/env": [], "/spec/serviceAccountName": "",
        "/spec/volumes": None,
    }  # fmt: skip
    assert list(uninject.uninject(decision.pod).items()) == list(subject.items())
    again = decided(decision.pod, full(), injection("more", template={"spec": {
        "containers": [container("more")]}}))  # fmt: skip
    assert uninject.uninject(again.pod) == subject


def test_a_forged_record_of_what_was_empty_brings_nothing_in():
    forged = {"version": 1, "injections": [], "empty": {"/spec/volumes": [{"name": "x"}], "": None}}
    subject = pod(annotations={names.STATUS_ANNOTATION: json.dumps(forged)})
    assert uninject.uninject(subject) == pod()
