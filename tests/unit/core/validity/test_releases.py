"""What an older release refuses; the rules are read from its source, as only one is built here."""

from __future__ import annotations

import dataclasses

import pytest

from sidecar_injector.core import decide
from sidecar_injector.core.injections import namespace_view
from sidecar_injector.core.pods import release_table
from sidecar_injector.core.validity import releases
from tests.kits import samples, validity

SLEEP = {"lifecycle": {"preStop": {"sleep": {"seconds": 0}}}}
FILE = {"env": [{"name": "A", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "f"}}}]}
RULES = {"restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In"}}]}
EVERY = frozenset(range(releases.OLDEST, releases.NEWEST + 1))


def containers(**fields):
    return {"containers": [{"name": "s", "image": "x", **fields}]}


def spread(**selector):
    constraint = {"labelSelector": selector, "matchLabelKeys": ["a"]}
    return {"topologySpreadConstraints": [constraint]}


def init_containers(**fields):
    return {"initContainers": [{"name": "s", "image": "x", **fields}]}


@pytest.mark.parametrize(
    ("added", "refusing"),
    [
        (containers(), set()),
        (containers(**SLEEP), {32}),
        (containers(lifecycle={"postStart": {"sleep": {"seconds": 1}}}), set()),
        (containers(restartPolicy="Never"), {32, 33}),
        (containers(restartPolicy="Always"), {32, 33}),
        (init_containers(restartPolicy="OnFailure"), {32, 33}),
        (init_containers(restartPolicy="Always"), set()),
        (containers(**FILE), {32, 33, 34}),
        (spread(matchLabels={"b": "c"}), set()),
        (spread(matchLabels={"a": "b"}), {32, 33}),
        (spread(matchExpressions=[{"key": "a", "operator": "Exists"}]), {32, 33}),
        (init_containers(restartPolicy="Always", **RULES), {35}),
        (init_containers(restartPolicy="Never", **RULES), {32, 33}),
        (containers(restartPolicyRules=[{"action": "RestartAllContainers"}]), {35}),
        ({"dnsConfig": {"searches": ["a_b"]}}, {32}),
        ({"dnsConfig": {"searches": ["."]}}, {32}),
        ({"dnsConfig": {"searches": ["a.b."]}}, set()),
    ],
)
def test_each_difference_has_its_releases(added, refusing):
    before = validity.pod({})
    after = validity.with_added(before, added)
    problems = {minor: releases.problem(before=before, after=after, minor=minor) for minor in EVERY}
    assert {minor for minor, problem in problems.items() if problem} == refusing
    assert all(f"Kubernetes 1.{minor} refuses" in problems[minor] for minor in refusing)


def test_what_the_author_wrote_is_not_judged():
    before = validity.pod(containers(**SLEEP) | {"dnsConfig": {"searches": ["a_b"]}})
    after = validity.with_added(before, {"dnsConfig": {"searches": ["c"]}})
    after["spec"]["containers"] = [{**before["spec"]["containers"][0], "tty": True}]
    assert releases.problem(before=before, after=after, minor=32) is None


@pytest.mark.parametrize(
    ("version", "minor"),
    [("v1.32.13", 32), ("v1.33.4-gke.100", 33), ("v1.34+", 34), ("v1.40.0", 40),
     ("", releases.NEWEST), ("None", releases.NEWEST), ("v2.1.0", releases.NEWEST)],
)  # fmt: skip
def test_the_release_is_read_from_the_clusters_version(version, minor):
    assert releases.minor_of(version) == minor


def test_an_injection_that_the_release_refuses_is_skipped_there_and_only_there():
    injection = samples.injection(template={"spec": containers(**SLEEP)})
    request = namespace_view.PodRequest(namespace=samples.NAMESPACE, pod=samples.pod())
    for minor, code in ((32, "PodWouldBeInvalid"), (33, "Injected"), (None, "Injected")):
        view = dataclasses.replace(samples.namespace_with(injection), kubernetes_minor=minor)
        assert samples.reasons(decide.decide(request, view)) == {"log": code}


def spec(**fields):
    return {"template": {"spec": fields}}


RESIZED = {"resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}]}
OWNER = {"name": "v", "configMap": {"name": "c", "defaultUser": 1}}
BOUND = {"name": "v", "mountPath": "/v", "bindMountOptions": ["noexec"]}


@pytest.mark.parametrize(
    ("subject", "minor", "paths"),
    [
        (spec(**containers()), 32, []),
        (spec(**containers(**RESIZED)), 32, ["spec.template.spec.containers[0].resizePolicy"]),
        (spec(**containers(**RESIZED)), 37, []),
        (spec(**init_containers(lifecycle={"stopSignal": "SIGTERM"})), 37,
         ["spec.template.spec.initContainers[0].lifecycle.stopSignal"]),
        (spec(volumes=[{"name": "w"}, OWNER]), 37,
         ["spec.template.spec.volumes[1].configMap.defaultUser"]),
        (spec(**init_containers(restartPolicy="Always")), 34, []),
        (spec(**init_containers(restartPolicy="Never")), 34,
         ["spec.template.spec.initContainers[0].restartPolicy"]),
        ({"applicationContainers": {"volumeMounts": [BOUND]}}, 37,
         ["spec.applicationContainers.volumeMounts[0].bindMountOptions"]),
    ],
)  # fmt: skip
def test_the_fields_that_a_release_drops(subject, minor, paths):
    assert list(releases.dropped(subject, minor=minor)) == paths


def test_every_supported_release_was_measured():
    measured = {minor for minors in release_table.DROPPED.values() for minor in minors}
    assert measured == EVERY
