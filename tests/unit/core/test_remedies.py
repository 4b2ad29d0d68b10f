"""What helps: commands that keep what is there, whatever names and values are."""

from __future__ import annotations

import json
import shlex

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar_injector import names
from sidecar_injector.core import decision, remedies
from sidecar_injector.core.pods import annotation
from sidecar_injector.core.reasons import Level, PodVerdict, Reason
from sidecar_injector.webhook import response
from tests.kits.samples import decided, injection, pod

KINDS = ("Deployment", "DaemonSet", "StatefulSet", "CronJob", "Job", "ReplicaSet", "Pod", "X")


def template(command):
    """The metadata of the template in a patch."""
    body = json.loads(shlex.split(command)[-1])["spec"]
    return body.get("jobTemplate", {}).get("spec", body)["template"]["metadata"]


@given(st.text(), st.text(), st.sampled_from(KINDS), st.sampled_from(Reason))
def test_a_shell_reads_names_as_names(namespace, name, kind, reason):
    subject = remedies.Subject(namespace=namespace, kind=kind, name=name)
    remedy = remedies.of(reason, subject, injection())
    assert remedy.text
    if words := shlex.split(remedy.command):
        assert words[0] == "kubectl"
        assert "&" not in {*words} - {namespace, name}
        subjects = {namespace, name, f"{kind.lower()}/{name}", f"{kind.lower()}"}
        usual = shlex.split(remedies.of(
            reason, remedies.Subject(namespace="n", kind=kind, name="w"), injection()
        ).command)  # fmt: skip
        assert len(words) == len(usual)
        assert all(
            word == other or word in subjects for word, other in zip(words, usual, strict=True)
        )


@pytest.mark.parametrize(
    ("now", "then"),
    [
        (None, "log"),
        ("a", "a, log"),
        ("a,cluster/b", "a, cluster/b, log"),
        ("only: a", "only: a, log"),
        ("Not Valid", "log"),
        (["no text"], "log"),
    ],
)
def test_the_command_asks_for_one_more_and_keeps_what_is_asked_for(now, then):
    subject = remedies.Subject(namespace="demo", kind="Deployment", name="web", annotation=now)
    remedy = remedies.of(Reason.NOT_REQUESTED, subject, injection(activation="OnRequest"))
    annotations = template(remedy.command)["annotations"]
    assert annotations == {names.INJECT_ANNOTATION: then}
    assert not annotation.read(annotations).unreadable
    subject_pod = pod(annotations=annotations)
    assert decided(subject_pod, injection(activation="OnRequest")).injected


@pytest.mark.parametrize("kind", ["Job", "ReplicaSet", "Pod", "PodTemplate", "Rollout"])
def test_a_template_that_makes_no_new_pods_when_it_changes_is_not_patched(kind):
    subject = remedies.Subject(namespace="demo", kind=kind, name="web")
    assert remedies.of(Reason.NOT_REQUESTED, subject, injection()).command == ""


def test_a_cron_job_has_its_template_further_down():
    subject = remedies.Subject(namespace="demo", kind="CronJob", name="web")
    command = remedies.of(Reason.POD_LABEL_DISABLED, subject).command
    assert template(command) == {"labels": {names.INJECTION_LABEL: None}}


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason.level is Level.FIT])
def test_the_remedy_is_in_the_part_of_a_warning_that_is_never_cut(reason):
    line = decision.line(injection("n" * 63), reason, "d" * 500)
    sentence = remedies.sentence(line, "p" * 200)
    assert sentence.index(reason.remedy) <= 2 * remedies.LONGEST_NAME + len(" starts without : ")
    assert len(reason.remedy) <= 65


NAMES = st.text("abc-", min_size=1, max_size=63)
DETAILS = {
    Reason.CONTAINER_CONFLICT: "'END'",
    Reason.VOLUME_CONFLICT: "'END'",
    Reason.MISSING_VOLUME: "container {name!r} mounts '{name}END'",
    Reason.PORT_CONFLICT: "TCP 15001 of {name!r} is used by '{name}END'",
    Reason.MOUNT_PATH_CONFLICT: "'/{name}/{name}/{name}' of container '{name}END'",
    Reason.ENV_CONFLICT: "{name} of container '{name}END' has valueFrom",
    Reason.MISSING_SERVICE_ACCOUNT: "'{name}END'",
    Reason.MISSING_VALUE:
        "parameter {name} is read from pod annotation '{name}/{name}END', which is not set",
    Reason.INVALID_VALUE:
        "parameter {name}, from pod annotation '{name}/{name}END': must be one of debug, info",
    Reason.INJECTION_CONFLICT: "container {name!r} is of {name}END",
    Reason.POD_SECURITY:
        "restricted: container '{name}END' must set securityContext.runAsNonRoot=true",
    Reason.LIMIT_RANGE: "'{name}': max cpu 100m: container '{name}END' has a limit of 200m",
    Reason.RESOURCE_QUOTA:
        "'{name}END': requests.cpu: 900m of 1 used, the pod needs 200m, 100m of it added",
    Reason.POD_WOULD_BE_INVALID:
        "spec.containers[1].volumeMounts[3].name: '{name}END' is not the name of a volume",
    Reason.INVALID:
        "spec.template.spec.containers[1].volumeMounts[3].name: '{name}END' is not the name",
}  # fmt: skip
"""As they are in decisions; what each is about ends with END."""


@pytest.mark.parametrize("reason", DETAILS, ids=lambda reason: reason.value)
@example(name="a" * 6, injection_name="a" * 26, workload="a" * 6)
@example(name="a" * 63, injection_name="b" * 63, workload="c" * 63)
@given(name=NAMES, injection_name=NAMES, workload=NAMES)
def test_a_warning_names_what_the_reason_is_about(reason, name, injection_name, workload):
    line = decision.line(injection(injection_name), reason, DETAILS[reason].format(name=name))
    decided = decision.Decision(
        verdict=PodVerdict.UNCHANGED, reason=None, message="", pod={}, evaluated=[line]
    )
    (warning,) = response.warnings(decided, f"each pod of StatefulSet {workload}")
    assert len(warning) <= response.MAX_WARNING_LENGTH
    assert "END" in warning
    assert reason.value in warning
    assert warning.index(reason.remedy) < response.MAX_CORRECTION_LENGTH


def test_every_reason_with_a_detail_is_tried():
    fitting = {reason for reason in Reason if reason.level is Level.FIT}
    assert fitting - set(DETAILS) == {Reason.TOO_MUCH_WORK}
