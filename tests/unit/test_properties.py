"""What holds for all pods and all injections."""

from __future__ import annotations

import copy
import json

import jsonpatch
from hypothesis import given
from hypothesis import strategies as st
from samples import decided, injection

from sidecar_injector import names
from sidecar_injector.core.reasons import PodVerdict

# Few names, so that pods and injections meet in trouble often.
NAMES = st.sampled_from(["a", "b", "c"])
VOLUME_SOURCES = st.sampled_from(
    [{"emptyDir": {}}, {"configMap": {"name": "x"}}, {"secret": {"secretName": "s"}}]
)
EXTRAS = st.dictionaries(
    st.sampled_from(["futureField", "another/~"]), st.integers() | st.none(), max_size=1
)


def unique(items):
    return st.lists(items, max_size=3, unique_by=lambda item: item["name"])


NO_EXTRAS = st.just({})


@st.composite
def containers(draw, *, extras=NO_EXTRAS):
    mounts = draw(st.lists(NAMES, max_size=2, unique=True))
    made = {"name": draw(NAMES), "image": draw(st.sampled_from(["x:1", "y:2"]))}
    if mounts:
        made["volumeMounts"] = [{"name": one, "mountPath": f"/{one}"} for one in mounts]
    if draw(st.booleans()):
        made["ports"] = [{"containerPort": draw(st.sampled_from([80, 90]))}]
    return {**made, **draw(extras)}


@st.composite
def volumes(draw):
    return {"name": draw(NAMES), **draw(VOLUME_SOURCES)}


METADATA = st.fixed_dictionaries(
    {},
    optional={
        "labels": st.dictionaries(NAMES, st.sampled_from(["1", "2"]), max_size=2),
        "annotations": st.dictionaries(NAMES, st.sampled_from(["1", "2"]), max_size=2),
    },
)


@st.composite
def lists_of_containers(draw, **kwargs):
    """Containers and init containers whose names are unique over both."""
    together = draw(unique(containers(**kwargs)))
    split = draw(st.integers(0, len(together)))
    return together[:split], together[split:]


@st.composite
def pods(draw):
    own, init = draw(lists_of_containers(extras=EXTRAS))
    metadata = draw(METADATA)
    if draw(st.booleans()):
        key = draw(st.sampled_from([names.INJECT_ANNOTATION, names.TUTORIAL_INJECT_ANNOTATION]))
        metadata.setdefault("annotations", {})[key] = draw(
            st.sampled_from(["yes", "one", "one,two", "?"])
        )
    spec = {"containers": own or [{"name": "app", "image": "z"}], **draw(EXTRAS)}
    for key, value in (("initContainers", init), ("volumes", draw(unique(volumes())))):
        if value or draw(st.booleans()):
            spec[key] = value or draw(st.sampled_from([None, []]))
    spec |= draw(
        st.fixed_dictionaries(
            {},
            optional={
                "hostNetwork": st.booleans(),
                "restartPolicy": st.sampled_from(["Always", "Never"]),
            },
        )
    )
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@st.composite
def injections(draw, name):
    own, init = draw(lists_of_containers())
    template = {
        "metadata": draw(METADATA),
        "spec": {"containers": own, "initContainers": init, "volumes": draw(unique(volumes()))},
    }
    selector = draw(
        st.sampled_from(
            [{}, {"matchLabels": {"a": "1"}},
             {"matchExpressions": [{"key": "b", "operator": "DoesNotExist"}]}]
        )
    )  # fmt: skip
    place = st.sampled_from(["First", "Last"])
    return injection(
        name,
        cluster=draw(st.booleans()),
        template=template,
        selector=selector,
        priority=draw(st.integers(-1, 1)),
        activation=draw(st.sampled_from(["Automatic", "OnRequest"])),
        sidecarMode=draw(st.sampled_from(["Auto", "Native", "Container"])),
        hostNetworkPods=draw(st.sampled_from(["Skip", "Inject"])),
        placement={"containers": draw(place), "initContainers": draw(place)},
    )


WORLDS = st.tuples(injections("one"), injections("two"), injections("three"))


@given(pods(), WORLDS)
def test_a_pod_is_never_damaged_and_the_second_pass_finds_nothing_to_do(pod, world):
    before = copy.deepcopy(pod)
    made = decided(pod, *world)
    assert pod == before
    assert jsonpatch.apply_patch(copy.deepcopy(pod), made.operations) == made.pod
    check_author_part_is_untouched(before, made.pod)
    check_names_are_unique(made.pod)

    again = decided(made.pod, *world)
    assert again.operations == []
    assert json.dumps(again.pod) == json.dumps(made.pod)


@given(pods(), WORLDS, st.permutations([0, 1, 2]))
def test_the_order_in_which_injections_were_heard_of_does_not_matter(pod, world, order):
    shuffled = [world[index] for index in order]
    assert json.dumps(decided(pod, *world).pod) == json.dumps(decided(pod, *shuffled).pod)


@given(pods(), WORLDS)
def test_every_applied_injection_is_answered_by_all_its_containers_or_none(pod, world):
    made = decided(pod, *world)
    present = set(container_names(made.pod))
    for line in made.injected:
        wanted = {
            one["name"]
            for field in ("containers", "initContainers")
            for one in line.injection.template_spec.get(field) or ()
        }
        assert wanted <= present
    if made.verdict is not PodVerdict.INJECTED:
        assert container_names(made.pod) == container_names(pod)


def check_author_part_is_untouched(before, after):
    """Everything that was there is there, in its order; lists and maps may only have grown."""
    if isinstance(before, dict):
        for key, value in before.items():
            if key == names.STATUS_ANNOTATION:
                continue
            if value is not None:
                check_author_part_is_untouched(value, after[key])
    elif isinstance(before, list):
        remaining = iter(after)
        assert all(any(item == candidate for candidate in remaining) for item in before)
    else:
        assert before == after


def container_names(pod):
    return [
        one["name"]
        for field in ("initContainers", "containers")
        for one in pod["spec"].get(field) or ()
    ]


def check_names_are_unique(pod):
    found = container_names(pod)
    assert len(set(found)) == len(found)
    volume_names = [one["name"] for one in pod["spec"].get("volumes") or ()]
    assert len(set(volume_names)) == len(volume_names)
