"""Where a decision is reported: to the user, in Events, metrics and the log."""

from __future__ import annotations

import asyncio
import datetime
import json

import pytest

from sidecar_injector import names
from sidecar_injector.kube import client, credentials
from sidecar_injector.kube import events as recording
from tests.kits import product as kit
from tools.controlplane import errors


@pytest.fixture
def namespace(injecting_namespace: str) -> str:
    return injecting_namespace


def test_an_injection_that_must_succeed_refuses_the_pod_and_says_what_to_do(
    product: kit.Product, enabled_namespace: str
) -> None:
    product.create_injection(enabled_namespace, kit.injection(failurePolicy="Fail"))
    with pytest.raises(errors.ApiError) as caught:
        product.create_pod(enabled_namespace, kit.conflicting())
    assert caught.value.status == 422
    message = caught.value.message
    assert f"{names.KIND} proxy is required" in message
    assert "ContainerConflict" in message
    assert f"opt the pod out with the label {names.INJECTION_LABEL}={names.DISABLED}" in message
    assert kit.containers(product.create_pod(enabled_namespace, kit.pod("fine"))) == kit.BOTH


def test_kubectl_shows_warnings_for_a_conflict_and_for_an_unknown_name(
    product: kit.Product, namespace: str
) -> None:
    pods = [
        kit.conflicting(annotations={names.INJECT_ANNOTATION: "proxy,nobody"}),
        kit.pod("fine"),
    ]
    answers = [
        product.plane.kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps(pod))
        for pod in pods
    ]
    lines = answers[0].stderr.splitlines()
    command = f"kubectl get {names.PRODUCT} -n {namespace}"
    assert [line.split(": ")[:4] for line in lines] == [
        ["Warning", names.PRODUCT, "UnknownInjection", f"'nobody' does not exist; {command}"],
        [
            "Warning",
            names.PRODUCT,
            f"pod {pods[0]['metadata']['name']} starts without proxy",
            lines[1].split(": ")[3],
        ],
    ]
    assert answers[1].stderr == ""


def events(product: kit.Product, namespace: str) -> list[kit.Json]:
    path = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
    items = product.plane.client.get(path)["items"]
    return [event for event in items if event.get("reportingController") == names.PRODUCT]


def test_a_conflict_is_an_event_at_the_deployment(product: kit.Product, namespace: str) -> None:
    containers = [{"name": "sidecar", "image": "own:1"}]
    product.created_by(namespace, kit.workload("Deployment", containers=containers))
    (event,) = product.plane.wait("an Event", lambda: events(product, namespace))
    deployment = product.plane.client.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/work")
    assert event["regarding"]["kind"] == "Deployment"
    assert event["regarding"]["uid"] == deployment["metadata"]["uid"]
    described = product.plane.kubectl("describe", "-n", namespace, "deployment/work").stdout
    assert "ContainerConflict" in described
    assert (event["type"], event["reason"]) == ("Warning", "ContainerConflict")
    assert event["note"].startswith("each pod starts without proxy: ")


def test_a_conflict_of_a_bare_pod_is_an_event_at_the_injection_and_a_dry_run_makes_none(
    product: kit.Product, namespace: str
) -> None:
    """One replica gets both, in this order. It posts Events in order, equal ones as one."""
    replica = product.replicas[0]
    product.ask(replica, namespace, kit.conflicting(), dry_run=True)
    product.ask(replica, namespace, kit.conflicting(), dry_run=False)
    (event,) = product.plane.wait("an Event", lambda: events(product, namespace))
    assert event["regarding"]["kind"] == names.KIND
    assert event["regarding"]["name"] == "proxy"
    assert "series" not in event


def test_a_note_in_another_language_is_cut_to_the_bytes_that_the_api_server_takes(
    product: kit.Product, namespace: str
) -> None:
    """It counts bytes, and one of these characters has three."""

    async def post() -> None:
        source = credentials.CredentialsSource(kubeconfig=str(product.plane.kubeconfig))
        async with client.Client(source) as api_client:
            recorder = recording.Recorder(
                api_client, instance="実" * 100, now=lambda: datetime.datetime.now(datetime.UTC)
            )
            recorder.record(
                recording.Event(
                    regarding=recording.ObjectRef(
                        api_version="v1", kind="Pod", name="web", namespace=namespace
                    ),
                    reason="理" * 100,
                    message="値は次のいずれかでなければなりません。" * 100,
                    action="行" * 100,
                )
            )
            running = asyncio.create_task(recorder.run())
            await asyncio.to_thread(
                product.plane.wait, "an Event", lambda: events(product, namespace)
            )
            running.cancel()

    asyncio.run(post())
    (event,) = events(product, namespace)
    sizes = [
        len(event[field].encode()) for field in ("note", "reason", "action", "reportingInstance")
    ]
    assert sizes == [1023, 126, 126, 126]


def test_every_pod_is_counted_by_result_and_reason(product: kit.Product, namespace: str) -> None:
    def counts() -> tuple[float, ...]:
        return (
            product.counted(kit.REQUESTS, result="Injected"),
            product.counted(kit.DECISIONS, reason="Injected"),
            product.counted(kit.DECISIONS, reason="ContainerConflict"),
            product.counted(kit.REQUESTS, result="error"),
        )

    before = counts()
    product.create_pod(namespace, kit.pod())
    product.create_pod(namespace, kit.conflicting(name="other"))
    assert [new - old for new, old in zip(counts(), before, strict=True)] == [1, 1, 1, 0]


def test_a_decision_is_one_line_and_nothing_of_the_pod_itself_is_logged(
    product: kit.Product, namespace: str
) -> None:
    secret = "correct-horse-battery"
    containers = [
        {"name": "app", "image": "app:1", "args": [secret], "env": [{"name": "A", "value": secret}]}
    ]
    pod = kit.pod("logged", containers=containers)
    product.create_pod(namespace, kit.with_metadata(pod, annotations={"note": secret}))
    product.flush()
    lines = [line for line in product.log() if line.get("pod") == "logged"]
    # The second is the second call: the API server has mounted the token after the first.
    assert [line["verdict"] for line in lines] == ["Injected", "Unchanged"]
    line = lines[0]
    assert (line["namespace"], line["owner"], line["reasons"]) == (namespace, None, ["Injected"])
    assert line["milliseconds"] < 1000
    assert len(line["uid"]) == 36
    assert all(secret not in text for text in product.operators.logs().values())
