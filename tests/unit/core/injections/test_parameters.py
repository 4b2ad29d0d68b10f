"""Typed holes: where values come from, and what is accepted."""

from __future__ import annotations

import pytest

from sidecar_injector import names
from sidecar_injector.core import decide
from sidecar_injector.core.injections import namespace_view, parameters
from tests.kits.samples import NAMESPACE, container, decided, injection, known, pod, reasons

KEY = "example.com/value"


def parameter(name="p", *, source="podAnnotation", key=KEY, **fields):
    return {"name": name, "from": {source: key}, **fields}


def one_with(*declared, **fields):
    """An injection of one container with these fields."""
    return injection(
        parameters=list(declared), template={"spec": {"containers": [container(**fields)]}}
    )


def sidecar(made):
    (found,) = [one for one in made.pod["spec"]["containers"] if one["name"] == "sidecar"]
    return found


def valued(value, *declared, **fields):
    """The injected container of a pod whose annotation has this value."""
    one = one_with(*(declared or (parameter(),)), **fields)
    assert one.errors == ()
    made = decided(pod(annotations={KEY: value}), one)
    assert reasons(made) == {"log": "Injected"}, made.lines[0].message
    return sidecar(made)


def refused(value, *declared, **fields):
    """Reason and sentence for a pod that is not injected."""
    annotations = {} if value is None else {KEY: value}
    made = decided(pod(annotations=annotations), one_with(*declared, **fields))
    (line,) = made.lines
    return line.reason.value, line.message


@pytest.mark.parametrize("source", parameters.SOURCES)
def test_a_value_comes_from_the_one_place_that_is_named(source):
    one = one_with(parameter(source=source), args=["$(params.p)"])
    subject = pod(annotations={KEY: "podAnnotation"}, labels={KEY: "podLabel"})
    namespace = namespace_view.Namespace(
        NAMESPACE,
        {names.INJECTION_LABEL: names.ENABLED, KEY: "namespaceLabel"},
        {KEY: "namespaceAnnotation"},
    )
    made = decide.decide(
        namespace_view.PodRequest(namespace=NAMESPACE, pod=subject),
        namespace_view.NamespaceView(namespace=namespace, injections=[one]),
    )
    assert sidecar(made)["args"] == [source]


def test_built_ins_need_no_declaration():
    args = ["$(pod.namespace)/$(pod.serviceAccountName)/$(injection.name)"]
    one = one_with(args=args)
    assert sidecar(decided(pod(), one))["args"] == ["demo/default/log"]
    assert sidecar(decided(pod(serviceAccountName="web"), one))["args"] == ["demo/web/log"]
    assert sidecar(decided(pod(serviceAccount="old"), one))["args"] == ["demo/old/log"]


def test_a_whole_token_takes_the_parameters_type():
    probe = {"httpGet": {"port": 80}, "periodSeconds": "$(params.p)"}
    made = valued("7", parameter(type="Integer"), livenessProbe=probe)
    assert made["livenessProbe"]["periodSeconds"] == 7
    assert isinstance(made["livenessProbe"]["periodSeconds"], int)


def test_an_integer_in_a_command_line_is_text():
    assert valued("7", parameter(type="Integer"), args=["$(params.p)"])["args"] == ["7"]


def test_a_token_may_be_part_of_a_quantity():
    limits = {"limits": {"memory": "$(params.p)Mi"}}
    made = valued("64", parameter(type="Integer"), resources=limits)
    assert made["resources"]["limits"]["memory"] == "64Mi"
    made = valued("0.5", parameter(type="Quantity"), resources={"limits": {"cpu": "$(params.p)"}})
    assert made["resources"]["limits"]["cpu"] == "0.5"


@pytest.mark.parametrize("value", ["a lot", "$(params.p)", "1 Gi", "1" * 65])
def test_what_is_no_quantity_after_substitution_is_refused(value):
    reason, message = refused(value, parameter(), resources={"limits": {"memory": "$(params.p)"}})
    assert reason == "InvalidValue"
    assert "template.spec.containers[0].resources.limits[memory]" in message


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ({"enum": ["debug", "info"]}, "trace"),
        ({"enum": ["debug", "info"]}, "Debug"),
        ({"pattern": "[a-z]+"}, "a1"),
        ({"pattern": "a|b"}, "ab"),
        ({"pattern": "a"}, "a\n"),
        ({"type": "Integer"}, "1.5"),
        ({"type": "Integer"}, ""),
        ({"type": "Quantity"}, "much"),
    ],
    ids=str,
)
def test_a_value_outside_what_is_accepted_is_invalid_and_not_repeated(declared, value):
    reason, message = refused(value, parameter(**declared), args=["$(params.p)"])
    assert reason == "InvalidValue"
    assert f"parameter p, from the pod's annotation '{KEY}': must" in message


def test_the_whole_value_matches_a_pattern_in_re2s_syntax():
    made = valued("éa", parameter(pattern=r"\p{L}+"), args=["$(params.p)"])
    assert made["args"] == ["éa"]


def test_a_required_value_that_the_pod_lacks_is_missing_and_a_default_fills_in():
    reason, message = refused(None, parameter(), args=["$(params.p)"])
    assert reason == "MissingValue"
    assert KEY in message
    made = decided(pod(), one_with(parameter(default="info"), args=["$(params.p)"]))
    assert sidecar(made)["args"] == ["info"]


def test_a_required_value_is_required_even_where_nothing_uses_it():
    assert refused(None, parameter())[0] == "MissingValue"


def test_an_enum_leaf_takes_a_token_and_its_values_only():
    assert valued("Never", imagePullPolicy="$(params.p)")["imagePullPolicy"] == "Never"
    reason, message = refused("Sometimes", parameter(), imagePullPolicy="$(params.p)")
    assert reason == "InvalidValue"
    assert "imagePullPolicy must be one of Always, IfNotPresent, Never" in message
    # The author's value may be anything, and the message goes to logs and Events.
    assert "Sometimes" not in message


def test_a_value_that_is_itself_a_token_is_not_replaced_again():
    env = [{"name": "A", "value": "$(params.p)"}]
    made = valued("$(params.p)$(injection.name)", workingDir="/$(params.p)", env=env)
    assert made["workingDir"] == "/$(params.p)$(injection.name)"
    # The kubelet turns the doubled dollar into one and reads no variable there.
    assert made["env"] == [{"name": "A", "value": "$$(params.p)$$(injection.name)"}]


def test_dollars_of_kubernetes_are_left_alone():
    args = ["$(POD_IP):$(params.p)", "$$(params.p)", "$$$(params.p)", "$", "$("]
    made = valued("80", args=args)
    assert made["args"] == ["$(POD_IP):80", "$$(params.p)", "$$80", "$", "$("]


def test_tokens_are_replaced_in_every_part_and_never_in_another():
    made = decided(
        pod(annotations={KEY: "v"}),
        injection(
            parameters=[parameter()],
            template={
                "metadata": {"labels": {"l": "$(params.p)"}, "annotations": {"a": "$(params.p)"}},
                "spec": {"tolerations": [{"key": "$(params.p)", "operator": "Exists"}]},
            },
            applicationContainers={"env": [{"name": "E", "value": "$(params.p)"}]},
        ),
    )
    assert made.pod["metadata"]["labels"]["l"] == "v"
    assert made.pod["metadata"]["annotations"]["a"] == "v"
    assert made.pod["spec"]["tolerations"] == [{"key": "v", "operator": "Exists"}]
    assert made.pod["spec"]["containers"][0]["env"] == [{"name": "E", "value": "v"}]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"args": ["$(params.q)"]}, "spec.template.spec.containers[0].args[0]"),
        ({"args": ["$(pod.name)"]}, "spec.template.spec.containers[0].args[0]"),
        ({"env": [{"name": "$(params.p)"}]}, "spec.template.spec.containers[0].env[0].name"),
        (
            {"volumeMounts": [{"name": "v", "mountPath": "/$(params.p)"}]},
            "spec.template.spec.containers[0].volumeMounts[0].mountPath",
        ),
    ],
    ids=str,
)
def test_unknown_tokens_and_tokens_in_names_are_errors_of_the_injection(fields, path):
    assert [found[0] for found in one_with(parameter(), **fields).errors] == [path]


@pytest.mark.parametrize(
    ("fields", "path", "says"),
    [
        ({"enum": ["a"], "pattern": "a"}, ".pattern", "one of the two"),
        ({"enum": ["a"], "default": "b"}, ".default", "must be one of a"),
        ({"default": 5}, ".default", "quotes"),
        ({"enum": [5]}, ".enum[0]", "quotes"),
        ({"type": "Integer", "enum": ["a"]}, ".enum[0]", "integer"),
        ({"type": "Integer", "enum": [5], "default": "5"}, ".default", "as in enum: 5"),
        ({"type": "Quantity", "default": "x"}, ".default", "quantity"),
        ({"pattern": "a+", "default": "b"}, ".default", "must match a+ in full"),
    ],
    ids=str,
)
def test_a_declaration_obeys_itself(fields, path, says):
    (found,) = one_with(parameter(**fields)).errors
    assert found[0] == f"spec.parameters[0]{path}"
    assert says in found[1]


def test_a_value_is_read_from_the_pod_as_its_author_wrote_it():
    """The template sets the annotation that is the parameter's source."""
    one = injection(
        parameters=[parameter(default="first")],
        template={
            "metadata": {"annotations": {KEY: "second"}},
            "spec": {"containers": [container(args=["$(params.p)"])]},
        },
    )
    once = decided(pod(), one)
    assert sidecar(once)["args"] == ["first"]
    assert decided(once.pod, one).operations == []


def test_an_injection_that_misses_a_value_does_not_stop_another():
    missing = one_with(parameter(), args=["$(params.p)"])
    other = injection("other", template={"spec": {"containers": [container("other")]}})
    assert reasons(decided(pod(), missing, other)) == {"log": "MissingValue", "other": "Injected"}
    assert known(missing, other).injections[0] is missing
