"""The pod that becomes of a template, as the API server gives it to webhooks.

A controller adds labels, volumes and more, and the API server adds what the pod's ServiceAccount
says. Where a value is known in the cluster only, the pod has `UNKNOWN` in its place.
https://github.com/kubernetes/kubernetes/tree/master/pkg/controller
https://github.com/kubernetes/kubernetes/blob/master/plugin/pkg/admission/serviceaccount/admission.go
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from sidecar_injector import names
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.pods import kinds, lenient, workloads

Json = dict[str, Any]
UNKNOWN = "unknown"
"""In the place of a label's or annotation's value."""
COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index"
_TAINTS = {
    "node.kubernetes.io/not-ready": "NoExecute",
    "node.kubernetes.io/unreachable": "NoExecute",
    "node.kubernetes.io/disk-pressure": "NoSchedule",
    "node.kubernetes.io/memory-pressure": "NoSchedule",
    "node.kubernetes.io/pid-pressure": "NoSchedule",
    "node.kubernetes.io/unschedulable": "NoSchedule",
}
_NETWORK_TAINT = {"node.kubernetes.io/network-unavailable": "NoSchedule"}


@dataclasses.dataclass(frozen=True, slots=True)
class ExpectedPod:
    """A pod as it will be created."""

    pod: Json
    unknown: frozenset[str] = frozenset()
    """The labels and annotations of which only the cluster knows the values."""


def expected(
    manifest: Mapping[str, Any], path: workloads.Path, template: Json, *, account: Json | None
) -> ExpectedPod:
    """The pod that is created for a manifest, without its name and its owner.

    `template` is what stands at the path. `account` is the pod's ServiceAccount, if it is known.
    """
    if not path:
        return ExpectedPod(_admitted(template, account))
    kind, metadata = workloads.kind_of(manifest), template.get("metadata") or {}
    spec, job = template.get("spec") or {}, _job_of(manifest, kind)
    entry = kinds.find(*kind)
    labels = dict.fromkeys(entry.labels if entry else (), UNKNOWN)
    annotations: dict[str, str] = {}
    given = metadata.get("labels") or {}
    if job is not None:
        names_of_job = _labels_of_job(manifest, kind, job)
        labels |= {key: value for key, value in names_of_job.items() if key not in given}
        if lenient.text(job, "completionMode") == "Indexed":
            labels[COMPLETION_INDEX] = annotations[COMPLETION_INDEX] = UNKNOWN
            spec = _with_completion_index(spec)
    if kind == ("apps", "DaemonSet"):
        spec = _of_daemon(spec)
    if claims := lenient.objects(lenient.child(manifest, "spec"), "volumeClaimTemplates"):
        spec = _with_claims(spec, claims, manifest)
    metadata = dict(metadata)
    for field, added in (("labels", labels), ("annotations", annotations)):
        if added:
            metadata[field] = {**(metadata.get(field) or {}), **added}
    pod = {**template, "metadata": metadata, "spec": spec}
    unknown = frozenset(key for key, value in (labels | annotations).items() if value == UNKNOWN)
    return ExpectedPod(_admitted(pod, account), unknown)


def account_of(template: Mapping[str, Any]) -> str:
    """The name of the ServiceAccount that a pod runs as."""
    spec = lenient.child(template, "spec")
    name = lenient.text(spec, "serviceAccountName") or lenient.text(spec, "serviceAccount")
    return name or "default"


def _job_of(manifest: Mapping[str, Any], kind: tuple[str, str]) -> Json | None:
    """The spec of the Job that makes the pods; None if no Job does."""
    spec = lenient.child(manifest, "spec")
    if kind == ("batch", "Job"):
        return spec
    if kind == ("batch", "CronJob"):
        return lenient.child(lenient.child(spec, "jobTemplate"), "spec")
    return None


def _labels_of_job(manifest: Mapping[str, Any], kind: tuple[str, str], job: Json) -> dict[str, str]:
    if job.get("manualSelector") is True:
        return {}
    metadata = lenient.child(manifest, "metadata") if kind == ("batch", "Job") else {}
    name, uid = lenient.text(metadata, "name"), lenient.text(metadata, "uid")
    prefixes = ("", "batch.kubernetes.io/")
    return {f"{prefix}job-name": name or UNKNOWN for prefix in prefixes} | {
        f"{prefix}controller-uid": uid or UNKNOWN for prefix in prefixes
    }


def _with_completion_index(spec: Json) -> Json:
    name = "JOB_COMPLETION_INDEX"
    reference = {"fieldRef": {"fieldPath": f"metadata.labels['{COMPLETION_INDEX}']"}}

    def with_index(container: Json) -> Json:
        env = container.get("env") or []
        if any(variable["name"] == name for variable in env):
            return container
        return {**container, "env": [*env, {"name": name, "valueFrom": reference}]}

    return _each_container(spec, with_index)


def _of_daemon(spec: Json) -> Json:
    """With what a DaemonSet's controller tolerates, on the one node that it chose."""
    tolerations = list(spec.get("tolerations") or ())
    taints = _TAINTS | (_NETWORK_TAINT if spec.get("hostNetwork") is True else {})
    for key, effect in taints.items():
        toleration = {"key": key, "operator": "Exists", "effect": effect}
        if toleration not in tolerations:
            tolerations.append(toleration)
    affinity = lenient.child(spec, "affinity")
    node = {"key": "metadata.name", "operator": "In", "values": [UNKNOWN]}
    node_affinity = {
        **lenient.child(affinity, "nodeAffinity"),
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchFields": [node]}]
        },
    }
    affinity = {**affinity, "nodeAffinity": node_affinity}
    return {**spec, "tolerations": tolerations, "affinity": affinity}


def _with_claims(spec: Json, claims: list[Json], manifest: Mapping[str, Any]) -> Json:
    """With a volume for each claim template, which takes the place of one of the same name."""
    name = lenient.text(lenient.child(manifest, "metadata"), "name") or UNKNOWN
    claim_names = [lenient.text(lenient.child(claim, "metadata"), "name") for claim in claims]
    volumes: list[Json] = [
        {"name": claim, "persistentVolumeClaim": {"claimName": f"{claim}-{name}-0"}}
        for claim in dict.fromkeys(filter(None, claim_names))
    ]
    others = [volume for volume in spec.get("volumes") or () if volume["name"] not in claim_names]
    return {**spec, "volumes": [*volumes, *others]}


def _admitted(pod: Json, account: Json | None) -> Json:
    """With what the API server's admission adds for the ServiceAccount."""
    if names.MIRROR_ANNOTATION in pod_fields.metadata_map(pod, "annotations"):
        return pod
    spec = pod.get("spec") or {}
    secrets = spec.get("imagePullSecrets") or lenient.objects(account, "imagePullSecrets")
    if secrets:
        spec = {**spec, "imagePullSecrets": secrets}
    mounts_token = spec.get("automountServiceAccountToken")
    if mounts_token is None:
        mounts_token = (account or {}).get("automountServiceAccountToken")
    if mounts_token is not False:
        spec = _with_token(spec)
    return {**pod, "spec": spec} if spec else pod


def _with_token(spec: Json) -> Json:
    volumes = spec.get("volumes") or []
    prefix = names.TOKEN_VOLUME_PREFIX
    token = next((item["name"] for item in volumes if item["name"].startswith(prefix)), None)
    mount = {"name": token or f"{prefix}{UNKNOWN}", "mountPath": names.TOKEN_PATH, "readOnly": True}

    def with_mount(container: Json) -> Json:
        mounts = container.get("volumeMounts") or []
        if any(present.get("mountPath") == names.TOKEN_PATH for present in mounts):
            return container
        return {**container, "volumeMounts": [*mounts, mount]}

    result = _each_container(spec, with_mount)
    if token or result == spec:
        return result
    source = {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}}
    volume = {"name": mount["name"], "projected": {"sources": [source]}}
    return {**result, "volumes": [*volumes, volume]}


def _each_container(spec: Json, change: Any) -> Json:
    lists = {
        field: [change(container) for container in spec[field]]
        for field in pod_fields.CONTAINER_LISTS
        if spec.get(field)
    }
    return {**spec, **lists}
