"""Events go to what people made: the Deployment of a ReplicaSet, the CronJob of a Job."""

from __future__ import annotations

import datetime

import pytest

from sidecar_injector.controllers import owners
from sidecar_injector.kube import api, events
from tests.kits import fake_api

REPLICA_SET, JOB = api.WORKLOADS["ReplicaSet"], api.WORKLOADS["Job"]


def ref(resource: api.Resource, name: str = "web-1") -> events.ObjectRef:
    return events.ObjectRef(
        api_version=resource.api_version, kind=resource.kind, name=name, namespace="demo", uid="1"
    )


def seed(server: fake_api.FakeApi, resource: api.Resource, kind: str, name: str = "web-1") -> None:
    version = "batch/v1" if kind == "CronJob" else "apps/v1"
    controller = {"apiVersion": version, "kind": kind, "name": "web", "uid": "2"}
    references = [{**controller, "name": "other"}, {**controller, "controller": True}]
    metadata = {"name": name, "namespace": "demo", "ownerReferences": references}
    server.seed(resource, {"metadata": metadata})


@pytest.mark.parametrize(("resource", "kind"), [(REPLICA_SET, "Deployment"), (JOB, "CronJob")])
async def test_the_controller_is_looked_up_once(resource: api.Resource, kind: str) -> None:
    server = fake_api.FakeApi()
    seed(server, resource, kind)
    lookup = owners.Owners(server)
    for _ in range(3):
        owner = await lookup.top(ref(resource))
        assert (owner.kind, owner.name, owner.namespace, owner.uid) == (kind, "web", "demo", "2")
    assert server.calls["get", resource.plural] == 1


async def test_an_owner_of_another_kind_or_that_cannot_be_read_stays() -> None:
    server = fake_api.FakeApi()
    lookup = owners.Owners(server)
    stateful = ref(api.WORKLOADS["StatefulSet"])
    assert await lookup.top(stateful) == stateful
    assert not server.calls
    assert await lookup.top(ref(JOB)) == ref(JOB), "it is gone"
    server.seed(JOB, {"metadata": {"name": "web-1", "namespace": "demo"}})
    forbidden = api.ApiError(status=403, reason="Forbidden", message="m", path="/", retry_after=0)
    server.failures["get", "jobs"] = [forbidden]
    assert await lookup.top(ref(JOB)) == ref(JOB)
    assert await lookup.top(ref(JOB)) == ref(JOB), "nobody controls it"


async def test_what_is_remembered_is_bounded() -> None:
    server = fake_api.FakeApi()
    lookup = owners.Owners(server)
    number = owners.MOST_REMEMBERED + 1
    for index in range(number):
        seed(server, REPLICA_SET, "Deployment", name=f"web-{index}")
        await lookup.top(ref(REPLICA_SET, f"web-{index}"))
    await lookup.top(ref(REPLICA_SET, f"web-{number - 1}"))
    assert server.calls["get", "replicasets"] == number
    await lookup.top(ref(REPLICA_SET, "web-0"))
    assert server.calls["get", "replicasets"] == number + 1


async def test_two_replica_sets_of_a_deployment_have_one_event() -> None:
    server = fake_api.FakeApi()
    recorder = events.Recorder(
        server, instance="pod-0", now=lambda: datetime.datetime.now(datetime.UTC),
        find_owner=owners.Owners(server).top,
    )  # fmt: skip
    for name in ("web-1", "web-2"):
        seed(server, REPLICA_SET, "Deployment", name=name)
        recorder.record(
            events.Event(regarding=ref(REPLICA_SET, name), reason="R", message="m", action="A")
        )
    await fake_api.run_until_idle(recorder.run)
    (event,) = server.objects[api.EVENTS].values()
    assert event["regarding"]["kind"] == "Deployment"
    assert event["series"]["count"] == 2


async def test_an_owner_that_is_gone_is_looked_up_once_and_an_error_again() -> None:
    server = fake_api.FakeApi()
    lookup = owners.Owners(server)
    for _ in range(3):
        assert await lookup.top(ref(REPLICA_SET)) == ref(REPLICA_SET)
    assert server.calls["get", "replicasets"] == 1
    server.failures["get", "jobs"] = [fake_api.refusal(500, "InternalError")]
    assert await lookup.top(ref(JOB)) == ref(JOB)
    seed(server, JOB, "CronJob")
    assert (await lookup.top(ref(JOB))).kind == "CronJob"
