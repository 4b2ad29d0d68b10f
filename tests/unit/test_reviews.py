"""What no API server sends is told apart from our own bugs."""

from __future__ import annotations

import copy

import pytest
from samples import pod

from sidecar_injector.server import reviews

ASKED = {"namespace": "demo", "operation": "CREATE", "object": pod()}
INJECTION = {"kind": {"kind": "SidecarInjection"}, "object": {"metadata": {"name": "x"}}}
OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "controller": True}


def changed(path, value):
    asked = copy.deepcopy(ASKED)
    holder = asked
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return asked


def test_what_the_api_server_sends_is_no_reason_to_complain():
    assert reviews.complaint(ASKED) == ""
    assert reviews.complaint(changed(("object", "metadata", "ownerReferences"), [OWNER])) == ""


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("namespace",), ["demo"], "request.namespace"),
        (("object",), "secret", "request.object"),
        (("object", "spec"), "secret", "request.object.spec"),
        (("object", "spec", "containers"), ["secret"], "request.object.spec.containers[0]"),
        (("object", "spec", "containers", 0, "name"), None, "spec.containers[0].name"),
        (("object", "metadata", "ownerReferences"), [{"kind": "x"}], "References[0].apiVersion"),
    ],
)  # fmt: skip
def test_the_complaint_names_the_field_and_never_the_value(path, value, told):
    said = reviews.complaint(changed(path, value))

    assert f"{told} is missing or has another type" in said
    assert "secret" not in said


def test_an_injection_is_known_by_its_kind_and_its_shape():
    assert reviews.is_injection(INJECTION)
    for odd in (
        {"object": INJECTION["object"]},
        {**INJECTION, "kind": {"kind": "Pod"}},
        {**INJECTION, "kind": {"kind": ["SidecarInjection"]}},
        {**INJECTION, "object": None},
        {**INJECTION, "object": {"metadata": []}},
    ):
        assert not reviews.is_injection(odd)
