"""The short annotations and the label that say what a pod's status annotation says."""

from __future__ import annotations

import copy
import itertools
import json
import random

import pytest

from sidecar_injector import names
from sidecar_injector.core.injections import rules
from sidecar_injector.core.merging import marks, status_annotation, uninject
from sidecar_injector.core.reasons import Reason
from tests.kits.random_pods import SEED
from tests.kits.samples import MARK, container, decided, injection, pod, round_trip

ONE = {names.INJECTED_ANNOTATION: "log"}
KEYS = {
    "label": ("labels", names.INJECTED_LABEL),
    "injected": ("annotations", names.INJECTED_ANNOTATION),
    "skipped": ("annotations", names.SKIPPED_ANNOTATION),
}
REASONS = [reason.value for reason in Reason]


def marks_of(subject):
    """All marks that a pod has, by their words."""
    found = {word: (subject["metadata"].get(field) or {}) for word, (field, _) in KEYS.items()}
    return {word: found[word][key] for word, (_, key) in KEYS.items() if key in found[word]}


def with_container(name, image=""):
    sidecar = container(name, **({"image": image} if image else {}))
    return {"template": {"spec": {"containers": [sidecar]}}}


def test_a_pod_says_what_it_got_and_what_not():
    injections = [
        injection("nginx"),
        injection("region", cluster=True, **with_container("region")),
        injection("log", **with_container("app", "other:1")),
        injection("audit", cluster=True, **with_container("app", "another:1")),
    ]
    subject = round_trip(pod(), *injections).pod
    assert marks_of(subject) == {
        "label": "true",
        "injected": "cluster/region,nginx",
        "skipped": "cluster/audit=ContainerConflict,log=ContainerConflict",
    }


def test_a_pod_that_got_nothing_says_only_what_was_skipped():
    subject = round_trip(pod(), injection("log", **with_container("app", "other:1"))).pod
    assert marks_of(subject) == {"skipped": "log=ContainerConflict"}
    assert "labels" not in subject["metadata"]


def test_a_pod_without_injections_has_no_marks():
    assert decided(pod(), injection(selector={"matchLabels": {"a": "b"}})).pod == pod()


def test_a_text_is_whole_or_says_how_many_items_it_lacks():
    choices = random.Random(SEED)
    for _ in range(2000):
        items = [
            "".join(choices.choices("abc-/=", k=choices.choice([1, 9, 60, 102])))
            for _ in range(choices.choice([0, 1, 2, 5, 400]))
        ]
        text = marks.shortened(items)
        assert len(text) <= 138
        if text != ",".join(items):
            shown, count = text.rsplit(",", 1)
            missing = int(count.removeprefix("+").removesuffix(" more"))
            assert missing > 0
            assert shown == ",".join(items[: len(items) - missing])
            assert len(",".join(items)) > 138


def test_one_injection_with_the_longest_name_is_named_with_its_reason():
    longest = max(REASONS, key=len)
    for kind in (names.KIND, names.CLUSTER_KIND):
        skipped = tuple(
            status_annotation.Skipped(kind=kind, name=name * rules.MAX_NAME, reason=longest)
            for name in "ab"
        )
        text = marks.changes(status_annotation.Provenance((), skipped), {})["annotations"]
        shown, count = text[names.SKIPPED_ANNOTATION].rsplit(",", 1)
        assert shown.endswith(f"aaa={longest}")
        assert count == "+1 more"


@pytest.mark.parametrize("value", ["", "log", "true", "theirs"])
@pytest.mark.parametrize(
    "words", [subset for size in range(1, 4) for subset in itertools.combinations(KEYS, size)]
)
def test_a_mark_that_the_author_has_set_stays_and_comes_back(words, value):
    subject = pod(labels={"a": "b"}, annotations={"c": "d"})
    for word in words:
        field, key = KEYS[word]
        subject["metadata"][field][key] = value
    both = [injection("log"), injection("x", **with_container("app", "other:1"))]
    result = round_trip(subject, *both).pod
    usual = {"label": "true", "injected": "log", "skipped": "x=ContainerConflict"}
    assert marks_of(result) == {**usual, **dict.fromkeys(words, value)}


@pytest.mark.parametrize("word", KEYS)
@pytest.mark.parametrize("value", [None, "", "theirs"])
def test_a_second_call_corrects_a_mark_and_nothing_else(word, value):
    both = [injection("log"), injection("x", **with_container("app", "other:1"))]
    once = decided(pod(), *both).pod
    field, key = KEYS[word]
    changed = copy.deepcopy(once)
    changed["metadata"][field].pop(key)
    if value is not None:
        changed["metadata"][field][key] = value
    again = round_trip_of_second(changed, *both)
    assert again.pod == once
    paths = [operation["path"] for operation in again.operations if operation["value"] != {}]
    assert paths == [f"/metadata/{field}/{key.replace('/', '~1')}"]


def round_trip_of_second(subject, *injections):
    """The decision about a pod that was injected; what it adds makes a third call idle."""
    again = decided(subject, *injections)
    assert decided(again.pod, *injections).operations == []
    return again


def test_a_mark_that_is_no_longer_true_is_taken_back():
    """Another webhook has taken our container out and put one of its own in its place."""
    log_injection = injection()
    once = copy.deepcopy(decided(pod(), log_injection).pod)
    once["spec"]["containers"][-1] |= {"image": "other:1"}
    annotations = once["metadata"]["annotations"]
    status = json.loads(annotations[names.STATUS_ANNOTATION])
    status["injections"][0] |= {"hash": "of another template", "added": {"containers": ["gone"]}}
    annotations[names.STATUS_ANNOTATION] = json.dumps(status)
    again = round_trip_of_second(once, log_injection)
    taken_back = {"label": "false", "injected": "", "skipped": "log=ContainerConflict"}
    assert marks_of(again.pod) == taken_back


@pytest.mark.parametrize("key", [names.INJECTED_LABEL])
def test_the_label_changes_nothing_about_what_applies(key):
    """A second call, a copy of the pod and a template with its metadata select the same."""
    absent = {"matchExpressions": [{"key": key, "operator": "DoesNotExist"}]}
    log_injection = injection(selector=absent)
    once = round_trip(pod(), log_injection).pod
    again = decided(once, log_injection)
    assert {line.reason for line in again.lines} == {Reason.ALREADY_INJECTED}


def test_a_parameter_does_not_read_the_marks():
    sources = [{"podLabel": names.INJECTED_LABEL}, {"podAnnotation": names.INJECTED_ANNOTATION}]
    for source in sources:
        reader = injection(
            parameters=[{"name": "p", "from": source, "default": "none"}],
            template={"spec": {"containers": [container(args=["$(params.p)"])]}},
        )
        once = round_trip(pod(), reader).pod
        assert once["spec"]["containers"][-1]["args"] == ["none"]


def test_uninject_takes_marks_out_even_if_others_changed_them():
    once = copy.deepcopy(decided(pod(), injection()).pod)
    once["metadata"]["labels"][names.INJECTED_LABEL] = "no"
    assert uninject.uninject(once) == pod()


def test_marks_without_a_status_annotation_are_the_authors():
    """As in a pod that `kubectl debug --keep-labels` copies."""
    subject = pod(labels=dict(MARK), annotations=dict(ONE))
    assert uninject.uninject(subject) == subject
    assert (
        round_trip(subject, injection("other")).pod["metadata"]["annotations"] | ONE
        == (round_trip(subject, injection("other")).pod["metadata"]["annotations"])
    )


@pytest.mark.parametrize("name", ["\ud800", "a\nb", "é", "x" * 100_000, ""])
def test_a_forged_name_does_no_harm(name):
    entry = {"kind": names.KIND, "name": name, "added": {"containers": ["app"]}}
    skipped = {"kind": names.KIND, "name": name, "reason": name}
    for forged in ({"injections": [entry]}, {"skipped": [skipped]}):
        text = json.dumps({**forged, "version": 1})
        subject = pod(annotations={names.STATUS_ANNOTATION: text})
        again = round_trip_of_second(subject, injection())
        for mark in marks_of(again.pod).values():
            assert mark.isascii()
            assert mark.isprintable()
            assert len(mark) <= 138
