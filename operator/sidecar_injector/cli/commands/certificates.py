"""`certificates`: what the webhook is served with, and how to have it replaced."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click
import rich.console

from sidecar_injector.cli import options
from sidecar_injector.cli.cluster import client, release
from sidecar_injector.cli.commands import rotation
from sidecar_injector.cli.output import tables

if TYPE_CHECKING:
    from sidecar_injector.cli.cluster import certificates as live

COLUMNS = ("CERTIFICATE", "VALID FROM", "UNTIL", "REPLACED", "SERIAL")
BUNDLE_COLUMNS = ("WEBHOOK", "CABUNDLE")
NOTHING = "-"
STYLES = {
    "in sync": tables.GOOD, "behind": tables.NEUTRAL, "empty": tables.BAD, "foreign": tables.BAD,
    "no configuration": tables.BAD, "unknown": tables.NEUTRAL,
}  # fmt: skip
SHOWN_DIGITS = 16
"""Of a serial number in a table."""


@click.group(epilog="Example: sidecar-injector certificates show")
def certificates() -> None:
    """Show the webhook's certificates, or have them replaced.

    The operator renews them by itself; no command is ever needed for that.
    """


@certificates.command("show", epilog="Example: sidecar-injector certificates show -o json")
@options.output()
@client.address()
def show_(*, form: str, address: client.Address) -> None:
    """Print generation, dates, the phase of a rotation, and whether the API server trusts them.

    Key material is never printed. Exit status 1 if the Secret cannot be used, a certificate is out
    of its dates, or a webhook's caBundle is not what it should be.
    """
    # As in `run`: other verbs should not pay for the import of the cryptography.
    from sidecar_injector.cli.cluster import certificates as live  # noqa: PLC0415

    now = datetime.datetime.now(datetime.UTC)

    async def question(asked: client.Cluster) -> live.Certificates:
        found = await release.find(asked, namespace=address.release_namespace)
        return await live.read(asked, found, now=now)

    found = client.ask(address, question)
    if form == options.TABLE:
        print_table(found, now, to=tables.console())
        for problem in found.problems:
            click.echo(f"problem: {problem}", err=True)
    else:
        tables.structured(as_json(found), form=form)
    sys.exit(1 if found.problems else 0)


@certificates.command(epilog="Example: sidecar-injector certificates rotate --ca --wait")
@click.option("--ca", "with_ca", is_flag=True, help="A new CA, too; without it the leaf only.")
@click.option("--wait", is_flag=True, help="Until it is done, telling each step.")
@click.option("--timeout", type=click.IntRange(min=1), default=300, show_default=True,
              metavar="SECONDS", help="How long to wait.")  # fmt: skip
@client.address()
def rotate(*, with_ca: bool, wait: bool, timeout: int, address: client.Address) -> None:
    """Have the webhook's certificate replaced now.

    Writes one annotation on the Secret, which the replica that acts on it removes. No pod creation
    fails meanwhile: a new CA is trusted by the API servers before anything is signed by it, so that
    takes about a minute. Certificates of cert-manager or of an administrator are not ours to
    replace. Exit status 1 if it is not done in time.
    """
    wanted = rotation.CA if with_ca else rotation.LEAF
    done = client.ask(
        address,
        lambda asked: rotation.rotate(
            asked, wanted, namespace=address.release_namespace, seconds=timeout if wait else 0
        ),
    )
    sys.exit(0 if done else 1)


def as_json(found: live.Certificates) -> dict[str, Any]:
    """For programs; its shape is stable."""
    return {
        "secret": found.secret,
        "mode": found.mode,
        "generation": found.generation,
        "phase": found.phase,
        "certificates": [
            {
                "role": one.role,
                "serial": one.serial,
                "notBefore": _rfc3339(one.begins),
                "notAfter": _rfc3339(one.ends),
                "replacedAt": _rfc3339(one.due) if one.due else None,
            }
            for one in found.certificates
        ],
        "bundles": [
            {"kind": one.kind, "webhook": one.entry, "state": one.state} for one in found.bundles
        ],
        "problems": list(found.problems),
    }


def heading(found: live.Certificates) -> str:
    """The Secret in a line."""
    generation = f"generation {found.generation}, " if found.generation else ""
    return f"Secret {found.secret} ({found.mode}): {generation}{found.phase}"


def rows(found: live.Certificates, now: datetime.datetime) -> Iterator[tables.Row]:
    """A row for each certificate."""
    for one in found.certificates:
        due = _when(one.due, now) if one.due else NOTHING
        yield (
            one.role, _date(one.begins), _when(one.ends, now), due, one.serial[:SHOWN_DIGITS] + "…",
        )  # fmt: skip


def print_table(
    found: live.Certificates, now: datetime.datetime, *, to: rich.console.Console
) -> None:
    """The Secret, its certificates and the webhooks' trust in them, for people."""
    tables.heading(heading(found), to=to)
    if found.certificates:
        tables.table(COLUMNS, list(rows(found, now)), styles=STYLES, to=to)
    tables.write("\n")
    bundles = [(one.place, one.state) for one in found.bundles]
    tables.table(BUNDLE_COLUMNS, bundles, styles=STYLES, to=to)


def _when(moment: datetime.datetime, now: datetime.datetime) -> str:
    """A date and how far away it is."""
    away = moment - now
    if away < datetime.timedelta(0):
        return f"{_date(moment)} (past)"
    left = f"{away.days} d" if away.days else f"{away.seconds // 60} min"
    return f"{_date(moment)} (in {left})"


def _date(moment: datetime.datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _rfc3339(moment: datetime.datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
