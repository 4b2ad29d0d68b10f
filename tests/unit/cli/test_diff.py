"""The command `diff`: what the webhook would change, and that its patch does just that."""

from __future__ import annotations

import copy
import dataclasses

import pytest

from sidecar_injector.cli.commands import diff, inject
from sidecar_injector.cli.input import manifests
from sidecar_injector.cli.output import differences
from tests.kits.cli import ESCAPE, clashing, on_files, placed, process, terminal, write
from tests.kits.samples import container, pod, resource


def differed(tmp_path, pods, injections, *arguments):
    return on_files(tmp_path, "diff", pods, *arguments, injections=injections)


@pytest.fixture
def subject(tmp_path):
    injections = [write(tmp_path, "in.yaml", resource())]
    injector = inject.offline(
        injections=manifests.read_injections(injections, namespace="demo"),
        namespace="demo", namespace_labels={},
    )  # fmt: skip
    (decided,) = inject.read_subjects(
        ["pods.yaml"], manifests.read(write(tmp_path, "pods.yaml", placed())), injector
    )
    return decided


def with_operations(subject, operations):
    decision = dataclasses.replace(subject.entry.decision, operations=operations)
    entry = dataclasses.replace(subject.entry, decision=decision)
    return dataclasses.replace(subject, entry=entry)


def test_the_difference_is_a_unified_diff_and_no_finding(tmp_path):
    result = differed(tmp_path, placed(), resource())
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[:2] == ["--- demo/Pod/web", "+++ demo/Pod/web (injected)"]
    assert "+  - name: sidecar" in lines
    assert not [line for line in lines[2:] if line.startswith("-")]


def test_a_pod_that_is_not_changed_has_no_diff_but_a_reason(tmp_path):
    result = differed(tmp_path, placed(), resource(suspend=True))
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith("demo/Pod/web log NotApplicable Suspended ")


def test_what_cannot_be_done_is_reported_with_exit_status_1(tmp_path):
    result = differed(tmp_path, placed(), [clashing(), resource()])
    assert result.exit_code == 1
    assert "+  - name: sidecar" in result.stdout
    line, remedy = result.stderr.splitlines()
    assert line.startswith("demo/Pod/web clash Skipped ContainerConflict ")
    assert remedy.startswith("  → ")


def test_of_a_workload_the_template_is_compared(tmp_path):
    template = {"spec": {**pod()["spec"], "restartPolicy": "Never"}}
    manifest = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"},
                "spec": {"template": template}}  # fmt: skip
    result = differed(tmp_path, manifest, resource(), "-n", "demo")
    assert result.stdout.startswith("--- demo/Job/j\n")
    assert "+  initContainers:" in result.stdout


@pytest.mark.parametrize(
    ("operations", "what"),
    [
        ([], "makes another pod than was decided on"),
        ([{"op": "add", "path": "/spec/nowhere/x", "value": 1}], "cannot be applied: "),
        ([{"op": "test", "path": "/kind", "value": "Job"}], "cannot be applied: "),
        ([{"op": "add", "path": "kind", "value": 1}], "cannot be applied: "),
    ],
)
def test_a_patch_that_does_not_make_the_pod_is_our_own_bug(subject, operations, what):
    diff.check(subject)
    with pytest.raises(diff.WrongPatchError, match="bug of sidecar-injector: please") as caught:
        diff.check(with_operations(subject, operations))
    assert f"demo/Pod/web: the patch of the webhook {what}" in caught.value.message
    assert caught.value.exit_code == 1


def test_a_number_that_became_a_boolean_is_another_pod(subject):
    wrong = copy.deepcopy(list(subject.entry.decision.operations))
    pod_with_one = copy.deepcopy(subject.entry.decision.pod)
    pod_with_one["spec"]["x"] = 1
    decision = dataclasses.replace(
        subject.entry.decision, pod=pod_with_one,
        operations=[*wrong, {"op": "add", "path": "/spec/x", "value": True}],
    )  # fmt: skip
    entry = dataclasses.replace(subject.entry, decision=decision)
    with pytest.raises(diff.WrongPatchError):
        diff.check(dataclasses.replace(subject, entry=entry))


def test_a_bug_prints_no_diff_and_is_exit_status_1(tmp_path, monkeypatch):
    def broken(patch, operations):
        return {}

    monkeypatch.setattr(diff.jsonpatch, "apply_patch", broken)
    result = differed(tmp_path, placed(), resource())
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: demo/Pod/web: the patch ")


def test_on_a_terminal_it_is_coloured(subject):
    console = terminal(width=20)
    differences.write(diff.difference(subject), to=console)
    text = console.file.getvalue()
    assert f"{ESCAPE}[32m+  - name: sidecar{ESCAPE}[0m\n" in text
    assert f"{ESCAPE}[36m@@ " in text
    assert f"{ESCAPE}[1m+++ demo/Pod/web (injected)" in text


def test_in_a_pipe_and_without_colours_there_is_no_escape_code(tmp_path, subject):
    files = ("-f", write(tmp_path, "p.yaml", placed()), "-i", write(tmp_path, "i.yaml", resource()))
    for environment in ({}, {"NO_COLOR": "1", "FORCE_COLOR": "1"}):
        result = process("diff", *files, **environment)
        assert result.returncode == 0
        assert "\n+  - name: sidecar\n" in result.stdout
        assert ESCAPE not in result.stdout


def test_lines_that_only_look_like_the_head_are_coloured_as_what_they_are():
    console = terminal(width=80)
    differences.write(iter(["+a", "-b", " c"]), to=console)
    assert console.file.getvalue() == (
        f"{ESCAPE}[32m+a{ESCAPE}[0m\n{ESCAPE}[31m-b{ESCAPE}[0m\n c\n"
    )


def test_a_text_of_many_lines_is_one_line_each(tmp_path):
    noisy = placed(annotations={"a": "one\u2028two\nthree"})
    noisy["spec"]["containers"].append(container("other", args=["a\x85b"]))
    result = differed(tmp_path, noisy, resource())
    assert result.exit_code == 0
    for line in result.stdout.split("\n")[2:-1]:
        assert line[0] in "+- @"
