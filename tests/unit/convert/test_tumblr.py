"""Templates of tumblr's injector become injections that pods ask for by name."""

from __future__ import annotations

import dataclasses
from typing import Any

from sidecar_injector.convert import findings, sources, tumblr
from tests.kits import convert as kit
from tests.kits.samples import Json, container, decided, pod, reasons


def converted(
    *documents: sources.SourceObject, namespace: str | None = None
) -> findings.Conversion:
    conversion = tumblr.convert(documents, parse=kit.parse, target=kit.target(namespace))
    assert kit.misfits(conversion) == []
    return conversion


def template_named(name: str, **template: Any) -> sources.SourceObject:
    return kit.source({"name": name, **template})


def only(**template: Any) -> Json:
    """The spec of the one injection that the template becomes."""
    return kit.only_spec(converted(template_named("logs", **template)))


def test_a_template_is_named_after_its_source_and_asked_for() -> None:
    conversion = converted(template_named("logs", containers=[container()]))
    assert conversion.injections == [
        {
            "apiVersion": "sidecar-injector.dev/v1alpha1",
            "kind": "ClusterSidecarInjection",
            "metadata": {"name": "logs"},
            "spec": {
                "activation": "OnRequest",
                "hostNetworkPods": "Inject",
                "template": {"spec": {"containers": [container()]}},
            },
        }
    ]
    assert not conversion.warnings


def test_the_namespace_makes_the_namespaced_kind() -> None:
    template = template_named("logs", containers=[container()])
    (resource,) = converted(template, namespace="shop").injections
    assert resource["kind"] == "SidecarInjection"
    assert resource["metadata"] == {"name": "logs", "namespace": "shop"}


def test_the_default_version_is_no_part_of_the_name() -> None:
    for name in ("logs", "logs:", "logs:latest"):
        conversion = converted(template_named(name, containers=[container()]))
        assert kit.injection_names(conversion) == ["logs"]
        assert not conversion.warnings


def test_another_version_is_recognised_with_a_warning() -> None:
    conversion = converted(
        *(template_named(name, containers=[container()]) for name in ("logs", "logs:v2"))
    )
    assert kit.injection_names(conversion) == ["logs", "logs-v2"]
    assert kit.warnings(conversion) == [
        "here: name: 'logs:v2' is no object name; the injection is named 'logs-v2'"
    ]
    assert 'injector.tumblr.com/request: "logs:v2" now ask' in str(conversion.notes[1])


def test_the_last_of_two_templates_of_one_name_counts() -> None:
    first = template_named("logs", containers=[container("first")])
    second = dataclasses.replace(
        template_named("Logs:latest", containers=[container("second")]), place="there"
    )
    conversion = converted(first, second)
    assert kit.only_spec(conversion)["template"]["spec"]["containers"] == [container("second")]
    assert kit.warnings(conversion) == [
        "here: is left out: there has the same name",
        "there: name: 'Logs' is no object name; the injection is named 'logs'",
    ]


def test_every_container_gets_variables_and_mounts_that_it_has_not() -> None:
    env = [{"name": "REGION", "value": "north"}]
    mounts = [{"name": "settings", "mountPath": "/etc/settings"}]
    own = {
        "env": [{"name": "REGION", "value": "south"}],
        "volumeMounts": [{"name": "settings", "mountPath": "/elsewhere"}],
    }
    spec = only(
        env=env,
        volumeMounts=mounts,
        containers=[container("has", **own), container("lacks")],
        initContainers=[container("first")],
    )
    assert spec["applicationContainers"] == {
        "initContainers": "Include",
        "env": env,
        "volumeMounts": mounts,
    }
    lacking = {"env": env, "volumeMounts": mounts}
    assert spec["template"]["spec"] == {
        "containers": [container("has", **own), container("lacks", **lacking)],
        "initContainers": [container("first", **lacking)],
    }
    assert spec["placement"] == {"initContainers": "Last"}


def test_a_mount_over_another_volume_of_a_sidecar_is_warned_about() -> None:
    mount = {"name": "own", "mountPath": "/data/"}
    sidecar, settings = container(volumeMounts=[mount]), {"name": "settings", "mountPath": "/data"}
    conversion = converted(template_named("logs", containers=[sidecar], volumeMounts=[settings]))
    assert kit.only_spec(conversion)["template"]["spec"]["containers"] == [sidecar]
    assert kit.warnings(conversion) == [
        "here: volumeMounts: container 'sidecar' mounts another volume at '/data' and keeps it"
    ]


def test_inherited_parts_are_replaced_by_name_and_appended() -> None:
    (base,), (child,) = kit.file("tumblr-base.yaml"), kit.file("tumblr-child.yaml")
    conversion = converted(dataclasses.replace(child, bases=(base,)))

    (resource,) = conversion.injections
    template = resource["spec"]["template"]["spec"]
    assert resource["metadata"]["name"] == "shipping-v2"
    assert kit.names_of(template["volumes"]) == ["spool", "settings"]
    assert template["volumes"][1]["configMap"] == {"name": "shipper-2"}
    assert template["serviceAccountName"] == "shipper"
    assert template["hostAliases"] == [
        {"ip": "192.0.2.10", "hostnames": ["collector.example.com", "collector-2.example.com"]},
        {"ip": "192.0.2.11", "hostnames": ["archive.example.com"]},
    ]
    assert resource["spec"]["applicationContainers"]["env"] == [
        {"name": "REGION", "value": "west"},
        {"name": "SHARD", "value": "7"},
    ]


def test_inherited_mounts_at_one_path_are_one_mount() -> None:
    base = kit.source({"volumeMounts": [{"name": "a", "mountPath": "/data"}]})
    child = kit.source(
        {"name": "logs", "volumeMounts": [{"name": "b", "mountPath": "/data"}]}, bases=(base,)
    )
    conversion = converted(child)
    applied = kit.only_spec(conversion)["applicationContainers"]
    assert applied["volumeMounts"] == [{"name": "a", "mountPath": "/data"}]
    assert kit.fields(conversion) == ["volumeMounts[1]"]


def test_the_host_is_opened_by_the_first_of_the_files_only() -> None:
    (base,), (child,) = kit.file("tumblr-base.yaml"), kit.file("tumblr-child.yaml")
    conversion = converted(dataclasses.replace(child, bases=(base,)))
    template = conversion.injections[0]["spec"]["template"]["spec"]
    assert template["hostNetwork"] is True
    assert "hostPID" not in template
    assert kit.fields(conversion) == ["name", "environment", "hostPID"]


def test_a_grandchild_inherits_from_both() -> None:
    layers = [
        template_named("a", containers=[container("a")], hostNetwork=True),
        template_named("b", containers=[container("b")]),
    ]
    child = kit.source(
        {"name": "c", "inherits": "b", "containers": [container("a", tty=True)]},
        bases=tuple(reversed(layers)),
    )
    template = kit.only_spec(converted(child))["template"]["spec"]
    assert template["containers"] == [container("a", tty=True), container("b")]
    assert template["hostNetwork"] is True


def test_the_host_network_needs_the_cluster_kind() -> None:
    conversion = converted(*kit.file("tumblr-base.yaml"), namespace="shop")
    assert kit.warnings(conversion) == [
        "tumblr-base.yaml: hostNetwork: is left out: only a ClusterSidecarInjection can set it"
    ]


def test_a_config_map_holds_several_templates_and_whatever_else() -> None:
    conversion = converted(*kit.file("tumblr-configmaps.yaml"))
    assert kit.injection_names(conversion) == ["tracing", "region"]
    places = [finding.place.rpartition(", ")[2] for finding in conversion.warnings]
    assert list(zip(places, kit.fields(conversion), strict=True)) == [
        ("data[readme.txt]", ""),
        ("data[broken]", ""),
        ("data[tracing]", "inherits"),
        ("data[tracing]", "containers[0].imagePullPolicy"),
    ]


def test_a_template_without_a_name_is_left_out() -> None:
    conversion = converted(*(kit.source(value) for value in ({"containers": []}, [], "text", {})))
    assert not conversion.injections
    assert [finding.sentence for finding in conversion.warnings] == [
        "is left out: a template needs a name",
        *["is left out: it is no template"] * 3,
    ]


def test_a_restart_policy_and_a_built_in_token_are_warned_about() -> None:
    sidecar = container(restartPolicy="Always", args=["$(pod.namespace)"])
    conversion = converted(template_named("logs", containers=[sidecar]))
    first_words = [finding.sentence.partition(" ")[0] for finding in conversion.warnings]
    assert first_words == ["restartPolicy", "the"]
    (read,) = kit.read(conversion.injections)
    assert not read.errors


def test_a_pod_that_asks_gets_what_the_other_injector_gave() -> None:
    (base,) = kit.file("tumblr-base.yaml")
    injections = kit.read(converted(base, *kit.file("tumblr-configmaps.yaml")).injections)
    asking = pod(annotations={"sidecar-injector.dev/inject": "shipping"}, hostNetwork=True)

    decision = decided(asking, *injections)

    assert reasons(decision) == {
        "cluster/shipping": "Injected",
        "cluster/tracing": "NotRequested",
        "cluster/region": "NotRequested",
    }
    app, shipper = decision.pod["spec"]["containers"]
    env = {variable["name"]: variable["value"] for variable in app["env"]}
    assert env == {"REGION": "north", "SHARD": "7"}
    assert shipper["name"] == "shipper"
    assert decision.pod["spec"]["serviceAccountName"] == "shipper"
