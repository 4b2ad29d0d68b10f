"""SidecarSets become cluster injections; what each container said for itself is kept."""

from __future__ import annotations

from typing import Any

import convert_kit as kit
import pytest
from samples import Json, container, decided, pod, reasons

from sidecar_injector.convert import findings, sidecarset

SELECTOR = {"matchLabels": {"tier": "web"}}


def sidecar_set(version: str = "v1beta1", name: str = "logs", **spec: Any) -> Json:
    return {
        "apiVersion": f"apps.kruise.io/{version}",
        "kind": "SidecarSet",
        "metadata": {"name": name},
        "spec": {"selector": SELECTOR, "containers": [container()], **spec},
    }


def converted(*values: Any) -> findings.Conversion:
    conversion = sidecarset.convert([kit.source(value) for value in values], target=kit.target())
    assert kit.misfits(conversion) == []
    return conversion


def only(**spec: Any) -> Json:
    """The spec of the one injection that a SidecarSet becomes without a warning."""
    conversion = converted(sidecar_set(**spec))
    assert kit.warnings(conversion) == []
    (one,) = conversion.injections
    found: Json = one["spec"]
    return found


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
    (one,) = conversion.injections
    spec = one["spec"]
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
    assert [one["name"] for one in template["spec"]["initContainers"]] == ["first", "second"]
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
    first, second = (one["spec"] for one in converted(source.value).injections)
    assert (first["placement"], second["placement"]) == (
        {"containers": "First"},
        {"containers": "Last"},
    )
    assert [one["name"] for one in first["template"]["spec"]["volumes"]] == ["certs", "unused"]
    assert "volumes" not in second["template"]["spec"]
    assert first["selector"] == second["selector"]


def test_a_pod_gets_the_containers_of_all_parts_in_their_places() -> None:
    (source,) = kit.file("sidecarset-v1beta1.yaml")
    found = kit.read(converted(source.value).injections)
    subject = pod(labels={"mesh": ""})
    made = decided(subject, *found)
    assert set(reasons(made).values()) == {"NamespaceSelectorMismatch"}

    parts = converted(
        sidecar_set(
            containers=[
                container("before", volumeMounts=[{"name": "v", "mountPath": "/v"}]),
                container("after", podInjectPolicy="AfterAppContainer"),
                container(
                    "shares",
                    shareVolumePolicy={"type": "enabled"},
                    volumeMounts=[{"name": "v", "mountPath": "/v"}],
                ),
            ],
            volumes=[{"name": "v", "emptyDir": {}}],
            imagePullSecrets=[{"name": "registry"}],
        )
    )
    data = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    subject = pod(labels={"tier": "web"}, volumes=[{"name": "data", "emptyDir": {}}])
    subject["spec"]["containers"][0] |= data
    made = decided(subject, *kit.read(parts.injections))
    assert set(reasons(made).values()) == {"Injected"}
    containers = {one["name"]: one for one in made.pod["spec"]["containers"]}
    assert sorted(containers) == ["after", "app", "before", "shares"]
    names = list(containers)
    assert names.index("before") < names.index("app") < names.index("after")
    assert [one["mountPath"] for one in containers["shares"]["volumeMounts"]] == ["/v", "/data"]
    assert [one["mountPath"] for one in containers["before"]["volumeMounts"]] == ["/v"]
    assert [one["name"] for one in made.pod["spec"]["volumes"]] == ["data", "v"]


def test_init_containers_come_in_the_order_of_their_names_after_the_pods_own() -> None:
    spec = only(containers=[], initContainers=[container("b"), container("a")])
    assert spec["placement"] == {"initContainers": "Last"}
    assert spec["template"]["spec"]["initContainers"] == [container("a"), container("b")]


def test_settings_that_are_the_defaults_say_nothing() -> None:
    spec = only(
        containers=[
            container(
                podInjectPolicy="BeforeAppContainer",
                upgradeStrategy={"upgradeType": "ColdUpgrade"},
                shareVolumePolicy={"type": "disabled"},
            )
        ],
        updateStrategy={"type": "NotUpdate"},
        injectionStrategy={"paused": False},
        revisionHistoryLimit=10,
    )
    assert spec == only()


@pytest.mark.parametrize(
    "scope",
    [
        {"selector": None},
        {"selector": {}},
        {"selector": {"matchLabels": {}}},
        {"selector": {"matchlabel": {"tier": "web"}}},
        {"selector": {"matchLabels": {"tier": "not a value"}}},
        {"selector": {**SELECTOR, "matchExpressions": [{"key": "a", "operator": "Near"}]}},
        {"namespaceSelector": {"namespaces": ["shop"]}},
        {"namespaceSelector": "shop"},
        {"namespace": ["shop"]},
    ],
)
def test_an_injection_that_would_reach_more_pods_is_suspended(scope: Json) -> None:
    conversion = converted(sidecar_set(**scope))
    (one,) = conversion.injections
    assert one["spec"]["suspend"] is True
    assert "the injection is suspended" in " ".join(kit.warnings(conversion))


def test_the_namespace_wins_over_the_namespace_selector() -> None:
    conversion = converted(sidecar_set("v1alpha1", namespace="shop", namespaceSelector=SELECTOR))
    (one,) = conversion.injections
    assert one["spec"]["namespaceSelector"] == {
        "matchLabels": {"kubernetes.io/metadata.name": "shop"}
    }
    assert "suspend" not in one["spec"]
    assert kit.fields(conversion) == ["spec.namespaceSelector"]


def test_a_label_value_may_be_empty() -> None:
    assert only(selector={"matchLabels": {"mesh": ""}})["selector"] == {"matchLabels": {"mesh": ""}}


def test_an_annotation_is_taken_over_once() -> None:
    conversion = converted(
        sidecar_set(
            patchPodMetadata=[
                {"annotations": {"a": "1", "b": ""}, "labels": {"a": "1"}},
                {"annotations": {"a": "2", "not a key": "3"}, "patchPolicy": "Retain"},
            ]
        )
    )
    (one,) = conversion.injections
    assert one["spec"]["template"]["metadata"]["annotations"] == {"a": "1", "b": ""}
    assert kit.fields(conversion) == [
        "spec.patchPodMetadata[0].labels",
        "spec.patchPodMetadata[1].annotations[a]",
        "spec.patchPodMetadata[1].annotations[not a key]",
    ]


def test_an_unknown_version_is_left_out_and_other_objects_are_passed_over() -> None:
    service = {"apiVersion": "v1", "kind": "Service"}
    conversion = converted(service, sidecar_set("v2"), {"spec": {}}, sidecar_set(name="b"))
    assert [one["metadata"]["name"] for one in conversion.injections] == ["b"]
    assert kit.warnings(conversion) == [
        "here: apiVersion: is left out: 'v2' is unknown; known are v1alpha1 and v1beta1",
        "here: is left out: it is no Kubernetes object, for which apiVersion and kind are needed",
    ]


def test_sidecar_sets_of_a_list_are_found() -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": [sidecar_set(), sidecar_set(name="b")]}
    conversion = converted(listed)
    assert [one["metadata"]["name"] for one in conversion.injections] == ["logs", "b"]
