"""What an earlier call added is ours, whatever others have made of it since."""

from __future__ import annotations

import copy
import json
import random

import pytest

from sidecar_injector import crds, names
from sidecar_injector.core.reasons import PodVerdict
from tests.kits import changes
from tests.kits.random_pods import SEED
from tests.kits.samples import MARK, container, decided, injection, pod, reasons, round_trip

SPEC = crds.spec_schema(names.CLUSTER_KIND)["properties"]["template"]["properties"]["spec"]
CONTAINER = SPEC["properties"]["containers"]["items"]
VOLUME = SPEC["properties"]["volumes"]["items"]
RICH = container(
    command=["run"],
    args=["-v"],
    env=[
        {"name": "A", "value": "1"},
        {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ],
    envFrom=[{"configMapRef": {"name": "conf"}}],
    ports=[{"name": "web", "containerPort": 80}],
    volumeMounts=[{"name": "conf", "mountPath": "/conf"}],
    readinessProbe={"httpGet": {"path": "/ready", "port": 9000}},
    lifecycle={"preStop": {"exec": {"command": ["stop"]}}},
    securityContext={"runAsUser": 5, "capabilities": {"drop": ["ALL"]}},
    resources={"requests": {"cpu": "50m"}, "limits": {"memory": "1Gi"}},
    workingDir="/work",
)
CONF = {"name": "conf", "configMap": {"name": "conf"}}
TEMPLATE = {
    "metadata": {"labels": {"logged": "yes"}},
    "spec": {"containers": [RICH], "volumes": [CONF]},
}
PAIR = [
    injection("a", failurePolicy="Fail", priority=1, template=TEMPLATE),
    injection("b", failurePolicy="Fail", template=TEMPLATE),
]
"""The second one wants the same and shares it."""


def check_nothing_is_left_to_do(subject, *injections):
    again = decided(subject, *injections)
    assert set(reasons(again).values()) == {"AlreadyInjected"}, again.message
    assert again.operations == []


def provenance(subject):
    return json.loads(subject["metadata"]["annotations"][names.STATUS_ANNOTATION])


def with_part(subject, field, part):
    items = [part if item["name"] == part["name"] else item for item in subject["spec"][field]]
    return {**subject, "spec": {**subject["spec"], field: items}}


@pytest.mark.parametrize("mode", ["Container", "Native"])
def test_every_field_of_our_container_may_be_changed(mode):
    pair = [injection(each.name, **(each.spec | {"sidecarMode": mode})) for each in PAIR]
    once = decided(pod(), *pair).pod
    field = "containers" if mode == "Container" else "initContainers"
    ours = once["spec"][field][-1]
    places = list(changes.of_schema(CONTAINER))
    assert len(places) > 300
    for steps, value in places:
        check_nothing_is_left_to_do(
            with_part(once, field, changes.changed(ours, steps, value)), *pair
        )


def test_every_field_of_our_volume_may_be_changed():
    once = decided(pod(), *PAIR).pod
    places = list(changes.of_schema(VOLUME))
    assert len(places) > 300
    for steps, value in places:
        volume = changes.changed(CONF, steps, value)
        check_nothing_is_left_to_do(with_part(once, "volumes", volume), *PAIR)


def test_many_fields_may_be_changed_at_once():
    choices = random.Random(SEED)
    of_container, of_volume = list(changes.of_schema(CONTAINER)), list(changes.of_schema(VOLUME))
    once = decided(pod(), *PAIR).pod
    for _ in range(200):
        ours, volume = once["spec"]["containers"][-1], CONF
        for steps, value in choices.sample(of_container, 6):
            if changes.ITEM not in steps:
                ours = changes.changed(ours, steps, value)
        for steps, value in choices.sample(of_volume, 3):
            if changes.ITEM not in steps:
                volume = changes.changed(volume, steps, value)
        subject = with_part(with_part(once, "containers", ours), "volumes", volume)
        # What others add in between still receives its part.
        subject["metadata"] = {**subject["metadata"], "labels": {}}
        again = decided(subject, *PAIR)
        assert again.verdict is PodVerdict.INJECTED
        assert again.pod["spec"] == subject["spec"]
        assert again.pod["metadata"]["labels"] == {"logged": "yes", **MARK}


PARTS = {
    "toleration": ({"template": {"spec": {"tolerations": [{"key": "a", "operator": "Exists"}]}}},
                   ("tolerations", 0, "effect"), "NoSchedule"),
    "spread": ({"template": {"spec": {"topologySpreadConstraints": [
                   {"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]}}},
               ("topologySpreadConstraints", 0, "whenUnsatisfiable"), "ScheduleAnyway"),
    "pull secret": ({"template": {"spec": {"imagePullSecrets": [{"name": "registry"}]}}},
                    ("imagePullSecrets", 0, "name"), "mirror"),
    "host name": ({"template": {"spec": {"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a"]}]}}},
                  ("hostAliases", 0, "ip"), "10.0.0.2"),
    "name server": ({"template": {"spec": {"dnsConfig": {"nameservers": ["10.0.0.1"]}}}},
                    ("dnsConfig", "nameservers", 0), "10.0.0.2"),
    "scalar": ({"template": {"spec": {"shareProcessNamespace": True}}},
               ("shareProcessNamespace",), False),
    "account": ({"template": {"spec": {"serviceAccountName": "robot"}}},
                ("serviceAccountName",), "other"),
    "variable": ({"applicationContainers": {"env": [{"name": "A", "value": "1"}]}},
                 ("containers", 0, "env", 0, "value"), "2"),
    "text": ({"applicationContainers": {"appendEnv": [{"name": "OPTS", "value": "-a"}]}},
             ("containers", 0, "env", 0, "value"), "-x -a,b"),
    "text from elsewhere": (
        {"applicationContainers": {"appendEnv": [{"name": "OPTS", "value": "-a"}]}},
        ("containers", 0, "env", 0),
        {"name": "OPTS", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}),
    "source": ({"applicationContainers": {"envFrom": [{"secretRef": {"name": "s"}}]}},
               ("containers", 0, "envFrom", 0, "prefix"), "P_"),
    "mount": ({"template": {"spec": {"volumes": [CONF]}},
               "applicationContainers": {"volumeMounts": [{"name": "conf", "mountPath": "/conf"}]}},
              ("containers", 0, "volumeMounts", 0, "subPath"), "below"),
    "label": ({"template": {"metadata": {"labels": {"a": "1"}}}}, None, {"a": "2", **MARK}),
}  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
def test_other_parts_may_be_changed(part):
    spec, steps, value = PARTS[part]
    both = [injection(name, failurePolicy="Fail", **spec) for name in ("a", "b")]
    subject = copy.deepcopy(decided(pod(), *both).pod)
    if steps is None:
        subject["metadata"]["labels"] = value
    else:
        parent = subject["spec"]
        for step in steps[:-1]:
            parent = parent[step]
        parent[steps[-1]] = value
    check_nothing_is_left_to_do(subject, *both)


def test_an_item_of_a_merged_container_may_be_changed():
    spec = container("app", ports=[{"containerPort": 80}], envFrom=[{"secretRef": {"name": "s"}}])
    log_injection = injection(onConflict="Merge", template={"spec": {"containers": [spec]}})
    subject = copy.deepcopy(round_trip(pod(), log_injection).pod)
    subject["spec"]["containers"][0]["ports"][0]["containerPort"] = 81
    subject["spec"]["containers"][0]["envFrom"][0]["prefix"] = "P_"
    check_nothing_is_left_to_do(subject, log_injection)


def test_what_is_gone_comes_back():
    once = copy.deepcopy(decided(pod(), *PAIR).pod)
    del once["spec"]["containers"][1], once["spec"]["volumes"], once["metadata"]["labels"]
    assert decided(once, *PAIR).pod["spec"] == decided(pod(), *PAIR).pod["spec"]


def test_what_has_come_since_receives_its_part():
    applied = {"env": [{"name": "A", "value": "1"}]}
    log_injection = injection(applicationContainers=applied)
    once = copy.deepcopy(decided(pod(), log_injection).pod)
    once["spec"]["containers"][1]["image"] = "mirror/sidecar:1"
    once["spec"]["containers"].append(container("new"))
    decision = decided(once, log_injection)
    assert decision.pod["spec"]["containers"][2]["env"] == applied["env"]
    assert decision.pod["spec"]["containers"][1] == once["spec"]["containers"][1]


def test_what_cannot_be_added_to_a_newcomer_does_not_undo_the_injection():
    log_injection = injection(
        failurePolicy="Fail",
        template={"spec": {"containers": [container()], "volumes": [CONF]}},
        applicationContainers={"volumeMounts": [{"name": "conf", "mountPath": "/conf"}]},
    )
    once = copy.deepcopy(decided(pod(), log_injection).pod)
    other = {"name": "other", "mountPath": "/conf"}
    once["spec"]["containers"].append(container("new", volumeMounts=[other]))
    decision = decided(once, log_injection)
    assert reasons(decision) == {"log": "AlreadyInjected"}
    assert "MountPathConflict" in decision.lines[0].message
    assert not decision.operations


def test_a_parameter_that_is_gone_does_not_undo_the_injection():
    log_injection = injection(
        failurePolicy="Fail",
        parameters=[{"name": "p", "from": {"podLabel": "level"}}],
        template={"spec": {"containers": [container(args=["$(params.p)"])]}},
    )
    once = decided(pod(labels={"level": "info"}), log_injection).pod
    gone = {**once, "metadata": {**once["metadata"], "labels": MARK}}
    check_nothing_is_left_to_do(gone, log_injection)


def test_an_injection_is_never_under_both_injected_and_skipped():
    log_injection = injection(template=TEMPLATE)
    once = decided(pod(), log_injection).pod
    newer = injection(
        parameters=[{"name": "p", "from": {"podLabel": "nobody"}}],
        template={"spec": {"containers": [container(args=["$(params.p)"])]}},
    )
    decision = decided(once, newer)
    assert reasons(decision) == {"log": "MissingValue"}
    assert "skipped" not in provenance(decision.pod)


def test_an_entry_of_which_nothing_is_there_gives_way_to_the_reason():
    log_injection = injection(template=TEMPLATE)
    claim = decided(pod(), log_injection).pod["metadata"]["annotations"]
    own = {"name": "conf", "secret": {"secretName": "own"}}
    subject = pod(annotations=dict(claim), containers=[container("app")])
    needing = injection(template={"spec": {"containers": [container(volumeMounts=[
        {"name": "nowhere", "mountPath": "/x"}])], "volumes": [own]}})  # fmt: skip
    decision = decided(subject, needing)
    assert reasons(decision) == {"log": "MissingVolume"}
    assert "injections" not in provenance(decision.pod)
    assert decided(decision.pod, needing).operations == []


def test_a_claim_of_another_template_is_no_claim():
    claim = decided(pod(), injection()).pod["metadata"]["annotations"]
    text = claim[names.STATUS_ANNOTATION].replace(injection().hash, "0" * 16)
    subject = pod(
        annotations={names.STATUS_ANNOTATION: text},
        containers=[container("app"), container(image="own:1")],
    )
    assert reasons(decided(subject, injection())) == {"log": "Outdated"}


def test_a_forged_claim_is_an_opt_out_and_no_more():
    """The author's own container stays as it is; nothing is added to it, and nothing else."""
    log_injection = injection(failurePolicy="Fail")
    claim = decided(pod(), log_injection).pod["metadata"]["annotations"]
    own = container(image="own:1", command=["x"])
    subject = pod(annotations=dict(claim), labels=MARK, containers=[container("app"), own])
    decision = decided(subject, log_injection)
    assert decision.operations == []
    assert decision.pod == subject


@pytest.mark.parametrize("mode", ["Container", "Native"])
def test_a_copy_without_probes_and_annotations_is_admitted(mode):
    log_injection = injection(
        failurePolicy="Fail",
        sidecarMode=mode,
        template={"spec": {"containers": [{**RICH, "livenessProbe": {"exec": {"command": ["x"]}},
                                           "startupProbe": {"exec": {"command": ["x"]}}}],
                           "volumes": [CONF]}},
        applicationContainers={"env": [{"name": "APP", "value": "1"}]},
    )  # fmt: skip
    copied = copy.deepcopy(decided(pod(), log_injection).pod)
    del copied["metadata"]["annotations"]
    ours = copied["spec"]["containers" if mode == "Container" else "initContainers"][-1]
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        del ours[probe]
    copied["spec"]["containers"].append(container("debugger", stdin=True))
    decision = decided(copied, log_injection)
    assert decision.verdict is PodVerdict.INJECTED
    result = decision.pod["spec"]
    assert ours in [*result.get("initContainers", ()), *result["containers"]]
    assert decided(decision.pod, log_injection).operations == []


def test_a_copy_that_cannot_be_known_is_refused_with_the_way_out():
    log_injection = injection(failurePolicy="Fail")
    copied = copy.deepcopy(decided(pod(), log_injection).pod)
    copied["spec"]["containers"][1]["image"] = "debug:1"
    assert decided(copied, log_injection).verdict is PodVerdict.UNCHANGED
    del copied["metadata"]["annotations"]
    refused = decided(copied, log_injection)
    assert refused.verdict is PodVerdict.REFUSED
    assert "--keep-annotations" in refused.message
