"""Certificates for tests: a fixed clock, small lives, and Secrets in every phase of a roll."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

from sidecar_injector import names
from sidecar_injector.pki import issue, keys, plan, secret_data

NOW = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
SECOND = datetime.timedelta(seconds=1)
DAY = datetime.timedelta(days=1)
DNS_NAMES = names.service_dns_names(service="si", namespace="ns", cluster_domain="cluster.local")
POLICY = plan.Policy(
    dns_names=DNS_NAMES, leaf_seconds=30 * 86_400, ca_seconds=360 * 86_400, roll_wait_seconds=60
)


def state(**changes: Any) -> plan.CertificateState:
    return plan.CertificateState(**{"now": NOW, "secret": None, **changes})


def applied(
    step: plan.Step, to: plan.CertificateState, policy: plan.Policy = POLICY
) -> secret_data.CertificateSet:
    return plan.apply_step(step, to, policy=policy, generate=keys.generate)


def take(
    action: plan.Action, current: secret_data.CertificateSet, *, now: datetime.datetime = NOW
) -> secret_data.CertificateSet:
    """The Secret after this step, even if it is not due."""
    return applied(plan.Step(action, "a test"), state(secret=current, now=now))


def new(now: datetime.datetime = NOW, policy: plan.Policy = POLICY) -> secret_data.CertificateSet:
    """A Secret that was just created."""
    create = plan.Step(plan.Action.CREATE, "a test")
    return applied(create, state(now=now), policy)


FIRST = new()
STAGED = take(plan.Action.STAGE_CA, FIRST)
SWITCHED = take(plan.Action.SWITCH_ISSUER, STAGED)
OTHER = new()


def leaf_of(ca: issue.Pair, **changes: Any) -> issue.Pair:
    options = {"dns_names": DNS_NAMES, "now": NOW, "seconds": POLICY.leaf_seconds, **changes}
    return issue.leaf(fresh=keys.generate(), issuer=ca, **options)


def with_leaf(
    certificates: secret_data.CertificateSet, **changes: Any
) -> secret_data.CertificateSet:
    return dataclasses.replace(certificates, leaf=leaf_of(certificates.ca, **changes))
