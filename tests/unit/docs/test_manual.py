"""The manual: its examples do what they show, its tables say what the code says."""

from __future__ import annotations

import pathlib
import re

import pytest

from sidecar_injector.cli.input import case_files, yaml_documents
from sidecar_injector.core import remedies
from sidecar_injector.core.reasons import Level, Reason
from tests.kits.cli import run, write
from tests.kits.samples import decided, injection, pod
from tools import kinds_page, policies_page, reference, validity_list

DOCS = pathlib.Path(__file__).resolve().parents[3] / "docs"
FENCE = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def page(name):
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def examples(name):
    """Each example with the first line of the paragraph above it, by which a failure is found."""
    parameters = []
    text = page(name)
    for fence in FENCE.finditer(text):
        paragraph = text[: fence.start()].rstrip().rpartition("\n\n")[2].partition("\n")[0]
        parameters.append(pytest.param(fence[1], id=paragraph[:60]))
    return parameters


@pytest.mark.parametrize("example", [*examples("merge"), *examples("surprises")])
def test_an_example_of_the_manual_does_what_it_shows(example, tmp_path):
    write(tmp_path, case_files.NAME, example)
    result = run("test", str(tmp_path))
    assert result.stdout == "1 case in 1 file: all as expected\n"
    ((case,),) = [content["cases"] for content in yaml_documents.load_all(example)]
    assert "result" in case


def test_every_list_and_every_conflict_has_an_example():
    text = page("merge")
    for name in ("ContainerConflict", "VolumeConflict", "MissingVolume", "MountPathConflict",
                 "InvalidValue"):  # fmt: skip
        assert f"{{name: log, reason: {name}}}" in text


def test_the_reference_is_what_the_crds_say():
    assert page("reference") == reference.text(), "run `python -m tools.reference`"


def test_the_list_of_checked_rules_is_what_the_code_and_the_tables_say():
    assert page("validity") == validity_list.text(), "run `python -m tools.validity_list`"
    for text in ("validateTopologySpreadConstraints", "two containers of one name"):
        assert text in page("validity")


def test_the_table_of_kinds_is_what_the_code_says():
    assert page("kinds") == kinds_page.text(), "run `python -m tools.kinds_page`"


def test_the_tables_of_policies_are_what_the_code_says():
    assert page("policies") == policies_page.text(), "run `python -m tools.policies_page`"


def test_the_reference_has_every_field_of_ours():
    text = page("reference")
    for path in ("spec.parameters[].from.podLabel", "spec.inherit.env[].fromContainer",
                 "status.pods.observedAt", "spec.applicationContainers.names.include"):  # fmt: skip
        assert f"| `{path}` |" in text


def rows(name, heading):
    """The cells of the table below a heading."""
    below = page(name).partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in below.splitlines() if line.startswith("| ")][1:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.value)
def test_every_reason_has_its_sentence_and_a_remedy(reason):
    table = [row for row in rows("decision", "Reasons") if row[0] == f"`{reason.value}`"]
    ((_, sentence, remedy),) = table
    assert sentence == reason.sentence
    subject = remedies.Subject(namespace="demo", kind="Deployment", name="web")
    is_cluster = reason is Reason.NAMESPACE_SELECTOR_MISMATCH
    text, separator, command = str(
        remedies.of(reason, subject, injection("log", cluster=is_cluster))
    ).partition(": kubectl")
    assert remedy.lower().startswith(text.lower())
    assert f"kubectl{command}`" in remedy if separator else "kubectl patch" not in remedy


def test_the_reasons_are_listed_below_their_levels():
    text = page("decision")
    for level in Level:
        below = text.partition(f"### {level.value.capitalize()}\n")[2].partition("\n### ")[0]
        codes = re.findall(r"^\| `(\w+)`", below, re.MULTILINE)
        assert codes == [reason.value for reason in Reason if reason.level is level]


def asking(cell):
    """The pod that a cell of the truth table speaks of."""
    pairs = re.findall(r"(label|annotation) `([^`:]+): ?\"?([^`\"]*)\"?`", cell)
    fields = {"labels": {}, "annotations": {}}
    for kind, key, value in pairs:
        fields[f"{kind}s"][key] = value
    return pod(**fields)


@pytest.mark.parametrize("row", rows("decision", "Who is injected"), ids=lambda row: row[0])
def test_the_truth_table_is_true(row):
    cell, *expected = row
    columns = ({"activation": "Automatic"}, {"activation": "OnRequest"}, {"optOut": "Forbidden"})
    for fields, answer in zip(columns, expected, strict=True):
        log = injection(cluster="optOut" in fields, **fields)
        assert answer in ("yes", "no")
        assert bool(decided(asking(cell), log).injected) is (answer == "yes"), fields


def test_the_manual_is_in_the_index():
    index = page("README")
    for name in ("reference", "decision", "merge", "surprises", "testing", "validity"):
        assert f"]({name}.md)" in index
