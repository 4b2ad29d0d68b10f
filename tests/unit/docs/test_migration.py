"""The page on migration: its sources are converted, and what is shown comes out."""

from __future__ import annotations

import pathlib
import re
import shlex

import click.testing
import pytest

from sidecar_injector.cli import main
from sidecar_injector.cli.input import yaml_documents
from sidecar_injector.convert import morvencao, sidecars, sidecarset, tumblr

PAGE = pathlib.Path(__file__).resolve().parents[3] / "docs/migration.md"
TEXT = PAGE.read_text(encoding="utf-8")
EXAMPLES = re.findall(
    r"^```yaml\n(.*?)^```\n\n```console\n\$ (.*?) > \S+\n(.*?)^```\n\n```yaml\n(.*?)^```$",
    TEXT,
    re.MULTILINE | re.DOTALL,
)


def test_there_is_an_example_of_each_injector() -> None:
    verbs = [shlex.split(command)[2] for _, command, _, _ in EXAMPLES]
    assert verbs == ["tumblr", "morvencao", "sidecarset"]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: shlex.split(example[1])[2])
def test_an_example_is_converted_to_what_is_shown(
    example: tuple[str, ...], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, command, warnings, expected = example
    monkeypatch.chdir(tmp_path)
    _, *arguments = shlex.split(command)
    (tmp_path / arguments[-1]).write_text(source, encoding="utf-8")

    result = click.testing.CliRunner().invoke(main.cli, arguments)

    assert result.stderr.splitlines() == warnings.splitlines()
    assert result.exit_code == ("warning: " in warnings)
    assert list(yaml_documents.load_all(result.stdout)) == list(yaml_documents.load_all(expected))


@pytest.mark.parametrize(
    "field",
    [*tumblr.FIELDS, *morvencao.FIELDS, *sidecarset.FIELDS, *sidecars.OWN_FIELDS],
)
def test_every_field_of_the_sources_is_spoken_of(field: str) -> None:
    assert re.search(rf"`{field}[`.]", TEXT)
