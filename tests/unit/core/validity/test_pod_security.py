"""Pod Security levels; that a real API server agrees is tested with it."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar_injector.core import decide
from sidecar_injector.core.injections import namespace_view
from sidecar_injector.core.validity import pod_security
from sidecar_injector.core.validity.pod_security import Policy
from tests.kits import samples, validity

LEVELS = ("privileged", "baseline", "restricted")


def sidecar(**fields: Any) -> dict[str, Any]:
    return validity.pod({"containers": [{"name": "s", "image": "x", **fields}]})


def test_nothing_is_forbidden_at_the_privileged_level() -> None:
    pod = sidecar(securityContext={"privileged": True})
    assert pod_security.violations(Policy("privileged"), pod) == []


def test_an_unknown_level_is_the_strictest() -> None:
    pod = sidecar()
    assert pod_security.violations(Policy("Baseline"), pod) == pod_security.violations(
        Policy("restricted"), pod
    )
    assert pod_security.violations(Policy("restricted"), pod)


@pytest.mark.parametrize("level", LEVELS)
def test_what_the_strictest_level_allows_every_level_allows(level: str) -> None:
    assert pod_security.violations(Policy(level), sidecar(securityContext=validity.HARMLESS)) == []


def test_each_sentence_names_container_and_field() -> None:
    assert pod_security.violations(Policy("restricted"), sidecar()) == [
        "container 's' must set securityContext.runAsNonRoot=true (or the pod must)",
        "container 's' must set securityContext.allowPrivilegeEscalation=false",
        "container 's' must set securityContext.capabilities.drop=[\"ALL\"]",
        (
            "container 's' must set securityContext.seccompProfile.type to RuntimeDefault or"
            " Localhost (or the pod must)"
        ),
    ]


def test_the_difference_of_two_pods_is_what_was_added() -> None:
    before = validity.pod({"hostPID": True})
    bad = {"name": "s", "image": "x", "securityContext": {"privileged": True}}
    after = validity.with_added(before, {"containers": [bad]})
    old = pod_security.violations(Policy("baseline"), before)
    new = set(pod_security.violations(Policy("baseline"), after)) - set(old)
    assert old == ["hostPID=true"]
    assert new == {"container 's' sets securityContext.privileged=true"}


def test_another_value_in_a_container_that_is_already_wrong_is_a_difference() -> None:
    before = sidecar(ports=[{"containerPort": 1, "hostPort": 1}])
    after = sidecar(
        ports=[{"containerPort": 1, "hostPort": 1}, {"containerPort": 2, "hostPort": 2}]
    )
    old, new = (set(pod_security.violations(Policy("baseline"), pod)) for pod in (before, after))
    assert new - old == {"container 's' uses hostPort 2"}


def test_ports_on_the_host_network_are_host_ports_even_before_the_api_server_says_so() -> None:
    pod = sidecar(ports=[{"containerPort": 80}])
    assert pod_security.violations(Policy("baseline"), pod) == []
    pod["spec"]["hostNetwork"] = True
    assert "container 's' uses hostPort 80" in pod_security.violations(Policy("baseline"), pod)


def test_root_of_a_user_namespace_is_nobody_and_may_be_root() -> None:
    pod = sidecar(securityContext=validity.HARMLESS | {"runAsNonRoot": False, "runAsUser": 0})
    assert len(pod_security.violations(Policy("restricted"), pod)) == 2
    pod["spec"]["hostUsers"] = False
    assert pod_security.violations(Policy("restricted"), pod) == []


def test_only_rules_that_windows_has_apply_to_windows() -> None:
    pod = sidecar(securityContext={"runAsNonRoot": True})
    pod["spec"]["os"] = {"name": "windows"}
    assert pod_security.violations(Policy("restricted"), pod) == []


def test_a_pod_may_answer_for_its_containers() -> None:
    own = {key: validity.HARMLESS[key] for key in ("allowPrivilegeEscalation", "capabilities")}
    pod = sidecar(securityContext=own)
    assert len(pod_security.violations(Policy("restricted"), pod)) == 2
    pod["spec"]["securityContext"] = {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "Localhost", "localhostProfile": "p"},
    }
    assert pod_security.violations(Policy("restricted"), pod) == []


def test_a_host_process_of_windows_is_baselines_matter_for_pod_and_container() -> None:
    options = {"windowsOptions": {"hostProcess": True}}
    pod = sidecar(securityContext=options)
    pod["spec"]["securityContext"] = options
    assert pod_security.violations(Policy("baseline"), pod) == [
        "pod sets securityContext.windowsOptions.hostProcess=true",
        "container 's' sets securityContext.windowsOptions.hostProcess=true",
    ]


@pytest.mark.parametrize(
    ("version", "minor"),
    [("v1.0", 0), ("v1.34", 34), ("v1.99", 37), ("latest", 37), ("v1.034", 37), ("1.20", 37),
     ("", 37)],
)  # fmt: skip
def test_the_label_says_whose_rules_are_enforced_and_nonsense_means_the_newest(
    version: str, minor: int
) -> None:
    labels = validity.labels("baseline", version)
    assert Policy.of(labels) == Policy("baseline", minor)
    assert Policy.of({}) == validity.ANYTHING


def test_a_namespace_of_an_older_version_is_judged_by_that_version() -> None:
    probe = {"livenessProbe": {"httpGet": {"port": 1, "host": "example.com"}}}
    injection = samples.injection(template={"spec": {"containers": [samples.container(**probe)]}})
    request = namespace_view.PodRequest(namespace=samples.NAMESPACE, pod=samples.pod())
    for version, code in (("v1.33", "Injected"), ("v1.34", "PodSecurity")):
        view = samples.namespace_with(injection, **validity.labels("baseline", version))
        assert samples.reasons(decide.decide(request, view)) == {"log": code}
