"""What is to be done next with the certificates, and why.

Any number of replicas ask at any time; each step is one compare-and-swap on the Secret, so it does
not matter who takes it. The order of steps keeps these invariants:

1. Every API server trusts the issuer of every leaf that any replica may present.
2. A leaf is published only after its issuer has been in the live configuration, unbroken, for the
   roll wait.
3. A CA leaves the bundle only after the last leaf that it signed has expired.
4. All of it is in one Secret, written by compare-and-swap, with a rising generation.
5. No leaf outlives its CA.
6. Nothing is served that was not validated first.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Mapping, Sequence

from sidecar_injector import names
from sidecar_injector.pki import checks, issue, secret_data

LEAF, CA = "leaf", "ca"
"""What the rotate annotation may ask for."""


class Action(enum.Enum):
    """The next step. All but the first three write the Secret."""

    NOTHING = "nothing"
    WAIT = "wait"
    ADOPT = "adopt"
    CREATE = "create"
    WRITE_BACK = "write back"
    REISSUE_LEAF = "reissue leaf"
    REPLACE_ALL = "replace all"
    RENEW_LEAF = "renew leaf"
    EXTEND_CA = "extend CA"
    STAGE_CA = "stage CA"
    SWITCH_ISSUER = "switch issuer"
    DROP_PREVIOUS = "drop previous CA"
    CLEAR_REQUEST = "clear request"

    @property
    def writes(self) -> bool:
        """Whether it changes the Secret."""
        return self not in {Action.NOTHING, Action.WAIT, Action.ADOPT}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is wanted; see the settings of the same names."""

    dns_names: Sequence[str]
    leaf_seconds: int
    ca_seconds: int
    roll_wait_seconds: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CertificateState:
    """What one replica knows."""

    now: datetime.datetime
    found: secret_data.Stored | secret_data.Corrupt | None
    """The Secret; None if there is none."""
    memory: secret_data.Stored | None = None
    """The last good Secret that this replica has taken over."""
    seen_for: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Fingerprints of the CAs in the live configuration, and for how many seconds unbroken."""
    request: str = ""
    """The Secret's rotate annotation."""


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """What to do, the reason for people, and when to ask again at the latest."""

    action: Action
    why: str
    until: datetime.datetime | None = None
    on_trust: bool = False
    """Whether it follows from `CertificateState.seen_for`, which may be old: before the step is
    taken, the API server is asked whether anything has changed since."""


def next_step(world: CertificateState, policy: Policy) -> Step:
    """The one step that is due. Asking again after it was taken makes progress, and ends."""
    found, memory = world.found, world.memory
    if not isinstance(found, secret_data.Stored):
        return _restore(found, world)
    if memory and found.generation < memory.generation and _alive(memory.ca, world.now):
        return Step(
            Action.WRITE_BACK,
            f"the Secret went back from generation {memory.generation} to {found.generation}",
        )
    if memory and found != memory and _usurped(found, memory, world):
        why = "the Secret has another CA, which no API server trusts"
        return Step(Action.WRITE_BACK, why, on_trust=True)
    if found != memory:
        return Step(Action.ADOPT, f"generation {found.generation} is new here")
    return (
        _repair(found, world, policy)
        or _hurry(found, world, policy)
        or _requested(found, world)
        or _renewal(found, world, policy)
        or _roll(found, world, policy)
        or Step(Action.NOTHING, "all is well", _next_date(found))
    )


def due(pair: issue.Pair) -> datetime.datetime:
    """When the successor of a certificate is to be made: with a third of its life left."""
    certificate = pair.parsed()
    begin = certificate.not_valid_before_utc + issue.BACKDATE
    return begin + (certificate.not_valid_after_utc - begin) * 2 / 3


def _restore(found: secret_data.Corrupt | None, world: CertificateState) -> Step:
    """There is no good Secret: keep the CA that is trusted already, wherever it still exists."""
    what = f"the Secret cannot be used: {found}" if found else "there is no Secret"
    if world.memory and _alive(world.memory.ca, world.now):
        return Step(Action.WRITE_BACK, f"{what}, and generation {world.memory.generation} is here")
    if found is None:
        return Step(Action.CREATE, what)
    if found.ca and _alive(found.ca, world.now):
        return Step(Action.REISSUE_LEAF, f"{what}; its CA is intact")
    return Step(Action.REPLACE_ALL, what)


def _usurped(
    found: secret_data.Stored, memory: secret_data.Stored, world: CertificateState
) -> bool:
    """Whether the Secret was made from nothing by somebody who did not know of ours.

    A replica that starts in the moment in which the Secret is gone does that; what the API servers
    trust is then still the CA in our memory.
    """
    if _knows(found, memory.ca) or _knows(memory, found.ca):
        return False
    theirs = checks.fingerprint(found.ca.certificate)
    ours = checks.fingerprint(memory.ca.certificate)
    return _alive(memory.ca, world.now) and ours in world.seen_for and theirs not in world.seen_for


def _repair(found: secret_data.Stored, world: CertificateState, policy: Policy) -> Step | None:
    """A pair that no API server would accept: waiting could not make it worse."""
    if not _alive(found.ca, world.now):
        if found.next_ca and _alive(found.next_ca, world.now):
            return Step(Action.SWITCH_ISSUER, "the CA has expired and its successor is here")
        return Step(Action.REPLACE_ALL, "the CA has expired")
    flaws = checks.serving(
        found.leaf.parsed(), field=names.TLS_CERT, dns_names=policy.dns_names, now=world.now
    )
    if flaws:
        return Step(Action.RENEW_LEAF, "; ".join(str(flaw) for flaw in flaws))
    return None


def _hurry(found: secret_data.Stored, world: CertificateState, policy: Policy) -> Step | None:
    """The CA ends before a roll in order could: everybody was away when it was due.

    With the same key it needs no new trust; the key is replaced by the next roll.
    """
    if not _ends_too_soon(found.ca, world, policy):
        return None
    due_now = _roll(found, world, policy)
    if due_now and due_now.action is Action.SWITCH_ISSUER:
        return due_now
    left = (found.ca.parsed().not_valid_after_utc - world.now).total_seconds()
    return Step(Action.EXTEND_CA, f"the CA ends in {left:.0f} s, too soon for its successor")


def _requested(found: secret_data.Stored, world: CertificateState) -> Step | None:
    if not world.request:
        return None
    if world.request == LEAF:
        return Step(Action.RENEW_LEAF, "a rotation of the leaf was asked for")
    if world.request != CA:
        return Step(Action.CLEAR_REQUEST, f"{world.request!r} is neither {LEAF!r} nor {CA!r}")
    if found.next_ca:
        return Step(Action.CLEAR_REQUEST, "a CA roll is under way already")
    return Step(Action.STAGE_CA, "a rotation of the CA was asked for")


def _renewal(found: secret_data.Stored, world: CertificateState, policy: Policy) -> Step | None:
    if world.now < due(found.leaf):
        return None
    end = found.leaf.parsed().not_valid_after_utc
    ca_end = found.ca.parsed().not_valid_after_utc
    # Near the end of its CA a new leaf would not live longer; renewing it would never end.
    if min(world.now + datetime.timedelta(seconds=policy.leaf_seconds), ca_end) <= end:
        return None
    return Step(Action.RENEW_LEAF, "a third of the leaf's life is left")


def _roll(found: secret_data.Stored, world: CertificateState, policy: Policy) -> Step | None:
    """Stage, wait until it is trusted everywhere, switch, and later drop the old one."""
    if found.previous and world.now > found.previous.until:
        return Step(Action.DROP_PREVIOUS, "the last leaf of the previous CA has expired")
    if found.next_ca is None:
        if world.now < due(found.ca):
            return None
        return Step(Action.STAGE_CA, "a third of the CA's life is left")
    if _ends_too_soon(found.next_ca, world, policy):
        return Step(Action.STAGE_CA, "the staged CA ends too soon to take over")
    if found.previous:
        return Step(Action.WAIT, "leaves of the previous CA are still valid", found.previous.until)
    seen = world.seen_for.get(checks.fingerprint(found.next_ca.certificate))
    if seen is None:
        return Step(Action.WAIT, "the staged CA is not in the live configuration yet")
    if seen < policy.roll_wait_seconds:
        left = datetime.timedelta(seconds=policy.roll_wait_seconds - seen)
        return Step(Action.WAIT, "the staged CA is not trusted for long enough", world.now + left)
    why = f"the staged CA is trusted since {seen:.0f} s"
    return Step(Action.SWITCH_ISSUER, why, on_trust=True)


def _ends_too_soon(ca: issue.Pair, world: CertificateState, policy: Policy) -> bool:
    """Whether a CA ends before a roll to its successor could be finished."""
    horizon = 2 * policy.roll_wait_seconds
    left = (ca.parsed().not_valid_after_utc - world.now).total_seconds()
    return left <= horizon < policy.ca_seconds


def _next_date(found: secret_data.Stored) -> datetime.datetime:
    dates = [due(found.ca)]
    if found.leaf.parsed().not_valid_after_utc < found.ca.parsed().not_valid_after_utc:
        dates.append(due(found.leaf))
    if found.previous:
        dates.append(found.previous.until)
    return min(dates)


def _knows(stored: secret_data.Stored, ca: issue.Pair) -> bool:
    return any(checks.same_key(one, ca.certificate) for one in stored.authorities())


def _alive(ca: issue.Pair, now: datetime.datetime) -> bool:
    """Not expired. One that is not valid yet only says that our own clock is behind."""
    return now <= ca.parsed().not_valid_after_utc
