"""`certificates`: the webhook's certificates, and how to have them replaced."""

from __future__ import annotations

import asyncio
import datetime
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import click
import rich.console

from sidecar_injector import names
from sidecar_injector.cli import operator_extra, options
from sidecar_injector.cli.cluster import client as cluster_client
from sidecar_injector.cli.cluster import release as cluster_release
from sidecar_injector.cli.output import tables
from sidecar_injector.kube import api

if TYPE_CHECKING:
    from sidecar_injector.cli.cluster import certificates as live

COLUMNS = ("ROLE", "VALID FROM", "UNTIL", "REPLACED", "SERIAL")
BUNDLE_COLUMNS = ("WEBHOOK", "CABUNDLE")
NOTHING = "-"
STYLES = {
    "in sync": tables.GOOD, "behind": tables.NEUTRAL, "empty": tables.BAD, "foreign": tables.BAD,
    "no configuration": tables.BAD, "unknown": tables.NEUTRAL,
}  # fmt: skip
SERIAL_DIGITS = 8
"""How much of a serial number a table shows."""
LEAF, CA = "leaf", "ca"
"""Values of the annotation that asks for a rotation."""
PAUSE: Final = 0.3
"""Seconds between two looks at the progress of a rotation."""


class CannotRotate(click.UsageError):
    """cert-manager or an administrator replaces the certificates."""


@click.group(epilog="Example: sidecar-injector certificates show")
def certificates() -> None:
    """Show the webhook's certificates, or have them replaced.

    The operator renews them by itself; no command is ever needed for that.
    """


@certificates.command("show", epilog="Example: sidecar-injector certificates show -o json")
@options.output()
@cluster_client.address()
def show_(*, form: str, address: cluster_client.Address) -> None:
    """Print generation, dates, the phase of a rotation, and whether the API server trusts them.

    Key material is never printed. Exit status 1 if the Secret cannot be used, a certificate is out
    of its dates, or a webhook's caBundle is not what it should be.
    """

    async def find_and_read(client: api.Api) -> live.Certificates:
        release = await cluster_release.find(client, namespace=address.release_namespace)
        return await read(client, release)

    state = cluster_client.run(address, find_and_read)
    if form == options.TABLE:
        print_table(state, to=tables.console())
        for problem in state.problems:
            click.echo(f"problem: {problem}", err=True)
    else:
        tables.structured(as_json(state), form=form)
    sys.exit(1 if state.problems else 0)


@certificates.command(epilog="Example: sidecar-injector certificates rotate --ca --wait")
@click.option("--ca", "with_ca", is_flag=True, help="A new CA, too; without it the leaf only.")
@click.option("--wait", is_flag=True, help="Until it is done, telling each step.")
@click.option("--timeout", type=click.IntRange(min=1), default=300, show_default=True,
              metavar="SECONDS", help="How long to wait.")  # fmt: skip
@cluster_client.address()
def rotate(*, with_ca: bool, wait: bool, timeout: int, address: cluster_client.Address) -> None:
    """Have the webhook's certificate replaced now.

    Writes one annotation on the Secret, which the replica that acts on it removes. No pod creation
    fails meanwhile: a new CA is trusted by the API servers before anything is signed by it, so that
    takes about a minute. Certificates of cert-manager or of an administrator are not ours to
    replace. Exit status 1 if it is not done in time.
    """

    async def request_and_wait(client: api.Api) -> bool:
        release = await cluster_release.find(client, namespace=address.release_namespace)
        before = await _request_rotation(client, release, CA if with_ca else LEAF)
        if not wait:
            return True
        return await _wait(client, release, before=before, with_ca=with_ca, seconds=timeout)

    sys.exit(0 if cluster_client.run(address, request_and_wait) else 1)


async def read(client: api.Api, release: cluster_release.Release) -> live.Certificates:
    """The certificates of a release as they are now."""
    # As in `run`: other verbs should not pay for the import of the cryptography.
    with operator_extra.needed(operator_extra.CERTIFICATES):
        from sidecar_injector.cli.cluster import certificates as live  # noqa: PLC0415

    return await live.read(client, release, now=_now())


async def _request_rotation(
    client: api.Api, release: cluster_release.Release, wanted: str
) -> live.Certificates:
    """Writes the annotation; returns the certificates as they were before."""
    settings = release.settings
    if settings.certificate_mode != cluster_release.SELF_SIGNED:
        raise CannotRotate(
            f"certificates.mode is {settings.certificate_mode}: the Secret {settings.namespace}/"
            f"{settings.secret_name} is managed by cert-manager or by you; rotate it there"
        )
    before = await read(client, release)
    await client.patch(
        api.SECRETS,
        {"metadata": {"annotations": {names.ROTATE_ANNOTATION: wanted}}},
        name=settings.secret_name,
        namespace=settings.namespace,
    )
    click.echo(f"asked for a new {'CA' if wanted == CA else 'certificate'}", err=True)
    return before


async def _wait(
    client: api.Api,
    release: cluster_release.Release,
    *,
    before: live.Certificates,
    with_ca: bool,
    seconds: float,
) -> bool:
    """Prints each new phase until the rotation is done; False if time runs out."""
    phase = ""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        now = await read(client, release)
        if _is_done(before=before, now=now, role="CA" if with_ca else "leaf"):
            click.echo(f"done: generation {now.generation} is trusted and signed", err=True)
            return True
        if now.phase != phase:
            phase = now.phase
            click.echo(f"generation {now.generation}: {phase}", err=True)
        await asyncio.sleep(PAUSE)
    click.echo(
        f"not done after {seconds:.0f} s. The operator continues by itself; its log says why:"
        f" kubectl -n {release.namespace} logs deployment/{release.fullname}",
        err=True,
    )
    return False


def _is_done(*, before: live.Certificates, now: live.Certificates, role: str) -> bool:
    """Whether the certificate was replaced, no rotation is pending, and all is trusted."""
    old, new = (
        {certificate.role: certificate.serial for certificate in state.certificates}.get(role)
        for state in (before, now)
    )
    return new not in (None, old) and not now.request and not now.problems


def as_json(state: live.Certificates) -> dict[str, Any]:
    """For programs; its shape is stable."""
    return {
        "secret": state.secret,
        "mode": state.mode,
        "generation": state.generation,
        "phase": state.phase,
        "certificates": [
            {
                "role": certificate.role,
                "serial": certificate.serial,
                "notBefore": _rfc3339(certificate.begins),
                "notAfter": _rfc3339(certificate.ends),
                "replacedAt": _rfc3339(certificate.due) if certificate.due else None,
            }
            for certificate in state.certificates
        ],
        "bundles": [
            {"kind": bundle.kind, "webhook": bundle.entry, "state": bundle.state}
            for bundle in state.bundles
        ],
        "problems": list(state.problems),
    }


def print_table(state: live.Certificates, *, to: rich.console.Console) -> None:
    """The Secret, its certificates and the webhooks' trust in them, for people."""
    generation = f"generation {state.generation}, " if state.generation else ""
    tables.heading(f"Secret {state.secret} ({state.mode}): {generation}{state.phase}", to=to)
    if state.certificates:
        tables.table(COLUMNS, list(_rows(state, _now())), styles=STYLES, to=to)
    tables.write("\n")
    bundles = [(bundle.place, bundle.state) for bundle in state.bundles]
    tables.table(BUNDLE_COLUMNS, bundles, styles=STYLES, to=to)


def _rows(state: live.Certificates, now: datetime.datetime) -> Iterator[tables.Row]:
    for certificate in state.certificates:
        yield (
            certificate.role,
            f"{certificate.begins:%Y-%m-%d}",
            _when(certificate.ends, now),
            _when(certificate.due, now) if certificate.due else NOTHING,
            certificate.serial[:SERIAL_DIGITS] + "…",
        )


def _when(moment: datetime.datetime, now: datetime.datetime) -> str:
    """A date and how far away it is."""
    away = moment - now
    if away < datetime.timedelta(0):
        return f"{_date(moment)} (past)"
    if away.days:
        return f"{moment:%Y-%m-%d} (in {away.days} d)"
    return f"{_date(moment)} (in {away.seconds // 60} min)"


def _date(moment: datetime.datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _rfc3339(moment: datetime.datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
