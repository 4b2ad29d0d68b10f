"""Replicas that freeze, end, begin on nothing, or live at another time of day."""

from __future__ import annotations

import time
from typing import Final

from tools import thirdparty
from tools.chaos import samples, scene, stage
from tools.chaos.rows import certificates
from tools.controlplane import waiting

FROZEN_SECONDS: Final = 10
INJECTED_SECONDS: Final = 60
ROTATIONS: Final = 3
OFFSETS: Final = ("+30m", "-30m")
"""Where Debian's package has it."""


def freeze(scene: scene.Scene) -> None:
    """SIGSTOP for a while: its connections stay open and nobody answers on them."""
    place = scene.stage
    for number in scene.rounds(every=FROZEN_SECONDS + 2):
        victim = number % stage.REPLICAS
        begun = time.monotonic()
        place.replicas[victim].freeze()
        try:
            noticed = place.wait_noticed(victim)
            kept = place.operators.balancer.open_connections(place.replicas[victim].backend)
            scene.excuse(begun, noticed, hung=kept)
            # The length of the fault.
            time.sleep(max(begun + FROZEN_SECONDS - time.monotonic(), 0))
        finally:
            place.replicas[victim].thaw()
        place.wait_ready()


def cold(scene: scene.Scene) -> None:
    """Everybody dies and the Secret goes: nothing is left that the API servers would trust."""
    place = scene.stage
    for _ in scene.rounds():
        place.stop()
        waiting.until(
            lambda: not place.operators.balancer.ready, what="nobody is ready", pause=0.005
        )
        place.damage(None)
        for number in range(stage.REPLICAS):
            place.start(number)
        waiting.until(
            lambda: place.operators.balancer.ready,
            what="a replica is ready",
            seconds=stage.READY_SECONDS,
            pause=0.005,
        )
        ready = time.monotonic()
        first = _first_injected(scene, since=ready)
        scene.repaired(first.ended - ready)
        place.wait_ready()


def restart(scene: scene.Scene) -> None:
    """SIGTERM and a new start, one after the other."""
    place = scene.stage
    for _ in scene.rounds():
        for number, replica in enumerate(place.replicas):
            begun = time.monotonic()
            status = replica.terminate(seconds=stage.READY_SECONDS)
            scene.require(status == 0, f"{replica.name} ended with status {status}")
            place.start(number)
            place.wait_ready()
            scene.repaired(time.monotonic() - begun)


def clock(scene: scene.Scene) -> None:
    """One replica half an hour ahead, then behind; leaves are rotated, maybe by that one."""
    place, library = scene.stage, str(thirdparty.libfaketime())
    for number in scene.rounds():
        offset = OFFSETS[number % len(OFFSETS)]
        place.replicas[0].terminate()
        place.start(0, LD_PRELOAD=library, FAKETIME=offset, FAKETIME_DONT_FAKE_MONOTONIC="1")
        place.wait_ready()
        for _ in range(ROTATIONS):
            certificates.rotate_leaf(scene)
        place.replicas[0].terminate()
        place.start(0)
        place.wait_ready()


def _first_injected(scene: scene.Scene, *, since: float) -> samples.Sample:
    return scene.load.wait(
        "an injected pod",
        lambda one: one.ended >= since and one.outcome is samples.Outcome.INJECTED,
        seconds=INJECTED_SECONDS,
    )
