"""The webhook's certificates in a cluster: dates and states, never key material."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator, Sequence

from cryptography import x509

from sidecar_injector import names
from sidecar_injector.cli.cluster import ca_bundles
from sidecar_injector.cli.cluster import release as cluster_release
from sidecar_injector.kube import api
from sidecar_injector.pki import checks, issue, plan, secret_data

LEAF, CA, NEXT_CA, PREVIOUS_CA = "leaf", "CA", "next CA", "previous CA"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """One certificate, without its key."""

    role: str
    serial: str
    begins: datetime.datetime
    ends: datetime.datetime
    due: datetime.datetime | None
    """When the operator replaces it; None where cert-manager or an administrator does."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """The certificates of a release, and the trust in them."""

    secret: str
    """NAMESPACE/NAME."""
    mode: str
    phase: str
    """Where a rotation is, in a sentence."""
    generation: int | None = None
    """Of the Secret that we write; None in other modes, or if it cannot be read."""
    request: str = ""
    """The rotation that the Secret's annotation asks for; empty if none."""
    certificates: Sequence[Certificate] = ()
    bundles: Sequence[ca_bundles.Bundle] = ()
    problems: Sequence[str] = ()
    """What keeps the webhook from being served or trusted."""


async def read(
    client: api.Api, release: cluster_release.Release, *, now: datetime.datetime
) -> Certificates:
    """The certificates of this release; ApiError where the user may not see them."""
    settings = release.settings
    secret = await api.get_or_none(
        client, api.SECRETS, name=settings.secret_name, namespace=settings.namespace
    )
    live = await ca_bundles.configurations(client, settings.fullname)
    label, mode = f"{settings.namespace}/{settings.secret_name}", settings.certificate_mode
    if secret is None:
        return Certificates(
            secret=label,
            mode=mode,
            phase="there is no certificate",
            bundles=list(ca_bundles.compare(live, None)),
            problems=[f"there is no Secret {label}"],
        )
    state = Certificates(secret=label, mode=mode, phase="")
    if mode == cluster_release.SELF_SIGNED:
        state, bundle = _self_signed(state, release, secret, live=live, now=now)
    else:
        state, bundle = _provided(state, release, secret, now=now)
    bundles = list(ca_bundles.compare(live, bundle))
    problems = [*state.problems, *ca_bundles.problems(bundles)]
    return dataclasses.replace(state, bundles=bundles, problems=problems)


def _self_signed(
    state: Certificates,
    release: cluster_release.Release,
    secret: api.Json,
    *,
    live: ca_bundles.Configurations,
    now: datetime.datetime,
) -> tuple[Certificates, bytes | None]:
    """A Secret that the operator fills, and the caBundle that it wants."""
    content, request = _decoded(secret), _requested(secret)
    state = dataclasses.replace(
        state,
        generation=content.generation or None,
        phase=_phase(release, content, request=request, live=live, now=now),
        request=request,
    )
    if isinstance(content, secret_data.Corrupt):
        problem = f"Secret {state.secret} cannot be used: {content}"
        return dataclasses.replace(state, problems=[problem]), None
    certificates = list(_stored(content))
    problems = list(_date_problems(certificates, now))
    state = dataclasses.replace(state, certificates=certificates, problems=problems)
    return state, content.bundle()


def _provided(
    state: Certificates,
    release: cluster_release.Release,
    secret: api.Json,
    *,
    now: datetime.datetime,
) -> tuple[Certificates, bytes | None]:
    """A Secret that cert-manager or the administrator fills, and the caBundle for it."""
    maker = "cert-manager" if state.mode == "certManager" else "the administrator"
    state = dataclasses.replace(state, phase=f"made by {maker}")
    dns_name = names.verified_dns_name(service=release.fullname, namespace=release.namespace)
    data = secret.get("data") or {}
    try:
        pair, cas = secret_data.decode_provided(data, dns_names=[dns_name], now=now)
    except checks.FlawedError as error:
        return dataclasses.replace(state, problems=[f"Secret {state.secret}: {error}"]), None
    leaf = _certificate(LEAF, pair.parsed(), due=None)
    issuers = checks.certificates(cas, field=names.CA_CERT)
    certificates = [leaf, *(_certificate(CA, issuer, due=None) for issuer in issuers)]
    return dataclasses.replace(state, certificates=certificates), cas


def _decoded(secret: api.Json) -> secret_data.CertificateSet | secret_data.Corrupt:
    """The content of a Secret of ours, or what is wrong with it."""
    try:
        return secret_data.decode(secret.get("data") or {})
    except secret_data.Corrupt as error:
        return error


def _requested(secret: api.Json) -> str:
    """The rotation that the Secret's annotation asks for; empty if none."""
    return str((api.metadata(secret).get("annotations") or {}).get(names.ROTATE_ANNOTATION, ""))


def _phase(
    release: cluster_release.Release,
    content: secret_data.CertificateSet | secret_data.Corrupt,
    *,
    request: str,
    live: ca_bundles.Configurations,
    now: datetime.datetime,
) -> str:
    """The next step of the operator's own plan.

    Only the replicas know since when a CA is trusted: here that is since now.
    """
    state = plan.CertificateState(
        now=now,
        secret=content,
        adopted=content if isinstance(content, secret_data.CertificateSet) else None,
        live_seconds=dict.fromkeys(ca_bundles.authorities(live), 0.0),
        request=request,
    )
    step = plan.next_step(state, plan.Policy.of(release.settings))
    if step.action is plan.Action.NOTHING:
        return step.why
    return f"{step.action.value}: {step.why}"


def _stored(content: secret_data.CertificateSet) -> Iterator[Certificate]:
    yield _certificate(LEAF, content.leaf.parsed(), due=plan.due(content.leaf))
    yield _certificate(CA, content.ca.parsed(), due=plan.due(content.ca))
    if content.next_ca:
        yield _certificate(NEXT_CA, content.next_ca.parsed(), due=plan.due(content.next_ca))
    if content.previous:
        parsed = issue.Pair(content.previous.certificate, b"").parsed()
        yield _certificate(PREVIOUS_CA, parsed, due=content.previous.until)


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
    for certificate in certificates:
        begins, ends = certificate.begins, certificate.ends
        if certificate.role in (LEAF, CA) and not begins <= now <= ends:
            yield f"the {certificate.role} is valid from {begins} to {ends} only"
