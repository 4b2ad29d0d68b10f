"""Pods and injections for tests; each call creates new ones."""

from __future__ import annotations

import copy
from typing import Any

import jsonpatch

from sidecar_injector import crds, names
from sidecar_injector.core import decide, decision
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.merging import uninject

Json = dict[str, Any]
NAMESPACE = "demo"
MARK = {names.INJECTED_LABEL: names.INJECTED_LABEL_VALUE}
"""The label of every pod to which something was added."""


def container(name: str = "sidecar", **fields: Any) -> Json:
    return {"name": name, "image": f"example/{name}:1", **fields}


def pod(*, annotations: Json | None = None, labels: Json | None = None, **spec: Any) -> Json:
    metadata: Json = {"name": "web"}
    if annotations is not None:
        metadata["annotations"] = annotations
    if labels is not None:
        metadata["labels"] = labels
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": [container("app")], **spec},
    }


def resource(name: str = "log", *, cluster: bool = False, **spec: Any) -> Json:
    """A custom resource; without a template it injects one container."""
    kind = names.CLUSTER_KIND if cluster else names.KIND
    spec.setdefault("template", {"spec": {"containers": [container()]}})
    metadata = {"name": name, "generation": 1}
    if not cluster:
        metadata["namespace"] = NAMESPACE
    return {"apiVersion": names.API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def injection(name: str = "log", *, cluster: bool = False, **spec: Any) -> model.Injection:
    raw = resource(name, cluster=cluster, **spec)
    return model.read(raw, spec_schema=crds.spec_schema(raw["kind"]))


def namespace_with(*injections: model.Injection, **labels: str) -> namespace_view.NamespaceView:
    """An enabled namespace with these injections."""
    assumed = namespace_view.Namespace.assumed(NAMESPACE)
    namespace = namespace_view.Namespace(NAMESPACE, {**assumed.labels, **labels})
    return namespace_view.NamespaceView.of(namespace, injections)


def decided(subject: Json, *injections: model.Injection) -> decision.Decision:
    return decide.decide(
        namespace_view.PodRequest(namespace=NAMESPACE, pod=subject), namespace_with(*injections)
    )


def applied(subject: Json, *injections: model.Injection) -> decision.Decision:
    """The decision; its patch, applied strictly, gives the pod; a second pass adds nothing."""
    result = decided(subject, *injections)
    assert jsonpatch.apply_patch(copy.deepcopy(subject), result.operations) == result.pod
    assert all(operation["op"] == "add" for operation in result.operations)
    assert decided(result.pod, *injections).operations == []
    return result


def round_trip(subject: Json, *injections: model.Injection) -> decision.Decision:
    """The same; besides, what was added can be removed again."""
    result = applied(subject, *injections)
    assert uninject.uninject(result.pod) == subject
    return result


def reasons(result: decision.Decision) -> dict[str, str]:
    """Reason codes by injection reference."""
    return {line.injection.reference: line.reason.value for line in result.lines}


def meaningful(value: Any) -> Any:
    """The value without absent, null and empty members, which count as equal."""
    if isinstance(value, dict):
        members = {key: meaningful(item) for key, item in value.items()}
        return {key: item for key, item in members.items() if item not in (None, [], {})}
    return [meaningful(item) for item in value] if isinstance(value, list) else value
