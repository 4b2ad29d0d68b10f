"""What the tests of the command `inject` share: a call of it on texts and objects."""

from __future__ import annotations

import pathlib
from typing import Any

import click.testing

from sidecar_injector.cli import main
from sidecar_injector.cli.input import yaml_documents
from tests.kits.samples import resource

INJECTION = resource()


def invoke(
    folder: pathlib.Path,
    manifest: Any,
    *arguments: str,
    injections: Any = INJECTION,
    stdin: str | None = None,
) -> click.testing.Result:
    """`inject` on a manifest and injections: texts, bytes, an object or a list of documents."""
    command = ["inject"]
    for option, name, content in (("-f", "pods.yaml", manifest), ("-i", "in.yaml", injections)):
        if content is not None:
            (folder / name).write_bytes(_bytes(content))
            command += [option, str(folder / name)]
    runner = click.testing.CliRunner()
    return runner.invoke(
        main.cli, [*command, *arguments], input=stdin, prog_name="sidecar-injector"
    )


def _bytes(content: Any) -> bytes:
    if isinstance(content, bytes):
        return content
    if not isinstance(content, str):
        content = yaml_documents.dump_all(content if isinstance(content, list) else [content])
    return content.encode()
