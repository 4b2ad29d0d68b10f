"""Damage to the caBundle, which the API servers trust: now and then, or again and again."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from sidecar_injector.pki import issue, keys
from tools.chaos import run
from tools.controlplane import release, waiting

SETTLE_SECONDS: Final = 1.0
"""An API server may see a repair later than we do; until then its bare pods are excused."""
FLUSH_SECONDS: Final = 6.0
"""After this time every connection to a frozen replica that is in use has timed out."""
BURST: Final = 2
BOT: Final = "chaos-bot"
FAST_SECONDS: Final = 10
"""By then the operator's fast tries are over: each replica has five, one a second."""
MOST_A_MINUTE: Final = 10
MINUTE: Final = 60
EVENTS: Final = "/apis/events.k8s.io/v1/events"


def wipe(row: run.Run) -> None:
    """Wiped, rubbish, another CA; the second half of the times with one replica frozen."""
    servers, frozen_from = row.cluster, (row.times + 1) // 2
    kinds: tuple[Callable[[], bytes], ...] = (lambda: b"", lambda: b"rubbish", _another_ca)
    begun = frozen = 0.0
    try:
        for number in row.rounds(burst=BURST):
            if number == frozen_from:
                begun = time.monotonic()
                servers.replicas[0].freeze()
                frozen = servers.wait_unready(0)
                time.sleep(FLUSH_SECONDS)
            _break(row, kinds[number % len(kinds)]())
    finally:
        servers.replicas[0].thaw()
    if frozen:
        kept = servers.balancer.open_connections(servers.replicas[0].backend)
        row.excuse(begun, frozen, hung=kept)
    servers.wait_ready()


def fight(row: run.Run) -> None:
    """A bot writes another CA once a second; each round is a second."""
    servers, right = row.cluster, row.cluster.bundle()
    begun = time.monotonic()
    for _ in row.rounds(every=1.0):
        servers.write_bundle(_another_ca(), manager=BOT)
    repairs = [
        configuration.at
        for configuration in servers.configuration.since(begun)
        if release.ca_bundle(configuration.thing) == right
    ]
    most = _most_a_minute([moment for moment in repairs if moment >= begun + FAST_SECONDS])
    # A shorter run shows only that the operator waits at all.
    watched = max(row.times - FAST_SECONDS, 0)
    limit = MOST_A_MINUTE if watched >= MINUTE else watched / 2
    row.require(most <= limit, f"{most} repairs within a minute after the fast tries")
    events: list[dict[str, Any]] = waiting.until(
        lambda: [
            event
            for event in servers.plane.client.get(EVENTS)["items"]
            if event["reason"] == "CABundleRewritten" and BOT in event.get("note", "")
        ],
        what=f"an Event that names {BOT}",
    )
    row.require(len(events) == 1, f"{len(events)} Events name {BOT} and not one")
    times = int((events[0].get("series") or {"count": 1})["count"])
    row.notes.append(
        f"{len(repairs)} repairs in {row.times} s, at most {most} a minute after the first"
        f" {FAST_SECONDS} s; one Event names the bot, seen {times} times"
    )


def _another_ca() -> bytes:
    now = datetime.datetime.now(datetime.UTC)
    pair = issue.ca(fresh=keys.generate(), generation=1, now=now, seconds=3600)
    return pair.certificate


def _break(row: run.Run, damage: bytes) -> None:
    servers, right = row.cluster, row.cluster.bundle()
    moment = time.monotonic()
    servers.write_bundle(damage)
    broken = servers.wait_bundle(
        "the damage", lambda bundle: bundle != right, since=moment, seconds=30
    )
    repaired = servers.wait_bundle(
        "the repair", lambda bundle: bundle == right, since=broken, seconds=90
    )
    row.excuse(moment, repaired + SETTLE_SECONDS)
    row.repairs.append(repaired - moment)


def _most_a_minute(moments: Sequence[float]) -> int:
    return max(
        (sum(begin <= moment < begin + MINUTE for moment in moments) for begin in moments),
        default=0,
    )
