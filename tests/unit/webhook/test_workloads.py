"""The webhook for workloads: one warning for each mistake, none for what is right, never a no."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar_injector import names
from sidecar_injector.core import templates
from sidecar_injector.core.reasons import Reason
from sidecar_injector.httpserver import messages
from sidecar_injector.webhook import cluster_state, mutate, response, worker, workloads
from tests.kits.admission import Server, clash
from tests.kits.samples import NAMESPACE, container, resource

Json = dict[str, Any]
INJECT, LABEL = names.INJECT_ANNOTATION, names.INJECTION_LABEL
GROUPS = {"CronJob": "batch", "Job": "batch", "ReplicationController": "", "Rollout": "argoproj.io"}
ANY = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2**63) | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(
        st.sampled_from(["metadata", "spec", "template", "labels", "annotations", "containers",
                         "name", "image", "volumes", "kind", INJECT]) | st.text(),
        values, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


def workload(
    kind: str = "Deployment", *, own: Json | None = None, template: Json | None = None, **spec: Any
) -> Json:
    """A workload with this metadata of its own and of its template."""
    pod_spec = {"containers": [container("app")], "automountServiceAccountToken": False} | spec
    body: Json = {"template": {"metadata": template or {}, "spec": pod_spec}}
    if kind == "CronJob":
        body = {"jobTemplate": {"spec": body}}
    group = GROUPS.get(kind, "apps")
    metadata = {"name": "web", "namespace": NAMESPACE, **(own or {})}
    version = f"{group}/v1".lstrip("/")
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": body}


def review(manifest: Any, **changes: Any) -> bytes:
    request = {"uid": "6-7-8", "operation": "CREATE", "namespace": NAMESPACE, "object": manifest}
    return orjson.dumps(
        {
            "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
            "request": request | changes,
        }
    )  # fmt: skip


def webhook_over(*injections: Json) -> workloads.WorkloadWebhook:
    return workloads.WorkloadWebhook(Server(*injections).state, long_work=worker.Worker())


def answer(body: bytes, webhook: workloads.WorkloadWebhook) -> messages.Response:
    request = messages.Request("POST", names.WORKLOADS_PATH, {}, body)
    answered = webhook.review(request)
    return answered if isinstance(answered, messages.Response) else asyncio.run(wait(answered))


async def wait(answered: Any) -> messages.Response:
    result = await answered
    assert isinstance(result, messages.Response)
    return result


def warned(manifest: Json, *injections: Json) -> list[str]:
    """The warnings about a workload; everything else in the response is always the same."""
    answered = answer(review(manifest), webhook_over(*injections))
    assert answered.status == 200
    found: list[str] = json.loads(answered.body)["response"].pop("warnings", [])
    rest = json.loads(answered.body)["response"]
    rest.pop("warnings", None)
    assert rest == {"uid": "6-7-8", "allowed": True}
    return found


MISTAKES = [
    (workload(template={"annotations": {INJECT: "lgo"}}), "UnknownInjection",
     "did you mean 'log'?"),
    (workload(template={"annotations": {INJECT: "Log"}}), "InvalidAnnotation", "write 'log'"),
    (workload("CronJob", template={"annotations": {INJECT: "yes, log"}}), "InvalidAnnotation",
     "write 'yes' or 'log'"),
    (workload(template={"annotations": {"sidecar-injector/inject": "log"}}), "UnknownAnnotation",
     f"write {INJECT}"),
    (workload("Job", template={"labels": {INJECT: "log"}}), "MisplacedAnnotation",
     f"write it as annotation {INJECT}"),
    (workload("StatefulSet", own={"annotations": {INJECT: "log"}}), "MisplacedAnnotation",
     "move it to spec.template.metadata"),
    (workload("DaemonSet", own={"labels": {LABEL: "disabled"}}), "MisplacedLabel",
     "move it to spec.template.metadata"),
    (workload("Rollout", template={"labels": {LABEL: "false"}}), "UnknownLabelValue",
     "write sidecar-injection=disabled"),
    (workload("ReplicationController", containers=[container("app")]),
     "each pod of web starts without clash: rename", ""),
]  # fmt: skip


@pytest.mark.parametrize(("manifest", "reason", "remedy"), MISTAKES)
def test_each_mistake_draws_exactly_one_warning(manifest: Json, reason: str, remedy: str) -> None:
    injections = [resource("log", activation="OnRequest")]
    (warning,) = warned(manifest, *([clash()] if "clash" in reason else injections))
    assert reason in warning
    assert warning.endswith(remedy)
    assert len(warning) <= response.MAX_WARNING_LENGTH


@pytest.mark.parametrize("kind", ["Deployment", "CronJob", "Job", "StatefulSet", "Rollout"])
@pytest.mark.parametrize(
    "metadata",
    [{}, {"annotations": {INJECT: "log"}}, {"annotations": {INJECT: "no"}},
     {"labels": {LABEL: "disabled", "app": "sidecar-injector"}}],
)  # fmt: skip
def test_what_is_right_draws_none(kind: str, metadata: Json) -> None:
    assert warned(workload(kind, template=metadata, own=metadata), resource("log")) == []


def test_a_pod_that_would_be_refused_is_foreseen() -> None:
    (warning,) = warned(workload(), clash(failurePolicy="Fail"))
    assert warning.startswith(f"{names.PRODUCT}: each pod of web is refused without clash: ")


def test_what_only_the_cluster_knows_is_not_foreseen() -> None:
    """The pod's index, and whether the ServiceAccount has a token mounted."""
    index = {"name": "index", "from": {"podLabel": "apps.kubernetes.io/pod-index"},
             "pattern": "[0-9]+"}  # fmt: skip
    assert warned(workload("StatefulSet"), resource("log", parameters=[index])) == []
    volume = {"name": "v", "emptyDir": {}}
    mount = {"name": "v", "mountPath": names.TOKEN_PATH}
    template = {"spec": {"containers": [container(volumeMounts=[mount])], "volumes": [volume]}}
    applied = {"volumeMounts": [mount]}
    injection = resource("log", template=template, applicationContainers=applied)
    mounted = workload(automountServiceAccountToken=None)
    assert warned(mounted, injection) == []
    token_less = workload(automountServiceAccountToken=False)
    assert warned(token_less, injection) == []
    path = {"name": "w", "mountPath": "/v"}
    injection["spec"]["applicationContainers"] = {"volumeMounts": [{**mount, "mountPath": "/v"}]}
    taken = workload(containers=[container("app", volumeMounts=[path])],
                     volumes=[{"name": "w", "emptyDir": {}}])  # fmt: skip
    (warning,) = warned(taken, injection)
    assert Reason.MOUNT_PATH_CONFLICT.remedy in warning


def test_objects_without_a_template_and_pods_themselves_draw_none() -> None:
    reference = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {},
                 "spec": {"workloadRef": {"kind": "Deployment", "name": "web"}}}  # fmt: skip
    assert warned(reference, clash()) == []
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {"containers": [container()]}}
    assert warned(pod, clash()) == []


@given(ANY, ANY)
def test_whatever_the_object_is_it_is_admitted(manifest: Any, namespace: Any) -> None:
    try:
        body = review(manifest, namespace=namespace)
    except orjson.JSONEncodeError:
        return
    answered = answer(body, webhook_over(clash()))
    assert json.loads(answered.body)["response"]["allowed"] is True
    near = review({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": manifest,
                   "spec": {"template": manifest}})  # fmt: skip
    assert json.loads(answer(near, webhook_over(clash())).body)["response"]["allowed"] is True


def test_an_object_that_no_api_server_sends_is_not_our_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert warned(workload(volumes=["v"]), clash()) == []
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_an_error_of_ours_is_logged_and_costs_no_workload(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secret = str(0xC0FFEE)

    def fail(*_: Any, **__: Any) -> Any:
        raise KeyError(secret)

    monkeypatch.setattr(templates, "decide_template", fail)
    assert warned(workload(), clash()) == []
    assert {record.levelno for record in caplog.records} == {logging.ERROR}
    assert secret not in caplog.text


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"kind":"AdmissionReview"}'])
def test_what_is_no_review_is_a_bad_request(body: bytes) -> None:
    assert answer(body, webhook_over()).status == 400


LARGE = workload(containers=[container("app", args=["x" * mutate.SHORT_BYTES])])


def test_a_large_workload_is_looked_at_beside_the_event_loop() -> None:
    (warning,) = warned(LARGE, clash())
    assert Reason.CONTAINER_CONFLICT.remedy in warning
    webhook = webhook_over(clash())
    request = messages.Request("POST", names.WORKLOADS_PATH, {}, review(LARGE))
    pending = webhook.review(request)
    assert not isinstance(pending, messages.Response)
    asyncio.run(wait(pending))


def test_work_that_is_too_long_for_others_is_done_beside_them() -> None:
    many = [container(f"c{number}") for number in range(30)]
    variables = {"env": [{"name": f"E{number}", "value": "x"} for number in range(200)]}
    heavy = [resource(f"r{number}", applicationContainers=variables) for number in range(1)]
    body = review(workload(containers=many))
    webhook = webhook_over(*heavy)
    pending = webhook.review(messages.Request("POST", names.WORKLOADS_PATH, {}, body))
    assert not isinstance(pending, messages.Response)
    assert b'"allowed":true' in asyncio.run(wait(pending)).body


def test_while_too_many_large_ones_wait_a_workload_is_admitted_without_a_word() -> None:
    long_work = worker.Worker()
    webhook = workloads.WorkloadWebhook(Server(clash()).state, long_work=long_work)
    long_work.waiting_bytes = worker.MAX_WAITING_BYTES
    body = review(LARGE, uid="6e5d4c3b-0000-4000-8000-000000000000")
    body = body.replace(
        b'{"kind":"AdmissionReview","apiVersion"', b'{"kind":"AdmissionReview","apiVersion"'
    )
    answered = answer(body, webhook)
    assert json.loads(answered.body)["response"] == {
        "uid": "6e5d4c3b-0000-4000-8000-000000000000", "allowed": True,
    }  # fmt: skip
    long_work.waiting_bytes = 0
    assert b"warnings" in answer(body, webhook).body
    assert long_work.waiting_bytes == 0


def test_a_namespace_that_is_not_cached_is_not_kept() -> None:
    state = cluster_state.ClusterState(release_namespace=names.PRODUCT)
    webhook = workloads.WorkloadWebhook(state, long_work=worker.Worker())
    assert answer(review(workload(), namespace="unheard-of"), webhook).status == 200
    assert not state.of_namespace("unheard-of").is_kept
