"""The documents: their examples work, their commands exist, their links lead somewhere."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator
from typing import Any

import click
import click.testing
import pytest
import yaml

from sidecar_injector import crds, names
from sidecar_injector.cli import main
from sidecar_injector.cli.commands import inject
from sidecar_injector.cli.input import manifests, yaml_documents
from sidecar_injector.core.injections import model
from sidecar_injector.core.pods import workloads
from sidecar_injector.core.reasons import Verdict
from tests.kits.shown_commands import PAGES, stages

ROOT = pathlib.Path(__file__).resolve().parents[3]
DECISIONS = sorted((ROOT / "docs/decisions").glob("*.md"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PARTS = ("Context", "Decision", "Rejected", "Consequences")
PACKAGE = ROOT / "operator/sidecar_injector"

Json = dict[str, Any]


every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
every_decision = pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.name)


def blocks(page: pathlib.Path, *languages: str) -> Iterator[str]:
    for language, text in FENCE.findall(page.read_text(encoding="utf-8")):
        if language in languages:
            yield text


def prose(page: pathlib.Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def spans(page: pathlib.Path) -> list[str]:
    """The words in backticks within sentences."""
    return re.findall(r"`([^`\n]+)`", prose(page))


def objects(page: pathlib.Path) -> list[Json]:
    """The Kubernetes objects among the page's YAML."""
    documents = [
        document for text in blocks(page, "yaml") for document in yaml_documents.load_all(text)
    ]
    return [
        document
        for document in documents
        if isinstance(document, dict) and "apiVersion" in document
    ]


def shown_commands(page: pathlib.Path) -> list[tuple[list[str], list[str]]]:
    """Each command of a block, cut at pipes and redirections, with the lines shown below it."""
    commands: list[tuple[list[str], list[str]]] = []
    for text in blocks(page, "sh"):
        joined = text.replace("\\\n", " ")
        commands += [(words, []) for line in joined.splitlines() for words in stages(line)]
    for text in blocks(page, "console"):
        before = len(commands)
        for line in text.splitlines():
            if line.startswith("$ "):
                commands += [(words, []) for words in stages(line[2:])]
            elif len(commands) > before:
                commands[-1][1].append(line)
    return commands


def own_commands(page: pathlib.Path) -> list[tuple[list[str], list[str]]]:
    """The arguments of every `sidecar-injector` on the page, by whichever of its names."""
    own = []
    for words, output in shown_commands(page):
        rest = words[1:] if words[:1] == ["kubectl"] else words
        if rest and pathlib.Path(rest[0]).name == names.PRODUCT:
            own.append((rest[1:], output))
    return own


def injections(page: pathlib.Path) -> list[model.Injection]:
    own = [item for item in objects(page) if item["apiVersion"].startswith(names.GROUP)]
    assert all(item["apiVersion"] == names.API_VERSION for item in own)
    return [model.read(item, spec_schema=crds.spec_schema(item["kind"])) for item in own]


def asking(injection: model.Injection) -> Json:
    """A pod that an injection selects and that asks for it."""
    metadata = {
        "name": "probe",
        "namespace": injection.namespace or "default",
        "labels": injection.spec.get("selector", {}).get("matchLabels", {}),
        "annotations": {names.INJECT_ANNOTATION: injection.reference},
    }
    spec = {"containers": [{"name": "app", "image": "example.com/app:1"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@every_page
def test_the_pages_injections_are_accepted(page: pathlib.Path) -> None:
    for injection in injections(page):
        assert injection.errors == (), injection.name


@every_page
def test_pods_are_injected_by_the_pages_injections(page: pathlib.Path) -> None:
    pods = [item for item in objects(page) if workloads.pod_paths(item)]
    pods += [asking(injection) for injection in injections(page)]
    injector = inject.offline(injections=injections(page), namespace="default", namespace_labels={})
    for pod in pods:
        injector.document(manifests.Document(page.name, pod))

    assert len(injector.entries) == len(pods)
    for entry in injector.entries:
        assert not entry.has_findings, entry.place
        assert any(line.verdict is Verdict.INJECTED for line in entry.decision.lines), entry.place


def test_the_readmes_manifests_are_those_of_the_demo() -> None:
    demo = [
        item
        for path in (ROOT / "tools/demo").glob("*.yaml")
        for item in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]

    def key(item: Json) -> tuple[str, str]:
        return item["kind"], item["metadata"]["name"]

    documented = {key(item): item for item in objects(ROOT / "README.md")}
    shared = {key(item): item for item in demo if key(item) in documented}
    assert shared.keys() == {(names.KIND, "nginx"), ("Deployment", "web")}
    for identity, item in shared.items():
        assert documented[identity] == item


@every_page
def test_every_command_line_of_ours_parses(page: pathlib.Path) -> None:
    for words, _ in own_commands(page):
        with click.Context(main.cli, **main.cli.context_settings) as context:
            name, command, arguments = main.cli.resolve_command(context, words)
            assert command is not None
            command.make_context(name, arguments, parent=context)


@every_page
def test_every_verb_that_a_sentence_names_exists(page: pathlib.Path) -> None:
    for span in spans(page):
        if match := re.match(r"(?:kubectl )?sidecar-injector ([a-z]+)", span):
            assert match[1] in main.cli.commands, span


def test_our_commands_in_the_readme_print_what_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report goes to stderr, beside the manifest."""
    monkeypatch.chdir(ROOT)
    commands = [(words, output) for words, output in own_commands(ROOT / "README.md") if output]
    assert len(commands) >= 2
    for words, output in commands:
        result = click.testing.CliRunner().invoke(main.cli, words)
        assert result.exit_code == 0, result.output
        printed = result.stderr if "--report" in words else result.stdout
        assert printed.splitlines() == output


@every_page
def test_every_make_target_that_is_named_exists(page: pathlib.Path) -> None:
    text = "\n".join([*spans(page), *blocks(page, "sh", "console")])
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z0-9]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z0-9]+)", text)) <= targets


def test_the_readmes_install_command_installs_the_chart_of_this_repository() -> None:
    (install,) = [
        words for words, _ in shown_commands(ROOT / "README.md") if words[:2] == ["helm", "install"]
    ]
    release, chart, *options = install[2:]
    assert release == names.PRODUCT
    chart_yaml = yaml.safe_load((ROOT / chart / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart_yaml["name"] == names.PRODUCT
    assert options[:3] == ["-n", names.PRODUCT, "--create-namespace"]


@every_page
def test_every_relative_link_leads_somewhere(page: pathlib.Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w-]", "", h.lower().replace(" ", "-")) for h in headings}


@every_page
def test_every_file_of_the_repository_that_is_named_exists(page: pathlib.Path) -> None:
    tops = {path.name for base in (ROOT, PACKAGE) for path in base.iterdir() if path.is_dir()}
    for span in spans(page):
        words = [span, *span.split()]
        for path in (word for word in words if re.fullmatch(r"[\w.-]+(/[\w.-]*)+", word)):
            if path.partition("/")[0] in tops - {".venv", ".run"}:
                places = (ROOT / path, PACKAGE / path, ROOT / "charts/sidecar-injector" / path)
                assert any(place.exists() for place in places), path


def test_the_index_lists_every_decision_by_its_title() -> None:
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \[(\d{4})\]\(decisions/(\S+)\) \| (.+) \|$", index, re.MULTILINE)
    expected = [
        (page.name[:4], page.name, page.read_text(encoding="utf-8").splitlines()[0])
        for page in DECISIONS
    ]
    assert [(number, name, f"# {text}") for number, name, text in listed] == expected


@every_decision
def test_a_decision_says_context_decision_rejected_and_consequences(page: pathlib.Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert tuple(re.findall(r"^\*\*(\w+)\.\*\* ", text, re.MULTILINE)) == PARTS
