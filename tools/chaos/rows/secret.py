"""Damage to the Secret: the truth about certificates is put right from memory."""

from __future__ import annotations

import base64
import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from sidecar_injector import names
from sidecar_injector.pki import issue, keys, secret_data
from tools.chaos import replies, scene, stage

HEAL_SECONDS: Final = 30
BURST: Final = 3
PROBE_SECONDS: Final = 0.05
Json = dict[str, Any]
Damage = Callable[[stage.Stage], Mapping[str, str] | None]
"""Makes the data to write; None is to delete the Secret."""


def row(damage: Damage) -> Callable[[scene.Scene], None]:
    """The row that does this damage."""

    def run(scene: scene.Scene) -> None:
        place = scene.stage
        with probing(place) as complaints:
            for _ in scene.bursts(of=BURST):
                _hurt(scene, damage)
        scene.require(not complaints, f"bad material was served: {sorted(set(complaints))[:3]}")

    return run


def deleted(_place: stage.Stage) -> None:
    """It is gone."""


def emptied(_place: stage.Stage) -> Mapping[str, str]:
    """All values; the API server insists on two of the keys."""
    return dict.fromkeys((names.TLS_CERT, names.TLS_KEY), "")


def swapped(place: stage.Stage) -> Mapping[str, str]:
    """The key of another certificate, good by itself."""
    stored = place.stored()
    other = issue.leaf(
        fresh=keys.generate(), issuer=stored.ca, dns_names=["elsewhere"],
        now=stored.leaf.parsed().not_valid_before_utc + issue.BACKDATE, seconds=3600,
    )  # fmt: skip
    return {**secret_data.encode(stored), names.TLS_KEY: base64.b64encode(other.key).decode()}


def truncated(place: stage.Stage) -> Mapping[str, str]:
    """Half a certificate."""
    stored = place.stored()
    half = stored.leaf.certificate[: len(stored.leaf.certificate) // 2]
    return {**secret_data.encode(stored), names.TLS_CERT: base64.b64encode(half).decode()}


def older(place: stage.Stage) -> Mapping[str, str]:
    """A backup from before a rotation."""
    before = place.stored()
    moment = place.rotate("leaf")
    place.secret.wait(
        "a newer generation",
        lambda one: _generation(one) > before.generation,
        since=moment,
        seconds=HEAL_SECONDS,
    )
    return secret_data.encode(before)


@contextlib.contextmanager
def probing(place: stage.Stage) -> Iterator[list[str]]:
    """Meanwhile every replica is asked for its certificate again and again; all complaints."""
    complaints: list[str] = []
    ended = threading.Event()
    authorities = place.bundle()

    def probe() -> None:
        while not ended.wait(PROBE_SECONDS):
            for replica in place.replicas:
                try:
                    replies.shown(replica, authorities)
                except OSError as error:
                    complaints.append(f"{replica.name}: {error}")

    thread = threading.Thread(target=probe, name="handshakes", daemon=True)
    thread.start()
    try:
        yield complaints
    finally:
        ended.set()
        thread.join()


def _hurt(scene: scene.Scene, damage: Damage) -> None:
    place = scene.stage
    before = place.stored()
    data = damage(place)
    newest = place.stored().generation
    hurt = place.damage(data)
    healed = place.secret.wait(
        "a good Secret",
        lambda one: _generation(one) >= newest and not _is(one, data),
        since=hurt,
        seconds=HEAL_SECONDS,
    )
    assert healed.state is not None
    scene.require(secret_data.decode(healed.state["data"]).ca == before.ca, "the CA is another one")
    scene.repaired(healed.at - hurt)


def _is(secret: Json | None, data: Mapping[str, str] | None) -> bool:
    return secret is not None and secret.get("data") == data


def _generation(secret: Json | None) -> int:
    """0 for what is no good Secret."""
    try:
        return secret_data.decode(secret["data"]).generation if secret else 0
    except secret_data.Corrupt:
        return 0
