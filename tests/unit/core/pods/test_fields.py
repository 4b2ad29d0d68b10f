"""Whether a container can end, by policies and rules, as the kubelet restarts it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar_injector.core.pods import fields
from tests.kits.samples import applied, container, injection, pod

CODES = range(256)


def rule(operator, *codes):
    return {"action": "Restart", "exitCodes": {"operator": operator, "values": list(codes)}}


@pytest.mark.parametrize(
    ("policy", "spec", "expected"),
    [
        ("Always", {}, False),
        ("OnFailure", {}, True),
        ("Never", {}, True),
        ("Always", {"restartPolicy": "Never"}, True),
        ("Always", {"restartPolicy": "OnFailure"}, True),
        ("Never", {"restartPolicy": "Always"}, False),
        ("Always", {"restartPolicy": "Never", "restartPolicyRules": [rule("In", 42)]}, True),
        ("Always", {"restartPolicy": "OnFailure", "restartPolicyRules": [rule("In", 0)]}, False),
        ("Always", {"restartPolicy": "OnFailure", "restartPolicyRules": [rule("NotIn", 0)]}, True),
        ("Always", {"restartPolicy": "OnFailure", "restartPolicyRules": [rule("NotIn", 1)]}, False),
        ("Always", {"restartPolicy": "Never",
                    "restartPolicyRules": [rule("In", 5), rule("NotIn", 5)]}, False),
        ("Always", {"restartPolicy": "Never",
                    "restartPolicyRules": [rule("NotIn", 5), rule("NotIn", 6)]}, False),
    ],
    ids=str,
)  # fmt: skip
def test_a_container_ends_by_its_own_policy_and_rules(policy, spec, expected):
    assert fields.can_end(container("app", **spec), policy) is expected


@given(
    st.sampled_from(["Never", "OnFailure"]),
    st.lists(
        st.tuples(st.sampled_from(["In", "NotIn"]), st.lists(st.sampled_from(CODES), max_size=4)),
        max_size=4,
    ),
)
def test_it_can_end_if_one_exit_code_restarts_by_no_rule(policy, drawn):
    def restarts(code):
        by_rule = any((code in codes) == (operator == "In") for operator, codes in drawn)
        return by_rule or (policy == "OnFailure" and code != 0)

    rules = [rule(operator, *codes) for operator, codes in drawn]
    subject = container("app", restartPolicy=policy, restartPolicyRules=rules)
    assert fields.can_end(subject, "Always") is not all(map(restarts, CODES))


@pytest.mark.parametrize(
    ("policies", "pod_policy", "native"),
    [
        (("Never",), None, True),
        (("Never", "OnFailure"), None, True),
        (("Never", None), None, False),
        (("Never", "Always"), "Never", False),
        ((None, None), "Never", True),
        ((None,), "Always", False),
    ],
)
@pytest.mark.parametrize("order", [1, -1])
def test_a_sidecar_is_native_where_all_containers_of_the_author_can_end(
    policies, pod_policy, native, order
):
    """Another injection's container, which never ends, makes no difference."""
    own = [
        container(f"c{index}", **({"restartPolicy": policy} if policy else {}))
        for index, policy in enumerate(policies)
    ]
    spec = {"containers": own, **({"restartPolicy": pod_policy} if pod_policy else {})}
    other = injection(
        "other", sidecarMode="Container", priority=order,
        template={"spec": {"containers": [container("beside")]}},
    )  # fmt: skip
    result = applied(pod(**spec), injection(), other)
    init = [each["name"] for each in result.pod["spec"].get("initContainers", ())]
    assert init == (["sidecar"] if native else [])
