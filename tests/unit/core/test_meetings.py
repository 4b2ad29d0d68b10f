"""When several injections meet on one pod, the second call is the first."""

from __future__ import annotations

import collections
import copy
import json
import random

import pytest

from sidecar_injector.core.merging import uninject
from sidecar_injector.core.reasons import Level
from tests.kits.meetings import Meeting, comparable
from tests.kits.random_pods import SEED
from tests.kits.samples import decided


@pytest.fixture(scope="module", params=[400, pytest.param(1500, marks=pytest.mark.long)])
def meetings(request):
    """(seed, pod, injections); a failure prints its seed, `PODS_SEED=…` tries others."""
    seeds = range(SEED, SEED + request.param)
    return [(seed, draw.pod(), draw.injections()) for seed in seeds for draw in [Meeting(seed)]]


def skipped(decision):
    """The injections that could not be done, each with the whole reason."""
    return {
        line.injection.identity: line.message
        for line in decision.lines
        if line.reason.level is Level.FIT
    }


def with_alias(pod):
    """The pod as the API server defaults it: the alias has the value of the name."""
    pod = copy.deepcopy(pod)
    if account := pod["spec"].get("serviceAccountName"):
        pod["spec"]["serviceAccount"] = account
    return pod


def test_the_second_call_changes_nothing_and_skips_for_the_same_reasons(meetings):
    hits = collections.Counter()
    for seed, pod, injections in meetings:
        first = decided(pod, *injections)
        hits.update(line.reason.value for line in first.lines)
        second = decided(first.pod, *injections)
        assert not second.operations, (seed, second.operations)
        assert second.pod == first.pod, seed
        assert skipped(second) == skipped(first), seed
        defaulted = decided(with_alias(first.pod), *injections)
        assert not defaulted.operations, (seed, defaulted.operations)
        # How many bytes are too many depends on the alias.
        assert skipped(defaulted).keys() == skipped(first).keys(), seed
    print(f"seeds from {SEED}: {dict(hits.most_common())}")  # noqa: T201 - shown on failure
    assert hits["Injected"] > len(meetings)
    for reason in ("InjectionConflict", "PodWouldBeInvalid", "MissingValue", "InvalidValue",
                   "ContainerConflict", "VolumeConflict", "TooMuchWork"):  # fmt: skip
        assert hits[reason] >= len(meetings) // 200, (reason, hits)


def test_what_was_added_can_be_removed(meetings):
    for seed, pod, injections in meetings:
        first = decided(pod, *injections)
        assert comparable(uninject.uninject(first.pod)) == comparable(pod), seed


def test_the_order_in_which_injections_are_created_does_not_matter(meetings):
    for seed, pod, injections in meetings:
        shuffled = random.Random(seed).sample(injections, len(injections))
        first, other = decided(pod, *injections), decided(pod, *shuffled)
        assert json.dumps(first.pod) == json.dumps(other.pod), seed
        assert skipped(first) == skipped(other), seed


def test_an_injection_that_comes_between_the_calls_is_settled_with_the_second(meetings):
    for seed, pod, injections in meetings:
        second = decided(decided(pod, *injections[1:]).pod, *injections)
        third = decided(second.pod, *injections)
        assert not third.operations, (seed, third.operations)
