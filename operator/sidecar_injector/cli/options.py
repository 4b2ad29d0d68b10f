"""The options that several verbs share, each declared once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from sidecar_injector import names
from sidecar_injector.cli import proposals

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

TABLE, JSON, YAML = "table", "json", "yaml"
STDIN = "-"
FROM_CLUSTER = " Without it, the injections and the namespaces of the cluster."
# Shells complete it as a file name, click checks nothing: messages about files are our own.
_PATH = click.Path(allow_dash=True)


def together(*decorators: Decorator) -> Decorator:
    """Several options as one decorator; the help lists them in this order."""

    def decorate(verb: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            verb = decorator(verb)
        return verb

    return decorate


def files(what: str, *, required: bool = True) -> Decorator:
    """`-f` and `-R`: the files that a verb is about; those of a folder are listed one by one."""
    declared = together(
        click.option(
            "-f", "--filename", "files", multiple=True, required=required, metavar="FILE|DIR|URL|-",
            type=_PATH, help=f"{what} May be repeated.",
        ),
        click.option("-R", "--recursive", is_flag=True,
                     help="Also the folders in a folder that -f, -i or -w names. Files of a folder"
                     " that are no manifests are passed over, and noted."),
    )  # fmt: skip
    return lambda verb: declared(with_folders(verb))


def with_folders(verb: Callable[..., Any]) -> Callable[..., Any]:
    """The verb, called with the files of a folder in its place."""

    @functools.wraps(verb)
    def wrapper(*arguments: Any, recursive: bool = False, **values: Any) -> Any:
        from sidecar_injector.cli.input import locations  # noqa: PLC0415 - not for completion

        for name in ("files", "injection_files", "workload_files"):
            if name in values:
                values[name] = locations.files(values[name], recursive=recursive)
        return verb(*arguments, **values)

    return wrapper


def injections(*, required: bool = True, without: str = "") -> Decorator:
    """`-i`: the files with the injections; `without` says what counts instead."""
    return click.option(
        "-i", "--injections", "injection_files", multiple=True, required=required,
        metavar="FILE|DIR|URL|-", type=_PATH,
        help=f"SidecarInjections of either kind. May be repeated.{without}",
    )  # fmt: skip


def subjects() -> Decorator:
    """Objects of a cluster, or files and injections, and what belongs to them."""
    return together(
        click.argument(
            "objects", nargs=-1, shell_complete=proposals.objects,
            metavar="[KIND/NAME… | KIND [NAME]…]",
            help="Of a cluster: pod/NAME, deploy NAME, job (all of them), …",
        ),
        click.option("-l", "--selector", metavar="SELECTOR",
                     help="Only objects with these labels."),
        click.option("-A", "--all-namespaces", is_flag=True, help="Objects of all namespaces."),
        files("Manifests: pods, and everything with a pod template.", required=False),
        injections(required=False, without=FROM_CLUSTER),
        namespace(live=True),
        namespace_labels(),
        kind_paths(),
    )  # fmt: skip


def namespace(*, live: bool = False) -> Decorator:
    """`-n`; without it that of the context, for verbs that also read a cluster (`live`)."""
    usual = "; without it the context's own in a cluster, default in files" if live else ""
    return click.option(
        "-n", "--namespace", default=None if live else "default", show_default=not live,
        shell_complete=proposals.namespaces if live else None,
        metavar="NAMESPACE", help=f"The namespace of objects that carry none{usual}.",
    )  # fmt: skip


def namespace_labels() -> Decorator:
    """`--namespace-labels`, as a mapping."""
    return click.option(
        "--namespace-labels", default="", callback=labels, metavar="K=V,…",
        help=f"Labels of the pods' namespace, besides {names.INJECTION_LABEL}={names.ENABLED}.",
    )  # fmt: skip


def kind_paths() -> Decorator:
    """`--kind-path`: where custom kinds have their pod templates, as long as the verb runs."""
    return click.option(
        "--kind-path", "kind_paths", multiple=True, metavar="GROUP/KIND=PATH", expose_value=False,
        callback=_declare,
        help="Where a custom kind has a pod template: example.com/Foo=spec.podTemplate. May be"
        " repeated.",
    )  # fmt: skip


def _declare(context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> None:
    if not texts:
        return
    from sidecar_injector.core.pods import kinds  # noqa: PLC0415 - not for completion

    try:
        entries = kinds.from_texts(texts)
    except kinds.InvalidKindPathError as error:
        raise click.BadParameter(str(error)) from error
    context.with_resource(kinds.declared(entries))


def output() -> Decorator:
    """`-o`: for people or for programs."""
    return click.option(
        "-o", "--output", "form", type=click.Choice([TABLE, JSON, YAML]), default=TABLE,
        show_default=True, help="How to print it.",
    )  # fmt: skip


def check_stdin(*paths: str) -> None:
    """Raises UsageError where standard input would have to be read twice."""
    if paths.count(STDIN) > 1:
        raise click.UsageError("standard input (-) can be read only once")


def labels(context: click.Context, parameter: click.Parameter, text: str) -> dict[str, str]:
    """`k=v,…` as a mapping."""
    pairs = [item.strip() for item in text.split(",") if item.strip()]
    if bad := next((item for item in pairs if "=" not in item), None):
        raise click.BadParameter(f"{bad!r} is not a label; write key=value")
    return {key: value for key, _, value in (item.partition("=") for item in pairs)}
