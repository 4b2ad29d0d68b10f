"""Running the command line on objects, which are written to files first."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import click.testing
import rich.console

from sidecar_injector.cli import main
from sidecar_injector.cli.input import yaml_documents
from tests.kits.samples import pod, resource

ESCAPE = "\x1b"
INJECTION = resource()


def placed(**metadata):
    """A pod in the namespace of the injections."""
    manifest = pod()
    manifest["metadata"] |= {"namespace": "demo", **metadata}
    return manifest


def clashing(name="clash", **spec):
    """An injection that cannot be done on a pod of `samples`."""
    parts = {"spec": {"containers": [{"name": "app", "image": "other"}]}}
    return resource(name, template=parts, **spec)


def write(folder, name, content):
    """The path of a new file with bytes, a text, an object or a list of objects."""
    if not isinstance(content, bytes | str):
        content = yaml_documents.dump_all(content if isinstance(content, list) else [content])
    path = Path(folder) / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def run(*arguments, stdin=None, **environment):
    runner = click.testing.CliRunner(env=environment)
    return runner.invoke(main.cli, arguments, input=stdin, prog_name="sidecar-injector")


def on_files(folder, verb, pods, *arguments, injections=INJECTION, stdin=None):
    """A verb on pods and injections, which are written to files first; None is left out."""
    files = []
    if verb in ("inject", "explain", "diff") and "--namespace-labels" not in arguments:
        # Then nothing has to be assumed, which would be noted.
        arguments = (*arguments, "--namespace-labels", "sidecar-injection=enabled")
    for option, name, content in (("-f", "pods.yaml", pods), ("-i", "in.yaml", injections)):
        if content is not None:
            files += [option, write(folder, name, content)]
    return run(verb, *files, *arguments, stdin=stdin)


def process(*arguments, stdin=None, **environment):
    """The same as a process of its own, whose output is a pipe."""
    return subprocess.run(
        [sys.executable, "-m", "sidecar_injector", *arguments],
        input=stdin, capture_output=True, timeout=60, check=False, encoding="utf-8",
        env={**os.environ, **environment},
    )  # fmt: skip


def terminal(*, width=60, no_color=False):
    """A console that writes to memory as if that were a terminal."""
    return rich.console.Console(
        file=io.StringIO(), force_terminal=True, width=width,
        color_system=None if no_color else "standard",
    )  # fmt: skip


def check_refused(result, line):
    """One line on stderr, nothing on stdout, exit status 2."""
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert line in result.stderr
