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
    """The webhook's function over some injections; `told` is what it handed on."""

    def __init__(self, *resources, report=decision_log.through_logging):
        self.known = cluster_state.ClusterState(release_namespace=names.PRODUCT)
        labels = {names.INJECTION_LABEL: names.ENABLED}
        self.known.namespace_changed(
            ("", NAMESPACE), None, {"metadata": {"name": NAMESPACE, "labels": labels}}
        )
        for one in resources:
            key = (one["metadata"].get("namespace", ""), one["metadata"]["name"])
            if one["kind"] == names.CLUSTER_KIND:
                self.known.cluster_injection_changed(key, None, one)
            else:
                self.known.injection_changed(key, None, one)
        self.metrics = Metrics()
        self.told = []
        self.admission = mutate.PodWebhook(
            known=self.known, metrics=self.metrics, tell=self.told.append, report=report
        )

    def post(self, body, headers=None):
        request = messages.Request(
            method="POST", target=names.MUTATE_PATH, headers=headers or {}, peer=None,
            keep_alive=True,
        )  # fmt: skip
        request.body = body if isinstance(body, bytes) else orjson.dumps(body)
        answer = self.admission.mutate(request)
        return answer if isinstance(answer, messages.Response) else asyncio.run(_awaited(answer))

    def ask(self, thing, **changes):
        """The whole answer to a review of a pod."""
        answer = self.post(review(thing, **changes))
        assert answer.status == 200
        return json.loads(answer.body)

    def response(self, thing, **changes):
        return self.ask(thing, **changes)["response"]

    def count(self, name, **labels):
        return self.metrics.registry.get_sample_value(f"sidecar_injector_{name}", labels)


async def _awaited(answer):
    return await answer


def review(thing, *, version="v1", **changes):
    asked = {
        "uid": "6-7-8", "operation": "CREATE", "resource": PODS, "namespace": NAMESPACE,
        "object": thing, **changes,
    }  # fmt: skip
    # In the order in which an API server writes it.
    return {
        "kind": "AdmissionReview", "apiVersion": f"admission.k8s.io/{version}", "request": asked,
    }  # fmt: skip


def patched(thing, response):
    operations = json.loads(base64.b64decode(response["patch"], validate=True))
    return jsonpatch.apply_patch(thing, operations)


def clash(**spec):
    """An injection that cannot be done on `pod()`."""
    return resource(
        "clash", template={"spec": {"containers": [container("app", image="x")]}}, **spec
    )
