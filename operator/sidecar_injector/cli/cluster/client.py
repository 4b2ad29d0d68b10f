"""The cluster that a verb is about: its options, the connection, and errors in one line."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import os
import pathlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sidecar_injector.cli import options
from sidecar_injector.cli.output import tables
from sidecar_injector.kube import api, lean_import

if TYPE_CHECKING:
    from sidecar_injector.kube import client as kube_client

Result = TypeVar("Result")


class ClusterError(click.ClickException):
    """The cluster did not answer, or refused: one line; exit status 2."""

    exit_code = 2


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Which cluster, and which release of ours in it; None where the verb finds it out."""

    kubeconfig: str | None = None
    context: str | None = None
    release_namespace: str | None = None


def address() -> options.Decorator:
    """`--kubeconfig`, `--context`, `--release-namespace`, which the verb gets as one `address`."""
    declared = options.together(
        click.option("--kubeconfig", metavar="FILE",
                     help="Instead of $KUBECONFIG and ~/.kube/config."),
        # Helm hands its --kube-context on to plugins in this variable.
        click.option("--context", metavar="NAME", envvar="HELM_KUBECONTEXT",
                     help="A context of the kubeconfig."),
        click.option("--release-namespace", metavar="NAMESPACE",
                     help="Where the injector is installed, if it cannot be found by its labels."),
    )  # fmt: skip

    def decorate(verb: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(verb)
        def wrapper(*arguments: Any, **values: Any) -> Any:
            fields = {field.name: values.pop(field.name) for field in dataclasses.fields(Address)}
            return verb(*arguments, address=Address(**fields), **values)

        return declared(wrapper)

    return decorate


def namespace(*, everywhere: bool) -> options.Decorator:
    """`-n` and `-A`; `everywhere` says whether the verb takes all namespaces without them."""
    usual = "All namespaces without it." if everywhere else "The context's own without it."
    return options.together(
        click.option(
            "-n", "--namespace", metavar="NAMESPACE", help=f"In this namespace. {usual}"
        ),
        click.option("-A", "--all-namespaces", is_flag=True, help="In all namespaces."),
    )  # fmt: skip


def chosen_namespace(namespace: str | None, *, all_namespaces: bool) -> str | None:
    """The namespace of `-n`, or None for `-A`; UsageError for both."""
    if namespace and all_namespaces:
        raise click.UsageError("-n and -A exclude each other")
    return namespace


def run(
    address: Address,
    operation: Callable[[kube_client.InteractiveClient], Awaitable[Result]],
    *,
    doing: str = "",
) -> Result:
    """The result of an operation on the cluster. Raises ClusterError for every KubeError.

    A terminal shows `doing` meanwhile; without it the operation shows its own progress.
    """
    console = tables.console(stderr=True)
    has_status = doing and console.is_terminal
    try:
        with console.status(doing) if has_status else contextlib.nullcontext():
            return asyncio.run(connected(address, operation))
    except api.KubeError as error:
        raise ClusterError(str(error)) from error


def context_namespace(address: Address) -> str:
    """The namespace that kubectl would take. Raises ClusterError without a kubeconfig."""
    try:
        return _credentials(address).namespace() or "default"
    except api.KubeError as error:
        raise ClusterError(str(error)) from error


async def connected(
    address: Address, operation: Callable[[kube_client.InteractiveClient], Awaitable[Result]]
) -> Result:
    """The result of an operation that gets a client of this cluster."""
    # As in `run`: verbs on files should not pay for the import of the client.
    lean_import.skip_synchronous_client()
    from sidecar_injector.kube import client as kube_client  # noqa: PLC0415

    async with kube_client.InteractiveClient(_credentials(address)) as client:
        return await operation(client)


def _credentials(address: Address) -> Any:
    lean_import.skip_synchronous_client()
    from sidecar_injector.kube import credentials  # noqa: PLC0415

    default = pathlib.Path("~/.kube/config").expanduser()
    chosen = address.kubeconfig or os.environ.get("KUBECONFIG")
    path = chosen or (str(default) if default.is_file() else None)
    return credentials.find(os.environ, kubeconfig=path, context=address.context)
