"""Damage to the Secret: the replicas restore its certificates from memory."""

from __future__ import annotations

import base64
import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from sidecar_injector import names
from sidecar_injector.pki import issue, keys, secret_data
from tools.chaos import cluster, run

BURST: Final = 3
PROBE_SECONDS: Final = 0.05
Damage = Callable[[cluster.Cluster], Mapping[str, str] | None]
"""Makes the data to write; None is to delete the Secret."""


def repaired(damage: Damage, row: run.Run) -> None:
    """Damage the Secret again and again, until it is repaired each time."""
    with _probing(row.cluster) as complaints:
        for _ in row.rounds(burst=BURST):
            _damage(row, damage)
    row.require(not complaints, f"bad material was served: {sorted(set(complaints))[:3]}")


def deleted(_servers: cluster.Cluster) -> None:
    """The Secret is deleted."""


def emptied(_servers: cluster.Cluster) -> Mapping[str, str]:
    """Every value is empty; the API server requires two of the keys."""
    return dict.fromkeys((names.TLS_CERT, names.TLS_KEY), "")


def swapped(servers: cluster.Cluster) -> Mapping[str, str]:
    """The key belongs to another certificate, and is valid in itself."""
    stored = servers.stored()
    other = issue.leaf(
        fresh=keys.generate(), issuer=stored.ca, dns_names=["elsewhere"],
        now=stored.leaf.parsed().not_valid_before_utc + issue.BACKDATE, seconds=3600,
    )  # fmt: skip
    return {**secret_data.encode(stored), names.TLS_KEY: base64.b64encode(other.key).decode()}


def truncated(servers: cluster.Cluster) -> Mapping[str, str]:
    """Half a certificate."""
    stored = servers.stored()
    half = stored.leaf.certificate[: len(stored.leaf.certificate) // 2]
    return {**secret_data.encode(stored), names.TLS_CERT: base64.b64encode(half).decode()}


def older(servers: cluster.Cluster) -> Mapping[str, str]:
    """A backup from before a rotation."""
    before = servers.stored()
    moment = servers.rotate("leaf")
    servers.wait_stored(
        "a newer generation", lambda now: now.generation > before.generation, since=moment
    )
    return secret_data.encode(before)


@contextlib.contextmanager
def _probing(servers: cluster.Cluster) -> Iterator[list[str]]:
    """Verify the certificate of every replica again and again; the errors."""
    complaints: list[str] = []
    ended = threading.Event()

    def probe() -> None:
        while not ended.wait(PROBE_SECONDS):
            for replica in servers.replicas:
                try:
                    servers.certificate(replica)
                except OSError as error:
                    complaints.append(f"{replica.name}: {error}")

    thread = threading.Thread(target=probe, name="handshakes", daemon=True)
    thread.start()
    try:
        yield complaints
    finally:
        ended.set()
        thread.join()


def _damage(row: run.Run, damage: Damage) -> None:
    before = row.cluster.stored()
    data = damage(row.cluster)
    newest = row.cluster.stored().generation
    damaged = row.cluster.damage(data)
    healed, stored = row.cluster.wait_stored(
        "a good Secret",
        lambda now: now.generation >= newest and secret_data.encode(now) != data,
        since=damaged,
    )
    row.require(stored.ca == before.ca, "the CA is another one")
    row.repairs.append(healed - damaged)
