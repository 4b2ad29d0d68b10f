"""The cluster that a verb is about: its options, the connection, and errors in one line."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import os
import pathlib
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

import click

from sidecar_injector.cli import options
from sidecar_injector.cli.output import tables
from sidecar_injector.kube import api

Answer = TypeVar("Answer")


class Cluster(api.Api, Protocol):
    """The API as verbs need it."""

    warnings: list[str]
    """What the API server warned of in its last answer."""

    async def document(self, path: str) -> api.Json:
        """What stands at a path that names no resource: `/version`, `/openapi/v3/…`."""
        ...


class ClusterTrouble(click.ClickException):
    """The cluster did not answer what was asked: one line; exit status 2."""

    exit_code = 2


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Which cluster, and which release of ours in it; what is None is found out."""

    kubeconfig: str | None = None
    context: str | None = None
    release_namespace: str | None = None


def address() -> options.Decorator:
    """`--kubeconfig`, `--context`, `--release-namespace`, given as one `address`."""
    given = (
        click.option("--kubeconfig", metavar="FILE",
                     help="Instead of $KUBECONFIG and ~/.kube/config."),
        click.option("--context", metavar="NAME", help="A context of the kubeconfig."),
        click.option("--release-namespace", metavar="NAMESPACE",
                     help="Where the injector is installed, if it cannot be found by its labels."),
    )  # fmt: skip

    def decorate(verb: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(verb)
        def called(*arguments: Any, **given: Any) -> Any:
            fields = {one.name: given.pop(one.name) for one in dataclasses.fields(Address)}
            return verb(*arguments, address=Address(**fields), **given)

        for option in reversed(given):
            called = option(called)
        return called

    return decorate


def namespace(*, everywhere: bool) -> options.Decorator:
    """`-n` and `-A`; without either it is all namespaces, or the context's own."""
    usual = "All namespaces without it." if everywhere else "The context's own without it."

    def decorate(verb: Callable[..., Any]) -> Callable[..., Any]:
        verb = click.option(
            "-A", "--all-namespaces", is_flag=True, help="In all namespaces."
        )(verb)  # fmt: skip
        return click.option(
            "-n", "--namespace", metavar="NAMESPACE", help=f"In this namespace. {usual}"
        )(verb)

    return decorate


def one_namespace(given: str | None, *, all_namespaces: bool) -> str | None:
    """The namespace of `-n`, or None for `-A`; UsageError for both."""
    if given and all_namespaces:
        raise click.UsageError("-n and -A exclude each other")
    return given


def ask(
    address: Address, question: Callable[[Cluster], Awaitable[Answer]], *, doing: str = ""
) -> Answer:
    """The answer of the cluster at this address. Raises ClusterTrouble for every KubeError.

    `doing` is shown on a terminal meanwhile; without it the question shows its own progress.
    """
    console = tables.console(stderr=True)
    shown = doing and console.is_terminal
    try:
        with console.status(doing) if shown else contextlib.nullcontext():
            return asyncio.run(_asked(address, question))
    except api.KubeError as error:
        raise ClusterTrouble(str(error)) from error


def context_namespace(address: Address) -> str:
    """The namespace that kubectl would take. Raises ClusterTrouble without a kubeconfig."""
    try:
        return _source(address).namespace() or "default"
    except api.KubeError as error:
        raise ClusterTrouble(str(error)) from error


async def _asked(address: Address, question: Callable[[Cluster], Awaitable[Answer]]) -> Answer:
    # As in `run`: verbs on files should not pay for the import of the client.
    from sidecar_injector.kube import visitor  # noqa: PLC0415

    async with visitor.Visitor(_source(address)) as visiting:
        return await question(visiting)


def _source(address: Address) -> Any:
    from sidecar_injector.kube import credentials  # noqa: PLC0415

    usual = pathlib.Path("~/.kube/config").expanduser()
    given = address.kubeconfig or os.environ.get("KUBECONFIG")
    path = given or (str(usual) if usual.is_file() else None)
    return credentials.find(os.environ, kubeconfig=path, context=address.context)
