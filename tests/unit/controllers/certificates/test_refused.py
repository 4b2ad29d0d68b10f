"""Clients refuse the certificate, the Secret is deleted again and again, a clock is wrong."""

from __future__ import annotations

import datetime

import pytest

from sidecar_injector.controllers import rate_limit
from sidecar_injector.controllers.certificates import problems
from sidecar_injector.kube import api, events, server_clock
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.pki import handover, issue, plan
from sidecar_injector.webhook import readiness
from tests.kits import certificates as kit
from tests.kits import fake_api

ROLLBACKS = "certificate_rollbacks_total"
PROBLEM = "certificate_problem"
REFUSED = "CertificateRefused"


async def renewed(
    cluster: kit.Cluster, *, left: float | None = None
) -> tuple[kit.Replica, bytes, bytes]:
    """A replica that has just changed to a new leaf; the old leaf and the new one.

    The old leaf still has `left` seconds to live, or nearly all of its life.
    """
    (replica,) = await cluster.healthy_replicas()
    leaf = cluster.stored().leaf
    old = leaf.certificate
    if left is not None:
        end = leaf.parsed().not_valid_after_utc
        cluster.clock.moment = end - datetime.timedelta(seconds=left)
    cluster.request_rotation(plan.LEAF)
    await fake_api.eventually(lambda: len(replica.loaded) == 2)
    return replica, old, cluster.stored().leaf.certificate


def refuse(replica: kit.Replica, times: int = handover.BURST) -> None:
    for _ in range(times):
        replica.served.refuse()


async def test_a_burst_of_refusals_after_a_change_brings_the_former_certificate_back(
    cluster: kit.Cluster,
) -> None:
    replica, old, _ = await renewed(cluster)
    refuse(replica, handover.BURST - 1)
    assert len(replica.loaded) == 2
    refuse(replica, 1)
    assert replica.loaded[-1] == old
    assert replica.metric(ROLLBACKS) == 1
    assert replica.metric(PROBLEM, problem=REFUSED) == 1
    (remark,) = replica.ready.remarks()
    assert remark.startswith(f"{REFUSED}: Clients refuse certificate ")
    await fake_api.eventually(lambda: cluster.server.objects.get(api.EVENTS))
    (event,) = cluster.server.objects[api.EVENTS].values()
    assert event["reason"] == REFUSED
    assert event["note"].endswith("the one before it is served again")


async def test_what_was_taken_back_is_tried_again_and_the_alarm_ends_without_refusals(
    cluster: kit.Cluster,
) -> None:
    replica, old, new = await renewed(cluster)
    refuse(replica)
    cluster.clock.move(handover.FIRST_RETRY_SECONDS - 1)
    await replica.source.reconcile()
    assert replica.loaded[-1] == old
    cluster.clock.move(1)
    await replica.source.reconcile()
    assert replica.loaded[-1] == new
    assert replica.metric(PROBLEM, problem=REFUSED) == 1
    cluster.clock.move(handover.TRIAL_SECONDS + 1)
    await replica.source.reconcile()
    assert replica.metric(PROBLEM, problem=REFUSED) == 0
    assert replica.ready.remarks() == ()
    assert len(replica.loaded) == 4


async def test_nothing_is_taken_back_to_a_certificate_that_is_no_better(
    cluster: kit.Cluster,
) -> None:
    """Its issuer is not trusted any more: the other one would be refused just the same."""
    replica, _, new = await renewed(cluster)
    for resource in (api.MUTATING, api.VALIDATING):
        cluster.server.take(resource, name="si")
    await fake_api.eventually(lambda: not replica.trust.live_cas())
    refuse(replica)
    assert replica.loaded[-1] == new
    assert replica.metric(ROLLBACKS) == 0
    assert replica.metric(PROBLEM, problem=REFUSED) == 1


async def test_the_former_certificate_is_left_in_time_before_it_ends(
    cluster: kit.Cluster,
) -> None:
    """The pause after the refusals would last longer than the former certificate."""
    replica, old, new = await renewed(cluster, left=handover.LAST_SECONDS + 30)
    refuse(replica)
    cluster.clock.move(29)
    await replica.source.reconcile()
    assert replica.loaded[-1] == old
    cluster.clock.move(1)
    await replica.source.reconcile()
    assert replica.loaded[-1] == new


async def test_nothing_is_taken_back_to_a_certificate_that_ends_too_soon(
    cluster: kit.Cluster,
) -> None:
    replica, _, new = await renewed(cluster, left=handover.LAST_SECONDS)
    refuse(replica)
    assert replica.loaded[-1] == new
    assert replica.metric(PROBLEM, problem=REFUSED) == 1


async def test_an_expired_certificate_is_not_held_on_to(cluster: kit.Cluster) -> None:
    replica, _, _ = await renewed(cluster)
    refuse(replica)
    cluster.clock.move(handover.FIRST_RETRY_SECONDS - 1)
    assert replica.served.certificate
    served = issue.Pair(replica.served.certificate, b"").parsed()
    cluster.clock.moment = served.not_valid_after_utc
    cluster.clock.move(1)
    await replica.source.reconcile()
    await cluster.settle()
    assert replica.loaded[-1] == cluster.stored().leaf.certificate


async def test_without_a_change_refusals_lead_to_nothing(cluster: kit.Cluster) -> None:
    (replica,) = await cluster.healthy_replicas()
    refuse(replica, 100)
    assert len(replica.loaded) == 1
    assert replica.metric(ROLLBACKS) == 0


async def test_a_writer_that_keeps_deleting_the_secret_is_named_and_answered_rarely(
    cluster: kit.Cluster,
) -> None:
    (replica,) = await cluster.healthy_replicas()
    before = cluster.stored()
    cluster.clock.move(rate_limit.STABLE_SECONDS)
    written = 0
    for _ in range(20):
        cluster.server.take(api.SECRETS, name="si-tls", namespace="ns")
        await cluster.idle()
        written += cluster.secret is not None
        if cluster.secret is None:
            break
        cluster.clock.move(1)
    assert written == rate_limit.FAST_TRIES
    assert replica.metric(PROBLEM, problem="CertificateSecretRewritten") == 1
    assert replica.serving() == before.leaf.certificate

    cluster.clock.move(rate_limit.SLOW_SECONDS)
    await replica.source.reconcile()
    await cluster.settle()
    cluster.clock.move(rate_limit.STABLE_SECONDS)
    await replica.source.reconcile()
    assert cluster.stored() == before
    assert replica.metric(PROBLEM, problem="CertificateSecretRewritten") == 0

    cluster.clock.move(1)
    cluster.server.take(api.SECRETS, name="si-tls", namespace="ns")
    await cluster.settle()


NOON = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
NOON_DATE = "Thu, 01 Jan 2026 12:00:00 GMT"


def observed(
    own: datetime.datetime, *, date: str = NOON_DATE, took: float = 0.0
) -> server_clock.Clock:
    """A clock that learns the API server's time when it shows `own` itself."""
    answered = own + datetime.timedelta(seconds=took)
    clock = server_clock.Clock(lambda: answered)
    clock.observe(date, sent_at=own)
    return clock


@pytest.mark.parametrize(
    ("ahead", "wrong"),
    [(-300, False), (-301, True), (0, False), (301, False), (302, True)],
    ids=["behind", "too-far-behind", "right", "ahead-within-the-second", "too-far-ahead"],
)
def test_a_clock_is_believed_within_five_minutes(ahead: int, *, wrong: bool) -> None:
    """The header has whole seconds: what it says may have been so for almost another one."""
    own = NOON + datetime.timedelta(seconds=ahead)
    clock = observed(own)
    assert clock.is_skewed is wrong
    assert abs(clock.now() - (NOON if wrong else own)) <= datetime.timedelta(seconds=1)


@pytest.mark.parametrize(
    ("date", "took"),
    [
        pytest.param(NOON_DATE, 11.0, id="the-answer-took-long"),
        pytest.param(NOON_DATE, -1.0, id="our-clock-was-set-back-meanwhile"),
        pytest.param("", 0.0, id="no-header"),
        pytest.param("yesterday", 0.0, id="no-date"),
        pytest.param("Thu, 01 Jan 2026 12:00:00 -0000", 0.0, id="no-time-zone"),
    ],
)
def test_an_answer_that_does_not_tell_the_time_changes_nothing(date: str, took: float) -> None:
    assert (
        observed(NOON + datetime.timedelta(hours=1), date=date, took=took).skew == server_clock.NONE
    )


async def test_a_wrong_clock_is_an_alarm_as_long_as_it_is_wrong() -> None:
    metrics, ready = Metrics(), readiness.Readiness()
    server = fake_api.FakeApi()
    recorder = events.Recorder(server, instance="r", now=server_clock.system)
    moment = NOON + datetime.timedelta(minutes=30)
    theirs = server_clock.Clock(lambda: moment)
    alarms = problems.Alarms(recorder=recorder, about=kit.ABOUT, metrics=metrics, ready=ready)
    problems.watch_clock(theirs, alarms=alarms, metrics=metrics)

    for date in (NOON_DATE, NOON_DATE.replace("12:00:00", "12:00:01")):
        theirs.observe(date, sent_at=moment)
    assert metrics.registry.get_sample_value("sidecar_injector_clock_skew_seconds") == 1798
    (remark,) = ready.remarks()
    assert "more than 5 min ahead of the API server's" in remark
    await fake_api.run_until_idle(recorder.run)
    (event,) = server.objects[api.EVENTS].values()
    assert (event["reason"], event.get("series")) == ("ClockSkew", None)

    theirs.observe("Thu, 01 Jan 2026 12:29:59 GMT", sent_at=moment)
    assert ready.remarks() == ()
    assert theirs.now() == moment
