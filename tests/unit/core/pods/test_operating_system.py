"""For which operating system a pod is: by its own field, by node labels, or nobody says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar_injector.core.pods import operating_system
from sidecar_injector.core.reasons import Verdict
from tests.kits.samples import applied, decided, injection, pod, reasons

STABLE, BETA = operating_system.LABELS
SYSTEMS = ("linux", "windows")


def expression(operator, *values, key=STABLE):
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}


def term(*expressions):
    return {"matchExpressions": list(expressions)}


def requiring(*terms):
    rules = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
    return {"affinity": {"nodeAffinity": rules}}


ZONE = expression("In", "a", key="topology.kubernetes.io/zone")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, "Linux"),
        ({"os": {"name": "linux"}}, "Linux"),
        ({"os": {"name": "windows"}}, "Windows"),
        ({"nodeSelector": {STABLE: "windows"}}, "Windows"),
        ({"nodeSelector": {BETA: "windows"}}, "Windows"),
        ({"nodeSelector": {STABLE: "linux", "disk": "fast"}}, "Linux"),
        ({"nodeSelector": {"disk": "fast"}}, "Linux"),
        ({"nodeSelector": {STABLE: "freebsd"}}, ""),
        ({"nodeSelector": {STABLE: "linux", BETA: "windows"}}, ""),
        ({"os": {"name": "linux"}, "nodeSelector": {STABLE: "windows"}}, ""),
        (requiring(term(expression("In", "windows"))), "Windows"),
        (requiring(term(expression("In", "windows", key=BETA))), "Windows"),
        (requiring(term(expression("In", "linux", "windows"))), "Linux"),
        (requiring(term(expression("NotIn", "linux"))), "Windows"),
        (requiring(term(expression("NotIn", "windows"))), "Linux"),
        (requiring(term(expression("Exists"))), "Linux"),
        (requiring(term(expression("DoesNotExist"))), ""),
        (requiring(term(expression("DoesNotExist", key=BETA))), "Linux"),
        (requiring(term(expression("Gt", "1"))), ""),
        (requiring(term(ZONE)), "Linux"),
        (requiring(term(ZONE, expression("In", "windows"))), "Windows"),
        (requiring(term(expression("Exists"), expression("NotIn", "linux"))), "Windows"),
        # Terms are alternatives, the expressions of one are not.
        (requiring(term(expression("In", "windows")), term(ZONE)), "Linux"),
        (requiring(term(expression("In", "windows")), term(expression("NotIn", "linux"))),
         "Windows"),
        (requiring(term(expression("In", "windows")), {}), "Windows"),
        (requiring({"matchFields": [expression("In", "node-1", key="metadata.name")]}), "Linux"),
        (requiring(term(expression("In", "windows"))) | {"nodeSelector": {STABLE: "linux"}}, ""),
    ],
    ids=str,
)  # fmt: skip
def test_the_system_is_what_the_spec_leaves(spec, expected):
    assert operating_system.of(spec) == expected
    subject = pod(**spec)
    for system in (operating_system.LINUX, operating_system.WINDOWS):
        decision = decided(subject, injection(operatingSystem=system))
        reason = "Injected" if system == expected else "OperatingSystem"
        assert reasons(decision) == {"log": reason}
    assert reasons(decided(subject, injection(operatingSystem="Any"))) == {"log": "Injected"}


def test_a_preference_excludes_nothing():
    preferred = {"weight": 1, "preference": term(expression("In", "windows"))}
    rules = {"preferredDuringSchedulingIgnoredDuringExecution": [preferred]}
    assert operating_system.of({"affinity": {"nodeAffinity": rules}}) == "Linux"


def test_the_template_is_for_linux_unless_it_says_otherwise_and_the_pod_stays_as_it_is():
    subject = pod(nodeSelector={STABLE: "windows"})
    decision = decided(subject, injection(failurePolicy="Fail"))
    assert [line.verdict for line in decision.lines] == [Verdict.NOT_APPLICABLE]
    assert decision.operations == []


def test_a_template_for_windows_goes_into_its_pods_and_comes_back_the_same():
    applied(pod(os={"name": "windows"}), injection(operatingSystem="Windows"))


def test_the_system_does_not_change_the_hash_of_a_template():
    assert injection(operatingSystem="Any").hash == injection().hash


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from([*SYSTEMS, "In", "NotIn"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from([
            "name", "key", "operator", "values", STABLE, "nodeAffinity", "matchExpressions",
            "nodeSelectorTerms", "requiredDuringSchedulingIgnoredDuringExecution",
        ]),
        inner,
        max_size=3,
    ),
    max_leaves=12,
)  # fmt: skip


SELECTORS = st.dictionaries(st.sampled_from([STABLE, BETA, "x"]), st.text(max_size=2), max_size=2)


@given(os=ANYTHING, selector=st.none() | SELECTORS, affinity=ANYTHING)
def test_no_spec_breaks_it(os, selector, affinity):
    spec = {"os": os, "nodeSelector": selector, "affinity": affinity}
    assert operating_system.of(spec) in ("Linux", "Windows", "")
