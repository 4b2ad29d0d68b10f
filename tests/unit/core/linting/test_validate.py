"""What is said about an injection before any pod meets it."""

from __future__ import annotations

import pytest

from sidecar_injector.core.linting import validate
from sidecar_injector.core.validity import pod_security
from tests.kits import random_pods
from tests.kits.samples import container, injection
from tests.kits.validate import quiet, sentences, template, warned


def test_an_injection_that_no_pod_can_take_is_an_error():
    ports = [{"containerPort": 99999}]
    subject = injection(template=template(containers=[quiet(ports=ports)]))
    assert subject.errors == ()
    (sentence,) = sentences(validate.validate(subject).errors)
    assert sentence.startswith("spec: cannot be injected into a pod: PodWouldBeInvalid:")
    assert "99999" in sentence


def test_a_default_that_does_not_fit_the_place_of_its_token_is_an_error():
    parameter = {"name": "pull", "from": {"podLabel": "pull"}, "default": "Sometimes"}
    spec = template(containers=[quiet(imagePullPolicy="$(params.pull)")])
    subject = injection(parameters=[parameter], template=spec)
    (sentence,) = sentences(validate.validate(subject).errors)
    assert "InvalidValue" in sentence
    assert "imagePullPolicy must be one of Always" in sentence


def test_a_value_that_only_pods_know_is_guessed_and_never_an_error():
    spec = template(containers=[quiet(imagePullPolicy="$(params.pull)")])
    free = {"name": "pull", "from": {"podLabel": "pull"}}
    (sentence,) = warned(parameters=[free], template=spec)
    assert sentence.startswith("spec.parameters: not every value of pull fits (give an enum?)")
    assert warned(parameters=[{**free, "enum": ["Always", "Never"]}], template=spec) == []
    assert warned(parameters=[{**free, "pattern": "Always|Never"}], template=spec) == []
    # Nothing fits that anybody can think of, so nothing is tried and nothing said.
    assert warned(parameters=[{**free, "pattern": "[%&]{7}"}], template=spec) == []


def test_what_fails_only_in_pods_that_end_is_a_warning():
    policy = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]
    spec = template(containers=[quiet(resizePolicy=policy)])
    assert validate.validate(injection(template=spec, sidecarMode="Container")).errors == ()
    (sentence,) = warned(template=spec)
    assert sentence.startswith("spec: cannot be injected where restartPolicy is Never")


def test_missing_requests_are_reported_per_container_and_a_limit_is_a_request():
    bare, limited = quiet("bare"), quiet("limited")
    del bare["resources"]
    limited["resources"] = {"limits": {"cpu": "1"}, "requests": {"memory": "1Mi"}}
    first = quiet("first")
    first["resources"] = {"requests": {"cpu": "1"}}
    assert warned(template=template(containers=[bare, limited], initContainers=[first])) == [
        (
            "spec.template.spec.containers[0].resources: set requests of cpu and memory, which"
            " autoscaling and quotas need"
        ),
        (
            "spec.template.spec.initContainers[0].resources: set requests of memory, which"
            " autoscaling and quotas need"
        ),
    ]


def test_what_a_level_forbids_is_reported_where_a_namespace_enforces_it():
    loud = quiet()
    loud["securityContext"]["runAsNonRoot"] = False
    volumes = [{"name": "host", "hostPath": {"path": "/x"}}]
    mounts = [{"name": "host", "mountPath": "/x"}]
    spec = template(containers=[{**loud, "volumeMounts": mounts}], volumes=volumes)
    assert warned(template=spec) == []
    enforcing = {"restricted": "namespace demo"}
    (problem,) = validate.validate(injection(template=spec), enforcing=enforcing).warnings
    assert str(problem).startswith(
        "spec.template: namespace demo enforces Pod Security restricted, so pods start without it:"
    )
    assert "runAsNonRoot" in str(problem)
    assert "host" in str(problem)
    (problem,) = validate.validate(
        injection(template=spec), enforcing={"baseline": "namespace demo", "privileged": "other"}
    ).warnings
    assert "runAsNonRoot" not in str(problem)
    assert "host" in str(problem)


def test_a_mount_of_a_volume_that_is_not_there_needs_the_pods():
    mounts = [{"name": "data", "mountPath": "/data"}]
    assert warned(template=template(containers=[quiet(volumeMounts=mounts)])) == [
        (
            "spec.template.spec.containers[0].volumeMounts[0]: mounts volume 'data', which is not"
            " in the template: pods without that volume are skipped"
        )
    ]


def test_a_volume_that_nothing_mounts_is_reported_and_one_for_application_containers_is_not():
    volumes = [{"name": "data", "emptyDir": {}}]
    (sentence,) = warned(template=template(volumes=volumes))
    assert sentence.startswith("spec.template.spec.volumes[0]: 'data' is only added to pods")
    mounts = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    assert warned(template=template(volumes=volumes), applicationContainers=mounts) == []


def test_tokens_that_are_not_replaced_and_unused_parameters_are_reported():
    parameters = [
        {"name": "used", "from": {"podLabel": "a"}, "default": "$(params.idle)"},
        {"name": "idle", "from": {"podLabel": "b"}, "default": "x"},
    ]
    spec = template(containers=[quiet(args=["$(params.used)", "$$(params.idle)"])])
    assert warned(parameters=parameters, template=spec) == [
        (
            "spec.parameters[0].default: $(params.idle) is not replaced: tokens are in template,"
            " applicationContainers, inherit only"
        ),
        "spec.parameters[1]: $(params.idle) is used nowhere: the parameter changes nothing",
    ]


def test_what_the_api_server_passes_on_is_short_and_not_much():
    containers = [container(f"c{number}", image="x" * 300) for number in range(30)]
    subject = injection(template=template(containers=containers))
    warnings = validate.validate(subject).short_warnings()
    assert len(warnings) == validate.MAX_WARNINGS
    assert max(map(len, warnings)) <= 120
    assert warnings[-1] == "and 21 warnings more: see lint"


BROKEN = template(containers=[quiet(ports=[{"containerPort": 99999}])])


@pytest.mark.parametrize("size", [60, pytest.param(300, marks=pytest.mark.long)])
def test_nothing_that_the_schema_accepts_makes_a_judgement_fail(size):
    """On the injections of the engine's properties, which are made for random_pods."""
    refused = 0
    for seed in range(size):
        drawn = random_pods.Draw(seed).injections()
        for subject in drawn:
            findings = validate.validate(subject, others=drawn)
            assert len(findings.short_warnings()) <= validate.MAX_WARNINGS, seed
            refused += bool(findings.errors)
    assert 0 < refused < 3 * size


def test_a_service_account_brings_less_than_its_name_and_lint_says_so():
    (sentence,) = warned(template=template(serviceAccountName="robot"))
    assert sentence == (
        "spec.template.spec.serviceAccountName: may not bring its pull secrets to a pod, nor"
        " automountServiceAccountToken"
    )
    assert len(sentence) <= validate.MAX_CHARACTERS


def test_a_mount_may_need_a_variable_that_only_pods_have():
    mount = {"name": "logs", "mountPath": "/logs", "subPathExpr": "$(POD_NAME)"}
    volumes = [{"name": "logs", "emptyDir": {}}]
    assert warned(template=template(volumes=volumes), applicationContainers={
        "volumeMounts": [mount]}) == []  # fmt: skip


def test_a_port_of_two_containers_of_the_template_is_a_warning():
    port = [{"containerPort": 3500}]
    (warning,) = warned(
        template=template(containers=[quiet("a", ports=port), quiet("b", ports=port)])
    )
    assert warning.startswith("spec.template.spec.containers[1].ports[0]")
    assert warning.endswith("TCP 3500 is also of 'a': only one can listen")


def test_a_name_of_a_port_is_a_warning_where_it_comes_before_the_pods_own():
    parts = template(containers=[quiet(ports=[{"name": "http", "containerPort": 3500}])])
    (warning,) = warned(placement={"containers": "First"}, template=parts)
    assert warning.startswith("spec.template.spec.containers[0].ports[0].name")
    assert not warned(template=parts)


@pytest.mark.parametrize(
    ("level", "fields", "forbidden"),
    [
        ("restricted", {}, True),
        ("baseline", {}, False),
        ("baseline", {"securityContext": {"privileged": True}}, True),
        ("privileged", {"securityContext": {"privileged": True}}, False),
    ],
)
def test_a_template_that_a_pod_security_level_forbids_in_every_pod_is_found(
    level, fields, forbidden
):
    subject = injection(template=template(containers=[container(**fields)]))
    text = validate.forbidden(subject, pod_security.Policy(level))
    assert bool(text) is forbidden
    if forbidden:
        assert text.startswith(f"the namespace enforces '{level}': ")
        assert "'sidecar'" in text
