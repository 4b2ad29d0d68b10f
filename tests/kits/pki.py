"""Certificates for tests: a fixed clock, small lives, and Secrets in every phase of a roll."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

from sidecar_injector import names
from sidecar_injector.pki import issue, keys, plan, roll, secret_data

NOW = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
SECOND = datetime.timedelta(seconds=1)
DAY = datetime.timedelta(days=1)
DNS_NAMES = names.service_dns_names(service="si", namespace="ns", cluster_domain="cluster.local")
POLICY = plan.Policy(
    dns_names=DNS_NAMES, leaf_seconds=30 * 86_400, ca_seconds=360 * 86_400, roll_wait_seconds=60
)


def world(**changes: Any) -> plan.CertificateState:
    return plan.CertificateState(**{"now": NOW, "found": None, **changes})


def carried_out(
    step: plan.Step, of: plan.CertificateState, policy: plan.Policy = POLICY
) -> secret_data.Stored:
    return roll.carry_out(step, of, policy=policy, generate=keys.generate)


def take(
    action: plan.Action, found: secret_data.Stored, *, now: datetime.datetime = NOW
) -> secret_data.Stored:
    """The Secret after this step, due or not."""
    return carried_out(plan.Step(action, "a test"), world(found=found, now=now))


def new(now: datetime.datetime = NOW, policy: plan.Policy = POLICY) -> secret_data.Stored:
    """A Secret as it is first made."""
    create = plan.Step(plan.Action.CREATE, "a test")
    return carried_out(create, world(now=now), policy)


FIRST = new()
STAGED = take(plan.Action.STAGE_CA, FIRST)
SWITCHED = take(plan.Action.SWITCH_ISSUER, STAGED)
OTHER = new()


def leaf_of(ca: issue.Pair, **changes: Any) -> issue.Pair:
    how = {"dns_names": DNS_NAMES, "now": NOW, "seconds": POLICY.leaf_seconds, **changes}
    return issue.leaf(fresh=keys.generate(), issuer=ca, **how)


def with_leaf(stored: secret_data.Stored, **changes: Any) -> secret_data.Stored:
    return dataclasses.replace(stored, leaf=leaf_of(stored.ca, **changes))
