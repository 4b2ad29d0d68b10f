"""Damage to what the API servers trust: once and again, or by somebody who keeps at it."""

from __future__ import annotations

import base64
import datetime
import time
from collections.abc import Callable, Sequence
from typing import Final

from sidecar_injector import names
from sidecar_injector.pki import issue, keys
from tools.chaos import scene, stage
from tools.controlplane import waiting

SETTLE_SECONDS: Final = 1.0
"""An API server hears of a repair after we do; until then its pods are excused."""
FLUSH_SECONDS: Final = 6.0
"""After this long every connection that a frozen replica holds and that is in use has timed out."""
BURST: Final = 2
BOT: Final = "chaos-bot"
FAST_SECONDS: Final = 10
"""By then the operator's fast tries are over: each replica has five, one for each second."""
MOST_A_MINUTE: Final = 10
MINUTE: Final = 60
EVENTS: Final = "/apis/events.k8s.io/v1/events"


def wipe(scene: scene.Scene) -> None:
    """Wiped, rubbish, another CA; the second half of the times with one replica frozen."""
    frozen_from = (scene.times + 1) // 2
    kinds: tuple[Callable[[], bytes], ...] = (lambda: b"", lambda: b"rubbish", foreign)
    begun = frozen = 0.0
    try:
        for number in scene.bursts(of=BURST):
            if number == frozen_from:
                begun, frozen = _freeze(scene)
            _break(scene, kinds[number % len(kinds)]())
    finally:
        scene.stage.replicas[0].thaw()
    if frozen:
        scene.excuse(begun, frozen, hung=scene.stage.operators.balancer.open_connections(
            scene.stage.replicas[0].backend))  # fmt: skip
    scene.stage.wait_ready()


def fight(scene: scene.Scene) -> None:
    """Somebody writes a foreign CA once a second, each round one second."""
    place, right = scene.stage, scene.stage.bundle()
    begun = time.monotonic()
    for _ in scene.rounds(every=1.0):
        write(place, foreign(), manager=BOT)
    repairs = [seen.at for seen in place.configuration.since(begun)
               if stage.bundle_of(seen.state) == right]  # fmt: skip
    late = [moment for moment in repairs if moment >= begun + FAST_SECONDS]
    most = _most_a_minute(late)
    # A shorter run only shows that it holds back at all.
    watched = max(scene.times - FAST_SECONDS, 0)
    limit = MOST_A_MINUTE if watched >= MINUTE else watched / 2
    scene.require(most <= limit, f"{most} repairs within a minute after the fast tries")
    told = waiting.until(
        lambda: [
            event
            for event in place.plane.client.get(EVENTS)["items"]
            if event["reason"] == "CABundleRewritten" and BOT in event.get("note", "")
        ],
        what=f"an Event that names {BOT}",
    )
    scene.require(len(told) == 1, f"{len(told)} Events name {BOT} and not one")
    scene.note(
        f"{len(repairs)} repairs in {scene.times} s, at most {most} a minute after the first"
        f" {FAST_SECONDS} s; one Event names the bot, seen {_times(told[0])} times"
    )


def foreign() -> bytes:
    """A CA of somebody else's."""
    now = datetime.datetime.now(datetime.UTC)
    pair = issue.authority(fresh=keys.generate(), generation=1, now=now, seconds=3600)
    return pair.certificate


def write(place: stage.Stage, bundle: bytes, *, manager: str = "chaos") -> None:
    """Put this into the webhook's caBundle."""
    entry = {"name": names.MUTATE_WEBHOOK}
    config = {"caBundle": base64.b64encode(bundle).decode()}
    place.plane.client.request(
        "PATCH",
        f"{stage.CONFIGURATION}?fieldManager={manager}",
        {"webhooks": [{**entry, "clientConfig": config}]},
        content="application/strategic-merge-patch+json",
    )


def _break(scene: scene.Scene, bundle: bytes) -> None:
    place, right = scene.stage, scene.stage.bundle()
    moment = time.monotonic()
    write(place, bundle)
    broken = place.configuration.wait(
        "the damage", lambda one: stage.bundle_of(one) != right, since=moment, seconds=30
    )
    repaired = place.configuration.wait(
        "the repair", lambda one: stage.bundle_of(one) == right, since=broken.at, seconds=90
    )
    scene.excuse(moment, repaired.at + SETTLE_SECONDS)
    scene.repaired(repaired.at - moment)


def _freeze(scene: scene.Scene) -> tuple[float, float]:
    """Freeze a replica and let its connections run out; from when, and until when it was asked."""
    begun = time.monotonic()
    scene.stage.replicas[0].freeze()
    noticed = scene.stage.wait_noticed(0)
    time.sleep(FLUSH_SECONDS)  # a part of the fault, not of its observation
    return begun, noticed


def _times(event: stage.Json) -> int:
    return int(event["series"]["count"]) if event.get("series") else 1


def _most_a_minute(moments: Sequence[float]) -> int:
    return max(
        (sum(one <= other < one + MINUTE for other in moments) for one in moments), default=0
    )
