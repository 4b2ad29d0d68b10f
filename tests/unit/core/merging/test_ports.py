"""Only ports that are added can be in the way, by number on the host network, or by name."""

from __future__ import annotations

import pytest

from tests.kits.samples import container, decided, injection, pod, reasons, round_trip


def port(number=80, name="", protocol="TCP"):
    return {"containerPort": number, "protocol": protocol, **({"name": name} if name else {})}


def native(name, **fields):
    return container(name, restartPolicy="Always", **fields)


def reason(subject, template, **spec):
    log_injection = injection(hostNetworkPods="Inject", template={"spec": template}, **spec)
    return reasons(round_trip(subject, log_injection))["log"]


def test_two_containers_of_the_author_may_have_one_port():
    subject = pod(
        hostNetwork=True,
        initContainers=[container("one", ports=[port()]), container("two", ports=[port()])],
    )
    assert reason(subject, {"containers": [container()]}) == "Injected"
    assert reason(subject, {"containers": [container(ports=[port(81)])]}) == "Injected"


@pytest.mark.parametrize(
    ("own", "added", "expected"),
    [
        (container("x"), ("containers", container()), "Injected"),
        (container("x"), ("initContainers", container()), "Injected"),
        (container("x"), ("initContainers", native("sidecar")), "PortConflict"),
        (native("x"), ("containers", container()), "PortConflict"),
        (native("x"), ("initContainers", container()), "PortConflict"),
        (native("x"), ("initContainers", native("sidecar")), "PortConflict"),
    ],
)
def test_init_containers_that_end_hold_a_port_only_beside_native_sidecars(own, added, expected):
    subject = pod(hostNetwork=True, initContainers=[{**own, "ports": [port()]}])
    field, item = added
    template = {"containers": [], field: [{**item, "ports": [port()]}]}
    assert reason(subject, template) == expected


NAMED = {"ports": [port(8080, "http")]}
ORDINARY, PLAIN = ("containers", {}), ("initContainers", {})
NATIVE = ("initContainers", {"restartPolicy": "Always"})


@pytest.mark.parametrize(
    ("own", "added", "placement", "expected"),
    [
        (ORDINARY, ORDINARY, "First", "PortConflict"),
        (ORDINARY, ORDINARY, "Last", "Injected"),
        (ORDINARY, NATIVE, "First", "Injected"),
        (NATIVE, ORDINARY, "Last", "PortConflict"),
        (NATIVE, NATIVE, "First", "PortConflict"),
        (NATIVE, NATIVE, "Last", "Injected"),
        (NATIVE, PLAIN, "First", "Injected"),
        (PLAIN, ORDINARY, "First", "Injected"),
    ],
)
def test_a_service_by_name_goes_on_to_the_authors_container(own, added, placement, expected):
    field, fields = own
    subject = pod()
    subject["spec"].setdefault(field, []).append(container("x", **fields, **NAMED))
    field, fields = added
    item = container(**fields, ports=[port(15001, "http")])
    template = {"containers": [], field: [item]}
    placed = {"containers": placement, "initContainers": placement}
    assert reason(subject, template, placement=placed) == expected


@pytest.mark.parametrize(
    "own", [port(8080, "http", "UDP"), port(8080, "other"), port(15001, "http"), port(8080)]
)
def test_another_protocol_or_name_or_the_same_number_leads_no_service_astray(own):
    subject = pod(containers=[container("app", ports=[own])])
    template = {"containers": [container(ports=[port(15001, "http")])]}
    assert reason(subject, template, placement={"containers": "First"}) == "Injected"


def test_a_container_that_comes_later_does_not_take_the_name_back():
    log_injection = injection(
        failurePolicy="Fail",
        placement={"containers": "First"},
        template={"spec": {"containers": [container(ports=[port(15001, "http")])]}},
    )
    once = decided(pod(), log_injection).pod
    late = container("late", **NAMED)
    between = {**once, "spec": {"containers": [*once["spec"]["containers"], late]}}
    assert reasons(decided(between, log_injection)) == {"log": "AlreadyInjected"}


def test_two_injections_may_have_one_name():
    injections = [
        injection(
            name,
            placement={"containers": "First"},
            template={"spec": {"containers": [container(name, ports=[port(number, "metrics")])]}},
        )
        for name, number in (("a", 1), ("b", 2))
    ]
    assert set(reasons(round_trip(pod(), *injections)).values()) == {"Injected"}
