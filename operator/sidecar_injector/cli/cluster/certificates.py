"""The webhook's certificates as a cluster holds them: dates and states, never key material."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator, Sequence

from cryptography import x509

from sidecar_injector import names
from sidecar_injector.cli.cluster import ca_bundles, objects, release
from sidecar_injector.kube import api
from sidecar_injector.pki import checks, issue, plan, secret_data

SELF_SIGNED = "selfSigned"
LEAF, CA, NEXT_CA, PREVIOUS_CA = "leaf", "CA", "next CA", "previous CA"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What people need to know of one certificate."""

    role: str
    serial: str
    begins: datetime.datetime
    ends: datetime.datetime
    due: datetime.datetime | None
    """When its successor is made; None where that is not ours to do."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """All that can be told about the certificates of a release."""

    secret: str
    """NAMESPACE/NAME."""
    mode: str
    generation: int | None
    """Of the Secret that we write; None where somebody else makes it, or it cannot be read."""
    phase: str
    """Where a rotation is, in a sentence."""
    request: str = ""
    """The rotation that the Secret's annotation asks for; empty if none."""
    certificates: Sequence[Certificate]
    bundles: Sequence[ca_bundles.Bundle]
    problems: Sequence[str]
    """What keeps the webhook from being served or trusted."""


async def read(asked: api.Api, found: release.Release, *, now: datetime.datetime) -> Certificates:
    """The certificates of this release; ApiError where the asking person may not see them."""
    place = found.settings
    secret = await objects.found(
        asked, api.SECRETS, name=place.secret_name, namespace=place.namespace
    )
    live = await ca_bundles.configurations(asked, place.fullname)
    label = f"{place.namespace}/{place.secret_name}"
    if secret is None:
        return _without_secret(found, label, live)
    if place.certificate_mode == SELF_SIGNED:
        return _own(found, secret, live=live, now=now)
    return _others(found, secret, live=live, now=now)


def _without_secret(
    found: release.Release, label: str, live: ca_bundles.Configurations
) -> Certificates:
    return Certificates(
        secret=label,
        mode=found.settings.certificate_mode,
        generation=None,
        phase="there is no certificate",
        certificates=(),
        bundles=list(ca_bundles.found(live, None)),
        problems=[f"there is no Secret {label}"],
    )


def _own(
    found: release.Release,
    secret: api.Json,
    *,
    live: ca_bundles.Configurations,
    now: datetime.datetime,
) -> Certificates:
    held = decoded(secret)
    problems: list[str] = []
    certificates: list[Certificate] = []
    bundle = None
    if isinstance(held, secret_data.Corrupt):
        problems.append(f"Secret {_label(secret)} cannot be used: {held}")
    else:
        certificates, bundle = list(_stored(held)), held.bundle()
        problems += _date_problems(certificates, now)
    trusted = list(ca_bundles.found(live, bundle))
    return Certificates(
        secret=_label(secret),
        mode=SELF_SIGNED,
        generation=held.generation or None,
        phase=_phase(found, held, request=requested(secret), live=live, now=now),
        request=requested(secret),
        certificates=certificates,
        bundles=trusted,
        problems=[*problems, *ca_bundles.problems(trusted)],
    )


def _others(
    found: release.Release,
    secret: api.Json,
    *,
    live: ca_bundles.Configurations,
    now: datetime.datetime,
) -> Certificates:
    """A Secret that cert-manager or the administrator fills."""
    from sidecar_injector.controllers.certificates import provided  # noqa: PLC0415 - brings the server with it

    mode = found.settings.certificate_mode
    wanted = names.verified_dns_name(
        service=found.settings.fullname, namespace=found.settings.namespace
    )
    try:
        pair, authorities = provided.judge(secret.get("data") or {}, dns_names=[wanted], now=now)
    except checks.FlawedError as error:
        problems, certificates, bundle = [f"Secret {_label(secret)}: {error}"], [], None
    else:
        issuers = checks.certificates(authorities, field=names.CA_CERT)
        shown = [(LEAF, pair.parsed()), *((CA, one) for one in issuers)]
        certificates = [_certificate(role, one, due=None) for role, one in shown]
        problems, bundle = [], authorities
    trusted = list(ca_bundles.found(live, bundle))
    return Certificates(
        secret=_label(secret),
        mode=mode,
        generation=None,
        phase=f"made by {'cert-manager' if mode == 'certManager' else 'the administrator'}",
        certificates=certificates,
        bundles=trusted,
        problems=[*problems, *ca_bundles.problems(trusted)],
    )


def decoded(secret: api.Json) -> secret_data.Stored | secret_data.Corrupt:
    """What a Secret of ours holds, or what is wrong with it."""
    try:
        return secret_data.decode(secret.get("data") or {})
    except secret_data.Corrupt as error:
        return error


def requested(secret: api.Json) -> str:
    """The rotation that the Secret's annotation asks for; empty if none."""
    return str((api.metadata(secret).get("annotations") or {}).get(names.ROTATE_ANNOTATION, ""))


def _phase(
    found: release.Release,
    held: secret_data.Stored | secret_data.Corrupt,
    *,
    request: str,
    live: ca_bundles.Configurations,
    now: datetime.datetime,
) -> str:
    """The next step of the operator's own plan. For how long a CA has been trusted only the
    replicas know: here it counts from now."""
    place = found.settings
    policy = plan.Policy(
        dns_names=names.service_dns_names(
            service=place.fullname, namespace=place.namespace, cluster_domain=place.cluster_domain
        ),
        leaf_seconds=place.leaf_seconds,
        ca_seconds=place.ca_seconds,
        roll_wait_seconds=place.ca_roll_wait_seconds,
    )
    memory = held if isinstance(held, secret_data.Stored) else None
    known = dict.fromkeys(ca_bundles.authorities(live), 0.0)
    world = plan.CertificateState(
        now=now, found=held, memory=memory, seen_for=known, request=request
    )
    step = plan.next_step(world, policy)
    if step.action is plan.Action.NOTHING:
        return step.why
    return f"{step.action.value}: {step.why}"


def _stored(held: secret_data.Stored) -> Iterator[Certificate]:
    yield _certificate(LEAF, held.leaf.parsed(), due=plan.due(held.leaf))
    yield _certificate(CA, held.ca.parsed(), due=plan.due(held.ca))
    if held.next_ca:
        yield _certificate(NEXT_CA, held.next_ca.parsed(), due=plan.due(held.next_ca))
    if held.previous:
        parsed = issue.Pair(held.previous.certificate, b"").parsed()
        yield _certificate(PREVIOUS_CA, parsed, due=held.previous.until)


def _certificate(
    role: str, parsed: x509.Certificate, *, due: datetime.datetime | None
) -> Certificate:
    return Certificate(
        role=role,
        serial=f"{parsed.serial_number:040x}",
        begins=parsed.not_valid_before_utc,
        ends=parsed.not_valid_after_utc,
        due=due,
    )


def _date_problems(certificates: Sequence[Certificate], now: datetime.datetime) -> Iterator[str]:
    for one in certificates:
        if one.role in (LEAF, CA) and not one.begins <= now <= one.ends:
            yield f"the {one.role} is valid from {one.begins} to {one.ends} only"


def _label(secret: api.Json) -> str:
    metadata = api.metadata(secret)
    return f"{metadata['namespace']}/{metadata['name']}"
