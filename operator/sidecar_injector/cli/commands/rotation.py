"""Asking the operator for a rotation, and following it to its end."""

from __future__ import annotations

import asyncio
import datetime
import time
from typing import TYPE_CHECKING, Final

import click

from sidecar_injector import names
from sidecar_injector.cli.cluster import client, release
from sidecar_injector.kube import api

if TYPE_CHECKING:
    from sidecar_injector.cli.cluster import certificates

LEAF, CA = "leaf", "ca"
PAUSE: Final = 0.3
"""Seconds between two looks."""


class CannotRotate(click.UsageError):
    """The certificates are not ours to replace."""


async def rotate(
    asked: client.Cluster, wanted: str, *, namespace: str | None, seconds: float
) -> bool:
    """Ask for it and, if `seconds`, follow it for so long; False if it was not done by then."""
    # As in `run`: other verbs should not pay for the import of the cryptography.
    from sidecar_injector.cli.cluster import certificates  # noqa: PLC0415

    found = await release.find(asked, namespace=namespace)
    settings = found.settings
    if settings.certificate_mode != certificates.SELF_SIGNED:
        raise CannotRotate(
            f"certificates.mode is {settings.certificate_mode}: the Secret {settings.namespace}/"
            f"{settings.secret_name} is replaced by whoever makes it, not by us"
        )
    before = await _look(asked, found)
    await asked.patch(
        api.SECRETS,
        {"metadata": {"annotations": {names.ROTATE_ANNOTATION: wanted}}},
        name=settings.secret_name,
        namespace=settings.namespace,
    )
    click.echo(f"asked for a new {'CA' if wanted == CA else 'certificate'}", err=True)
    if not seconds:
        return True
    return await _followed(asked, found, before=before, wanted=wanted, seconds=seconds)


async def _look(asked: client.Cluster, found: release.Release) -> certificates.Certificates:
    from sidecar_injector.cli.cluster import certificates  # noqa: PLC0415

    return await certificates.read(asked, found, now=datetime.datetime.now(datetime.UTC))


async def _followed(
    asked: client.Cluster,
    found: release.Release,
    *,
    before: certificates.Certificates,
    wanted: str,
    seconds: float,
) -> bool:
    """Tell each new phase until it is done."""
    told = ""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        now = await _look(asked, found)
        if _is_done(before=before, now=now, wanted=wanted):
            click.echo(f"done: generation {now.generation} is trusted and signed", err=True)
            return True
        if now.phase != told:
            told = now.phase
            click.echo(f"generation {now.generation}: {told}", err=True)
        await asyncio.sleep(PAUSE)
    click.echo(
        f"not done after {seconds:.0f} s, and it goes on without us; the operator's log says why:"
        f" kubectl -n {found.namespace} logs deployment/{found.fullname}",
        err=True,
    )
    return False


def _is_done(
    *, before: certificates.Certificates, now: certificates.Certificates, wanted: str
) -> bool:
    """Whether the wanted certificate has been replaced, nothing is pending, and all is trusted."""
    role = "CA" if wanted == CA else "leaf"
    replaced = _serial(now, role) not in (None, _serial(before, role))
    return replaced and not now.request and not now.problems


def _serial(found: certificates.Certificates, role: str) -> str | None:
    return next((one.serial for one in found.certificates if one.role == role), None)
