"""The playground says what `explain` and `diff` say, and bounds what a text can cost."""

from __future__ import annotations

import html.parser
import importlib.resources
import json
import os
import pathlib
import signal
import subprocess
import sys
import tracemalloc

import click
import pytest

from sidecar_injector.cli import playground as package
from sidecar_injector.cli.input import yaml_documents
from sidecar_injector.cli.playground import answers, server
from tests.kits import cli
from tests.kits.samples import pod, resource

ROOT = pathlib.Path(__file__).parents[3]
DEMO = ROOT / "tools" / "demo"
INJECTION = (DEMO / "injection.yaml").read_text("utf-8")
CLASH = yaml_documents.dump_all([cli.clashing()])


def answer(pods, injections=INJECTION, namespace="default"):
    return answers.answer({"injections": injections, "pods": pods}, namespace=namespace)


def mistakes(pods, injections=INJECTION):
    content = answer(pods, injections)
    assert content.keys() == {"mistakes"}
    return content["mistakes"]


class Example(html.parser.HTMLParser):
    """The texts that the page begins with, by editor."""

    def __init__(self):
        super().__init__()
        self.texts, self._editor = {}, ""
        self.feed((importlib.resources.files(package) / "page.html").read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        self._editor = dict(attrs)["id"] if tag == "textarea" else ""

    def handle_data(self, data):
        if self._editor:
            self.texts[self._editor] = data

    def handle_endtag(self, tag):
        self._editor = ""


CASES = {
    **{name: ((DEMO / f"{name}.yaml").read_text("utf-8"), INJECTION)
       for name in ("deployment", "silent", "opted-out", "typo")},
    "several": (yaml_documents.dump_all([cli.placed(), cli.placed(name="other")]), CLASH),
    "nowhere": (yaml_documents.dump_all([pod()]), CLASH),
    "example": (Example().texts["pods"], Example().texts["injections"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_it_says_what_explain_and_diff_say(tmp_path, name):
    pods, injections = CASES[name]
    content = json.loads(json.dumps(answer(pods, injections)))
    files = (
        "-f",
        cli.write(tmp_path, "p.yaml", pods),
        "-i",
        cli.write(tmp_path, "i.yaml", injections),
    )
    explained = json.loads(cli.run("explain", *files, "-o", "json").stdout)
    own = ("headline", "help", "answers", "lines", "diff")
    assert [{key: value for key, value in each.items() if key not in own}
            for each in content["pods"]] == explained["pods"]  # fmt: skip
    assert content["notes"] == explained["notes"]
    lines = [line for each in content["pods"] for line in each["diff"]]
    assert lines == cli.run("diff", *files).stdout.splitlines()
    printed = cli.run("explain", *files).stdout
    for each in content["pods"]:
        for sentence in (each["headline"], *each["help"]):
            assert f"{sentence}\n" in printed
        for row in each["answers"]:
            assert row in printed if isinstance(row, str) else f"{row[2]}\n" in printed


def test_the_page_begins_with_a_pod_that_is_injected_and_has_a_mistake():
    texts = Example().texts
    (result,) = answer(texts["pods"], texts["injections"])["pods"]
    assert [line["reason"] for line in result["injections"]] == ["Injected", "NotRequested"]
    assert [word["reason"] for word in result["words"]] == ["UnknownInjection"]


def test_every_reason_has_the_colour_that_a_terminal_has():
    styles = answer(CASES["typo"][0])["styles"]
    assert (styles["Injected"], styles["NotRequested"]) == ("green", "yellow")


def test_a_mistake_of_yaml_has_its_place_in_each_editor():
    content = mistakes("kind: Pod\n  x: [\n", "a: b\n\tc: d")
    assert content["pods"] == {
        "message": "pods, line 2, column 4: is not valid YAML: mapping values are not allowed in"
        " this context",
        "line": 2, "column": 4,
    }  # fmt: skip
    assert (content["injections"]["line"], content["injections"]["column"]) == (2, 1)


@pytest.mark.parametrize(
    ("pods", "sentence"),
    [
        ("", "pods: contains no Kubernetes object"),
        ("a: b", "pods, document 1: field apiVersion must be a text"),
        (INJECTION, "pods: contains no pod"),
        ("apiVersion: v1\nkind: Pod\nspec: {containers: 1}", "document 1: field spec.containers: "),
    ],
)
def test_a_mistake_without_a_line_has_its_field(pods, sentence):
    content = mistakes(pods)
    assert content.keys() == {"pods"}
    assert sentence in content["pods"]["message"]
    assert content["pods"].keys() == {"message"}


def test_what_is_no_injection_and_two_of_one_name_are_mistakes():
    (message,) = mistakes(CASES["typo"][0], CASES["typo"][0]).values()
    assert "contains no SidecarInjection" in message["message"]
    (message,) = mistakes(CASES["typo"][0], f"{INJECTION}---\n{INJECTION}").values()
    assert "is given twice" in message["message"]


def test_objects_without_a_namespace_are_in_that_of_the_option():
    (result,) = answer(yaml_documents.dump_all([pod()]), CLASH, namespace="demo")["pods"]
    assert result["namespace"] == "demo"


@pytest.mark.parametrize("editor", answers.MOST)
def test_so_many_objects_are_taken_and_no_more(editor):
    most = answers.MOST[editor]
    make = {"pods": lambda name: cli.placed(name=name), "injections": resource}[editor]
    texts = {"pods": CASES["silent"][0], "injections": CLASH}
    for count in (most, most + 1):
        texts[editor] = yaml_documents.dump_all([make(f"x{number}") for number in range(count)])
        content = answers.answer(texts, namespace="default")
        if count == most:
            assert "pods" in content
        else:
            message = content["mistakes"][editor]["message"]
            assert f"contains {count} {editor}; this page takes {most}" in message


def test_a_short_text_cannot_take_much_memory():
    """A text of 100,000 characters in 10,000 places would be a gigabyte as YAML."""
    places = ", ".join(["*a"] * 10_000)
    text = f"apiVersion: v1\nkind: Pod\nx: &a {'y' * 100_000}\nspec: {{args: [{places}]}}"
    tracemalloc.start()
    try:
        (message,) = mistakes(text).values()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert message["message"] == "pods: the text is too long for this page"
    assert peak < 100_000_000


def test_a_pod_of_too_many_lines_is_explained_and_not_compared():
    for count, is_compared in ((answers.MOST_LINES // 2, False), (10, True)):
        manifest = cli.placed()
        manifest["spec"]["containers"][0]["env"] = [
            {"name": f"N{number}", "value": "x"} for number in range(count)
        ]
        (result,) = answer(yaml_documents.dump_all([manifest]), CLASH)["pods"]
        assert result["injections"]
        assert (result["diff"] is not None) is is_compared


@pytest.mark.parametrize("is_opened", [True, False])
def test_only_open_opens_a_browser(monkeypatch, is_opened):
    opened = []

    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(click, "launch", opened.append)
    monkeypatch.setattr(server.PlaygroundServer, "serve_forever", interrupted)
    result = cli.run("playground", *(["--open"] if is_opened else []))
    assert result.exit_code == 0
    assert result.stdout.startswith("http://127.0.0.1:")
    assert opened == ([result.stdout.strip()] if is_opened else [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_its_address_and_ends_at_an_interrupt_with_one_line(number):
    # What a shell starts in the background inherits that it ignores interrupts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    command = [sys.executable, "-m", "sidecar_injector", "playground"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "KUBECONFIG": "/nonexistent"},
    ) as process:  # fmt: skip
        signal.signal(signal.SIGINT, before)
        address = process.stdout.readline()
        process.send_signal(number)
        rest, errors = process.communicate(timeout=20)
    assert address.startswith("http://127.0.0.1:")
    assert (rest, errors) == ("", "\nsidecar-injector playground has ended\n")
    assert process.returncode == 0


def test_with_a_cluster_it_needs_a_kubeconfig():
    result = cli.run("playground", "--cluster", "--kubeconfig", "/nonexistent")
    cli.check_refused(result, "/nonexistent")
