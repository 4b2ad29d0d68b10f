"""The tutorial's configuration becomes an injection that its pods go on asking for."""

from __future__ import annotations

from typing import Any

from sidecar_injector.convert import findings, morvencao
from tests.kits import convert as kit
from tests.kits.samples import container, decided, pod, reasons


def converted(*values: Any) -> findings.Conversion:
    conversion = morvencao.convert(
        [kit.source(value) for value in values], parse=kit.parse, target=kit.target()
    )
    assert kit.misfits(conversion) == []
    return conversion


def test_the_config_maps_containers_and_volumes_are_taken_over() -> None:
    (source,) = kit.file("morvencao.yaml")
    conversion = converted(source.value)
    (resource,) = conversion.injections
    spec = resource["spec"]
    assert resource["metadata"] == {"name": "proxy-sidecar"}
    assert (spec["activation"], spec["hostNetworkPods"]) == ("OnRequest", "Inject")
    assert spec["template"]["spec"].keys() == {"containers", "volumes"}
    assert not conversion.warnings


def test_pods_of_the_tutorial_go_on_asking() -> None:
    (source,) = kit.file("morvencao.yaml")
    (injection,) = kit.read(converted(source.value).injections)
    annotation = "sidecar-injector-webhook.morven.me/inject"

    decision = decided(pod(annotations={annotation: "yes"}), injection)
    assert kit.names_of(decision.pod["spec"]["containers"]) == ["app", "proxy"]

    decision = decided(pod(), injection)
    assert reasons(decision) == {"cluster/proxy-sidecar": "NotRequested"}


def test_a_file_by_itself_is_enough() -> None:
    (resource,) = converted({"containers": [container()]}).injections
    assert resource["metadata"] == {"name": "sidecar"}


def test_what_the_webhook_never_read_is_warned_about() -> None:
    conversion = converted(
        {"containers": [container()], "initContainers": [container("first")], "env": []}
    )
    assert kit.fields(conversion) == ["initContainers", "env"]
    assert conversion.injections[0]["spec"]["template"]["spec"] == {"containers": [container()]}


def test_of_a_config_map_with_the_usual_key_nothing_else_is_read() -> None:
    conversion = converted(
        kit.config_map(sidecarconfig_yaml="containers: [{name: a, image: a}]", other="x: 1")
    )
    assert kit.warnings(conversion) == [
        "here, data[other]: is left out: only sidecarconfig.yaml is read"
    ]


def test_another_key_is_taken_where_the_usual_one_is_missing() -> None:
    conversion = converted(kit.config_map(config="containers: [{name: a, image: a}]"))
    assert kit.injection_names(conversion) == ["sidecars"]


def test_what_is_no_configuration_is_left_out() -> None:
    conversion = converted(kit.config_map(config="just text"), ["a list"])
    assert not conversion.injections
    assert [finding.sentence for finding in conversion.warnings] == [
        "is left out: it is no configuration"
    ] * 2


def test_what_would_be_refused_is_said() -> None:
    (warning,) = converted({"containers": [{"name": "a"}]}).warnings
    field = "spec.template.spec.containers[0].image"
    assert warning.sentence == f"the injection 'sidecar' would be refused: {field}: is required"
