"""The reviews that are replayed: the recorded one, and the same grown to other sizes."""

from __future__ import annotations

import json
import pathlib
from typing import Any, Final

from sidecar_injector import names

RECORDED: Final = pathlib.Path(__file__).with_name("review.json")
Json = dict[str, Any]


def recorded() -> bytes:
    """What a real API server sent for a pod of `deployment`."""
    return RECORDED.read_bytes()


def same_template(review: bytes) -> tuple[str, ...]:
    """What differs between two pods of a template: the uid of the request, the token volume."""
    request = json.loads(review)["request"]
    volumes = [volume["name"] for volume in request["object"]["spec"]["volumes"]]
    token = next(name for name in volumes if name.startswith(names.TOKEN_VOLUME_PREFIX))
    return request["uid"], token.removeprefix(names.TOKEN_VOLUME_PREFIX)


def new_templates(review: bytes) -> tuple[str, ...]:
    """What differs between the first pods of similar templates."""
    labels = json.loads(review)["request"]["object"]["metadata"]["labels"]
    return *same_template(review), labels["pod-template-hash"]


def created_pod() -> Json:
    """The recorded pod as its creator sent it: the API server has added the token since."""
    pod: Json = json.loads(recorded())["request"]["object"]
    metadata, spec = pod["metadata"], pod["spec"]
    spec["volumes"] = _without_token(spec["volumes"])
    for container in spec["containers"]:
        container["volumeMounts"] = _without_token(container["volumeMounts"])
    metadata = {key: metadata[key] for key in ("generateName", "labels")}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _without_token(entries: list[Json]) -> list[Json]:
    """These volumes, or mounts, without the one that the API server adds."""
    return [entry for entry in entries if not entry["name"].startswith(names.TOKEN_VOLUME_PREFIX)]


def of_size(size: int) -> bytes:
    """The recorded review with a pod of about that many bytes: variables are taken out or added."""
    review = json.loads(recorded())
    pod = review["request"]["object"]
    container = pod["spec"]["containers"][0]
    if size < len(dump(pod)):
        pod["metadata"].pop("managedFields", None)
        container["env"] = []
        for field in ("livenessProbe", "readinessProbe", "resources", "securityContext", "args"):
            container.pop(field, None)
    entry = dump(_variable(0))
    for number in range(max(0, size - len(dump(pod))) // (len(entry) + 1)):
        container["env"].append(_variable(number))
    return dump(review)


def with_variables(count: int) -> bytes:
    """The recorded review with so many variables in its first container."""
    review = json.loads(recorded())
    container = review["request"]["object"]["spec"]["containers"][0]
    container["env"] = [_variable(number) for number in range(count)]
    return dump(review)


def in_namespace(review: bytes, namespace: str) -> bytes:
    """The same for a pod of another namespace."""
    changed = json.loads(review)
    changed["request"]["namespace"] = namespace
    changed["request"]["object"]["metadata"]["namespace"] = namespace
    return dump(changed)


def deployment() -> Json:
    """A service as teams have it: variables, probes, resources, a volume, rules where to run."""
    container = {
        "name": "web",
        "image": "registry.example.com/shop/web:2026.11.1",
        "args": ["--listen=:8080", "--log-format=json", "--graceful-timeout=20s"],
        "ports": [{"name": "http", "containerPort": 8080},
                  {"name": "metrics", "containerPort": 9090}],
        "env": [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "DATABASE_PASSWORD",
             "valueFrom": {"secretKeyRef": {"name": "web-database", "key": "password"}}},
        ],
        "resources": {"requests": {"cpu": "250m", "memory": "256Mi"},
                      "limits": {"memory": "512Mi"}},
        "livenessProbe": {"httpGet": {"path": "/livez", "port": "http"}, "periodSeconds": 20},
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 5},
        "securityContext": {"allowPrivilegeEscalation": False, "runAsNonRoot": True,
                            "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "cache", "mountPath": "/var/cache/web"},
                         {"name": "settings", "mountPath": "/etc/web", "readOnly": True}],
    }  # fmt: skip
    labels = {"app": "web", "app.kubernetes.io/part-of": "shop", "team": "checkout"}
    spreading = {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone",
                 "whenUnsatisfiable": "ScheduleAnyway",
                 "labelSelector": {"matchLabels": {"app": "web"}}}  # fmt: skip
    pod = {
        "containers": [container],
        "volumes": [{"name": "cache", "emptyDir": {}},
                    {"name": "settings", "configMap": {"name": "web-settings"}}],
        "topologySpreadConstraints": [spreading],
        "terminationGracePeriodSeconds": 30,
    }  # fmt: skip
    return {
        "metadata": {"name": "web", "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def _variable(number: int) -> Json:
    return {"name": f"FEATURE_{number:06d}", "value": f"value of the feature {number:06d}"}


def dump(body: Json) -> bytes:
    """As the API server writes JSON: no blanks."""
    return json.dumps(body, separators=(",", ":")).encode()
