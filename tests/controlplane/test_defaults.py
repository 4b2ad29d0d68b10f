"""The table of the API server's defaults, measured: a pod with everything set to its least is
created and read back."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Mapping
from typing import Any

from sidecar_injector.core.merging import defaults
from tests.kits import product as kit

PROBE = {"httpGet": {"port": 80}}
FIELD = {"fieldRef": {"fieldPath": "metadata.name"}}
RESOURCE = {"resourceFieldRef": {"resource": "limits.cpu", "containerName": "full"}}
CONTAINER = {
    "name": "full",
    "image": "full:1",
    "ports": [{"containerPort": 80}],
    "env": [
        {"name": "A"},
        {"name": "B", "valueFrom": FIELD},
        {"name": "C", "valueFrom": RESOURCE},
    ],
    "volumeMounts": [{"name": "secret", "mountPath": "/s"}],
    "resources": {"limits": {"cpu": 0.5}},
    "livenessProbe": PROBE,
    "readinessProbe": {"grpc": {"port": 80}},
    "startupProbe": PROBE,
    "lifecycle": {"postStart": PROBE, "preStop": PROBE},
    "securityContext": {"runAsUser": 1},
}
ITEMS = [{"path": "a", "fieldRef": {"fieldPath": "metadata.name"}}, {"path": "b", **RESOURCE}]
CLAIM = {
    "accessModes": ["ReadWriteOnce"],
    "resources": {"requests": {"storage": "1Gi"}},
}
VOLUMES: dict[str, Any] = {
    "configMap": {"name": "x"},
    "secret": {"secretName": "x"},
    "downwardAPI": {"items": ITEMS},
    "projected": {
        "sources": [{"serviceAccountToken": {"path": "t"}}, {"downwardAPI": {"items": ITEMS[:1]}}]
    },
    "emptyDir": {},
    "hostPath": {"path": "/x"},
    "iscsi": {"targetPortal": "1.1.1.1", "iqn": "iqn.2001-04.com.example:a", "lun": 0},
    "rbd": {"monitors": ["a"], "image": "a"},
    "azureDisk": {"diskName": "a", "diskURI": "https://a.blob.core.windows.net/a/a.vhd"},
    "scaleIO": {"gateway": "g", "system": "s", "volumeName": "v", "secretRef": {"name": "x"}},
    "ephemeral": {"volumeClaimTemplate": {"spec": CLAIM}},
}
VANISHING = ("", False)
"""What the API server does not write out: the same as absent."""


def test_the_api_server_fills_in_what_the_table_says(product, namespace) -> None:
    product.plane.wait_for_service_account(namespace)
    volumes = [{"name": kind.lower(), kind: source} for kind, source in VOLUMES.items()]
    pod = kit.pod(containers=[CONTAINER], volumes=volumes)
    created = product.create_pod(namespace, pod, dry_run=True)["spec"]
    container = created["containers"][0]
    created_volumes = {volume["name"]: volume for volume in created["volumes"]}

    seen: collections.Counter[str] = collections.Counter()
    check(defaults.CONTAINER, container, CONTAINER, "container", seen)
    for kind, source in VOLUMES.items():
        written = {"name": kind.lower(), kind: source}
        check(defaults.VOLUME, created_volumes[kind.lower()], written, "volume", seen)
    # Every constant of the table was compared.
    table = {*constants(defaults.CONTAINER, "container"), *constants(defaults.VOLUME, "volume")}
    assert table - set(seen) == UNMEASURED

    assert defaults.contains(container, CONTAINER, defaults.CONTAINER)
    assert defaults.contains(CONTAINER, without_token(container), defaults.CONTAINER)
    for volume in volumes:
        assert defaults.same_volume(created_volumes[volume["name"]], volume)


UNMEASURED = {
    # An alpha or beta feature of its own, which this API server does not admit.
    "container.env.valueFrom.fileKeyRef.optional",
    # The three probes have one shape, and a probe has one handler.
    "container.livenessProbe.grpc.service",
    "container.startupProbe.grpc.service",
    "container.readinessProbe.httpGet.path",
    "container.readinessProbe.httpGet.scheme",
}


def check(shape: Any, actual: Any, written: Any, path: str, seen: Any) -> None:
    """The server's value is the table's wherever we wrote nothing."""
    if isinstance(shape, defaults.Each):
        pairs = zip(actual, written, strict=False) if isinstance(actual, list) else ()
        for filled, other in pairs:
            check(shape.shape, filled, other, path, seen)
        return
    for key, inner in shape.items():
        where = f"{path}.{key}"
        if isinstance(inner, Mapping | defaults.Each):
            if written.get(key) is not None:
                check(inner, actual[key], written[key], where, seen)
        elif inner is not defaults.QUANTITY and key not in written:
            seen[where] += 1
            expected = None if inner in VANISHING and key not in actual else inner
            assert actual.get(key) == expected, where


def constants(shape: Any, path: str) -> Iterator[str]:
    if isinstance(shape, defaults.Each):
        yield from constants(shape.shape, path)
    elif isinstance(shape, Mapping):
        for key, inner in shape.items():
            yield from constants(inner, f"{path}.{key}")
    elif shape is not defaults.QUANTITY:
        yield path


def without_token(container: kit.Json) -> kit.Json:
    """The container without the mount that the ServiceAccount plugin adds, and without the
    requests that the API server makes of limits."""
    mounts = [mount for mount in container["volumeMounts"] if mount["mountPath"] == "/s"]
    assert container["resources"]["requests"] == container["resources"]["limits"]
    resources = {"limits": container["resources"]["limits"]}
    return {**container, "volumeMounts": mounts, "resources": resources}
