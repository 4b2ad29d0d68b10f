"""An injection is refused only if no pod can take it; otherwise a warning says which pods can."""

from __future__ import annotations

import pytest

from sidecar_injector.core.linting import validate
from tests.kits.needs import (
    CASES,
    DEVICE,
    IDS,
    SECCOMP,
    container_spec,
    sleeping,
    with_context,
)
from tests.kits.samples import injection
from tests.kits.validate import quiet, sentences, template, warned

NEED = "spec: fits only pods with "


def needs(spec):
    return [text.removeprefix(NEED) for text in warned(**spec) if text.startswith(NEED)]


@pytest.mark.parametrize(("spec", "expected"), CASES, ids=IDS)
def test_what_only_some_pods_can_take_is_accepted_with_a_warning(spec, expected):
    assert needs(spec) == expected


def test_claims_of_the_pod_are_named_once():
    first, second = quiet("a"), quiet("b")
    first["resources"]["claims"] = [{"name": "nic"}, {"name": "gpu"}]
    second["resources"]["claims"] = [{"name": "nic"}]
    assert needs({"template": template(containers=[first, second])}) == ["resourceClaims nic, gpu"]


@pytest.mark.parametrize("seconds", [0, 1, 30])
def test_what_most_pods_have_is_not_worth_a_warning(seconds):
    assert needs(container_spec(quiet(lifecycle=sleeping(seconds)))) == []


def test_two_needs_that_exclude_each_other_are_an_error():
    container = with_context(procMount="Unmasked") | {"volumeDevices": DEVICE}
    (error,) = sentences(validate.validate(injection(**container_spec(container))).errors)
    assert "hostUsers: false" in error


def test_a_need_does_not_hide_what_no_pod_can_take():
    container = quiet(lifecycle=sleeping(45), ports=[{"containerPort": 99999}])
    assert validate.validate(injection(**container_spec(container))).errors
    assert validate.validate(injection(**container_spec(quiet(lifecycle=sleeping(-1))))).errors


def test_an_annotation_may_differ_from_the_example_pods_security_context():
    annotations = {f"{SECCOMP}application": "unconfined"}
    assert warned(template={"metadata": {"annotations": annotations}}) == []


def test_a_claim_named_like_one_that_an_example_pod_would_make_is_no_error():
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1"}}}
    volumes = [
        {"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": claim}}},
        {"name": "w", "persistentVolumeClaim": {"claimName": "application-v"}},
    ]
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in "vw"]
    assert warned(**container_spec(quiet(volumeMounts=mounts), volumes=volumes)) == []


def test_a_container_for_pods_that_never_end_is_a_warning_in_every_mode():
    policy = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]
    for mode in ("Auto", "Container", "Native"):
        (text,) = warned(sidecarMode=mode, **container_spec(quiet(resizePolicy=policy)))
        assert text.startswith("spec: cannot be injected where restartPolicy is Never"), mode
