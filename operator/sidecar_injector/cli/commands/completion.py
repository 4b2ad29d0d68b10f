"""`completion`: scripts that let shells complete our commands and options."""

from __future__ import annotations

import click
import click.shell_completion

from sidecar_injector import names
from sidecar_injector.cli import main
from sidecar_injector.cli.output import tables

KUBECTL = "kubectl"
SHELLS = ("bash", "zsh", "fish")
_KUBECTL_SCRIPT = f"""\
#!/bin/sh
{main.COMPLETE}=kubectl_complete exec {names.PRODUCT} "$@"
"""


@click.command(
    epilog=f'Example: eval "$({names.PRODUCT} completion bash)"'
)  # fmt: skip
@click.argument("shell", type=click.Choice([*SHELLS, KUBECTL]))
@click.pass_context
def completion(context: click.Context, /, *, shell: str) -> None:
    """Print the script that completes commands and options.

    For bash and zsh, let ~/.bashrc or ~/.zshrc evaluate it; for fish, save it as
    ~/.config/fish/completions/sidecar-injector.fish.

    As the plugin `kubectl sidecar-injector` we are completed by kubectl's own completion, which
    looks on the PATH for an executable named kubectl_complete-sidecar_injector: save what
    `completion kubectl` prints under that name and make it executable.
    """
    if shell == KUBECTL:
        tables.write(_KUBECTL_SCRIPT)
        return
    completion_class = click.shell_completion.get_completion_class(shell)
    assert completion_class, shell  # SHELLS are click's own.
    root = context.find_root().command
    tables.write(f"{completion_class(root, {}, names.PRODUCT, main.COMPLETE).source()}\n")
