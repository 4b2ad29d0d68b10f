"""`restart --wait`: how rollouts are judged, followed and shown."""

from __future__ import annotations

import asyncio

import pytest

from sidecar_injector.cli.cluster import owners, rollouts
from sidecar_injector.cli.commands import restart
from sidecar_injector.cli.output import tables
from sidecar_injector.core.pods.owner import Owner
from sidecar_injector.kube import api
from tests.kits import cluster as kit
from tests.kits.cli import ESCAPE, run, terminal

OWNER = Owner("demo", "Deployment", "web")
STATEFUL, DAEMON = "StatefulSet", "DaemonSet"


def deployment(*, wanted=3, generation=2, **status):
    template = {"metadata": {"labels": {}}}
    return {
        "metadata": {"name": "web", "namespace": "demo", "generation": generation},
        "spec": {"replicas": wanted, "template": template},
        "status": {"observedGeneration": 2, **status},
    }


def stateful(*, partition=0, **status):
    owner = deployment(**status)
    owner["spec"]["updateStrategy"] = {"rollingUpdate": {"partition": partition}}
    return owner


HALF = {"replicas": 4, "updatedReplicas": 2, "availableReplicas": 3}
FULL = {"replicas": 3, "updatedReplicas": 3, "availableReplicas": 3}
LATE = {"conditions": [{"type": "Progressing", "reason": rollouts.OUT_OF_TIME}]}
REVISIONS = {"currentRevision": "a", "updateRevision": "b"}
AGREED = {"currentRevision": "b", "updateRevision": "b"}
ALL = {"updatedReplicas": 3, "readyReplicas": 3}
UPPER = {"updatedReplicas": 1, "readyReplicas": 3, **REVISIONS}
NODES = {"desiredNumberScheduled": 3, "updatedNumberScheduled": 3}


@pytest.mark.parametrize(
    ("kind", "owner", "done", "message"),
    [
        ("Deployment", deployment(generation=3, **FULL), 0, "its controller has not seen it yet"),
        ("Deployment", deployment(**HALF), 1, "2/3 updated, 3 available, 2 old pods remaining"),
        ("Deployment", deployment(**FULL | {"replicas": 4}), 2,
         "3/3 updated, 3 available, 1 old pod remaining"),
        ("Deployment", deployment(**FULL | {"availableReplicas": 2}), 2,
         "3/3 updated, 2 available"),
        (STATEFUL, stateful(**ALL | REVISIONS), 3, "3/3 updated, 3 available"),
        (STATEFUL, stateful(partition=2, **UPPER | {"readyReplicas": 2}), 0,
         "1/1 updated, 2 available, 2 old pods remaining, which its partition keeps"),
        (DAEMON, deployment(**NODES, numberAvailable=1), 1, "3/3 updated, 1 available"),
    ],
)  # fmt: skip
def test_progress_is_reported_in_numbers(kind, owner, done, message):
    rollout = rollouts.judge(kind, owner)
    assert (rollout.done, rollout.message) == (done, message)
    assert (rollout.complete, rollout.stuck) == (False, False)


@pytest.mark.parametrize(
    ("kind", "owner"),
    [
        ("Deployment", deployment(**FULL)),
        ("Deployment", deployment(wanted=0)),
        (STATEFUL, stateful(**ALL | AGREED)),
        (STATEFUL, stateful(partition=2, **UPPER)),
        (DAEMON, deployment(**NODES, numberAvailable=3)),
        (DAEMON, deployment()),
    ],
)
def test_what_is_complete_is_known_to_be(kind, owner):
    assert rollouts.judge(kind, owner).complete


def test_a_deployment_that_has_given_up_is_not_waited_for():
    rollout = rollouts.judge("Deployment", deployment(**HALF | LATE))
    assert (rollout.complete, rollout.stuck) == (False, True)
    assert "progressDeadlineSeconds are over: 2/3" in rollout.message


@pytest.fixture
def fake(monkeypatch):
    cluster = kit.installed()
    cluster.seed(api.WORKLOADS["ReplicaSet"], {
        "metadata": {"name": "web-1", "namespace": "demo", "ownerReferences": [
            {"kind": "Deployment", "name": "web", "controller": True}]}})  # fmt: skip
    cluster.seed(api.PODS, kit.pod(owner=("ReplicaSet", "web-1")))
    cluster.seed(api.DEPLOYMENTS, deployment(**HALF))
    monkeypatch.setattr(restart, "PAUSE", 0)
    return cluster


def advancing(fake, *statuses):
    """Each time that the Deployment is read it has the next status; an empty one deletes it."""
    coming, get = list(statuses), fake.get

    async def changing_get(resource, *, name, namespace=None):
        if name == "web" and fake.calls["patch", "deployments"] and coming:
            fake.take(api.DEPLOYMENTS, name="web", namespace="demo")
            if status := coming.pop(0):
                fake.seed(api.DEPLOYMENTS, deployment(**status))
        return await get(resource, name=name, namespace=namespace)

    fake.get = changing_get


def waited(monkeypatch, fake, *more):
    with kit.served(monkeypatch, fake):
        return run("restart", "--wait", *more)


def test_each_step_is_reported_once_until_it_is_complete(monkeypatch, fake):
    advancing(fake, HALF, HALF, FULL)
    result = waited(monkeypatch, fake)
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "1/1 demo/Deployment/web: restarted",
        "demo/Deployment/web: 2/3 updated, 3 available, 2 old pods remaining",
        "demo/Deployment/web: 3/3 updated, 3 available",
    ]
    assert result.stdout.splitlines()[1].split() == ["demo/Deployment/web", "0", "1", "complete"]


@pytest.mark.parametrize("status", [HALF | LATE, {}])
def test_one_that_cannot_go_on_ends_the_waiting(monkeypatch, fake, status):
    advancing(fake, HALF, status)
    result = waited(monkeypatch, fake)
    assert result.exit_code == 1
    assert "incomplete: it " in result.stdout


def test_a_timeout_reports_the_last_step(fake):
    last = asyncio.run(restart.follow(owners.Owners(fake), [OWNER], seconds=0))
    assert last[OWNER].message.startswith("2/3 updated")
    assert not last[OWNER].complete


def test_on_a_terminal_each_has_a_bar(monkeypatch, fake):
    console = terminal(width=120)
    monkeypatch.setattr(tables, "console", lambda **_: console)
    fake.seed(api.DEPLOYMENTS, deployment(**FULL))
    asyncio.run(restart.follow(owners.Owners(fake), [OWNER], seconds=5))
    text = console.file.getvalue()
    assert ESCAPE in text
    assert "━━━" in text
    assert "3/3 updated, 3 available" in text


def test_waiting_for_a_dry_run_is_wrong_usage():
    result = run("restart", "--wait", "--dry-run")
    assert (result.exit_code, "nothing would roll" in result.stderr) == (2, True)
