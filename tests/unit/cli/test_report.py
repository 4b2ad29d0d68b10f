"""What `inject` says about pods, for people and for programs."""

from __future__ import annotations

import json

import pytest

from sidecar_injector.cli.output import report
from sidecar_injector.core import remedies
from sidecar_injector.core.reasons import Reason
from tests.kits.samples import container, decided, injection, pod

CLASH = {"spec": {"containers": [container("app", image="x")]}}


def entry(subject, *injections, kind="Pod", name="web"):
    return report.ReportEntry(
        namespace="demo", kind=kind, name=name, decision=decided(subject, *injections)
    )


def lines(entry, **arguments):
    return list(report.lines([entry], **arguments))


def test_a_line_names_place_injection_verdict_reason_and_sentence():
    (line,) = lines(entry(pod(), injection("c", cluster=True), kind="Deployment"))
    assert line.startswith("demo/Deployment/web cluster/c Injected ")
    assert len(line.split(" ", 4)) == 5


def test_a_pod_out_of_scope_has_one_line_with_the_reason():
    off = pod(annotations={"sidecar-injector.dev/inject": "no"})
    decided_entry = entry(off, injection())
    remedy = remedies.of(decided_entry.decision.reason, decided_entry.subject)
    assert lines(decided_entry) == [
        "demo/Pod/web - OutOfScope PodAnnotationDisabled the pod's annotation says no",
        f"  → {remedy}",
    ]


def test_a_pod_for_which_there_are_no_injections_has_a_line_too():
    assert lines(entry(pod())) == ["demo/Pod/web - Unchanged - nothing to inject"]


def test_the_words_of_the_pod_come_before_the_injections():
    asking = pod(annotations={"sidecar-injector.dev/inject": "ghost,log"})
    first, remedy, second = lines(entry(asking, injection()))
    assert remedy.startswith("  → ")
    assert first.startswith("demo/Pod/web - Injected UnknownInjection ")
    assert second.startswith("demo/Pod/web log Injected ")


def test_findings_are_the_injections_that_apply_and_could_not_be_done():
    both = entry(pod(), injection(), injection("clash", template=CLASH))
    line, remedy = lines(both, findings_only=True)
    assert line.startswith("demo/Pod/web clash Skipped ContainerConflict ")
    assert remedy == f"  → {remedies.of(Reason.CONTAINER_CONFLICT, both.subject)}"
    assert lines(entry(pod(), injection()), findings_only=True) == []


@pytest.mark.parametrize(
    ("decided_entry", "findings"),
    [
        (entry(pod(), injection()), False),
        (entry(pod()), False),
        (entry(pod(), injection(suspend=True)), False),
        (entry(pod(containers=[container("app"), container()]), injection()), False),
        (entry(pod(), injection("clash", template=CLASH)), True),
        (entry(pod(), injection("clash", template=CLASH, failurePolicy="Fail")), True),
        (entry(pod(), injection(template={})), True),
    ],
    ids=["injected", "none", "suspended", "already", "conflict", "refused", "invalid"],
)
def test_findings_decide_the_exit_status(decided_entry, findings):
    assert decided_entry.has_findings is findings


def test_an_outdated_pod_is_a_finding_only_under_fail():
    old = decided(pod(), injection()).pod
    changed = {"spec": {"containers": [container(image="example/sidecar:2")]}}
    assert not entry(old, injection(template=changed)).has_findings
    assert entry(old, injection(template=changed, failurePolicy="Fail")).has_findings


def test_the_report_for_programs_says_the_same():
    asking = pod(annotations={"sidecar-injector.dev/inject": "ghost,clash"})
    decided_entry = entry(asking, injection("clash", template=CLASH))
    (only,) = json.loads(report.as_json([decided_entry]))["pods"]
    assert (only["namespace"], only["kind"], only["name"]) == ("demo", "Pod", "web")
    assert (only["verdict"], only["reason"]) == ("Unchanged", "")
    assert [item["reason"] for item in only["injections"]] == ["ContainerConflict"]
    assert [item["subject"] for item in only["words"]] == ["ghost"]


def test_the_report_for_programs_says_why_a_pod_is_out_of_scope():
    decided_entry = entry(pod(labels={"sidecar-injection": "disabled"}), injection())
    (only,) = json.loads(report.as_json([decided_entry]))["pods"]
    assert (only["verdict"], only["reason"], only["injections"]) == (
        "OutOfScope", "PodLabelDisabled", [],
    )  # fmt: skip
    assert "words" not in only
