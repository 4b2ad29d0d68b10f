"""The command `sidecar-injector`, also `kubectl sidecar-injector`."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from sidecar_injector import __version__, names

PLUGIN: Final = "kubectl-sidecar_injector"
"""The file name by which kubectl finds its plugin `sidecar-injector`."""
COMPLETE: Final = f"_{names.PRODUCT.replace('-', '_').upper()}_COMPLETE"
"""The variable that makes click complete instead of run."""
SUMMARIES: Final[Mapping[str, str]] = {
    "certificates": "show the certificates, or replace them",
    "check": "check the installation and print fixes",
    "compile": "make the admission policy that injects without the operator",
    "completion": "print the script that completes commands in a shell",
    "convert": "make injections of another injector's configuration",
    "diff": "show what the webhook would change in pods",
    "explain": "say why a pod is injected or not",
    "inject": "print manifests with the sidecars that the webhook would add",
    "krm": "be a KRM function, for kustomize and kpt",
    "lint": "check injections as the cluster would",
    "plan": "say what a change would do to every workload",
    "playground": "serve a page that shows what becomes of pods while you write them",
    "restart": "restart workloads whose sidecars are outdated or missing",
    "run": "run the operator",
    "status": "show what is installed, and which pods need a restart",
    "test": "check that pods get what files expect",
    "uninject": "print manifests without what was injected",
    "version": "print the version, here and in the cluster",
}
"""Each verb is a function in a module of its name in `cli/commands`."""
HIDDEN: Final = frozenset({"run"})
"""What no user of a cluster types."""
WORDS: Final = f"{names.PRODUCT}.words"
"""Where a context has the arguments as they were typed."""
READER_GONE: Final = 141
"""The exit status of a program that SIGPIPE ends, as kubectl has it."""


class Verbs(Mapping[str, click.Command]):
    """Imports a verb when it is used: a replica keeps the code of `run` alone in memory."""

    def __getitem__(self, name: str) -> click.Command:
        if name not in SUMMARIES:
            raise KeyError(name)
        module = importlib.import_module(f"sidecar_injector.cli.commands.{name}")
        command: click.Command = getattr(module, name)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(SUMMARIES)

    def __len__(self) -> int:
        return len(SUMMARIES)


class OutputError(click.ClickException):
    """Standard output cannot be written: one line; exit status 2."""

    exit_code = 2


class LazyGroup(click.Group):
    """Lists its verbs without importing them, and survives an output that cannot be written."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs that users see."""
        return [name for name in SUMMARIES if name not in HIDDEN]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in the help; each summary is shown whole, however narrow the terminal is."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, SUMMARIES[name]) for name in self.list_commands(ctx)])

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        """The verbs, then the options."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - not for other uses

        verbs = [
            CompletionItem(name, help=SUMMARIES[name])
            for name in self.list_commands(ctx)
            if name.startswith(incomplete)
        ]
        return [*verbs, *click.Command.shell_complete(self, ctx, incomplete)]

    def main(self, *arguments: Any, **options: Any) -> Any:
        """As click runs it; OutputError and a reader that is gone end it without a traceback."""
        try:
            return super().main(*arguments, **options)
        except OSError as error:
            # What is still in the buffer must not fail once more when Python ends.
            _discard_output()
            refusal = OutputError(f"standard output cannot be written: {error.strerror or error}")
            refusal.show()
            sys.exit(refusal.exit_code)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the words for messages."""
        ctx.meta[WORDS] = tuple(args)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise _completed(error, ctx) from error

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; a wrong use is told what is right."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise _completed(error, ctx) from error
        except BrokenPipeError:
            _discard_output()
            sys.exit(READER_GONE)


def _completed(error: click.UsageError, ctx: click.Context) -> click.UsageError:
    from sidecar_injector.cli import usage  # noqa: PLC0415 - not for right uses

    return usage.completed(error, ctx, ctx.meta[WORDS])


def _discard_output() -> None:
    """From now on what is written to standard output goes nowhere."""
    # https://docs.python.org/3/library/signal.html#note-on-sigpipe
    with contextlib.suppress(OSError, ValueError):  # Of an output that is not a file.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


commands: Any = Verbs()
"""Click would accept more verbs and never adds one by itself."""


@click.group(
    cls=LazyGroup, commands=commands, context_settings={"help_option_names": ["-h", "--help"],
                                                        "max_content_width": 100},
)  # fmt: skip
# Not "version": a map of defaults has the options of the verb of that name under it.
@click.version_option(
    __version__, "--version", "shows_version",
    prog_name=names.PRODUCT, message="%(prog)s %(version)s",
)  # fmt: skip
def cli() -> None:
    """Put sidecar containers into pods, and say why or why not.

    Exit status: 0 fine; 1 findings; 2 wrong usage, an input that cannot be read, an output that
    cannot be written, or a cluster that does not answer.
    """


def main() -> NoReturn:
    """The entry point, under both of its names."""
    is_plugin = Path(sys.argv[0]).name == PLUGIN
    if COMPLETE in os.environ:
        _prepare_completion()
    cli(
        prog_name=f"kubectl {names.PRODUCT}" if is_plugin else names.PRODUCT,
        complete_var=COMPLETE,
        default_map=helm_defaults(os.environ, sys.argv),
    )
    raise AssertionError


def complete_for_kubectl() -> NoReturn:
    """The entry point of kubectl's completion: its arguments are the words so far."""
    os.environ[COMPLETE] = "kubectl_complete"
    main()


def _prepare_completion() -> None:
    from sidecar_injector.cli import kubectl_completion, lazy_import  # noqa: PLC0415

    lazy_import.install()
    kubectl_completion.register()


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
    return {verb: {"namespace": namespace} for verb in SUMMARIES}
