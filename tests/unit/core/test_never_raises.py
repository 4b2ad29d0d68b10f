"""No injection, however it is misshaped, makes reading, judging or reporting fail."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar_injector import crds, names
from sidecar_injector.core import status
from sidecar_injector.core.injections import model
from sidecar_injector.core.linting import validate
from tests.kits.samples import container, injection, resource

ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats() | st.text(max_size=5),
    lambda values: (
        st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3)
    ),
    max_leaves=6,
)
WHOLE = {
    "selector": {"matchLabels": {"app": "shop"}, "matchExpressions": [{"key": "a"}]},
    "parameters": [{"name": "LEVEL", "default": "info", "enum": ["info", "debug"]}],
    "template": {
        "metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}},
        "spec": {
            "containers": [container("side", env=[{"name": "A", "value": "b"}])],
            "initContainers": [container("before")],
            "volumes": [{"name": "cache", "emptyDir": {}}],
        },
    },
    "applicationContainers": {"env": [{"name": "REGION", "value": "north"}]},
    "priority": 3,
    "policy": "Automatic",
    "failurePolicy": "Ignore",
}


def places(value, place=()):
    """Every place in a value, itself not included."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*place, key)
        if isinstance(inner, dict | list):
            yield from places(inner, (*place, key))


@pytest.mark.parametrize("kind", [names.KIND, names.CLUSTER_KIND])
@settings(deadline=None, max_examples=300)
@given(place=st.sampled_from(sorted(places(WHOLE), key=repr)), value=ANY)
def test_any_value_at_any_place_of_an_injection_is_judged(kind, place, value):
    spec = copy.deepcopy(WHOLE)
    parent = spec
    for step in place[:-1]:
        parent = parent[step]
    parent[place[-1]] = value
    subject = resource() | {"kind": kind, "spec": spec}
    read = model.read(subject, spec_schema=crds.spec_schema(kind))
    findings = validate.validate(read, others=[injection("other")])
    assert all(isinstance(str(error), str) for error in findings.errors)
    change = status.wanted(
        read,
        errors=findings.errors,
        namespace=None,
        reach=status.Reach(),
        serving=True,
        current={},
        now="2026-01-01T00:00:00Z",
    )
    accepted = change["conditions"][0]
    assert accepted["status"] == ("False" if read.errors else "True")
