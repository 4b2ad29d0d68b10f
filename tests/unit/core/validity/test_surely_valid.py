"""The short way to "no problem" never contradicts the walk over the whole pod."""

from __future__ import annotations

import collections
from typing import Any

import pytest

from sidecar_injector.core.validity import container as container_rules
from sidecar_injector.core.validity import pod as pod_rules
from sidecar_injector.core.validity import security as security_rules
from tests.kits import broken_pods, validity

Json = dict[str, Any]
SEED = 7
ITEMS = ("containers", "initContainers", "volumes")
SIDECAR: Json = {"name": "s", "image": "x"}
HOST_PROCESS = {"securityContext": {"windowsOptions": {"hostProcess": True}}}
SLEEP = {"lifecycle": {"preStop": {"sleep": {"seconds": 20}}}}
GROWING = {"resourceName": "cpu", "restartPolicy": "RestartContainer"}
CLAIM = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1"}}}}
DEVICE = {"name": "v", "devicePath": "/v"}


def containers(**fields: Any) -> Json:
    return {"containers": [SIDECAR | fields]}


def is_surely_valid(before: Json, after: Json, added: Json) -> bool:
    template = container_rules.TemplateProblems(
        added.get("containers", []),
        added.get("volumes", []),
        init_containers=added.get("initContainers", []),
    )
    return pod_rules.is_surely_valid(before=before, after=after, precomputed=template)


def test_random_pods_that_are_surely_valid_have_no_problem() -> None:
    answers: collections.Counter[bool] = collections.Counter()
    for seed in range(SEED, SEED + 6000):
        before, after, traits = broken_pods.Draw(seed).pair()
        added = {
            field: after["spec"][field][len(before["spec"].get(field) or ()) :]
            for field in ITEMS
            if field in traits
        }
        if not {*ITEMS, "annotations"}.issuperset(traits) or _lacks_a_volume(after, added):
            continue
        sure = is_surely_valid(before, after, added)
        answers[sure] += 1
        assert not sure or pod_rules.problem(before=before, after=after) is None, seed
    assert min(answers[True], answers[False]) > 300


def _lacks_a_volume(pod: Json, added: Json) -> bool:
    """A merge finds this out before it adds anything."""
    mounted = {
        mount["name"]
        for field in ("containers", "initContainers")
        for container in added.get(field, ())
        for mount in container.get("volumeMounts") or ()
    }
    return not mounted <= {volume["name"] for volume in pod["spec"]["volumes"]}


@pytest.mark.parametrize(
    ("author", "added"),
    [
        ({"containers": [SIDECAR]}, containers()),
        ({}, {"containers": [SIDECAR, SIDECAR]}),
        ({}, {"volumes": [{"name": "v"}, {"name": "v"}]}),
        ({}, containers(image="")),
        ({}, {"volumes": [{"name": "v", "configMap": {"name": ""}}]}),
        ({}, {"initContainers": [SIDECAR | {"livenessProbe": {"tcpSocket": {"port": 80}}}]}),
        ({"terminationGracePeriodSeconds": 10}, containers(**SLEEP)),
        ({"restartPolicy": "Never"}, containers(resizePolicy=[GROWING])),
        ({"os": {"name": "windows"}}, containers(securityContext={"runAsUser": 1})),
        ({}, containers(securityContext={"procMount": "Unmasked"})),
        ({"hostUsers": True}, containers(securityContext={"procMount": "Unmasked"})),
        ({}, containers(resources={"claims": [{"name": "gpu"}]})),
        ({}, containers(volumeDevices=[DEVICE]) | {"volumes": [{"name": "v"}]}),
        (
            {"volumes": [{"name": "a"}, {"name": "a", "image": {"reference": "r"}}],
             "containers": [{"name": "app", "image": "x", "volumeDevices": [DEVICE]}]},
            {"volumes": [{"name": "v"}]},
        ),
        (
            {"containers": [{"name": "app", "image": "x",
                             "ports": [{"containerPort": 80, "hostPort": 80}]}]},
            containers(ports=[{"containerPort": 80, "hostPort": 80}]),
        ),
        (
            {"hostNetwork": True,
             "containers": [{"name": "app", "image": "x", "ports": [{"containerPort": 80}]}]},
            containers(ports=[{"containerPort": 80}]),
        ),
        (
            {"resources": {"requests": {"cpu": 1}}},
            containers(resources={"requests": {"cpu": 2}}),
        ),
        ({"hostNetwork": True, **HOST_PROCESS}, containers(**HOST_PROCESS["securityContext"])),
        ({}, containers(**HOST_PROCESS)),
        ({"containers": [{"name": "app", "image": "x", **HOST_PROCESS}]}, containers()),
        (
            {"annotations": {f"{security_rules.APP_ARMOR_PREFIX}s": "localhost/a"},
             "securityContext": {"appArmorProfile": {"type": "Unconfined"}}},
            containers(),
        ),
        (
            {"volumes": [{"name": "a", "persistentVolumeClaim": {"claimName": "web-v"}}]},
            {"volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": CLAIM}}]},
        ),
        (
            {"volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": CLAIM}}]},
            {"volumes": [{"name": "a", "persistentVolumeClaim": {"claimName": "web-v"}}]},
        ),
    ],
)  # fmt: skip
def test_each_rule_that_could_be_broken_is_left_to_the_walk(author: Json, added: Json) -> None:
    before = validity.pod(author)
    after = validity.with_added(before, added)
    assert not is_surely_valid(before, after, added)


@pytest.mark.parametrize("key", ["a b", "x" * (256 * 1024)])
def test_an_annotation_that_comes_with_a_template_is_looked_at(key: str) -> None:
    before = validity.pod({})
    after = validity.with_added(before, containers() | {"annotations": {key: ""}})
    assert not is_surely_valid(before, after, containers())


def test_a_usual_sidecar_is_surely_valid() -> None:
    security = {"runAsNonRoot": True, "capabilities": {"drop": ["ALL"]}}
    mounts = [{"name": "v", "mountPath": "/v"}]
    added = {
        **containers(securityContext=security, ports=[{"containerPort": 80}], **SLEEP),
        "initContainers": [{"name": "i", "image": "x", "volumeMounts": mounts}],
        "volumes": [{"name": "v", "emptyDir": {}}],
    }
    before = validity.pod({"terminationGracePeriodSeconds": 30})
    assert is_surely_valid(before, validity.with_added(before, added), added)
