"""The product as `helm install` puts it into a cluster, and the objects that its users write."""

from __future__ import annotations

import base64
import pathlib
from typing import Any, Final

from sidecar_injector import names
from tools.controlplane import cluster, ports

ROOT: Final = pathlib.Path(__file__).parents[2]
CHART: Final = ROOT / "charts" / names.PRODUCT
RELEASE: Final = (names.PRODUCT, "-n", names.PRODUCT)
VALUES: Final = ROOT / "tools" / "controlplane" / "values.yaml"
SECRETS: Final = f"/api/v1/namespaces/{names.PRODUCT}/secrets"
SECRET: Final = f"{SECRETS}/{names.secret_name(names.PRODUCT)}"
CONFIGURATIONS: Final = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
CONFIGURATION: Final = f"{CONFIGURATIONS}/{names.PRODUCT}"
VALIDATING: Final = CONFIGURATION.replace("mutating", "validating")
CLUSTER_INJECTIONS: Final = f"/apis/{names.API_VERSION}/{names.CLUSTER_PLURAL}"
ENABLED: Final = {names.INJECTION_LABEL: names.ENABLED}
SIDECAR: Final = "sidecar"
"""The container that `injection` adds."""
Json = dict[str, Any]


def install(plane: cluster.ControlPlane, *settings: str, chart: pathlib.Path = CHART) -> None:
    """`helm install` as in the README, with more KEY=VALUE. No replica runs yet."""
    words = [word for text in settings for word in ("--set", text)]
    plane.helm(
        "install", *RELEASE, str(chart), "--create-namespace",
        "-f", str(VALUES), "--set", f"service.port={ports.free()}", *words,
    )  # fmt: skip


def pods(namespace: str) -> str:
    """The path of the collection."""
    return f"/api/v1/namespaces/{namespace}/pods"


def injections(namespace: str) -> str:
    """The path of the collection."""
    return f"/apis/{names.API_VERSION}/namespaces/{namespace}/{names.PLURAL}"


def pod(*, container: str = "app", spec: Json | None = None, **metadata: Any) -> Json:
    """A pod of one container."""
    containers = [{"name": container, "image": "app:1"}]
    spec = {"containers": containers, **(spec or {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def injection(name: str, *, kind: str = names.KIND, container: str = SIDECAR, **spec: Any) -> Json:
    """An injection of one container; `spec` has more fields."""
    containers = [{"name": container, "image": f"{container}:1"}]
    return {
        "apiVersion": names.API_VERSION,
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"template": {"spec": {"containers": containers}}, **spec},
    }


def conditions(resource: Json) -> dict[str, str]:
    """The status of each condition of an object by its type."""
    entries = resource.get("status", {}).get("conditions", ())
    return {condition["type"]: condition["status"] for condition in entries}


def ca_bundle(configuration: Json | None) -> str:
    """The caBundle of a webhook configuration, as PEM; empty if it is missing or not text."""
    entries = configuration["webhooks"] if configuration else []
    encoded = entries[0]["clientConfig"].get("caBundle", "") if entries else ""
    return base64.b64decode(encoded).decode(errors="replace")
