"""`playground`: a page on loopback that shows what becomes of pods while they are written."""

from __future__ import annotations

import functools
import signal

import click

from sidecar_injector import names
from sidecar_injector.cli import options
from sidecar_injector.cli.cluster import client
from sidecar_injector.cli.playground import answers, live, server


@click.command(epilog="Example: sidecar-injector playground --open")
@click.option(
    "--cluster",
    "is_live",
    is_flag=True,
    help="Offer the injections and workloads of a namespace of a cluster.",
)
@options.namespace(live=True)
@click.option("--open", "opens", is_flag=True, help="Open the page in a browser.")
@client.address()  # fmt: skip
def playground(
    *, is_live: bool, namespace: str | None, opens: bool, address: client.Address
) -> None:
    """Serve a page that shows what becomes of pods while you write them.

    Injections and pods are written on the left, as YAML. At each change the right side has what
    `explain` and `diff` say of these texts. The page is served on 127.0.0.1 alone, to anyone who
    knows the address that is printed, until Ctrl-C. It needs no network, and nothing is kept.

    With --cluster it offers what a namespace contains. Nothing is ever written to the cluster.
    """
    place = namespace or (client.context_namespace(address) if is_live else "default")
    operations: dict[str, server.Operation] = {
        "answer": functools.partial(answers.answer, namespace=place),
        "choices": lambda _: {},
    }
    if is_live:
        read = functools.partial(live.read, address, place)
        operations["choices"] = functools.partial(read, live.choices)
        operations["manifests"] = functools.partial(read, live.manifests)
    # A process that a shell starts in the background ignores Ctrl-C, and is ended so.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with server.PlaygroundServer(operations) as served:
            click.echo(served.address)
            if opens:
                click.launch(served.address)
            served.serve_forever()
    except KeyboardInterrupt:
        click.echo(f"\n{names.PRODUCT} playground has ended", err=True)
