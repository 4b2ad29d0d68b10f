"""What to do next with the self-signed certificates, and what the Secret contains afterwards.

All replicas plan at the same time. Each step is one compare-and-swap on the Secret, so it does not
matter which replica takes it. The order of the steps keeps these invariants:

1. Every API server trusts the issuer of every leaf that any replica may present.
2. A leaf is published only after its issuer has been in the live configuration, without a break,
   for the roll wait.
3. A CA leaves the bundle only after the last leaf that it signed has expired.
4. All certificates are in one Secret, written by compare-and-swap, with a rising generation.
5. No leaf outlives its CA.
6. A certificate is validated before it is served.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Callable, Iterator, Mapping, Sequence

from sidecar_injector import names
from sidecar_injector.pki import checks, issue, keys, secret_data
from sidecar_injector.settings import Settings

Generate = Callable[[], keys.Material]

LEAF, CA = "leaf", "ca"
"""The two values of the rotate annotation."""
AFTER = datetime.timedelta(microseconds=1)
"""At the end that it names a certificate is still valid; so much later it is not."""
MOST_DNS_NAMES = 20
"""A repaired leaf keeps names that it has already, up to this many in all."""


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

    @property
    def repairs(self) -> bool:
        """Whether it undoes what happened to the Secret. Time or a request causes the others."""
        return self in {Action.CREATE, Action.WRITE_BACK, Action.REISSUE_LEAF, Action.REPLACE_ALL}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The settings of the same names."""

    dns_names: Sequence[str]
    leaf_seconds: int
    ca_seconds: int
    roll_wait_seconds: int

    @property
    def verified_names(self) -> Sequence[str]:
        """Those of `dns_names` by which API servers verify a certificate: SERVICE.NAMESPACE.svc."""
        return [name for name in self.dns_names if name.endswith(".svc")] or self.dns_names

    @classmethod
    def of(cls, settings: Settings) -> Policy:
        """The policy of a release."""
        return cls(
            dns_names=names.service_dns_names(
                service=settings.fullname,
                namespace=settings.namespace,
                cluster_domain=settings.cluster_domain,
            ),
            leaf_seconds=settings.leaf_seconds,
            ca_seconds=settings.ca_seconds,
            roll_wait_seconds=settings.ca_roll_wait_seconds,
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CertificateState:
    """Everything that one replica plans by."""

    now: datetime.datetime
    secret: secret_data.CertificateSet | secret_data.Corrupt | None
    """What the Secret contains; None if there is no Secret."""
    adopted: secret_data.CertificateSet | None = None
    """The last good content of the Secret that this replica has adopted."""
    live_seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Fingerprints of the CAs in the live configuration, with the seconds for which each has been
    there without a break."""
    request: str = ""
    """The Secret's rotate annotation."""


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """What to do, the reason for people, and when to plan again at the latest."""

    action: Action
    why: str
    until: datetime.datetime | None = None
    depends_on_live: bool = False
    """Whether it follows from `CertificateState.live_seconds`, which may be out of date. Then the
    configuration is read from the API server before the step is taken."""


class NotAWriteError(ValueError):
    """The step does not fit this state: it writes nothing, or was planned for another state."""

    def __init__(self, step: Step) -> None:
        super().__init__(f"{step.action.value!r} ({step.why}) does not lead to a new Secret")
        self.step = step


def next_step(state: CertificateState, policy: Policy) -> Step:
    """The one step that is due. After a few steps none is due any more."""
    current, adopted = state.secret, state.adopted
    if not isinstance(current, secret_data.CertificateSet):
        return _recover(current, state)
    if adopted and current.generation < adopted.generation and _alive(adopted.ca, state.now):
        return Step(
            Action.WRITE_BACK,
            f"the Secret went back from generation {adopted.generation} to {current.generation}",
        )
    if adopted and current != adopted and _replaced_by_stranger(current, adopted, state):
        why = "the Secret has another CA, which no API server trusts"
        return Step(Action.WRITE_BACK, why, depends_on_live=True)
    if current != adopted:
        return Step(Action.ADOPT, f"generation {current.generation} is new here")
    step = (
        _repair(current, state, policy)
        or _extension(current, state, policy)
        or _requested(current, state)
        or _renewal(current, state, policy)
        or _roll(current, state, policy)
        or Step(Action.NOTHING, "in order")
    )
    if step.action.writes:
        return step
    # A wait for one certificate must not hide that another one ends meanwhile.
    dates = [*_dates(current, policy), *([step.until] if step.until else [])]
    return dataclasses.replace(step, until=min(dates))


def due(pair: issue.Pair) -> datetime.datetime:
    """When the successor of a certificate is to be made: with a third of its life left."""
    certificate = pair.parsed()
    begin = certificate.not_valid_before_utc + issue.BACKDATE
    return begin + (certificate.not_valid_after_utc - begin) * 2 / 3


def _recover(corrupt: secret_data.Corrupt | None, state: CertificateState) -> Step:
    """There is no good Secret: keep the CA that is trusted already, wherever it still exists."""
    what = f"the Secret cannot be used: {corrupt}" if corrupt else "there is no Secret"
    if state.adopted and _alive(state.adopted.ca, state.now):
        return Step(Action.WRITE_BACK, f"{what}, and generation {state.adopted.generation} is here")
    if corrupt is None:
        return Step(Action.CREATE, what)
    if corrupt.ca and _alive(corrupt.ca, state.now):
        return Step(Action.REISSUE_LEAF, f"{what}; its CA is intact")
    return Step(Action.REPLACE_ALL, what)


def _replaced_by_stranger(
    current: secret_data.CertificateSet,
    adopted: secret_data.CertificateSet,
    state: CertificateState,
) -> bool:
    """Whether a replica that did not know the adopted CA has created another Secret.

    A replica does that if it starts while the Secret is missing. The API servers still trust the
    adopted CA then.
    """
    if _contains(current, adopted.ca) or _contains(adopted, current.ca):
        return False
    theirs = checks.fingerprint(current.ca.certificate)
    ours = checks.fingerprint(adopted.ca.certificate)
    return (
        _alive(adopted.ca, state.now)
        and ours in state.live_seconds
        and theirs not in state.live_seconds
    )


def _repair(
    current: secret_data.CertificateSet, state: CertificateState, policy: Policy
) -> Step | None:
    """Replace a pair that no API server accepts, or that lacks a name, without a wait for trust."""
    if not _alive(current.ca, state.now):
        if current.next_ca and _alive(current.next_ca, state.now):
            return Step(Action.SWITCH_ISSUER, "the CA has expired and its successor is here")
        return Step(Action.REPLACE_ALL, "the CA has expired")
    findings = checks.serving(
        current.leaf.parsed(), field=names.TLS_CERT, dns_names=policy.dns_names, now=state.now
    )
    if findings:
        return Step(Action.RENEW_LEAF, "; ".join(map(str, findings)))
    return None


def _extension(
    current: secret_data.CertificateSet, state: CertificateState, policy: Policy
) -> Step | None:
    """Extend a CA that ends before a roll can be finished: no replica ran when the roll was due.

    The extended CA has the same key and needs no new trust. The next roll replaces the key.
    """
    if not _expires_too_soon(current.ca, state, policy):
        return None
    roll = _roll(current, state, policy)
    if roll and roll.action is Action.SWITCH_ISSUER:
        return roll
    left = (current.ca.parsed().not_valid_after_utc - state.now).total_seconds()
    return Step(Action.EXTEND_CA, f"the CA ends in {left:.0f} s, too soon for its successor")


def _requested(current: secret_data.CertificateSet, state: CertificateState) -> Step | None:
    if not state.request:
        return None
    if state.request == LEAF:
        return Step(Action.RENEW_LEAF, "a rotation of the leaf was asked for")
    if state.request != CA:
        return Step(Action.CLEAR_REQUEST, f"{state.request!r} is neither {LEAF!r} nor {CA!r}")
    if current.next_ca:
        return Step(Action.CLEAR_REQUEST, "a CA roll is under way already")
    return Step(Action.STAGE_CA, "a rotation of the CA was asked for")


def _renewal(
    current: secret_data.CertificateSet, state: CertificateState, policy: Policy
) -> Step | None:
    if state.now < _renewal_date(current, policy):
        return None
    return Step(Action.RENEW_LEAF, "a third of the leaf's life is left")


def _renewal_date(current: secret_data.CertificateSet, policy: Policy) -> datetime.datetime:
    """When a new leaf is due that lives longer; the end of the leaf if none would.

    None would if the leaf ends with its CA. If leaves are to live shorter than this one, a new one
    ends later only in the last part of its life.
    """
    end = current.leaf.parsed().not_valid_after_utc
    if end >= current.ca.parsed().not_valid_after_utc:
        return end + AFTER
    return max(due(current.leaf), end - datetime.timedelta(seconds=policy.leaf_seconds) + AFTER)


def _roll(
    current: secret_data.CertificateSet, state: CertificateState, policy: Policy
) -> Step | None:
    """Stage the next CA, wait until every API server trusts it, switch, drop the old CA later."""
    if current.previous and state.now > current.previous.until:
        return Step(Action.DROP_PREVIOUS, "the last leaf of the previous CA has expired")
    if current.next_ca is None:
        if state.now < due(current.ca):
            return None
        return Step(Action.STAGE_CA, "a third of the CA's life is left")
    if _expires_too_soon(current.next_ca, state, policy):
        # The CA in use lives longer if it was extended after this one had been staged.
        return Step(Action.STAGE_CA, "the staged CA ends too soon to take over")
    if current.previous:
        return Step(Action.WAIT, "leaves of the previous CA are still valid")
    seconds = state.live_seconds.get(checks.fingerprint(current.next_ca.certificate))
    if seconds is None:
        return Step(Action.WAIT, "the staged CA is not in the live configuration yet")
    if seconds < policy.roll_wait_seconds:
        left = datetime.timedelta(seconds=policy.roll_wait_seconds - seconds)
        return Step(Action.WAIT, "the staged CA is not trusted for long enough", state.now + left)
    why = f"the staged CA is trusted since {seconds:.0f} s"
    return Step(Action.SWITCH_ISSUER, why, depends_on_live=True)


def _expires_too_soon(ca: issue.Pair, state: CertificateState, policy: Policy) -> bool:
    deadline = _roll_deadline(ca, policy)
    return deadline is not None and state.now >= deadline


def _roll_deadline(ca: issue.Pair, policy: Policy) -> datetime.datetime | None:
    """The moment from which the CA ends before a roll to its successor could be finished.

    None if every CA lives shorter than a roll: another one would not help.
    """
    needed = 2 * policy.roll_wait_seconds
    if needed >= policy.ca_seconds:
        return None
    return ca.parsed().not_valid_after_utc - datetime.timedelta(seconds=needed)


def _dates(current: secret_data.CertificateSet, policy: Policy) -> Iterator[datetime.datetime]:
    """The moments from which a step is due without anything else that happens."""
    yield _renewal_date(current, policy)
    yield _roll_deadline(current.ca, policy) or current.ca.parsed().not_valid_after_utc + AFTER
    if current.previous:
        yield current.previous.until + AFTER
    if current.next_ca is None:
        yield due(current.ca)
    elif deadline := _roll_deadline(current.next_ca, policy):
        yield deadline


def _contains(certificates: secret_data.CertificateSet, ca: issue.Pair) -> bool:
    return any(
        checks.same_key(certificate, ca.certificate)
        for certificate in certificates.ca_certificates()
    )


def _alive(ca: issue.Pair, now: datetime.datetime) -> bool:
    """Whether it has not expired. If it is not valid yet, only our own clock is behind."""
    return now <= ca.parsed().not_valid_after_utc


def apply_step(
    step: Step, state: CertificateState, *, policy: Policy, generate: Generate
) -> secret_data.CertificateSet:
    """What the Secret contains after `step`, which `next_step` returned for this very state."""
    current, adopted = state.secret, state.adopted
    issuer = _Issuer(state.now, policy, generate)
    match step.action, current:
        case Action.CREATE, None:
            return issuer.all(1 + (adopted.generation if adopted else 0))
        case Action.WRITE_BACK, secret_data.CertificateSet() if adopted:
            # Newer than the Secret: a replica that has adopted the Secret must not write it back.
            newer = current.generation >= adopted.generation
            generation = current.generation + 1 if newer else adopted.generation
            return dataclasses.replace(adopted, generation=generation)
        case Action.WRITE_BACK, _ if adopted:
            return adopted
        case Action.REPLACE_ALL, secret_data.Corrupt() | secret_data.CertificateSet():
            newest = max(current.generation, adopted.generation if adopted else 0)
            return issuer.all(1 + newest)
        case Action.REISSUE_LEAF, secret_data.Corrupt(ca=issue.Pair() as ca):
            leaf = issuer.leaf(ca)
            generation = current.generation + 1
            return secret_data.CertificateSet(generation=generation, ca=ca, leaf=leaf)
        case _, secret_data.CertificateSet():
            return _changed(step, current, issuer)
    raise NotAWriteError(step)


def _changed(
    step: Step, current: secret_data.CertificateSet, issuer: _Issuer
) -> secret_data.CertificateSet:
    newer = dataclasses.replace(current, generation=current.generation + 1)
    match step.action:
        case Action.RENEW_LEAF:
            return dataclasses.replace(newer, leaf=issuer.renewed_leaf(current))
        case Action.EXTEND_CA:
            return dataclasses.replace(newer, ca=issuer.extended_ca(current.ca))
        case Action.STAGE_CA:
            return dataclasses.replace(newer, next_ca=issuer.ca(newer.generation))
        case Action.SWITCH_ISSUER if current.next_ca:
            return dataclasses.replace(
                newer,
                ca=current.next_ca,
                leaf=issuer.leaf(current.next_ca),
                next_ca=None,
                previous=secret_data.Previous(
                    current.ca.certificate, current.leaf.parsed().not_valid_after_utc
                ),
            )
        case Action.DROP_PREVIOUS:
            return dataclasses.replace(newer, previous=None)
        case Action.CLEAR_REQUEST:
            return current
    raise NotAWriteError(step)


@dataclasses.dataclass(frozen=True, slots=True)
class _Issuer:
    """Makes certificates that follow the policy."""

    now: datetime.datetime
    policy: Policy
    generate: Generate

    def ca(self, generation: int) -> issue.Pair:
        return issue.ca(
            fresh=self.generate(),
            generation=generation,
            now=self.now,
            seconds=self.policy.ca_seconds,
        )

    def extended_ca(self, ca: issue.Pair) -> issue.Pair:
        return issue.extended_ca(
            ca, fresh=self.generate(), now=self.now, seconds=self.policy.ca_seconds
        )

    def renewed_leaf(self, current: secret_data.CertificateSet) -> issue.Pair:
        """A leaf that keeps the names of one that lacks some of ours.

        Replicas with other settings need those names, while a rollout changes `clusterDomain`. They
        would take the next leaf for a flawed one, and replace it again. So one leaf has the names
        of both, until it is renewed by its date.
        """
        names_of_leaf = checks.dns_names_of(current.leaf.parsed())
        lacks_names = not set(self.policy.dns_names).issubset(names_of_leaf)
        both = list(dict.fromkeys((*self.policy.dns_names, *names_of_leaf)))
        return self.leaf(current.ca, both[:MOST_DNS_NAMES] if lacks_names else ())

    def leaf(self, ca: issue.Pair, dns_names: Sequence[str] = ()) -> issue.Pair:
        return issue.leaf(
            fresh=self.generate(),
            issuer=ca,
            dns_names=dns_names or self.policy.dns_names,
            now=self.now,
            seconds=self.policy.leaf_seconds,
        )

    def all(self, generation: int) -> secret_data.CertificateSet:
        ca = self.ca(generation)
        return secret_data.CertificateSet(generation=generation, ca=ca, leaf=self.leaf(ca))
