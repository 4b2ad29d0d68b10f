"""An injection as it is read: what is too large, and what is read of one with errors."""

from __future__ import annotations

import json

import pytest

from sidecar_injector import crds, names
from sidecar_injector.core.injections import model
from sidecar_injector.core.linting import validate
from sidecar_injector.core.reasons import PodVerdict, Reason
from tests.kits.samples import container, decided, injection, pod, resource

BYTES = model.MAX_BYTES


def sized(size, **spec):
    """A spec of exactly this size."""
    spec = {"template": {"spec": {"containers": [container(), container("b")]}}, **spec}
    containers = spec["template"]["spec"]["containers"]
    for each in containers:
        each["env"] = [{"name": "A", "value": ""}]
    missing = size - len(json.dumps(spec, separators=(",", ":")))
    half = missing // 2
    for each, length in zip(containers, (half, missing - half), strict=True):
        each["env"][0]["value"] = "x" * length
    return spec


def read(spec):
    raw = {**resource(), "spec": spec}
    return model.read(raw, spec_schema=crds.spec_schema(names.KIND))


def test_an_injection_of_the_most_bytes_is_accepted_and_one_byte_more_is_one_error():
    assert read(sized(BYTES)).errors == ()

    (error,) = read(sized(BYTES + 1)).errors
    assert str(error) == f"spec: has {BYTES + 1} bytes, at most {BYTES} are accepted"


@pytest.mark.parametrize("value", ["\ud800", 2**70, float("nan")])
def test_what_is_no_json_has_a_size_too(value):
    spec = sized(BYTES)
    spec["priority"] = value

    (error,) = read(spec).errors

    assert "bytes, at most" in str(error)


def test_nothing_else_of_a_large_injection_is_judged_or_kept():
    large = read(sized(BYTES + 1, unknown=1, inherit="text"))

    assert [error.path for error in large.errors] == ["spec"]
    assert large.spec == {}
    assert validate.validate(large).errors == large.errors


@pytest.mark.parametrize(("policy", "verdict"), [
    ("Fail", PodVerdict.REFUSED), ("Ignore", PodVerdict.UNCHANGED),
])  # fmt: skip
def test_a_pod_that_a_large_injection_selects_is_told_why(policy, verdict):
    large = read(sized(BYTES + 1, failurePolicy=policy, selector={"matchLabels": {"app": "shop"}}))

    selected = decided(pod(labels={"app": "shop"}), large)
    other = decided(pod(labels={"app": "blog"}), large)

    assert selected.verdict is verdict
    assert [line.reason for line in selected.skipped] == [Reason.INVALID]
    assert f"at most {BYTES} are accepted" in selected.skipped[0].message
    assert other.verdict is PodVerdict.UNCHANGED
    assert not other.skipped


def test_an_injection_that_is_large_by_its_selector_selects_nothing():
    selector = {"matchLabels": {f"l{number}": "x" for number in range(20_000)}}

    large = read({"failurePolicy": "Fail", "selector": selector})

    assert large.spec == {}
    assert decided(pod(), large).verdict is PodVerdict.UNCHANGED


@pytest.mark.parametrize("spec", [
    {f"u{number}": 1 for number in range(5000)},
    {"template": {"spec": {f"container{number}": 1 for number in range(5000)}}},
    {"template": {"metadata": {"labels": {f"-{number}": "-" for number in range(64)}}}},
])  # fmt: skip
def test_the_errors_of_one_injection_are_few(spec):
    assert len(read(spec).errors) == model.MAX_ERRORS


def test_a_long_key_or_value_is_cut_in_an_error():
    spec = {
        "k" * 50_000: 1,
        "template": {"metadata": {"labels": {"l" * 50_000: 1}}},
        "priority": "p" * 500,
    }

    errors = read(spec).errors

    assert len(errors) == 3
    assert all(len(error.path) < 250 for error in errors)


def test_a_list_that_is_too_long_is_one_error_and_its_items_are_not_looked_at():
    items = [{"unknown": 1}] * 600

    (error,) = injection(applicationContainers={"env": items}).errors

    assert str(error) == "spec.applicationContainers.env: has 600 items, at most 512 are accepted"


@pytest.mark.parametrize("template", ["text", ["list"], {"spec": "text"}, {"metadata": 1}])
def test_an_injection_with_errors_has_no_template_whatever_is_in_its_place(template):
    odd = injection(template=template)

    assert odd.errors
    assert odd.template_spec == {}
    assert odd.template_metadata == {}
