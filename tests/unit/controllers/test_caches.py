"""What the informers keep of namespaces and ServiceAccounts."""

from __future__ import annotations

import asyncio
import tracemalloc
from typing import Any

import pytest

from sidecar_injector import names
from sidecar_injector.controllers import caches
from sidecar_injector.core import decide
from sidecar_injector.core.injections import namespace_view
from sidecar_injector.core.reasons import Reason
from sidecar_injector.kube import api
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.webhook import cluster_state
from tests.kits import fake_api
from tests.kits.samples import NAMESPACE, container, pod, resource

LABELS = {names.INJECTION_LABEL: names.ENABLED}


def namespace(**annotations: str) -> api.Json:
    metadata = {"name": NAMESPACE, "uid": "1", "labels": LABELS, "annotations": annotations}
    return {"metadata": {**metadata, "managedFields": [{}], "resourceVersion": "7"}}


def test_of_a_namespace_only_what_is_read_is_kept() -> None:
    kept = caches.namespace_fields(namespace(**{"a": "b", caches.LAST_APPLIED: "{}"}))
    assert kept == {
        "metadata": {
            "name": NAMESPACE, "uid": "1", "labels": LABELS, "annotations": {"a": "b"},
            "leftOut": 0,
        }
    }  # fmt: skip


def message(annotations: dict[str, str], *, default: str | None) -> tuple[Reason, str]:
    """What becomes of an injection with a parameter that reads the annotation `large`."""
    source: dict[str, Any] = {"name": "value", "from": {"namespaceAnnotation": "large"}}
    state = cluster_state.ClusterState(release_namespace=names.PRODUCT)
    template = {"spec": {"containers": [container(args=["$(params.value)"])]}}
    parameters = [source if default is None else {**source, "default": default}]
    injection = resource("log", template=template, parameters=parameters)
    state.injection_changed((NAMESPACE, "log"), None, injection)
    state.namespace_changed(
        ("", NAMESPACE), None, caches.namespace_fields(namespace(**annotations))
    )
    request = namespace_view.PodRequest(namespace=NAMESPACE, pod=pod())
    (line,) = decide.decide(request, state.of_namespace(NAMESPACE).view).lines
    return line.reason, line.message


def test_a_parameter_never_takes_its_default_for_an_annotation_that_is_too_large() -> None:
    assert message({"large": "x" * 8000}, default="y")[0] is Reason.INJECTED
    assert message({"other": "x" * 8000}, default="y")[0] is Reason.INJECTED
    reason, text = message({"large": "x" * 9000, "small": "x"}, default="y")
    assert reason is Reason.INVALID_VALUE
    assert "only 8 KiB are kept" in text
    assert message({"large": "x" * 100, "other": "x" * 9000}, default=None)[0] is Reason.INJECTED


def test_the_annotations_of_a_namespace_are_bounded() -> None:
    large = {f"a{number}": "x" * number for number in range(600)}
    (kept,) = caches.namespace_fields(namespace(**large)).values()
    assert sum(len(key) + len(value) for key, value in kept["annotations"].items()) <= 8192
    assert len(kept["annotations"]) + kept["leftOut"] == 600
    assert max(map(len, kept["annotations"].values())) < 200, "the shortest"


@pytest.mark.parametrize("number", [4000])
async def test_of_service_accounts_only_the_names_are_kept(number: int) -> None:
    server, metrics = fake_api.FakeApi(), Metrics()
    state = cluster_state.ClusterState(release_namespace=names.PRODUCT)
    for index in range(number):
        metadata = {
            "name": f"robot-{index}", "namespace": f"n{index % 100}", "uid": f"uid-{index}",
            "annotations": {"note": "x" * 2000}, "labels": {"a": "b"},
        }  # fmt: skip
        server.seed(api.SERVICE_ACCOUNTS, {"metadata": metadata})
    informer = caches.of_accounts(server, state=state, metrics=metrics)
    template = {"spec": {"containers": [container()], "serviceAccountName": "robot-7"}}
    state.injection_changed((NAMESPACE, "log"), None, resource("log", template=template))
    tracemalloc.start()
    try:
        task = asyncio.create_task(state.service_accounts.run(lambda: informer))
        await informer.synced.wait()
        in_memory, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert in_memory / number < 500
    accounts = state.service_accounts.names("n7")
    assert accounts is not None
    assert "robot-7" in accounts
    assert "robot-8" not in accounts
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
