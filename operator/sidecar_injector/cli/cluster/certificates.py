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
    generation: int | None
    """Of the Secret that we write; None in other modes, or if it cannot be read."""
    phase: str
    """Where a rotation is, in a sentence."""
    request: str = ""
    """The rotation that the Secret's annotation asks for; empty if none."""
    certificates: Sequence[Certificate]
    bundles: Sequence[ca_bundles.Bundle]
    problems: Sequence[str]
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
    if secret is None:
        return _without_secret(release, live)
    if settings.certificate_mode == cluster_release.SELF_SIGNED:
        return _self_signed(release, secret, live=live, now=now)
    return _provided(release, secret, live=live, now=now)


def _without_secret(
    release: cluster_release.Release, live: ca_bundles.Configurations
) -> Certificates:
    label = f"{release.namespace}/{release.settings.secret_name}"
    return Certificates(
        secret=label,
        mode=release.settings.certificate_mode,
        generation=None,
        phase="there is no certificate",
        certificates=(),
        bundles=list(ca_bundles.compare(live, None)),
        problems=[f"there is no Secret {label}"],
    )


def _self_signed(
    release: cluster_release.Release,
    secret: api.Json,
    *,
    live: ca_bundles.Configurations,
    now: datetime.datetime,
) -> Certificates:
    content = _decoded(secret)
    problems: list[str] = []
    certificates: list[Certificate] = []
    wanted_bundle = None
    if isinstance(content, secret_data.Corrupt):
        problems.append(f"Secret {_label(secret)} cannot be used: {content}")
    else:
        certificates, wanted_bundle = list(_stored(content)), content.bundle()
        problems += _date_problems(certificates, now)
    bundles = list(ca_bundles.compare(live, wanted_bundle))
    return Certificates(
        secret=_label(secret),
        mode=cluster_release.SELF_SIGNED,
        generation=content.generation or None,
        phase=_phase(release, content, request=_requested(secret), live=live, now=now),
        request=_requested(secret),
        certificates=certificates,
        bundles=bundles,
        problems=[*problems, *ca_bundles.problems(bundles)],
    )


def _provided(
    release: cluster_release.Release,
    secret: api.Json,
    *,
    live: ca_bundles.Configurations,
    now: datetime.datetime,
) -> Certificates:
    """A Secret that cert-manager or the administrator fills."""
    mode = release.settings.certificate_mode
    dns_name = names.verified_dns_name(service=release.fullname, namespace=release.namespace)
    try:
        pair, cas = secret_data.decode_provided(
            secret.get("data") or {}, dns_names=[dns_name], now=now
        )
    except checks.FlawedError as error:
        problems, certificates, wanted_bundle = [f"Secret {_label(secret)}: {error}"], [], None
    else:
        issuers = checks.certificates(cas, field=names.CA_CERT)
        certificates = [
            _certificate(LEAF, pair.parsed(), due=None),
            *(_certificate(CA, issuer, due=None) for issuer in issuers),
        ]
        problems, wanted_bundle = [], cas
    bundles = list(ca_bundles.compare(live, wanted_bundle))
    return Certificates(
        secret=_label(secret),
        mode=mode,
        generation=None,
        phase=f"made by {'cert-manager' if mode == 'certManager' else 'the administrator'}",
        certificates=certificates,
        bundles=bundles,
        problems=[*problems, *ca_bundles.problems(bundles)],
    )


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


def _label(secret: api.Json) -> str:
    metadata = api.metadata(secret)
    return f"{metadata['namespace']}/{metadata['name']}"
