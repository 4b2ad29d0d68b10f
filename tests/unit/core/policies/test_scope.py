"""A policy means the pods that both the webhook and the chart's defaults select."""

import pathlib

from hypothesis import given
from hypothesis import strategies as st

from sidecar_injector import names
from sidecar_injector.core.pods import selectors
from sidecar_injector.core.policies import scope

KEYS = st.sampled_from([
    names.INJECTION_LABEL, names.NAMESPACE_NAME_LABEL, names.APP_NAME_LABEL, "tier",
])  # fmt: skip
VALUES = st.sampled_from([
    names.ENABLED, names.DISABLED, names.PRODUCT, "kube-system", "limited", "web",
])  # fmt: skip
WITH_VALUES = st.fixed_dictionaries({
    "key": KEYS, "operator": st.sampled_from(["In", "NotIn"]),
    "values": st.lists(VALUES, min_size=1, max_size=3),
})  # fmt: skip
WITHOUT_VALUES = st.fixed_dictionaries({
    "key": KEYS, "operator": st.sampled_from(["Exists", "DoesNotExist"]),
})  # fmt: skip
SELECTORS = st.fixed_dictionaries(
    {},
    optional={
        "matchLabels": st.dictionaries(KEYS, VALUES),
        "matchExpressions": st.lists(WITH_VALUES | WITHOUT_VALUES, max_size=3),
    },
)
LABELS = st.dictionaries(KEYS, VALUES)
EXCLUDED = ("kube-system", "limited")


def selects(selector, labels):
    return bool(selectors.compile_selector(selector)(labels))


@given(namespaces=SELECTORS, pods=SELECTORS, labels=LABELS)
def test_it_selects_what_both_select(namespaces, pods, labels):
    default = scope.constraints(scope.Scope(), EXCLUDED)
    both = scope.constraints(scope.Scope(namespaces=namespaces, pods=pods), EXCLUDED)
    for field, theirs in (("namespaceSelector", namespaces), ("objectSelector", pods)):
        of_both = selects(default[field], labels) and selects(theirs, labels)
        assert selects(both[field], labels) == of_both


def test_without_values_of_the_chart_nothing_is_added():
    default = scope.constraints(scope.Scope(), ["other", *EXCLUDED])
    entry = {
        "name": names.MUTATE_WEBHOOK, **default, "matchConditions": [scope.NOT_A_MIRROR_POD],
    }  # fmt: skip
    of_chart = scope.of_webhook({"webhooks": [{"name": names.OPTED_OUT_WEBHOOK}, entry]})
    assert scope.constraints(of_chart, ["other", *EXCLUDED, "limited"]) == scope.constraints(
        scope.Scope(), ["other", *EXCLUDED, "limited"]
    )
    assert scope.conditions(of_chart) == []


def test_a_condition_with_the_name_of_the_charts_counts_unless_it_is_that():
    other = {**scope.NOT_A_MIRROR_POD, "expression": "object.metadata.name != 'a'"}
    (condition,) = scope.conditions(scope.Scope(conditions=(other,)))
    assert condition["expression"] == "(object.metadata.name != 'a'\n)"


def test_the_condition_of_the_chart_is_known_by_its_words():
    template = pathlib.Path("charts/sidecar-injector/templates/mutatingwebhookconfiguration.yaml")
    assert scope.NOT_A_MIRROR_POD["expression"] in " ".join(template.read_text("utf-8").split())


def test_conditions_are_one_whatever_they_end_with():
    conditions = [{"name": name, "expression": f"'{name}' != '' // why"} for name in ("a", "b")]
    (condition,) = scope.conditions(scope.Scope(conditions=(*conditions,)))
    assert condition["expression"] == "('a' != '' // why\n) && ('b' != '' // why\n)"


def test_a_configuration_without_our_entry_has_no_scope():
    assert scope.of_webhook(None) is None
    assert scope.of_webhook({"webhooks": [{"name": "other"}]}) is None
