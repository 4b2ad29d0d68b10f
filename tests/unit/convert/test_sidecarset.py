"""SidecarSets become cluster injections; the settings of each container are kept."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kits import convert as kit
from tests.kits.convert import SELECTOR, sidecar_set
from tests.kits.convert import converted_sets as converted
from tests.kits.samples import Json, container, decided, pod, reasons


def only(**spec: Any) -> Json:
    """The spec of the one injection that a SidecarSet becomes without a warning."""
    conversion = converted(sidecar_set(**spec))
    assert kit.warnings(conversion) == []
    return kit.only_spec(conversion)


def test_a_sidecar_set_becomes_a_cluster_injection() -> None:
    conversion = converted(sidecar_set())
    assert conversion.injections == [
        {
            "apiVersion": "sidecar-injector.dev/v1alpha1",
            "kind": "ClusterSidecarInjection",
            "metadata": {"name": "logs"},
            "spec": {
                "selector": SELECTOR,
                "hostNetworkPods": "Inject",
                "placement": {"containers": "First"},
                "template": {"spec": {"containers": [container()]}},
            },
        }
    ]
    assert not conversion.warnings


def test_everything_that_has_a_counterpart_is_taken_over() -> None:
    (source,) = kit.file("sidecarset-v1alpha1.yaml")
    conversion = converted(source.value)
    spec = kit.only_spec(conversion)
    assert spec["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}
    assert spec["selector"] == SELECTOR
    assert spec["suspend"] is True
    assert spec["placement"] == {"containers": "Last", "initContainers": "Last"}
    assert spec["inherit"] == {
        "volumeMounts": {"fromContainers": ["*"]},
        "env": [
            {"name": "REGION", "fromContainer": "app"},
            {"name": "SERVICE", "fromContainer": "app"},
        ],
    }
    template = spec["template"]
    assert template["metadata"] == {"annotations": {"example.com/logs": "on"}}
    assert kit.names_of(template["spec"]["initContainers"]) == ["first", "second"]
    assert template["spec"]["initContainers"][0]["restartPolicy"] == "Always"
    assert template["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    assert kit.fields(conversion) == ["metadata.labels[apps.kruise.io/sidecarset-custom-version]"]


def test_everything_without_a_counterpart_is_warned_about() -> None:
    (source,) = kit.file("sidecarset-v1beta1.yaml")
    prefix = "spec.containers"
    assert kit.fields(converted(source.value)) == [
        "metadata.annotations[apps.kruise.io/sidecarset-base]",
        "spec.injectionStrategy.revision",
        "spec.customVersion",
        "spec.revisionHistoryLimit",
        "spec.updateStrategy",
        f"{prefix}[0].upgradeStrategy",
        f"{prefix}[1].transferEnv[0].sourceContainerNameFrom",
        f"{prefix}[1].shareVolumeDevicePolicy",
        f"{prefix}[1].resourcesPolicy",
        prefix,
        "spec.patchPodMetadata[0].patchPolicy",
        "spec.patchPodMetadata[1].patchPolicy",
        "spec.patchPodMetadata[1].annotations[sidecar-injector.dev/inject]",
    ]


def test_containers_that_differ_in_their_settings_become_injections_of_their_own() -> None:
    (source,) = kit.file("sidecarset-v1beta1.yaml")
    first, second = (resource["spec"] for resource in converted(source.value).injections)
    assert first["placement"] == {"containers": "First"}
    assert second["placement"] == {"containers": "Last"}
    assert kit.names_of(first["template"]["spec"]["volumes"]) == ["certs", "unused"]
    assert "volumes" not in second["template"]["spec"]
    assert first["selector"] == second["selector"]


def test_a_pod_gets_the_containers_of_all_parts_in_their_places() -> None:
    (source,) = kit.file("sidecarset-v1beta1.yaml")
    injections = kit.read(converted(source.value).injections)
    decision = decided(pod(labels={"mesh": ""}), *injections)
    assert set(reasons(decision).values()) == {"NamespaceSelectorMismatch"}

    mounts, shares = [{"name": "v", "mountPath": "/v"}], {"type": "enabled"}
    parts = converted(
        sidecar_set(
            containers=[
                container("before", volumeMounts=mounts),
                container("after", podInjectPolicy="AfterAppContainer"),
                container("shares", shareVolumePolicy=shares, volumeMounts=mounts),
            ],
            volumes=[{"name": "v", "emptyDir": {}}],
            imagePullSecrets=[{"name": "registry"}],
        )
    )
    data = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    subject = pod(labels={"tier": "web"}, volumes=[{"name": "data", "emptyDir": {}}])
    subject["spec"]["containers"][0] |= data
    decision = decided(subject, *kit.read(parts.injections))
    assert set(reasons(decision).values()) == {"Injected"}
    containers = {container["name"]: container for container in decision.pod["spec"]["containers"]}
    assert sorted(containers) == ["after", "app", "before", "shares"]
    names = list(containers)
    assert names.index("before") < names.index("app") < names.index("after")
    assert [mount["mountPath"] for mount in containers["shares"]["volumeMounts"]] == ["/v", "/data"]
    assert [mount["mountPath"] for mount in containers["before"]["volumeMounts"]] == ["/v"]
    assert kit.names_of(decision.pod["spec"]["volumes"]) == ["data", "v"]


def test_init_containers_come_in_the_order_of_their_names_after_the_pods_own() -> None:
    spec = only(containers=[], initContainers=[container("b"), container("a")])
    assert spec["placement"] == {"initContainers": "Last"}
    assert spec["template"]["spec"]["initContainers"] == [container("a"), container("b")]


def test_settings_that_are_the_defaults_say_nothing() -> None:
    sidecar = container(
        podInjectPolicy="BeforeAppContainer",
        upgradeStrategy={"upgradeType": "ColdUpgrade"},
        shareVolumePolicy={"type": "disabled"},
    )
    spec = only(
        containers=[sidecar],
        updateStrategy={"type": "NotUpdate"},
        injectionStrategy={"paused": False},
        revisionHistoryLimit=10,
    )
    assert spec == only()


@pytest.mark.parametrize("policy", ["Somewhere", ["BeforeAppContainer"]])
def test_an_unknown_place_is_the_default(policy: Any) -> None:
    conversion = converted(sidecar_set(containers=[container(podInjectPolicy=policy)]))
    assert kit.only_spec(conversion)["placement"] == {"containers": "First"}
    assert kit.fields(conversion) == ["spec.containers[0].podInjectPolicy"]


def test_an_annotation_is_taken_over_once() -> None:
    patches = [
        {"annotations": {"a": "1", "b": ""}, "labels": {"a": "1"}},
        {"annotations": {"a": "2", "not a key": "3"}, "patchPolicy": "Retain"},
    ]
    conversion = converted(sidecar_set(patchPodMetadata=patches))
    assert kit.only_spec(conversion)["template"]["metadata"]["annotations"] == {"a": "1", "b": ""}
    assert kit.fields(conversion) == [
        "spec.patchPodMetadata[0].labels",
        "spec.patchPodMetadata[1].annotations[a]",
        "spec.patchPodMetadata[1].annotations[not a key]",
    ]


def test_what_has_another_shape_is_warned_about() -> None:
    sidecar = container(shareVolumePolicy="enabled", transferEnv={"envName": "A"})
    other = container("other", transferEnv=[{"sourceContainerName": "app"}, "A"])
    patches = [{"annotations": []}, "a"]
    conversion = converted(
        sidecar_set(containers=[sidecar, other], patchPodMetadata=patches, volumes={})
    )
    assert kit.fields(conversion) == [
        "spec.containers[0].shareVolumePolicy",
        "spec.containers[0].transferEnv",
        "spec.containers[1].transferEnv[0]",
        "spec.containers[1].transferEnv[1]",
        "spec.containers[1].transferEnv[1]",
        "spec.volumes",
        "spec.patchPodMetadata[0].annotations",
        "spec.patchPodMetadata[1]",
    ]
