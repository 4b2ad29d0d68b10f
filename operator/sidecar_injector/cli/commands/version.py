"""`version`: of this program, of the API that it reads, and of what a cluster runs."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import click

from sidecar_injector import __version__, names
from sidecar_injector.cli import options
from sidecar_injector.cli.cluster import client as cluster_client
from sidecar_injector.cli.cluster import errors

SECONDS: Final = 3.0
"""How long a cluster may take: people put `version` into reports of bugs."""


@click.command(epilog="Example: sidecar-injector version -o json")
@click.option("--client", "is_client", is_flag=True, help="Ask no cluster.")
@click.option("--server", is_flag=True, hidden=True)
@options.output()
@cluster_client.address()
def version(*, is_client: bool, server: bool, form: str, address: cluster_client.Address) -> None:
    """Print the version of this program and of the API that it reads, and what the cluster runs.

    What cannot be seen of the cluster within 3 seconds is left out (null for programs, -o), for
    which a note has the reason. Without a kubeconfig only this program is named.
    """
    is_table = form == options.TABLE
    asks = not is_client and (server or not is_table or cluster_client.is_configured(address))
    seen = _server(address) if asks else {}
    if not is_table:
        from sidecar_injector.cli.output import tables  # noqa: PLC0415 - not for the usual line

        client = {"version": __version__, "apiVersion": names.API_VERSION}
        tables.structured({"client": client, **seen}, form=form)
    else:
        click.echo(f"{names.PRODUCT} {__version__} ({names.API_VERSION})")
        if seen.get("operator"):
            click.echo(f"operator {seen['operator']['version']} in {seen['operator']['namespace']}")
        if seen.get("kubernetes"):
            click.echo(f"Kubernetes {seen['kubernetes']}")
    for note in seen.get("notes", ()):
        click.echo(f"note: {note}", err=True)


def _server(address: cluster_client.Address) -> dict[str, Any]:
    """The versions in the cluster, as far as they can be seen."""
    from sidecar_injector.cli.cluster import release  # noqa: PLC0415 - as above
    from sidecar_injector.kube import api  # noqa: PLC0415

    seen: dict[str, Any] = {"operator": None, "kubernetes": None, "notes": []}

    async def read(client: api.Api) -> None:
        try:
            seen["kubernetes"] = str((await client.document("/version")).get("gitVersion"))
            found = await release.find(client, namespace=address.release_namespace)
            seen["operator"] = {"namespace": found.namespace, "version": found.version}
        except api.KubeError as error:
            seen["notes"].append(str(errors.explained(error)))

    try:
        cluster_client.run(dataclasses.replace(address, seconds=SECONDS), read)
    except cluster_client.ClusterError as error:
        seen["notes"].append(error.message)
    return seen
