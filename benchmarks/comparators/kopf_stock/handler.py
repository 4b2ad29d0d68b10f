"""The same injection on Kopf as its documentation has it: `kopf run`, WebhookServer, on.mutate.

Runs under `kopf run --standalone --all-namespaces`; the environment names port and certificate.
https://docs.kopf.dev/en/stable/admission/
"""

from __future__ import annotations

import os
from typing import Any

import kopf

STATUS = "sidecar-injector-webhook.morven.me/status"
CONTAINER = {
    "name": "sidecar-nginx",
    "image": "nginx:1.12.2",
    "ports": [{"containerPort": 80}],
    "volumeMounts": [{"name": "nginx-conf", "mountPath": "/etc/nginx"}],
}
VOLUME = {"name": "nginx-conf", "configMap": {"name": "nginx-configmap"}}


@kopf.on.startup()
async def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    """Serve on the given port; no webhook configuration is managed."""
    settings.posting.enabled = False
    settings.admission.server = kopf.WebhookServer(
        addr="127.0.0.1",
        port=int(os.environ["BENCH_PORT"]),
        certfile=os.environ["BENCH_CERTIFICATE"],
        pkeyfile=os.environ["BENCH_KEY"],
    )


@kopf.on.mutate("", "v1", "pods", id="mutate")
async def mutate(
    spec: kopf.Spec, annotations: kopf.Annotations, patch: kopf.Patch, **_: Any
) -> None:
    """Append the sidecar and its volume."""
    if annotations.get(STATUS) == "injected":
        return
    patch.spec["containers"] = [*spec.get("containers", ()), CONTAINER]
    patch.spec["volumes"] = [*spec.get("volumes", ()), VOLUME]
    patch.metadata.annotations[STATUS] = "injected"
