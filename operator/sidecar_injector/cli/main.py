"""The command `sidecar-injector`, also `kubectl sidecar-injector`."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from sidecar_injector import names

PLUGIN: Final = "kubectl-sidecar_injector"
"""The file name by which kubectl finds its plugin `sidecar-injector`."""
VERBS: Final = (
    "certificates", "check", "completion", "convert", "diff", "explain", "inject", "krm", "lint",
    "restart", "run", "status", "uninject", "version",
)  # fmt: skip
"""Each is a function in a module of this name in `cli/commands`."""


class Verbs(Mapping[str, click.Command]):
    """Imports a verb when it is used: a replica keeps the code of `run` alone in memory."""

    def __getitem__(self, name: str) -> click.Command:
        if name not in VERBS:
            raise KeyError(name)
        module = importlib.import_module(f"sidecar_injector.cli.commands.{name}")
        command: click.Command = getattr(module, name)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(VERBS)

    def __len__(self) -> int:
        return len(VERBS)


commands: Any = Verbs()
"""Click would accept more verbs and never adds one by itself."""


@click.group(
    commands=commands, context_settings={"help_option_names": ["-h", "--help"],
                                         "max_content_width": 100},
)  # fmt: skip
def cli() -> None:
    """Put sidecar containers into pods, and say why or why not.

    Exit status: 0 fine, 1 findings, 2 wrong usage or unreadable input.
    """


def main() -> None:
    """The entry point, under both of its names."""
    is_plugin = Path(sys.argv[0]).name == PLUGIN
    cli(
        prog_name=f"kubectl {names.PRODUCT}" if is_plugin else names.PRODUCT,
        default_map=helm_defaults(os.environ, sys.argv),
    )


def helm_defaults(
    environment: Mapping[str, str], arguments: Sequence[str]
) -> dict[str, dict[str, str]]:
    """The options that Helm keeps from its plugin's arguments, by verb.

    Helm takes `-n NAMESPACE` for itself and hands it on in a variable.
    Without -n that is `default`.
    https://github.com/helm/helm/blob/v4.3.1/pkg/cmd/load_plugins.go
    """
    namespace = environment.get("HELM_NAMESPACE", "default")
    is_helm, is_wide = "HELM_PLUGIN_NAME" in environment, {"-A", "--all-namespaces"} & {*arguments}
    if not is_helm or is_wide or namespace == "default":
        return {}
    return {verb: {"namespace": namespace} for verb in VERBS}
