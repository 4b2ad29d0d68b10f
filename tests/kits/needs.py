"""Injections that only some pods can take, and what their pods must have."""

from __future__ import annotations

from typing import Any

from tests.kits.validate import quiet, template

Json = dict[str, Any]
FILE = {"name": "A", "valueFrom": {"fileKeyRef": {"volumeName": "own", "path": "f", "key": "K"}}}
DEVICE = [{"name": "own", "devicePath": "/own"}]
APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/"
SECCOMP = "container.seccomp.security.alpha.kubernetes.io/"


def sleeping(seconds):
    return {"preStop": {"sleep": {"seconds": seconds}}}


def with_context(**fields):
    container = quiet()
    container["securityContext"] |= fields
    return container


def container_spec(container, **spec):
    return {"template": template(containers=[container], **spec)}


VOLUMES = [{"name": "v", "emptyDir": {}}]
BIDIRECTIONAL = {"name": "v", "mountPath": "/v", "mountPropagation": "Bidirectional"}
CASES: list[tuple[Json, list[str]]] = [
    (
        container_spec(quiet(lifecycle=sleeping(45))),
        ["terminationGracePeriodSeconds of at least 45"],
    ),
    (container_spec(quiet(lifecycle={"stopSignal": "SIGINT"})), ["os.name"]),
    (container_spec(quiet(volumeDevices=DEVICE)), ["a claim or ephemeral volume 'own'"]),
    (container_spec(quiet(env=[FILE])), ["an emptyDir volume 'own'"]),
    (container_spec(with_context(procMount="Unmasked")), ["hostUsers: false"]),
    (
        container_spec(with_context(windowsOptions={"hostProcess": True})),
        ["host processes of Windows only (windowsOptions)"],
    ),
    (
        {"template": {"metadata": {"annotations": {f"{APP_ARMOR}other": "runtime/default"}}}},
        ["a container 'other'"],
    ),
    (
        {
            "onConflict": "Merge",
            "sidecarMode": "Container",
            **container_spec(
                with_context(allowPrivilegeEscalation=None) | {"volumeMounts": [BIDIRECTIONAL]},
                volumes=VOLUMES,
            ),
        },
        ["a privileged container 'sidecar'"],
    ),
    (
        {
            "template": template(volumes=VOLUMES),
            "applicationContainers": {"volumeMounts": [BIDIRECTIONAL]},
        },
        ["privileged containers"],
    ),
]
"""The spec of an injection, and what its warnings name."""
IDS = [", ".join(texts) for _, texts in CASES]
