"""The conditions of an injection: what its owner reads after applying it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar_injector.core import status
from sidecar_injector.core.injections import namespace_view
from sidecar_injector.core.linting import validate
from tests.kits.samples import injection

NOW = "2030-01-01T00:00:00Z"
LATER = "2030-01-02T00:00:00Z"
ENABLED = namespace_view.Namespace.assumed("demo")
NOWHERE = status.Reach(has_namespace=False)
FORBIDDEN = status.Reach(forbidden="the namespace enforces 'restricted': no")
PLAIN = namespace_view.Namespace("demo", {})
BROKEN = {"template": {"spec": {"containers": [{"name": "a"}]}}}


def wanted(
    subject=None,
    *,
    namespace=ENABLED,
    serving=True,
    current=None,
    now=NOW,
    reach=status.Reach(),  # noqa: B008 - frozen
    compiled=None,
):
    subject = subject or injection()
    errors = validate.validate(subject).errors
    return status.wanted(
        subject,
        errors=errors,
        namespace=namespace,
        reach=reach,
        serving=serving,
        current=current or {},
        now=now,
        compiled=compiled,
    )


def condition(status_, kind):
    (match,) = [each for each in status_["conditions"] if each["type"] == kind]
    return match


def short(status_, kind):
    fields = condition(status_, kind)
    return fields["status"], fields["reason"]


def test_a_valid_injection_in_an_enabled_namespace_is_accepted_and_ready():
    status_ = wanted()
    assert short(status_, "Accepted") == ("True", "Valid")
    assert short(status_, "Ready") == ("True", "Active")
    assert status_["observedGeneration"] == 1
    assert status_["templateHash"] == injection().hash


@pytest.mark.parametrize(
    ("subject", "arguments", "expected"),
    [
        (injection(**BROKEN), {}, ("False", "NotAccepted")),
        (injection(suspend=True), {}, ("False", "Suspended")),
        (injection(suspend=True, **BROKEN), {}, ("False", "NotAccepted")),
        (injection(), {"namespace": PLAIN}, ("False", "NamespaceNotEnabled")),
        (injection(), {"namespace": None}, ("Unknown", "Pending")),
        (injection(), {"serving": False}, ("Unknown", "Pending")),
        (injection(), {"serving": False, "namespace": PLAIN}, ("False", "NamespaceNotEnabled")),
        (injection(cluster=True), {"namespace": None}, ("True", "Active")),
        (injection(cluster=True, suspend=True), {"namespace": None}, ("False", "Suspended")),
        (injection(cluster=True), {"namespace": None, "reach": NOWHERE}, ("False", "NoNamespace")),
        (injection(), {"reach": FORBIDDEN}, ("False", "PodSecurity")),
        (injection(suspend=True), {"reach": FORBIDDEN}, ("False", "Suspended")),
        (injection(dryRun=True), {}, ("False", "DryRun")),
        (injection(dryRun=True), {"namespace": PLAIN}, ("False", "NamespaceNotEnabled")),
        (injection(dryRun=True, suspend=True), {}, ("False", "Suspended")),
        (injection(), {"reach": FORBIDDEN, "serving": False}, ("Unknown", "Pending")),
    ],
)
def test_ready_says_whether_a_pod_created_now_is_injected(subject, arguments, expected):
    assert short(wanted(subject, **arguments), "Ready") == expected


def test_what_is_invalid_is_reported_with_its_field_and_in_bounds():
    message = condition(wanted(injection(**BROKEN)), "Accepted")["message"]
    assert "spec.template.spec.containers[0].image" in message
    many = injection(selector={"matchLabels": {f"a b {n}": "x y" for n in range(60)}})
    assert len(condition(wanted(many), "Accepted")["message"]) == status.MAX_MESSAGE


def test_a_namespace_that_is_not_enabled_is_reported_with_the_command():
    message = condition(wanted(namespace=PLAIN), "Ready")["message"]
    assert "kubectl label namespace demo sidecar-injection=enabled --overwrite" in message


def test_a_dry_run_says_what_does_not_happen_to_pods():
    message = condition(wanted(injection(dryRun=True)), "Ready")["message"]
    assert message == "spec.dryRun is true: nothing is added, and no pod is refused"


def test_nothing_is_wanted_where_it_is_right_already():
    status_ = wanted()
    assert wanted(current=status_, now=LATER) is None
    with_more = status_ | {"pods": {"selected": 0}}
    assert wanted(current=with_more, now=LATER) is None


def test_the_time_of_a_condition_changes_with_its_status_only():
    suspended = wanted(injection(suspend=True))
    again = wanted(injection(**BROKEN), current=suspended, now=LATER)
    assert condition(again, "Ready")["lastTransitionTime"] == NOW
    assert condition(again, "Accepted")["lastTransitionTime"] == LATER
    resumed = wanted(current=suspended, now=LATER)
    assert condition(resumed, "Ready")["lastTransitionTime"] == LATER


def test_a_replica_that_starts_does_not_take_back_what_another_one_said():
    status_ = wanted()
    assert wanted(current=status_, serving=False, now=LATER) is None
    assert wanted(current=status_, namespace=None, now=LATER) is None
    conditions = [each | {"observedGeneration": 0} for each in status_["conditions"]]
    older = {**status_, "conditions": conditions}
    assert short(wanted(current=older, serving=False), "Ready") == ("Unknown", "Pending")


def test_conditions_that_others_wrote_and_null_are_survived():
    unusual = {"conditions": None, "observedGeneration": 5}
    assert short(wanted(current=unusual), "Ready") == ("True", "Active")


def test_every_condition_has_all_fields_that_the_api_requires():
    for each in wanted()["conditions"]:
        assert set(each) == {
            "type", "status", "reason", "message", "observedGeneration", "lastTransitionTime",
        }  # fmt: skip
        assert each["reason"]


COUNTS = st.integers(0, 3)
CIRCUMSTANCES = {
    "subject": st.sampled_from(
        [injection(), injection(cluster=True), injection(suspend=True), injection(**BROKEN)]
    ),
    "namespace": st.sampled_from([ENABLED, PLAIN, None]),
    "reach": st.sampled_from([status.Reach(), NOWHERE, FORBIDDEN]),
    "serving": st.booleans(),
    "pods": st.none()
    | st.fixed_dictionaries(
        {"selected": COUNTS, "skipped": COUNTS},
        optional={"skippedReasons": st.lists(st.sampled_from(["PodSecurity", "EnvConflict"]))},
    ),
}


@given(**CIRCUMSTANCES)
def test_it_is_never_ready_or_effective_where_it_cannot_work(
    subject, namespace, reach, serving, pods
):
    conditions = wanted(
        subject, namespace=namespace, reach=reach, serving=serving, current={"pods": pods}
    )["conditions"]
    accepted, effective, ready = (each["status"] for each in conditions)
    works = reach == status.Reach() and accepted == "True" and not subject.spec.get("suspend")
    assert ready != "True" or (works and serving)
    assert effective != "True" or ready == "True"
    if ready == "False":
        assert effective == "False"
    counted = pods or {}
    if counted.get("selected") and counted["skipped"] >= counted["selected"]:
        assert effective != "True"
    for each in conditions:
        assert each["message"]
        assert each["reason"]


def effective(pods):
    return condition(wanted(current={"pods": pods}), "Effective")


def test_effective_says_what_became_of_the_pods():
    assert short(wanted(), "Effective") == ("Unknown", "NoPods")
    some = effective({"selected": 2, "skipped": 1})
    assert (some["status"], some["reason"]) == ("True", "HasPods")
    none = effective({"selected": 2, "skipped": 2, "skippedReasons": ["InjectionConflict"]})
    assert (none["status"], none["reason"]) == ("False", "AllSkipped")
    assert "all pods that it selects are skipped: InjectionConflict." in none["message"]


def test_a_pod_that_comes_or_goes_does_not_change_the_conditions():
    status_ = wanted(current={"pods": {"selected": 1, "skipped": 0}})
    later = status_ | {"pods": {"selected": 5, "skipped": 3}}
    assert wanted(current=later, now=LATER) is None


COMPILED = injection(cluster=True, engine="Policy")
IN_FORCE = status.in_force("policy", "")


def of_policy(compiled, **fields):
    return wanted(COMPILED, namespace=None, compiled=compiled, **fields)


def test_the_leader_says_what_became_of_a_compiled_injection():
    first = of_policy(IN_FORCE)
    assert short(first, "Compiled") == ("True", "InForce")
    assert [each["type"] for each in first["conditions"]] == sorted(
        each["type"] for each in first["conditions"]
    )
    assert of_policy(IN_FORCE, current=first) is None
    second = of_policy(status.not_written("no right"), current=first, now=LATER)
    assert condition(second, "Compiled")["lastTransitionTime"] == LATER
    assert "no right" in condition(second, "Compiled")["message"]


def test_a_replica_that_does_not_lead_keeps_the_condition_as_it_is():
    first = of_policy(IN_FORCE)
    assert of_policy(None, current=first) is None
    suspended = injection(cluster=True, engine="Policy", suspend=True)
    second = wanted(suspended, namespace=None, current=first, now=LATER)
    assert condition(second, "Compiled") == condition(first, "Compiled")
    assert "Compiled" not in {each["type"] for each in of_policy(None)["conditions"]}


def test_an_injection_of_the_webhook_has_no_such_condition():
    first = of_policy(IN_FORCE)
    for compiled in (None, IN_FORCE):
        back = wanted(injection(cluster=True), namespace=None, current=first, compiled=compiled)
        assert "Compiled" not in {each["type"] for each in back["conditions"]}


def test_a_long_message_is_cut_and_none_is_empty():
    for fields in (
        status.NOT_MANAGED,
        status.not_served(35),
        status.not_written("x" * 5000),
        status.not_compiled("spec.x: " + "x" * 5000, is_size=False),
        status.in_force("policy", "spec.x: " + "x" * 5000),
    ):
        assert 0 < len(fields[2]) <= status.MAX_MESSAGE
