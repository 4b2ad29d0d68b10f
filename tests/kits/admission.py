"""What the tests of admission share: the webhook's function over some injections."""

from __future__ import annotations

import asyncio
import base64
import json

import jsonpatch
import orjson

from sidecar_injector import names
from sidecar_injector.httpserver import messages
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.webhook import cluster_state, decision_log, mutate
from tests.kits.samples import NAMESPACE, container, resource

PODS = {"group": "", "version": "v1", "resource": "pods"}


class Server:
    """The webhook's function over some injections; `decided` is what it passed on for Events."""

    def __init__(self, *resources, log=None, state=None):
        self.state = state or cluster_state.ClusterState(release_namespace=names.PRODUCT)
        labels = {names.INJECTION_LABEL: names.ENABLED}
        self.state.namespace_changed(
            ("", NAMESPACE), None, {"metadata": {"name": NAMESPACE, "labels": labels}}
        )
        for injection in resources:
            metadata = injection["metadata"]
            key = (metadata.get("namespace", ""), metadata["name"])
            if injection["kind"] == names.CLUSTER_KIND:
                self.state.cluster_injection_changed(key, None, injection)
            else:
                self.state.injection_changed(key, None, injection)
        self.metrics = Metrics()
        self.decided = []
        self.webhook = mutate.PodWebhook(
            state=self.state,
            metrics=self.metrics,
            record_events=self.decided.append,
            log=log or decision_log.DecisionLog(),
        )

    def post(self, body, headers=None):
        request = messages.Request(
            method="POST", path=names.MUTATE_PATH, headers=headers or {},
        )  # fmt: skip
        request.body = body if isinstance(body, bytes) else orjson.dumps(body)
        answer = self.webhook.mutate(request)
        return answer if isinstance(answer, messages.Response) else asyncio.run(_awaited(answer))

    def answer(self, pod, **changes):
        """The whole answer to a review of a pod."""
        answer = self.post(review(pod, **changes))
        assert answer.status == 200
        return json.loads(answer.body)

    def response(self, pod, **changes):
        return self.answer(pod, **changes)["response"]

    def count(self, name, **labels):
        return self.metrics.registry.get_sample_value(f"sidecar_injector_{name}", labels)


async def _awaited(answer):
    return await answer


def review(pod, *, version="v1", **changes):
    request = {
        "uid": "6-7-8", "operation": "CREATE", "resource": PODS, "namespace": NAMESPACE,
        "object": pod, **changes,
    }  # fmt: skip
    # In the order in which an API server writes it.
    return {
        "kind": "AdmissionReview", "apiVersion": f"admission.k8s.io/{version}", "request": request,
    }  # fmt: skip


def patched(pod, response):
    operations = json.loads(base64.b64decode(response["patch"], validate=True))
    return jsonpatch.apply_patch(pod, operations)


def clash(**spec):
    """An injection that cannot be done on `pod()`."""
    return resource(
        "clash", template={"spec": {"containers": [container("app", image="x")]}}, **spec
    )
