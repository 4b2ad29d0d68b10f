"""Typed holes: where values come from, and what is accepted."""

from __future__ import annotations

import pytest
import re2

from sidecar_injector import crds, names
from sidecar_injector.core import decide
from sidecar_injector.core.injections import namespace_view, parameters
from tests.kits.samples import (
    MARK,
    NAMESPACE,
    container,
    decided,
    injection,
    namespace_with,
    pod,
    reasons,
    round_trip,
)

KEY = "example.com/value"


def parameter(name="p", *, source="podAnnotation", key=KEY, **fields):
    return {"name": name, "from": {source: key}, **fields}


def one_with(*declared, **fields):
    """An injection of one container with these fields."""
    return injection(
        parameters=list(declared), template={"spec": {"containers": [container(**fields)]}}
    )


def sidecar(decision):
    (match,) = [
        sidecar_ for sidecar_ in decision.pod["spec"]["containers"] if sidecar_["name"] == "sidecar"
    ]
    return match


def valued(value, *declared, **fields):
    """The injected container of a pod whose annotation has this value."""
    subject = one_with(*(declared or (parameter(),)), **fields)
    assert subject.errors == ()
    decision = decided(pod(annotations={KEY: value}), subject)
    assert reasons(decision) == {"log": "Injected"}, decision.lines[0].message
    return sidecar(decision)


def refused(value, *declared, **fields):
    """Reason and sentence for a pod that is not injected."""
    annotations = {} if value is None else {KEY: value}
    decision = decided(pod(annotations=annotations), one_with(*declared, **fields))
    (line,) = decision.lines
    return line.reason.value, line.message


@pytest.mark.parametrize("source", parameters.SOURCES)
def test_a_value_comes_from_the_one_place_that_is_named(source):
    injection_ = one_with(parameter(source=source), args=["$(params.p)"])
    subject = pod(annotations={KEY: "podAnnotation"}, labels={KEY: "podLabel"})
    namespace = namespace_view.Namespace(
        NAMESPACE,
        {names.INJECTION_LABEL: names.ENABLED, KEY: "namespaceLabel"},
        {KEY: "namespaceAnnotation"},
    )
    decision = decide.decide(
        namespace_view.PodRequest(namespace=NAMESPACE, pod=subject),
        namespace_view.NamespaceView.of(namespace, [injection_]),
    )
    assert sidecar(decision)["args"] == [source]


def test_built_ins_need_no_declaration():
    args = ["$(pod.namespace)/$(pod.serviceAccountName)/$(injection.name)"]
    subject = one_with(args=args)
    assert sidecar(decided(pod(), subject))["args"] == ["demo/default/log"]
    assert sidecar(decided(pod(serviceAccountName="web"), subject))["args"] == ["demo/web/log"]
    assert sidecar(decided(pod(serviceAccount="old"), subject))["args"] == ["demo/old/log"]


def test_a_whole_token_takes_the_parameters_type():
    probe = {"httpGet": {"port": 80}, "periodSeconds": "$(params.p)"}
    sidecar_ = valued("7", parameter(type="Integer"), livenessProbe=probe)
    assert sidecar_["livenessProbe"]["periodSeconds"] == 7
    assert isinstance(sidecar_["livenessProbe"]["periodSeconds"], int)


def test_an_integer_in_a_command_line_is_text():
    assert valued("7", parameter(type="Integer"), args=["$(params.p)"])["args"] == ["7"]


TOKEN = "$(params.p)"


def leaves(shape, wrap=lambda item: item):
    """Each field of a schema that takes one value: its schema, and a tree with the token there."""
    for key, below in (shape.get("properties") or {}).items():
        yield from leaves(below, lambda item, key=key: wrap({key: item}))
    if isinstance(rest := shape.get("additionalProperties"), dict):
        yield from leaves(rest, lambda item: wrap({"key": item}))
    if items := shape.get("items"):
        yield from leaves(items, lambda item: wrap([item]))
    if not {"properties", "additionalProperties", "items"} & shape.keys():
        yield shape, wrap(TOKEN)


def leaf(tree):
    """The only value in a tree."""
    while isinstance(tree, dict | list):
        (tree,) = tree.values() if isinstance(tree, dict) else tree
    return tree


@pytest.mark.parametrize("part", parameters.FILLED)
def test_an_integer_is_text_in_every_field_that_takes_text_and_a_number_elsewhere(part):
    fields = list(leaves(crds.spec_schema(names.CLUSTER_KIND)["properties"][part]))
    assert fields
    for shape, tree in fields:
        wanted = crds.spec_schema(names.CLUSTER_KIND)["properties"][part]
        filled = leaf(parameters.substitute(tree, {"params.p": 7}, shape=wanted))
        assert filled == ("7" if shape.get("type") == "string" else 7), tree


def test_an_integer_is_the_whole_value_of_a_label_and_an_annotation():
    metadata = {"labels": {"a": TOKEN}, "annotations": {"b": TOKEN}}
    subject = injection(
        parameters=[parameter(type="Integer")],
        template={"metadata": metadata, "spec": {"containers": [container(workingDir=TOKEN)]}},
    )
    decision = round_trip(pod(annotations={KEY: "7"}), subject)
    assert reasons(decision) == {"log": "Injected"}
    assert decision.pod["metadata"]["labels"] == {"a": "7", **MARK}
    assert decision.pod["metadata"]["annotations"]["b"] == "7"
    assert sidecar(decision)["workingDir"] == "7"


@pytest.mark.parametrize(
    ("kind", "fields", "path"),
    [
        ("String", {"livenessProbe": {"exec": {"command": ["x"]}, "periodSeconds": TOKEN}},
         "livenessProbe.periodSeconds"),
        ("Quantity", {"securityContext": {"runAsUser": TOKEN}}, "securityContext.runAsUser"),
        ("Integer", {"imagePullPolicy": TOKEN}, "imagePullPolicy"),
    ],
)  # fmt: skip
def test_a_type_that_never_fits_its_field_is_an_error_of_the_injection(kind, fields, path):
    # A value of the other parameter must be guessed, which hides nothing.
    other = parameter("other", pattern="[a-z]+")
    subject = one_with(parameter(type=kind), other, **fields)
    (error,) = subject.errors
    assert error.path == f"spec.template.spec.containers[0].{path}"
    assert "$(params.p)" in error.expectation


@pytest.mark.parametrize(
    ("kind", "value", "fields"),
    [
        ("String", "Always", {"imagePullPolicy": TOKEN}),
        ("String", "64Mi", {"resources": {"requests": {"memory": TOKEN}}}),
        ("Integer", "7", {"resources": {"requests": {"cpu": TOKEN}}}),
        ("Integer", "80", {"livenessProbe": {"tcpSocket": {"port": TOKEN}}}),
        ("String", "web", {"livenessProbe": {"tcpSocket": {"port": TOKEN}}}),
    ],
)
def test_a_type_that_may_fit_is_left_to_the_pod(kind, value, fields):
    valued(value, parameter(type=kind), **fields)


def test_a_token_may_be_part_of_a_quantity():
    limits = {"limits": {"memory": "$(params.p)Mi"}}
    sidecar_ = valued("64", parameter(type="Integer"), resources=limits)
    assert sidecar_["resources"]["limits"]["memory"] == "64Mi"
    sidecar_ = valued(
        "0.5", parameter(type="Quantity"), resources={"limits": {"cpu": "$(params.p)"}}
    )
    assert sidecar_["resources"]["limits"]["cpu"] == "0.5"


@pytest.mark.parametrize("value", ["a lot", "$(params.p)", "1 Gi", "1" * 257])
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


@pytest.mark.parametrize("uses", [1, 10, 1000])
def test_what_all_uses_of_a_value_fill_in_is_bounded(uses):
    fields = {"args": ["$(params.p) and $(params.p)"] * (uses // 2) + ["$(params.p)"] * (uses % 2)}
    most = parameters.MAX_FILLED // uses
    args = valued("x" * most, **fields)["args"]
    assert "".join(args).count("x") == most * uses
    reason, message = refused("x" * (most + 1), parameter(), **fields)
    assert reason == "InvalidValue"
    assert f"fill in {(most + 1) * uses} characters" in message


def test_the_whole_value_matches_a_pattern_in_re2s_syntax():
    sidecar_ = valued("éa", parameter(pattern=r"\p{L}+"), args=["$(params.p)"])
    assert sidecar_["args"] == ["éa"]


@pytest.mark.parametrize(
    ("pattern", "most"), [("[a-z]+", 1024), (r"[ab]*|(\pL\pN\pS){15}", 9), (r"\pL+", 218)]
)
def test_a_value_is_not_matched_if_that_could_take_long(pattern, most, capfd):
    declared = parameter(pattern=pattern)
    assert valued("a" * most, declared, args=["$(params.p)"])["args"] == ["a" * most]
    reason, message = refused("a" * (most + 1), declared, args=["$(params.p)"])
    assert reason == "InvalidValue"
    assert f"must have at most {most} bytes, for its pattern" in message
    assert capfd.readouterr().err == ""


def test_a_pattern_that_needs_much_memory_is_an_error_of_the_injection():
    subject = one_with(parameter(pattern=r"(\pL\pN\pS){150}"), args=["$(params.p)"])
    assert [problem.path for problem in subject.errors] == ["spec.parameters[0].pattern"]
    assert "pattern too large" in str(subject.errors[0])


def test_patterns_and_their_memory_are_not_kept_by_the_module_re2():
    for number in range(100):
        assert parameters.convert({"pattern": f"a{{{number}}}"}, "a" * number)[1] == ""
    assert re2._Regexp._make.cache_info().currsize <= 1  # There is no public way.


def test_a_required_value_that_the_pod_lacks_is_missing_and_a_default_fills_in():
    reason, message = refused(None, parameter(), args=["$(params.p)"])
    assert reason == "MissingValue"
    assert KEY in message
    decision = decided(pod(), one_with(parameter(default="info"), args=["$(params.p)"]))
    assert sidecar(decision)["args"] == ["info"]


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
    sidecar_ = valued("$(params.p)$(injection.name)", workingDir="/$(params.p)", env=env)
    assert sidecar_["workingDir"] == "/$(params.p)$(injection.name)"
    # The kubelet turns the doubled dollar into one and reads no variable there.
    assert sidecar_["env"] == [{"name": "A", "value": "$$(params.p)$$(injection.name)"}]


def test_dollars_of_kubernetes_are_left_alone():
    args = ["$(POD_IP):$(params.p)", "$$(params.p)", "$$$(params.p)", "$", "$("]
    sidecar_ = valued("80", args=args)
    assert sidecar_["args"] == ["$(POD_IP):80", "$$(params.p)", "$$80", "$", "$("]


def test_tokens_are_replaced_in_every_part_and_never_in_another():
    decision = decided(
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
    assert decision.pod["metadata"]["labels"]["l"] == "v"
    assert decision.pod["metadata"]["annotations"]["a"] == "v"
    assert decision.pod["spec"]["tolerations"] == [{"key": "v", "operator": "Exists"}]
    assert decision.pod["spec"]["containers"][0]["env"] == [{"name": "E", "value": "v"}]


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
    assert [problem.path for problem in one_with(parameter(), **fields).errors] == [path]


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
    (problem,) = one_with(parameter(**fields)).errors
    assert problem.path == f"spec.parameters[0]{path}"
    assert says in problem.sentence


def test_a_value_is_read_from_the_pod_as_its_author_wrote_it():
    """The template sets the annotation that is the parameter's source."""
    subject = injection(
        parameters=[parameter(default="first")],
        template={
            "metadata": {"annotations": {KEY: "second"}},
            "spec": {"containers": [container(args=["$(params.p)"])]},
        },
    )
    once = decided(pod(), subject)
    assert sidecar(once)["args"] == ["first"]
    assert decided(once.pod, subject).operations == []


def test_an_injection_that_misses_a_value_does_not_stop_another():
    missing = one_with(parameter(), args=["$(params.p)"])
    other = injection("other", template={"spec": {"containers": [container("other")]}})
    assert reasons(decided(pod(), missing, other)) == {"log": "MissingValue", "other": "Injected"}
    assert namespace_with(missing, other).injections[0] is missing
