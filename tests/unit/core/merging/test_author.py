"""The pod of the author: the pod without what the status annotation says was added."""

from __future__ import annotations

import copy
import json

import pytest

from sidecar_injector import names
from sidecar_injector.core.merging import author, status_annotation
from tests.kits.meetings import Meeting, comparable
from tests.kits.random_pods import SEED, Draw
from tests.kits.samples import container, decided, injection, pod

every_size = pytest.mark.parametrize("size", [300, pytest.param(3000, marks=pytest.mark.long)])


def author_of(subject):
    annotations = subject["metadata"].get("annotations") or {}
    return author.pod_of(subject, status_annotation.read(annotations))


def without_aliases(subject):
    """Hosts that are united with an alias of the author stay: nothing depends on them."""
    spec = {key: value for key, value in subject["spec"].items() if key != "hostAliases"}
    return comparable({**subject, "spec": spec})


@every_size
@pytest.mark.parametrize("draw", [Draw, Meeting])
def test_the_pod_of_the_second_call_is_that_of_the_first(draw, size):
    injected = 0
    for seed in range(SEED, SEED + size):
        drawn = draw(seed)
        subject, injections = drawn.pod(), drawn.injections()
        decision = decided(subject, *injections)
        before = copy.deepcopy(decision.pod)
        assert without_aliases(author_of(decision.pod)) == without_aliases(subject), seed
        assert decision.pod == before, seed
        injected += bool(decision.injected)
    assert injected > size // 4


def test_a_pod_without_the_annotation_is_the_authors_own():
    subject = pod(annotations={"a": "b"})
    assert author_of(subject) is subject


def test_an_alias_that_the_api_server_filled_in_goes_with_the_name():
    spec = {"serviceAccountName": "robot"}
    decision = decided(pod(), injection(template={"spec": spec}))
    decision.pod["spec"]["serviceAccount"] = "robot"
    assert comparable(author_of(decision.pod)) == pod()
    own = pod(serviceAccount="default")
    decision = decided(own, injection(template={"spec": spec}))
    assert decision.pod["spec"]["serviceAccount"] == "robot"
    assert comparable(author_of(decision.pod)) == own


def places(value, path=""):
    """The path of each place in a pod, an item of a list by its key."""
    members = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        members = ((item.get("name") or "-", item) for item in value if isinstance(item, dict))
    for key, below in members:
        place = f"{path}/{str(key).replace('/', '~1')}"
        yield place
        yield from places(below, place)


def forged_record(draw, subject):
    values = [None, 7, "x", [], {}, [7], {"name": 7}, subject["spec"]]
    paths = [*places(subject), "", "/", "//", "/spec", "/metadata", "/a" * 100]
    return {
        "op": draw.choice(["set", "add", "append"]),
        "path": draw.choice(paths),
        **draw.members(
            0.5,
            value=lambda: draw.choice(values),
            previous=lambda: draw.choice(values),
            suffix=lambda: draw.choice(["x", "", 7]),
        ),
    }


@every_size
def test_a_forged_annotation_makes_no_decision_fail(size):
    for seed in range(SEED, SEED + size):
        draw = Draw(seed)
        subject, injections = draw.pod(), draw.injections()
        records = [forged_record(draw, subject) for _ in range(draw.randint(1, 4))]
        entry = {"kind": "K", "name": "n", "patched": records, "added": {"containers": ["app"]}}
        text = json.dumps({"injections": [entry], "version": 1})
        metadata = subject["metadata"]
        metadata["annotations"] = {**metadata.get("annotations", {}), names.STATUS_ANNOTATION: text}
        decision = decided(subject, *injections)
        assert not decided(decision.pod, *injections).operations, seed


def test_a_claim_that_leaves_no_pod_counts_for_nothing():
    record = {"op": "set", "path": "/spec/containers/app/name"}
    entry = {"kind": "K", "name": "n", "patched": [record]}
    text = json.dumps({"injections": [entry], "version": 1})
    assert author_of(pod(annotations={names.STATUS_ANNOTATION: text, "a": "b"})) == pod(
        annotations={"a": "b"}
    )


def test_texts_that_others_appended_to_an_added_annotation_go_with_it():
    key = names.SAFE_TO_EVICT_ANNOTATION

    def with_volume(name):
        volume = {"name": name, "emptyDir": {}}
        mounts = [{"name": name, "mountPath": f"/{name}"}]
        return injection(
            name,
            template={
                "spec": {"containers": [container(name, volumeMounts=mounts)], "volumes": [volume]}
            },
        )

    for own in ({}, {key: "q"}):
        subject = pod(annotations=dict(own))
        decision = decided(subject, with_volume("a"), with_volume("b"))
        listed = decision.pod["metadata"]["annotations"][key]
        assert listed == ",".join([*own.values(), "a", "b"])
        assert author_of(decision.pod)["metadata"]["annotations"] == own
