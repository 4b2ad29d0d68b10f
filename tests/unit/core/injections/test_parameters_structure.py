"""A value fills a hole, and can never be more than that."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from sidecar_injector import names
from sidecar_injector.core.injections import parameters, schema
from tests.kits.samples import container, decided, injection, pod

KEY = "example.com/value"
STRUCTURES = ['"', "'", "\n", "{{ .x }}", "$(x)", '": ', "- a\n- b", "}]", "\u0000", "\ud800"]


def shape(value):
    """Keys and list lengths, without the leaves."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    return [shape(item) for item in value] if isinstance(value, list) else type(value).__name__


def everywhere():
    """An injection that has its token wherever a string may stand."""
    token = "a-$(params.p)-b"
    return injection(
        parameters=[{"name": "p", "from": {"podAnnotation": KEY}}],
        template={
            "metadata": {"annotations": {"a": token}},
            "spec": {
                "containers": [
                    container(
                        image=token,
                        command=[token],
                        args=["$(params.p)", token],
                        env=[{"name": "E", "value": token}],
                        lifecycle={"preStop": {"exec": {"command": [token]}}},
                        volumeMounts=[{"name": "v", "mountPath": "/v", "subPath": token}],
                    )
                ],
                "volumes": [{"name": "v", "configMap": {"name": "c", "items": [
                    {"key": token, "path": token}]}}],
                "tolerations": [{"key": "k", "value": token}],
            },
        },
        applicationContainers={
            "env": [{"name": "E", "value": token}],
            "appendEnv": [{"name": "F", "value": token}],
        },
    )  # fmt: skip


def test_the_template_of_the_next_test_is_valid():
    assert everywhere().errors == ()


@given(st.one_of(st.text(), st.lists(st.sampled_from(STRUCTURES)).map("".join)))
@example("x" * 64 * 1024)
@example('"}],"containers":[{"name":"evil"')
@example("$(params.p)")
def test_no_value_changes_the_structure_of_anything(value):
    harmless = {"params.p": "x"}
    template_injection = everywhere()
    for part in ("template", "applicationContainers"):
        tree = template_injection.spec[part]
        wanted = schema.member(template_injection.spec_schema, part)
        filled = parameters.substitute(tree, {"params.p": value}, shape=wanted)
        assert shape(filled) == shape(parameters.substitute(tree, harmless, shape=wanted))
        assert shape(filled) == shape(template_injection.spec[part])

    decision = decided(pod(annotations={KEY: value}), template_injection)
    plain = decided(pod(annotations={KEY: "x"}), template_injection)
    if decision.injected:
        assert shape(without_status(decision.pod)) == shape(without_status(plain.pod))
    else:
        # Too long, say, or with spaces around an image: refused as a whole, and nothing is added.
        assert decision.pod["spec"] == pod()["spec"]
    assert decided(decision.pod, template_injection).operations == []


def without_status(subject):
    annotations = dict(subject["metadata"]["annotations"])
    annotations.pop(names.STATUS_ANNOTATION)
    return {**subject, "metadata": {**subject["metadata"], "annotations": annotations}}
