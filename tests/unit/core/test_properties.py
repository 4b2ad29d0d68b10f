"""What holds for all pods and all injections, tried on thousands of each."""

from __future__ import annotations

import collections
import copy
import json
import random

import jsonpatch
import pytest

from sidecar_injector import names
from sidecar_injector.core.merging import status_annotation, uninject
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.reasons import PodVerdict
from tests.kits.random_pods import SEED, Draw
from tests.kits.samples import decided


@pytest.fixture(scope="module", params=[400, pytest.param(2000, marks=pytest.mark.long)])
def examples(request):
    """(seed, pod, injections); a failure prints its seed, `PODS_SEED=…` tries others."""
    seeds = range(SEED, SEED + request.param)
    return [(seed, draw.pod(), draw.injections()) for seed in seeds for draw in [Draw(seed)]]


def test_a_pod_is_never_damaged_and_the_second_pass_finds_nothing_to_do(examples):
    hits = collections.Counter()
    for seed, pod, injections in examples:
        before = copy.deepcopy(pod)
        decision = decided(pod, *injections)
        assert pod == before, seed
        applied = jsonpatch.apply_patch(copy.deepcopy(pod), decision.operations)
        assert applied == decision.pod, seed
        assert names_are_unique(decision.pod), seed
        check_author_part_is_untouched(before, decision.pod, seed)

        again = decided(decision.pod, *injections)
        assert not again.operations, (seed, again.operations)
        assert json.dumps(again.pod) == json.dumps(decision.pod), seed
        hits.update(line.reason.value for line in decision.lines)
    # They must not all be easy pods.
    print(f"seeds from {SEED}: {dict(hits.most_common())}")  # noqa: T201 - shown on failure
    for reason in ("Injected", "AlreadyInjected", "ContainerConflict", "VolumeConflict",
                   "MountPathConflict", "InjectionConflict", "MissingVolume", "MissingValue",
                   "PortConflict"):  # fmt: skip
        assert hits[reason] >= len(examples) // 400, (reason, hits)


def test_uninjecting_gives_the_pod_back_with_all_that_is_empty_in_it(examples):
    filled = 0
    for seed, pod, injections in examples:
        with_empties = emptied(pod, random.Random(seed))
        decision = decided(with_empties, *injections)
        back = uninject.uninject(decision.pod)
        assert json.dumps(back) == json.dumps(with_empties), seed
        recorded = status_annotation.read(pod_fields.metadata_map(decision.pod, "annotations"))
        filled += bool(recorded.empty)
    assert filled > len(examples) // 4


def emptied(pod, choices):
    """The pod with null, empty and zero values where an injection may put something."""
    pod = copy.deepcopy(pod)
    spec, metadata = pod["spec"], pod["metadata"]
    containers = [*spec["containers"], *(spec.get("initContainers") or ())]
    lists = ("env", "envFrom", "volumeMounts", "ports", "args")
    places = [(container, field, [None, []]) for container in containers for field in lists]
    places += [(container, "resources", [None, {}, {"limits": {}}]) for container in containers]
    places += [(spec, field, [None, []]) for field in (
        "volumes", "initContainers", "imagePullSecrets", "tolerations", "hostAliases",
        "topologySpreadConstraints")]  # fmt: skip
    places += [
        (spec, "dnsConfig", [None, {}, {"options": []}, {"searches": None}]),
        (spec, "serviceAccountName", [None, ""]),
        (spec, "hostNetwork", [None, False]),
        (spec, "shareProcessNamespace", [None]),
        (metadata, "labels", [None, {}]),
        (metadata, "annotations", [None, {}]),
    ]
    for parent, field, values in places:
        if field not in parent and choices.random() < 0.4:
            parent[field] = copy.deepcopy(choices.choice(values))
    for variable in (each for container in containers for each in container.get("env") or ()):
        if "value" not in variable and choices.random() < 0.5:
            variable["value"] = choices.choice([None, ""])
    return pod


def test_the_order_in_which_injections_were_heard_of_does_not_matter(examples):
    for seed, pod, injections in examples:
        shuffled = random.Random(seed).sample(injections, len(injections))
        decision, other = decided(pod, *injections), decided(pod, *shuffled)
        assert json.dumps(decision.pod) == json.dumps(other.pod), seed


def test_every_injection_is_applied_whole_or_not_at_all(examples):
    for seed, pod, injections in examples:
        decision = decided(pod, *injections)
        present = set(container_names(decision.pod))
        for line in decision.injected:
            assert template_names(line.injection) <= present, seed
        added = present - set(container_names(pod))
        allowed = set().union(
            *(template_names(line.injection) for line in decision.injected), set()
        )
        assert added <= allowed, seed
        if decision.verdict is not PodVerdict.INJECTED:
            assert decision.pod["spec"] == pod["spec"], seed


def check_author_part_is_untouched(before, after, seed, path=()):
    """Everything that was there is there, in its order; lists and maps may only have grown, and
    text only at its end, or where a scalar counts as unset."""
    where = (seed, path)
    if isinstance(before, dict):
        for key, value in before.items():
            if value is not None:
                check_author_part_is_untouched(value, after[key], seed, (*path, key))
    elif isinstance(before, list):
        keys = [identity(item) for item in before]
        matching = [item for item in after if identity(item) in keys]
        assert [identity(item) for item in matching] == keys, where
        for item, other in zip(before, matching, strict=True):
            check_author_part_is_untouched(item, other, seed, path)
    elif path[-1] == "value" and "env" in path:
        assert after.startswith(before), where
    elif path[-1] == "serviceAccountName":
        assert before in {"", "default", after}, where
    elif path[-1] in {"hostNetwork", "hostPID"}:
        assert before is False or after is True, where
    else:
        assert before == after, where


def identity(item):
    """What identifies an item of a list: its key, or itself."""
    if not isinstance(item, dict):
        return item
    for key in ("mountPath", "ip", "topologyKey", "containerPort", "name"):
        if key in item:
            return key, item[key]
    return str(item)


def template_names(injection):
    spec = injection.template_spec
    return {
        item["name"] for field in ("containers", "initContainers") for item in spec.get(field, ())
    }


def container_names(pod):
    return [
        item["name"]
        for field in ("initContainers", "containers")
        for item in pod["spec"].get(field) or ()
    ]


def names_are_unique(pod):
    volumes = [volume["name"] for volume in pod["spec"].get("volumes") or ()]
    containers = container_names(pod)
    return len(set(volumes)) == len(volumes) and len(set(containers)) == len(containers)


def test_only_what_was_skipped_is_written_where_nothing_is_injected(examples):
    for seed, pod, injections in examples:
        decision = decided(pod, *injections)
        if decision.verdict is PodVerdict.UNCHANGED:
            annotations = dict(decision.pod["metadata"].get("annotations") or {})
            before = pod["metadata"].get("annotations") or {}
            for key in (names.STATUS_ANNOTATION, names.SKIPPED_ANNOTATION):
                if key not in before:
                    annotations.pop(key, None)
            assert annotations == before, seed
            assert decision.pod["metadata"].get("labels") == pod["metadata"].get("labels"), seed
