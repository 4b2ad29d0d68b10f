"""The judge: each injection once, in one thread, and never more than it can answer in time."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from sidecar_injector import names
from sidecar_injector.core.injections import model
from sidecar_injector.core.linting import validate
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.webhook import cluster_state, judge
from tests.kits.samples import container, injection, resource

LARGE = {
    "template": {"spec": {"containers": [container(env=[{"name": "A", "value": "x" * 9000}])]}}
}


class Gate:
    """Holds judgements until it is opened, and counts them."""

    def __init__(self) -> None:
        self.open, self.threads = threading.Event(), list[int]()
        self._validate = validate.validate

    def __call__(self, subject: model.Injection, *, minor: int | None) -> validate.Findings:
        self.threads.append(threading.get_ident())
        self.open.wait()
        return self._validate(subject, minor=minor)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()
    monkeypatch.setattr(validate, "validate", gate)
    yield gate
    gate.open.set()


def findings(subject: judge.Judge, raw: Any) -> asyncio.Task[validate.Findings]:
    return asyncio.create_task(
        subject.findings(raw, kind=names.KIND, others=lambda: (), namespaces=lambda: ())
    )


def unchecked(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("sidecar_injector_unchecked_injections_total")


async def test_the_status_writer_gets_what_the_webhook_found(gate: Gate) -> None:
    gate.open.set()
    subject = judge.Judge(Metrics())

    await findings(subject, resource())
    await findings(subject, resource())
    await subject.errors(injection())
    assert len(gate.threads) == 1

    await subject.errors(injection(suspend=True))
    await subject.errors(injection("other"))
    assert len(gate.threads) == 3
    assert threading.get_ident() not in gate.threads


async def test_what_was_found_holds_for_one_release_of_the_cluster() -> None:
    sleeping = {"preStop": {"sleep": {"seconds": 0}}}
    subject = judge.Judge(Metrics())
    on_old = injection(template={"spec": {"containers": [container(lifecycle=sleeping)]}})

    assert await subject.errors(on_old) == ()
    subject.kubernetes_minor = 32
    (problem,) = await subject.errors(on_old)
    assert "Kubernetes 1.32 refuses a sleep of 0 seconds" in problem.sentence


async def test_what_is_wrong_by_itself_is_not_judged_further(gate: Gate) -> None:
    wrong = injection(template="text")

    assert await judge.Judge(Metrics()).errors(wrong) == wrong.errors
    assert gate.threads == []


async def test_more_than_can_be_judged_in_time_are_admitted_unjudged(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Metrics()
    subject = judge.Judge(metrics)
    waiting = [findings(subject, resource(f"l{n}")) for n in range(judge.MOST_WAITING)]
    await asyncio.sleep(0)

    with caplog.at_level(logging.WARNING):
        for number in range(3):
            with pytest.raises(judge.UncheckedError, match="others wait"):
                await findings(subject, resource(f"late{number}"))
    gate.open.set()
    await asyncio.gather(*waiting)

    assert len(gate.threads) == judge.MOST_WAITING
    assert len(caplog.records) == unchecked(metrics) == 3
    await findings(subject, resource("afterwards"))


async def test_one_that_takes_too_long_is_judged_once_and_for_its_status(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "JUDGE_SECONDS", 0.01)
    subject = judge.Judge(Metrics())

    with pytest.raises(judge.UncheckedError, match="not within"):
        await findings(subject, resource())
    gate.open.set()
    await subject.errors(injection())

    assert len(gate.threads) == 1


async def test_what_is_remembered_is_bounded_by_bytes(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate.open.set()
    monkeypatch.setattr(judge, "REMEMBERED_BYTES", 4096)
    subject = judge.Judge(Metrics())
    names_ = [f"l{number}" for number in range(20)]

    for name in names_:
        await subject.errors(injection(name))
    await subject.errors(injection(names_[-1]))
    assert len(gate.threads) == len(names_)

    await subject.errors(injection(names_[0]))
    assert len(gate.threads) == len(names_) + 1


@pytest.mark.parametrize(("spec", "aside"), [(LARGE, True), ({}, False)])
async def test_a_large_injection_is_read_beside_the_event_loop_and_once(
    monkeypatch: pytest.MonkeyPatch, spec: Any, aside: bool
) -> None:
    threads = []
    read = model.read

    def reading(*arguments: Any, **options: Any) -> model.Injection:
        threads.append(threading.get_ident())
        return read(*arguments, **options)

    monkeypatch.setattr(model, "read", reading)
    subject = judge.Judge(Metrics())
    state = cluster_state.ClusterState(release_namespace="ours", read_injection=subject.read)
    raw = resource(**spec)

    await subject.read_ahead(raw, kind=names.KIND)
    state.injection_changed(("demo", "log"), None, raw)

    assert [thread != threading.get_ident() for thread in threads] == [aside]
    assert state.injection(names.KIND, ("demo", "log"))


async def test_what_was_read_ahead_is_not_taken_for_another_resource() -> None:
    subject = judge.Judge(Metrics())
    raw, newer = resource(**LARGE), resource(suspend=True)

    await subject.read_ahead(raw, kind=names.KIND)

    assert subject.read(newer, names.KIND).spec["suspend"] is True
