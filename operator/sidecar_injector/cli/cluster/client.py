"""The cluster that a verb is about: its options, the connection, and errors in one line."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sidecar_injector.cli import options, proposals
from sidecar_injector.cli.cluster import errors
from sidecar_injector.cli.cluster.errors import ClusterError
from sidecar_injector.kube import api

if TYPE_CHECKING:
    from sidecar_injector.cli.cluster import kubeconfig
    from sidecar_injector.cli.cluster.http_client import InteractiveClient

__all__ = ["ClusterError"]

Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Which cluster, and which release of ours in it; None where the verb finds it out."""

    kubeconfig: str | None = None
    context: str | None = None
    release_namespace: str | None = None
    impersonate: str | None = None
    impersonate_groups: tuple[str, ...] = ()
    seconds: float | None = None
    """How long a request may take; None for the client's own limit."""


def address() -> options.Decorator:
    """The options that name a cluster and a user, which the verb gets as one `address`."""
    declared = options.together(
        click.option("--kubeconfig", metavar="FILE",
                     help="Path of the kubeconfig.  [default: $KUBECONFIG, else ~/.kube/config]"),
        # Helm hands its --kube-context on to plugins in this variable.
        click.option("--context", metavar="NAME", envvar="HELM_KUBECONTEXT",
                     shell_complete=proposals.contexts,
                     help="A context of the kubeconfig."),
        click.option("--as", "impersonate", metavar="USER",
                     help="Act as this user, as far as you may."),
        click.option("--as-group", "impersonate_groups", metavar="GROUP", multiple=True,
                     help="Act as a member of this group. May be repeated."),
        click.option("--release-namespace", metavar="NAMESPACE",
                     shell_complete=proposals.namespaces,
                     help="Where the injector is installed, if it cannot be found by its labels."),
    )  # fmt: skip

    def decorate(verb: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(verb)
        def wrapper(*arguments: Any, **values: Any) -> Any:
            declared_fields = [field.name for field in dataclasses.fields(Address)]
            fields = {name: values.pop(name) for name in declared_fields if name in values}
            return verb(*arguments, address=Address(**fields), **values)

        return declared(wrapper)

    return decorate


def namespace(*, everywhere: bool) -> options.Decorator:
    """`-n` and `-A`; `everywhere` says whether the verb takes all namespaces without them."""
    usual = "All namespaces without it." if everywhere else "The context's own without it."
    return options.together(
        click.option(
            "-n", "--namespace", metavar="NAMESPACE", shell_complete=proposals.namespaces,
            help=f"In this namespace. {usual}",
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
    operation: Callable[[InteractiveClient], Awaitable[Result]],
    *,
    doing: str = "",
) -> Result:
    """The result of an operation on the cluster. Raises ClusterError for every KubeError.

    A terminal shows `doing` meanwhile; without it the operation shows its own progress.
    """
    try:
        with _progress(doing) if doing and sys.stderr.isatty() else contextlib.nullcontext():
            return _finished(connected(address, operation))
    except api.KubeError as error:
        context = click.get_current_context(silent=True)
        parameters = context.params if context else {}
        # Only a verb that has -n, and did not get it, can read less.
        can_name = "namespace" in parameters and parameters["namespace"] is None
        raise ClusterError(errors.explained(error, can_name_namespace=can_name)) from error


def _progress(doing: str) -> contextlib.AbstractContextManager[object]:
    from sidecar_injector.cli.output import tables  # noqa: PLC0415 - for terminals alone

    return tables.console(stderr=True).status(doing)


def context_namespace(address: Address) -> str:
    """The namespace that kubectl would take. Raises ClusterError without a kubeconfig."""
    try:
        files = _kubeconfig(address)
        return (files.namespace() if files else "") or "default"
    except api.KubeError as error:
        raise ClusterError(errors.explained(error)) from error


def is_configured(address: Address) -> bool:
    """Whether there may be a cluster to ask; no kubeconfig is read."""
    try:
        _kubeconfig(address)
    except api.CredentialsError:
        return False
    return True


def contexts(address: Address) -> list[str]:
    """The names of all contexts. Raises CredentialsError without a kubeconfig."""
    files = _kubeconfig(address)
    return files.contexts() if files else []


async def connected(
    address: Address, operation: Callable[[InteractiveClient], Awaitable[Result]]
) -> Result:
    """The result of an operation that gets a client of this cluster."""
    # As in `run`: verbs on files should not pay for the import of the client.
    from sidecar_injector.cli.cluster import http_client  # noqa: PLC0415

    load = functools.partial(access, address)
    async with http_client.InteractiveClient(load, seconds=address.seconds) as client:
        return await operation(client)


def access(address: Address) -> kubeconfig.Access:
    """The server and the identity. Raises CredentialsError."""
    from sidecar_injector.cli.cluster import kubeconfig  # noqa: PLC0415 - as above

    files = _kubeconfig(address)
    result = files.access() if files else kubeconfig.in_pod(os.environ)
    if not address.impersonate:
        if address.impersonate_groups:
            raise click.UsageError("--as-group needs --as USER")
        return result
    identity = kubeconfig.Identity(user=address.impersonate, groups=address.impersonate_groups)
    return dataclasses.replace(result, identity=identity)


def _kubeconfig(address: Address) -> kubeconfig.Kubeconfig | None:
    from sidecar_injector.cli.cluster import kubeconfig  # noqa: PLC0415 - as above

    return kubeconfig.find(os.environ, kubeconfig=address.kubeconfig, context=address.context)


def _finished(operation: Coroutine[Any, Any, Result]) -> Result:
    """The result of a coroutine; Ctrl-C ends it although the client blocks."""
    import asyncio  # noqa: PLC0415 - as above

    # Unlike asyncio.run, which would wait for the response first.
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(operation)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
