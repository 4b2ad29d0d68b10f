"""Random pods with every field of the API server's schema: no promise is broken on any of them.

`python -m tools.fuzz.pods` is the long run.
"""

from __future__ import annotations

import collections
import contextlib
import copy
import itertools
import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from sidecar_injector.core import decision
from sidecar_injector.core.reasons import Reason
from sidecar_injector.core.validity import releases
from tests.kits import random_pods, samples, versions
from tools.controlplane import cluster
from tools.fuzz.pods import campaign, drawing, judge, mending, promises, walking

Json = dict[str, Any]
PAIRS: Final = 2000
MOST_PODS: Final = 12 * PAIRS
MOST_INJECTED_PODS: Final = 400
TIMES: Final = 9
"""Changes of a field after which it has been tried enough."""
OWN: Final = {"name": "own", "image": "x"}
NOT_IN_TEMPLATES: Final = ("OwnerReference.", "ResourceClaim.")
"""Types of fields that no template without a pod can have."""
NAMES: Final = {"Container.name", "Volume.name"}
"""What says which container or volume it is."""
OURS: Final = {"containers": "Container", "initContainers": "Container", "volumes": "Volume"}


@pytest.fixture(scope="module")
def pods(controlplane: cluster.ControlPlane) -> Iterator[campaign.Campaign]:
    """A campaign with the seed of all property tests."""
    with contextlib.closing(campaign.Campaign(controlplane, seed=random_pods.SEED)) as pods:
        yield pods


@pytest.fixture(scope="module")
def outcome(pods: campaign.Campaign) -> campaign.Outcome:
    """What came of the short run."""
    outcome = pods.run(range(PAIRS))
    print(f"seed {random_pods.SEED}:", *outcome.lines(), sep="\n")  # noqa: T201 - shown on failure
    return outcome


@pytest.mark.timeout(600)
def test_no_pair_breaks_a_promise(
    pods: campaign.Campaign, outcome: campaign.Outcome, tmp_path: Any
) -> None:
    smallest = [pods.write_minimal(failure, tmp_path) for failure in outcome.failures[:3]]
    assert outcome.broken == 0, "\n".join(path.read_text() for path in smallest)
    # They must not all be refused or left alone.
    assert outcome.accepted >= PAIRS * 0.8
    assert outcome.at_once >= PAIRS * 0.4
    assert outcome.injected >= PAIRS * 0.4


@pytest.mark.timeout(600)
def test_every_field_of_a_pod_is_in_an_accepted_one(
    pods: campaign.Campaign, outcome: campaign.Outcome
) -> None:
    types = pods.openapi["components"]["schemas"]
    fields = walking.fields_below(types, "PodSpec") | walking.fields_below(types, "ObjectMeta")
    missing = fields - outcome.reached
    for number in range(PAIRS, MOST_PODS):
        if not missing:
            break
        _, pod = pods.pod(number)
        missing -= pods.fields(pod) if pod else set()
    assert missing == set()


@pytest.mark.timeout(600)
def test_what_is_ours_stays_ours_whatever_is_changed_in_it(pods: campaign.Campaign) -> None:
    """Every field of injected containers and volumes is set, changed and taken out."""
    types = pods.openapi["components"]["schemas"]
    fields = walking.fields_below(types, "Container") | walking.fields_below(types, "Volume")
    fields = {name for name in fields if not name.startswith(NOT_IN_TEMPLATES)}
    tried = collections.Counter(dict.fromkeys(fields - NAMES, 0))
    for number in range(MOST_INJECTED_PODS):
        if min(tried.values()) > 0:
            break
        draw = drawing.Draw(pods.openapi, f"{random_pods.SEED}/changed/{number}")
        trial, stored = injected(pods, draw)
        for name, changed in changes(types, draw, stored, tried):
            tried[name] += 1
            check_nothing_to_do(trial.decide(changed), name)
    # An older release drops some fields, so they are in no pod that it has stored.
    if versions.minor() == releases.NEWEST:
        assert sorted(name for name, count in tried.items() if not count) == []


def injected(pods: campaign.Campaign, draw: drawing.Draw) -> tuple[promises.Trial, Json]:
    """A trial with one injection of containers and volumes, and the pod as it is stored with it."""
    pod = {"metadata": {"generateName": "a-"}, "spec": {"containers": [OWN]}}
    while True:
        template = {"spec": {part: draw.of_type(f"PodSpec.{part}") for part in OURS}}
        injection = samples.resource("one", template=template)
        injection["metadata"]["namespace"] = judge.NAMESPACE
        mending.mend_injection(draw, injection["spec"])
        pods.repair(template)
        mount_all(template["spec"])
        if promises.read(injection).errors:
            continue
        trial = promises.Trial(promises.Pair(pod=pod, injections=(injection,)), pods.court)
        first = trial.decide(pod)
        verdict = pods.court.judge(dict(first.pod))
        # An old API server drops whole volumes of images.
        if first.injected and verdict.pod and _volumes(verdict.pod) >= _volumes(first.pod):
            return trial, promises.cleaned(verdict.pod)


def _volumes(pod: Json) -> set[str]:
    return {volume["name"] for volume in pod["spec"].get("volumes") or ()}


def mount_all(template: Json) -> None:
    """A volume that nothing mounts is not added, until a change mounts it."""
    containers = [*(template.get("containers") or ()), *(template.get("initContainers") or ())]
    parts = [container.get("volumeMounts") for container in containers]
    parts += [container.get("volumeDevices") for container in containers]
    mounted = {item["name"] for items in parts for item in items or ()}
    for volume in template.get("volumes") or ():
        if volume["name"] not in mounted and containers:
            mounts = containers[0].get("volumeMounts") or []
            mount = {"name": volume["name"], "mountPath": f"/{volume['name']}"}
            containers[0]["volumeMounts"] = [*mounts, mount]


def changes(
    types: Json, draw: drawing.Draw, pod: Json, tried: collections.Counter[str]
) -> Iterator[tuple[str, Json]]:
    """The pod with one field of ours changed: `Type.field`, and the pod."""
    for part, kind in OURS.items():
        for index, item in enumerate(pod["spec"].get(part) or ()):
            if item["name"] in (OWN["name"], promises.VOLUME_OF_TOKEN):
                continue
            for place, (name, _, field) in enumerate(walking.fields_of(types, kind, item)):
                if name in NAMES or tried[name] >= TIMES:
                    continue
                for value in (draw.of_type(name), draw.of_type(name), None):
                    changed = copy.deepcopy(pod)
                    places = walking.fields_of(types, kind, changed["spec"][part][index])
                    _, parent, _ = next(itertools.islice(places, place, None))
                    parent[field] = value
                    if value is None:
                        del parent[field]
                    yield name, changed


def check_nothing_to_do(second: decision.Decision, name: str) -> None:
    where = name, [line.message for line in second.lines]
    assert not second.operations, where
    assert [line.reason for line in second.lines] == [Reason.ALREADY_INJECTED], where
    assert not second.skipped, where
    assert json.dumps(second.pod).count('"skipped"') == 0, where
