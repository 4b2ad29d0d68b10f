"""Answers that were given before, for pods that are made from the same template.

The pods of a ReplicaSet, a DaemonSet or a Job differ in nothing that a decision looks at: in what
names and dates them, and in the volume of their ServiceAccount's token, which the API server gives
a random name in each. So the key of a pod is all of it but that, and two pods of one key get one
answer. It is forgotten with the world in which it was found.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from sidecar_injector import names
from sidecar_injector.core import world
from sidecar_injector.server import answers

MOST: Final = 1024
"""Answers in each of two generations; of usual ones 1,000 take 3 MB."""
LARGEST: Final = 16_384
"""Bytes of an answer that is still kept."""
PASSED_OVER: Final = (
    "creationTimestamp",
    "generateName",
    "generation",
    "managedFields",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
)
"""Members of a pod's metadata that no rule looks at. The namespace is the request's."""
TOKEN_VOLUME: Final = re.compile(rf"{names.TOKEN_VOLUME_PREFIX}[a-z0-9]{{5}}")
_ANY_TOKEN_VOLUME: Final = b"\x00"
"""What no JSON text contains, which has no control characters."""


@dataclasses.dataclass(frozen=True, slots=True)
class Key:
    """What two pods have in common that no decision in one world can tell apart."""

    digest: bytes
    token_volume: str
    """What was passed over in this pod; empty if nothing was."""


class Memory:
    """Answers by key, in two generations: those that are not asked for any more go first."""

    def __init__(self) -> None:
        self._young: dict[bytes, answers.Answer] = {}
        self._old: dict[bytes, answers.Answer] = {}

    def recall(self, key: Key) -> answers.Answer | None:
        """The answer of this key, if it is still there."""
        found = self._young.get(key.digest)
        if found is None and (found := self._old.get(key.digest)) is not None:
            self._keep(key, found)
        return found

    def learn(self, key: Key, answer: answers.Answer) -> None:
        """Keep it, unless it is large or says what was passed over."""
        name = key.token_volume
        if name and (name in answer.message or name.encode() in answer.patch):
            return
        if len(answer.response) <= LARGEST:
            self._keep(key, answer)

    def _keep(self, key: Key, answer: answers.Answer) -> None:
        if len(self._young) >= MOST:
            self._young, self._old = {}, self._young
        self._young[key.digest] = answer


def key_of(pod: Mapping[str, Any], *, known: world.World, serial: int) -> Key | None:
    """The key of a pod in the world of that number; None for a pod that nests too deep."""
    shape = {**pod}
    if isinstance(metadata := pod.get("metadata"), dict):
        shape["metadata"] = metadata = {**metadata}
        for member in PASSED_OVER:
            metadata.pop(member, None)
    try:
        text = orjson.dumps(shape)
    except orjson.JSONEncodeError:
        return None
    name = "" if known.minds_token_volumes else _token_volume(pod)
    if name:
        text = text.replace(name.encode(), _ANY_TOKEN_VOLUME)
    # 16 bytes: nobody finds two texts of one digest, so it may stand for the text.
    digest = hashlib.blake2b(text, digest_size=16, key=serial.to_bytes(8)).digest()
    return Key(digest, name)


def _token_volume(pod: Mapping[str, Any]) -> str:
    """The name of the volume that the API server made for the token; empty without just one."""
    spec = pod.get("spec")
    volumes = spec.get("volumes") if isinstance(spec, dict) else None
    found = [
        volume["name"]
        for volume in (volumes if isinstance(volumes, list) else ())
        if isinstance(volume, dict)
        and "projected" in volume
        and TOKEN_VOLUME.fullmatch(str(volume.get("name")))
    ]
    return found[0] if len(found) == 1 else ""
