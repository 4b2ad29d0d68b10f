"""Pods that a policy leaves to the webhook, each beside what the webhook decides about it."""

import pytest

from sidecar_injector.core import decide
from sidecar_injector.core.injections import namespace_view
from sidecar_injector.core.policies import chain, doubts
from tests.kits import policy_cases as kit
from tests.kits import samples


@pytest.mark.parametrize("name", kit.CASES)
def test_a_pod_of_which_a_policy_does_not_know_enough_is_left(name):
    case = kit.CASES[name]
    view = samples.namespace_with(*case.injections, **case.labels)
    assert chain.compile_chain(case.injections, chain.Place()).left == ()
    request = namespace_view.PodRequest(namespace=samples.NAMESPACE, pod=case.pod)
    decision = decide.decide(request, view)
    assert [*samples.reasons(decision).values()] == case.reasons
    for injection in case.injections:
        of_case = [*doubts.of(injection, case.pod, view.namespace)]
        assert [case.doubt in doubt for doubt in of_case] == [True] * bool(case.doubt)
        plain = samples.namespace_with(injection).namespace
        assert [*doubts.of(injection, samples.pod(), plain)] == []


@pytest.mark.parametrize(
    ("fields", "is_concerned"),
    [
        ({"applied": {"volumeMounts": [kit.MOUNT]}}, False),
        ({"applied": {"names": {"exclude": ["x"]}, "volumeMounts": [kit.MOUNT]}}, True),
        ({"containers": [samples.container(volumeMounts=[kit.MOUNT])]}, False),
        ({}, True),
    ],
)
def test_pod_security_is_in_doubt_only_for_volumes_that_some_pods_need(fields, is_concerned):
    for volume in (kit.HOST_PATH, kit.EMPTY_DIR):
        injection = kit.of_cluster(volumes=[volume], **fields)
        namespace = samples.namespace_with(injection, **kit.BASELINE).namespace
        reasons = doubts.of(injection, samples.pod(), namespace)
        is_in_doubt = any("Pod Security" in reason for reason in reasons)
        assert is_in_doubt == (is_concerned and volume is kit.HOST_PATH)
