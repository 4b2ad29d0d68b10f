"""No injection and no pod, however misshaped, makes reading, judging or reporting fail."""

from __future__ import annotations

import copy
import functools
import operator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar_injector import crds, names
from sidecar_injector.core import decide, status
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.linting import validate
from sidecar_injector.core.pods import shapes
from tests.kits.samples import container, injection, pod, resource

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
@settings(max_examples=3 * settings().max_examples)
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


PROBE = {"httpGet": {"port": 80, "httpHeaders": [{"name": "a", "value": "b"}]}}
RICH = container(
    "app",
    env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
    envFrom=[{"configMapRef": {"name": "a"}}],
    ports=[{"containerPort": 80}],
    resources={"limits": {"cpu": 1}, "requests": {"cpu": 1}, "claims": [{"name": "a"}]},
    volumeMounts=[{"name": "v", "mountPath": "/"}],
    livenessProbe=PROBE,
    lifecycle={"preStop": {"sleep": {"seconds": 1}}},
    securityContext={"seccompProfile": {"type": "RuntimeDefault"}},
    resizePolicy=[{"resourceName": "cpu", "restartPolicy": "NotRequired"}],
)
SPREAD = {"topologyKey": "a", "whenUnsatisfiable": "DoNotSchedule", "maxSkew": 1}
POD = pod(
    annotations={names.INJECT_ANNOTATION: "yes"},
    labels={"a": "b"},
    resources={"limits": {"cpu": 1}},
    securityContext={"sysctls": [{"name": "a", "value": "b"}]},
    containers=[RICH],
    initContainers=[container("setup")],
    volumes=[{"name": "v", "projected": {"sources": [{"configMap": {"name": "x"}}]}}],
    imagePullSecrets=[{"name": "pull"}],
    hostAliases=[{"ip": "10.0.0.1", "hostnames": ["a"]}],
    tolerations=[{"key": "a", "operator": "Exists"}],
    topologySpreadConstraints=[{**SPREAD, "labelSelector": {"matchLabels": {"a": "b"}}}],
    affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}},
    dnsConfig={"nameservers": ["10.0.0.2"], "options": [{"name": "a"}]},
)
ADDING = {
    "template": {
        "metadata": {"labels": {"c": "d"}},
        "spec": {
            "containers": [container("side", resources={"limits": {"cpu": "1"}})],
            "volumes": [{"name": "cache", "emptyDir": {}}],
        },
    },
    "applicationContainers": {
        "env": [{"name": "REGION", "value": "north"}],
        "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
    },
    "inherit": {"volumeMounts": {}, "env": [{"name": "A", "fromContainer": "app"}]},
}
MAPS = ("labels", "annotations", "limits", "requests", "matchLabels")
"""Objects of which every member is known, whatever its name."""


@pytest.mark.parametrize("value", [True, 1, "x", [1], {"a": True}, None], ids=repr)
def test_a_member_that_nobody_knows_changes_nothing(value):
    subjects = [injection(**ADDING), injection("merging", onConflict="Merge", **ADDING)]
    enabled = namespace_view.Namespace("demo", {names.INJECTION_LABEL: names.ENABLED}, {})
    view = namespace_view.NamespaceView.of(enabled, subjects)

    def decided(subject):
        return decide.decide(namespace_view.PodRequest(namespace="demo", pod=subject), view)

    expected = decided(POD)
    assert expected.operations
    count = 0
    for place in places(POD):
        subject = copy.deepcopy(POD)
        parent = functools.reduce(operator.getitem, place, subject)
        if isinstance(parent, dict) and place[-1] not in MAPS:
            parent["unknown"] = value
            assert [*shapes.problems(shapes.POD, subject)] == []
            assert decided(subject).lines == expected.lines, place
            count += 1
    assert count > 25
