"""Rotations that somebody asked for: of the leaf, of the CA, and of the CA with a death in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from sidecar_injector import names
from sidecar_injector.pki import secret_data
from tools.chaos import scene, stage

LEAF_SECONDS: Final = 30
"""Renewed with a third left: enough for a late replica on a machine that has others to serve."""
ROLL_WAIT_SECONDS: Final = 4
SHORT: Final = {
    "leaf_seconds": str(LEAF_SECONDS),
    "ca_roll_wait_seconds": str(ROLL_WAIT_SECONDS),
}
"""A roll ends when the last leaf of the old CA has expired."""
SERVER_LATE_SECONDS: Final = 2.0
REPLICA_LATE_SECONDS: Final = 1.5
END_SECONDS: Final = LEAF_SECONDS + ROLL_WAIT_SECONDS + 30
STEPS: Final = ("asked", "staged", "announced", "waiting", "switched", "dropped")
MOMENT_SECONDS: Final = 0.3
"""What a replica does at a step is done by then: the death comes before, amid or after it."""
Json = dict[str, Any]


def leaf(scene: scene.Scene) -> None:
    """A new leaf, until every replica shows it."""
    for _ in scene.rounds(every=0.5):
        rotate_leaf(scene)


def rotate_leaf(scene: scene.Scene) -> None:
    """One rotation."""
    place, before = scene.stage, scene.stage.stored()
    moment = place.rotate("leaf")
    written = place.secret.wait(
        "a new leaf",
        lambda secret: _stored(secret, lambda now: now.leaf != before.leaf),
        since=moment,
        seconds=30,
    )
    assert written.state is not None
    stored = secret_data.decode(written.state["data"])
    scene.require(stored.ca == before.ca, "the CA has changed with the leaf")
    scene.repaired(place.wait_shown(stored.leaf.parsed()) - moment)


def roll(scene: scene.Scene) -> None:
    """A new CA, while one API server and one replica hear of everything too late."""
    place = scene.stage
    place.second.late.seconds = SERVER_LATE_SECONDS
    place.late_replica.seconds = REPLICA_LATE_SECONDS
    try:
        for _ in scene.rounds():
            moment, before = time.monotonic(), place.stored()
            place.rotate("ca")
            scene.repaired(wait_end(place, before, since=moment) - moment)
    finally:
        place.second.late.seconds = place.late_replica.seconds = 0


def kill(scene: scene.Scene) -> None:
    """The same with nobody late, but one replica killed in a random moment of each step in turn."""
    place = scene.stage
    killed: list[str] = []
    steps = scene.random.sample(STEPS, len(STEPS))
    for number in scene.rounds():
        step, victim = steps[number % len(steps)], scene.random.randrange(stage.REPLICAS)
        moment, before = time.monotonic(), place.stored()
        place.rotate("ca")
        _wait_for(scene, step, before=before, since=moment)
        death = time.monotonic()
        place.replicas[victim].kill()
        scene.excuse(death, place.wait_noticed(victim))
        place.start(victim)
        place.wait_ready()
        scene.repaired(wait_end(place, before, since=moment) - moment)
        killed.append(step)
    scene.note("killed " + ", ".join(f"{killed.count(step)} x {step}" for step in STEPS))


def wait_end(place: stage.Stage, before: secret_data.Stored, *, since: float) -> float:
    """The moment at which another CA is the only one, in the Secret and in the configuration."""

    def alone(now: secret_data.Stored) -> bool:
        return now.ca != before.ca and now.next_ca is None and now.previous is None

    secret = place.secret.wait(
        "the end of the roll", lambda one: _stored(one, alone), since=since, seconds=END_SECONDS
    )
    assert secret.state is not None
    wanted = secret_data.decode(secret.state["data"]).ca.certificate.decode()
    # The Secret's last word is the configuration's next: it may be there already.
    configuration = place.configuration.wait(
        "the old CA is trusted no more",
        lambda one: stage.bundle_of(one) == wanted,
        since=since,
        seconds=30,
    )
    return max(secret.at, configuration.at)


def _wait_for(scene: scene.Scene, step: str, *, before: secret_data.Stored, since: float) -> None:
    """Return in a random moment after a roll has come so far."""
    secret, configuration = scene.stage.secret, scene.stage.configuration
    wanted: dict[str, Callable[[secret_data.Stored], bool]] = {
        "staged": lambda now: now.next_ca is not None,
        "switched": lambda now: now.ca != before.ca and now.previous is not None,
        "dropped": lambda now: now.ca != before.ca and now.previous is None,
    }
    if step in wanted:
        secret.wait(step, lambda one: _stored(one, wanted[step]), since=since, seconds=END_SECONDS)
    elif step in {"announced", "waiting"}:
        configuration.wait(
            step,
            lambda one: stage.bundle_of(one).count("BEGIN CERTIFICATE") > 1,
            since=since,
            seconds=END_SECONDS,
        )
    # A part of the fault, not of its observation.
    time.sleep(scene.random.uniform(0, ROLL_WAIT_SECONDS if step == "waiting" else MOMENT_SECONDS))


def _stored(secret: Json | None, wanted: Callable[[secret_data.Stored], bool]) -> bool:
    """Whether the Secret is good, as wanted, and no rotation is asked for any more."""
    if secret is None or names.ROTATE_ANNOTATION in secret["metadata"].get("annotations", {}):
        return False
    try:
        return wanted(secret_data.decode(secret["data"]))
    except secret_data.Corrupt:
        return False
