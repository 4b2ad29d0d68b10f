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


def test_what_no_injected_container_has_is_warned_about_where_it_is_used() -> None:
    sidecar = container(args=["--injected=$(IS_INJECTED)"], shareVolumePolicy={"typ": "enabled"})
    assert kit.fields(converted(sidecar_set(containers=[sidecar]))) == [
        "spec.containers[0].shareVolumePolicy.typ",
        "spec.containers[0]",
    ]


def test_updates_of_running_pods_are_the_default_and_warned_about() -> None:
    value = sidecar_set()
    del value["spec"]["updateStrategy"]
    assert kit.fields(converted(value)) == ["spec.updateStrategy"]


def test_a_system_namespace_is_noted() -> None:
    name = "kubernetes.io/metadata.name"
    values = ["kube-system", "shop"]
    for scope in (
        {"namespace": "kube-system"},
        {"namespaceSelector": {"matchLabels": {name: "kube-system"}}},
        {"namespaceSelector": {"matchExpressions": [
            {"key": name, "operator": "In", "values": values},
        ]}},
    ):  # fmt: skip
        notes = [str(note) for note in converted(sidecar_set(**scope)).notes]
        assert any("no pod of kube-system" in note for note in notes)


@pytest.mark.parametrize(("policy", "is_noted"), [("", True), ("AfterAppContainer", False)])
def test_an_annotation_for_containers_that_stand_first_is_noted(
    policy: str, *, is_noted: bool
) -> None:
    conversion = converted(sidecar_set(containers=[container(podInjectPolicy=policy)]))
    fields = [note.field for note in conversion.notes]
    assert ("spec.containers" in fields) == is_noted


def test_sets_that_give_one_annotation_two_values_are_warned_about() -> None:
    one = sidecar_set(name="a", patchPodMetadata=[{"annotations": {"team": "1", "same": "x"}}])
    two = sidecar_set(
        name="b",
        containers=[container("b")],
        patchPodMetadata=[{"annotations": {"team": "2", "same": "x"}}],
    )
    for order in ((one, two), (two, one)):
        conversion = converted(*order)
        (warning,) = conversion.warnings
        assert warning.field == "spec.patchPodMetadata"
        assert "'a' has another value for 'team'" in warning.sentence
        decision = decided(pod(labels={"tier": "web"}), *kit.read(conversion.injections))
        assert list(reasons(decision).values()) == ["Injected", "InjectionConflict"]

    two["spec"]["selector"] = {"matchLabels": {"tier": "other"}}
    assert converted(one, two).warnings == []


@pytest.mark.parametrize(
    ("first", "second", "is_warned"),
    [(["a", "b"], ["c"], False), (["a", "c"], ["b"], True), (["z"], ["y"], True)],
)
def test_init_containers_of_two_sets_that_are_not_sorted_together_are_warned_about(
    first: list[str], second: list[str], *, is_warned: bool
) -> None:
    one, two = (
        sidecar_set(name=name, containers=[], initContainers=[container(each) for each in inits])
        for name, inits in (("one", first), ("two", second))
    )
    fields = ["spec.initContainers"] if is_warned else []
    assert kit.fields(converted(one, two)) == fields
