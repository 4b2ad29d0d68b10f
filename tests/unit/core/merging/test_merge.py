"""What an injection does to a pod: additive, in order, recorded, and the same every time."""

from __future__ import annotations

import copy
import json

import jsonpatch
import pytest

from sidecar_injector import names
from sidecar_injector.core.reasons import PodVerdict, Verdict
from sidecar_injector.core.validity import spec as spec_rules
from tests.kits.samples import MARK, container, decided, injection, pod, reasons, round_trip

CONFIG = {"name": "conf", "configMap": {"name": "conf"}}
MOUNT = {"name": "conf", "mountPath": "/etc/conf"}


def template(*containers, metadata=None, **spec):
    return {"metadata": metadata or {}, "spec": {"containers": list(containers), **spec}}


def container_names(subject, field="containers"):
    return [item["name"] for item in subject["spec"].get(field) or []]


def provenance(subject):
    return json.loads(subject["metadata"]["annotations"][names.STATUS_ANNOTATION])


def test_containers_come_last_and_init_containers_first_by_default():
    log_injection = injection(template=template(container("s"), initContainers=[container("i")]))
    decision = round_trip(pod(initContainers=[container("own")]), log_injection)
    assert container_names(decision.pod) == ["app", "s"]
    assert container_names(decision.pod, "initContainers") == ["i", "own"]


def test_several_injections_are_one_block_in_the_order_of_decision():
    first = {"containers": "First", "initContainers": "Last"}
    a = injection(
        "a",
        placement=first,
        template=template(container("a1"), container("a2"), initContainers=[container("ai")]),
    )
    b = injection(
        "b", placement=first, template=template(container("b1"), initContainers=[container("bi")])
    )
    decision = round_trip(pod(initContainers=[container("own")]), b, a)
    assert container_names(decision.pod) == ["a1", "a2", "b1", "app"]
    assert container_names(decision.pod, "initContainers") == ["own", "ai", "bi"]


def test_an_injection_that_comes_later_joins_the_block_at_the_front():
    placed = {"containers": "First"}
    a = injection("a", placement=placed, template=template(container("a1")))
    b = injection("b", placement=placed, template=template(container("b1")))
    once = decided(pod(), a).pod
    assert container_names(decided(once, a, b).pod) == ["a1", "b1", "app"]


def test_kubectl_still_turns_to_the_pods_own_container_when_ours_comes_first():
    decision = decided(pod(), injection(placement={"containers": "First"}))
    assert decision.pod["metadata"]["annotations"][names.DEFAULT_CONTAINER_ANNOTATION] == "app"
    chosen = pod(annotations={names.DEFAULT_CONTAINER_ANNOTATION: "mine"})
    decision = decided(chosen, injection(placement={"containers": "First"}))
    assert decision.pod["metadata"]["annotations"][names.DEFAULT_CONTAINER_ANNOTATION] == "mine"


@pytest.mark.parametrize(
    ("mode", "restart_policy", "native"),
    [
        ("Auto", None, False),
        ("Auto", "Always", False),
        ("Auto", "OnFailure", True),
        ("Auto", "Never", True),
        ("Native", "Always", True),
        ("Container", "Never", False),
    ],
)
def test_sidecar_mode_makes_native_sidecars_of_containers(mode, restart_policy, native):
    subject = pod(initContainers=[container("own")])
    if restart_policy:
        subject["spec"]["restartPolicy"] = restart_policy
    log_injection = injection(
        sidecarMode=mode, template=template(container("s"), initContainers=[container("i")])
    )
    decision = decided(subject, log_injection)
    expected = ["i", "s", "own"] if native else ["i", "own"]
    assert container_names(decision.pod, "initContainers") == expected
    if native:
        assert decision.pod["spec"]["initContainers"][1]["restartPolicy"] == "Always"
    else:
        assert container_names(decision.pod) == ["app", "s"]
    assert provenance(decision.pod)["injections"][0]["mode"] == (
        "Native" if native else "Container"
    )


def test_labels_and_annotations_that_the_pod_has_keep_its_value():
    metadata = {"labels": {"a": "ours", "b": "ours"}, "annotations": {"example.com/y": "ours"}}
    decision = round_trip(pod(labels={"a": "own"}), injection(template=template(metadata=metadata)))
    assert decision.pod["metadata"]["labels"] == {"a": "own", "b": "ours", **MARK}
    assert decision.pod["metadata"]["annotations"]["example.com/y"] == "ours"
    assert decision.lines[0].details == {"kept": ["/metadata/labels/a"]}


@pytest.mark.parametrize("absent", [{}, {"volumes": None}, {"volumes": []}], ids=str)
@pytest.mark.parametrize("annotations", [None, {}], ids=str)
def test_missing_parents_are_created_if_absent_null_or_empty(absent, annotations):
    log_injection = injection(template=template(container(volumeMounts=[MOUNT]), volumes=[CONFIG]))
    result = round_trip(pod(annotations=annotations, **absent), log_injection)
    assert result.pod["spec"]["volumes"] == [CONFIG]


def test_a_volume_that_nothing_mounts_is_not_added_unless_the_pod_mounts_it():
    log_injection = injection(template=template(container(), volumes=[CONFIG]))
    assert "volumes" not in decided(pod(), log_injection).pod["spec"]
    mounting = pod()
    mounting["spec"]["containers"][0]["volumeMounts"] = [MOUNT]
    assert decided(mounting, log_injection).pod["spec"]["volumes"] == [CONFIG]


def test_a_volume_of_the_same_definition_is_shared_also_after_api_defaulting():
    log_injection = injection(template=template(container(volumeMounts=[MOUNT]), volumes=[CONFIG]))
    own = {"name": "conf", "configMap": {"name": "conf", "defaultMode": 420}}
    decision = decided(pod(volumes=[own]), log_injection)
    assert reasons(decision) == {"log": "Injected"}
    assert decision.pod["spec"]["volumes"] == [own]


@pytest.mark.parametrize(
    ("subject", "parts", "reason"),
    [
        (
            pod(containers=[container("sidecar", image="other")]),
            template(container()),
            "ContainerConflict",
        ),
        (pod(initContainers=[container("sidecar")]), template(container()), "ContainerConflict"),
        (
            pod(volumes=[{"name": "conf", "emptyDir": {}}]),
            template(container(volumeMounts=[MOUNT]), volumes=[CONFIG]),
            "VolumeConflict",
        ),
        (
            pod(volumes=[{"name": "conf", "emptyDir": {}}]),
            template(container(volumeMounts=[MOUNT]), volumes=[{"name": "conf", "configMap": {}}]),
            "VolumeConflict",
        ),
        (pod(), template(container(volumeMounts=[MOUNT])), "MissingVolume"),
        (
            pod(hostNetwork=True, containers=[container("app", ports=[{"containerPort": 80}])]),
            template(container(ports=[{"containerPort": 80, "protocol": "TCP"}])),
            "PortConflict",
        ),
    ],
    ids=["container", "init-container", "volume", "empty-volume", "missing-volume", "port"],
)
def test_a_conflict_adds_nothing_and_is_recorded(subject, parts, reason):
    decision = round_trip(subject, injection(template=parts, hostNetworkPods="Inject"))
    assert reasons(decision) == {"log": reason}
    assert decision.verdict is PodVerdict.UNCHANGED
    assert decision.pod["spec"] == subject["spec"]
    skipped = [{"kind": "SidecarInjection", "name": "log", "reason": reason}]
    assert provenance(decision.pod) == {"skipped": skipped, "version": 1}


def test_mounting_the_pods_own_volume_is_allowed():
    own = {"name": "conf", "emptyDir": {}}
    log_injection = injection(template=template(container(volumeMounts=[MOUNT])))
    assert reasons(decided(pod(volumes=[own]), log_injection)) == {"log": "Injected"}


def test_of_two_injections_with_one_container_name_the_later_is_always_skipped():
    a = injection("a", template=template(container("s", image="a:1")))
    b = injection("b", template=template(container("s", image="b:1")))
    once = decided(pod(), b, a)
    assert reasons(once) == {"a": "Injected", "b": "InjectionConflict"}
    twice = decided(once.pod, a, b)
    assert reasons(twice) == {"a": "AlreadyInjected", "b": "InjectionConflict"}
    assert twice.operations == []


def test_of_two_injections_that_set_one_label_the_later_is_skipped():
    a = injection("a", template=template(metadata={"labels": {"k": "a"}}))
    b = injection("b", template=template(metadata={"labels": {"k": "b"}}))
    once = decided(pod(), a, b)
    assert reasons(once) == {"a": "Injected", "b": "InjectionConflict"}
    assert reasons(decided(once.pod, a, b))["b"] == "InjectionConflict"


def test_a_forged_annotation_cannot_switch_an_injection_off():
    log_injection = injection()
    claim = decided(pod(), log_injection).pod["metadata"]["annotations"]
    forged = pod(annotations=dict(claim))
    decision = decided(forged, log_injection)
    assert container_names(decision.pod) == ["app", "sidecar"]
    assert jsonpatch.apply_patch(copy.deepcopy(forged), decision.operations) == decision.pod


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "[]",
        "{}",
        '{"version":1,"injections":[1,{"kind":2}]}',
        '{"version":1,"injections":{}}',
        '{"version":1,"injections":[{"kind":"SidecarInjection","name":"log","added":{"containers":5}}]}',
        '{"version":1,"injections":[{"kind":"SidecarInjection","name":"log","hash":"\\ud800"}]}',
        "[" * 100_000,
    ],
    ids=lambda text: text[:20],
)
def test_a_status_annotation_of_any_kind_is_survived(text):
    subject = pod(annotations={names.STATUS_ANNOTATION: text})
    decision = decided(subject, injection())
    assert container_names(decision.pod) == ["app", "sidecar"]
    assert jsonpatch.apply_patch(copy.deepcopy(subject), decision.operations) == decision.pod


def test_a_part_of_the_authors_own_that_equals_ours_is_there_and_not_claimed():
    decision = decided(pod(containers=[container("app"), container()]), injection())
    assert reasons(decision) == {"log": "AlreadyInjected"}
    assert decision.operations == []


def test_parts_of_an_older_template_are_kept():
    old = decided(pod(), injection()).pod
    new = injection(template=template(container(image="example/sidecar:2")))
    decision = decided(old, new)
    assert reasons(decision) == {"log": "Outdated"}
    assert decision.lines[0].verdict is Verdict.PRESENT
    assert decision.operations == []


def test_an_outdated_pod_is_refused_under_fail_with_the_way_out():
    old = decided(pod(), injection()).pod
    new = injection(failurePolicy="Fail", template=template(container(image="example/sidecar:2")))
    decision = decided(old, new)
    assert decision.verdict is PodVerdict.REFUSED
    assert names.STATUS_ANNOTATION in decision.message


def test_an_image_that_a_registry_mirror_rewrote_is_still_ours():
    once = copy.deepcopy(decided(pod(), injection()).pod)
    once["spec"]["containers"][1] |= {"image": "mirror/sidecar:1", "imagePullPolicy": "Always"}
    assert reasons(decided(once, injection())) == {"log": "AlreadyInjected"}


def test_the_tutorials_pods_are_answered_in_the_tutorials_way_too():
    subject = pod(annotations={names.TUTORIAL_INJECT_ANNOTATION: "yes"})
    decision = decided(subject, injection(activation="OnRequest"))
    annotations = decision.pod["metadata"]["annotations"]
    assert annotations[names.TUTORIAL_STATUS_ANNOTATION] == "injected"
    assert (
        names.TUTORIAL_STATUS_ANNOTATION
        not in decided(pod(annotations={names.INJECT_ANNOTATION: "yes"}), injection()).pod[
            "metadata"
        ]["annotations"]
    )
    assert decided(decision.pod, injection(activation="OnRequest")).operations == []


def test_what_we_add_never_changes_what_we_decide():
    selector = {"matchExpressions": [{"key": "done", "operator": "DoesNotExist"}]}
    log_injection = injection(
        selector=selector, template=template(container(), metadata={"labels": {"done": "yes"}})
    )
    once = decided(pod(), log_injection)
    assert once.pod["metadata"]["labels"] == {"done": "yes", **MARK}
    assert reasons(decided(once.pod, log_injection)) == {"log": "AlreadyInjected"}


def test_an_injection_to_which_no_pod_applies_leaves_no_trace():
    decision = decided(pod(), injection(selector={"matchLabels": {"app": "db"}}))
    assert (decision.verdict, decision.operations) == (PodVerdict.UNCHANGED, [])
    assert decision.pod == pod()


def test_a_pod_with_two_thousand_variables_gets_a_small_patch():
    subject = pod()
    subject["spec"]["containers"][0]["env"] = [
        {"name": f"V{index}", "value": "x" * 80} for index in range(2000)
    ]
    decision = round_trip(subject, injection())
    assert len(json.dumps(decision.operations)) < 5000


@pytest.mark.parametrize(
    ("source", "listed"),
    [
        ({"emptyDir": {}}, True),
        ({}, True),
        ({"emptyDir": {"medium": "HugePages"}}, True),
        ({"hostPath": {"path": "/var/run/agent"}}, True),
        ({"emptyDir": {"medium": "Memory"}}, False),
        ({"configMap": {"name": "conf"}}, False),
    ],
)
@pytest.mark.parametrize("own", [None, "cache"])
def test_what_the_autoscaler_counts_as_local_does_not_keep_a_node(source, listed, own):
    volume = {"name": "conf", **source}
    key = names.SAFE_TO_EVICT_ANNOTATION
    subject = pod(annotations={key: own} if own else None)
    log_injection = injection(template=template(container(volumeMounts=[MOUNT]), volumes=[volume]))
    annotations = round_trip(subject, log_injection).pod["metadata"]["annotations"]
    expected = [*([own] if own else []), *(["conf"] if listed else [])]
    assert annotations.get(key, "") == ",".join(expected)


APPLIED = {"env": [{"name": "X", "value": "1"}]}


def full(free):
    """Annotations that leave room for so many bytes."""
    return {"notes": "x" * (spec_rules.MOST_ANNOTATIONS - len("notes") - free)}


@pytest.mark.parametrize("policy", ["Ignore", "Fail"])
def test_an_injection_without_room_for_its_record_is_left_out(policy):
    log_injection = injection(applicationContainers=APPLIED, failurePolicy=policy)
    subject = pod(annotations=full(100))
    decision = decided(subject, log_injection)
    assert reasons(decision) == {"log": "TooMuchWork"}
    assert f"{spec_rules.MOST_ANNOTATIONS} are accepted" in decision.lines[0].message
    assert decision.pod == subject
    assert not decision.operations


def test_a_record_is_written_up_to_the_last_byte():
    first = injection("a", template=template(container("a")), applicationContainers=APPLIED)
    second = injection("b", template=template(container("b", args=["$(params.p)"])),
                       parameters=[{"name": "p", "from": {"podLabel": "p"}}])  # fmt: skip
    added = decided(pod(), first).pod["metadata"]["annotations"]
    status = {names.STATUS_ANNOTATION: added[names.STATUS_ANNOTATION]}
    kept = ',"kept":["label","injected","skipped"]'
    needed = spec_rules.annotation_bytes(status) + len(kept)
    for free, reason in ((needed, "Injected"), (needed - 1, "TooMuchWork")):
        decision = round_trip(pod(annotations=full(free)), first, second)
        # There is no room to say that the second one was left out, nor for the other annotations.
        assert reasons(decision) == {"a": reason, "b": "MissingValue"}
        assert spec_rules.annotation_bytes(decision.pod["metadata"]["annotations"]) <= (
            spec_rules.MOST_ANNOTATIONS
        )
        again = decided(decision.pod, first, second)
        assert reasons(again)["b"] == "MissingValue"


def test_an_injection_that_has_room_comes_after_one_that_has_not():
    labels = {f"example.com/{number}": "x" * 60 for number in range(20)}
    large = injection("a", template=template(container("a"), metadata={"labels": labels}))
    small = injection("b", template=template(container("b")))
    decision = round_trip(pod(annotations=full(1000)), large, small)
    assert reasons(decision) == {"a": "TooMuchWork", "b": "Injected"}


def test_annotations_of_a_template_leave_room_for_the_records_before_them():
    first = injection("a", template=template(container("a")))
    second = injection("b", template=template(metadata={"annotations": {"k": "x" * 500}}))
    decision = round_trip(pod(annotations=full(400)), first, second)
    assert reasons(decision) == {"a": "Injected", "b": "PodWouldBeInvalid"}
    decision = round_trip(pod(annotations=full(600)), first, second)
    assert reasons(decision) == {"a": "Injected", "b": "TooMuchWork"}


@pytest.mark.parametrize(
    ("key", "value"),
    [(names.SAFE_TO_EVICT_ANNOTATION, "cache"), (names.DEFAULT_CONTAINER_ANNOTATION, "s")],
)
def test_an_annotation_of_the_template_is_not_replaced_by_ours(key, value):
    volumes = [{"name": "v", "emptyDir": {}}]
    log_injection = injection(
        placement={"containers": "First"},
        template=template(
            container("s", volumeMounts=[{"name": "v", "mountPath": "/v"}]),
            metadata={"annotations": {key: value}},
            volumes=volumes,
        ),
    )
    decision = round_trip(pod(), log_injection)
    assert decision.pod["metadata"]["annotations"][key] == value
