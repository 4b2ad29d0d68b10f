"""Where manifests have pods, and what only looks so."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar_injector import names
from sidecar_injector.core.pods import workloads
from tests.kits.samples import pod, resource

TEMPLATE = {"spec": pod()["spec"]}
HEADLESS = {"spec": {"containers": [{"image": "app:1"}]}}


def thing(version: str, kind: str, **members: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "x"}, **members}


@pytest.mark.parametrize(
    ("manifest", "paths"),
    [
        (thing("v1", "Pod", **TEMPLATE), [""]),
        (thing("v1", "PodTemplate", template=TEMPLATE), ["template"]),
        (thing("batch/v1", "CronJob"), ["spec.jobTemplate.spec.template"]),
        (thing("argoproj.io/v1alpha1", "Rollout", spec={"template": TEMPLATE}), ["spec.template"]),
        (thing("example.com/v1", "Jobs", spec={"replicatedJobs": [
            {"template": {"spec": {"template": TEMPLATE}}}, {"template": TEMPLATE}]}),
         ["spec.replicatedJobs[0].template.spec.template", "spec.replicatedJobs[1].template"]),
        (thing("example.com/v1", "Group", spec={"leaderTemplate": TEMPLATE, "workerTemplate":
            TEMPLATE}), ["spec.leaderTemplate", "spec.workerTemplate"]),
        (thing("v1", "Deployment", spec={"template": TEMPLATE}), ["spec.template"]),
        (thing("v1", "ConfigMap", data={"template": "spec: {containers: []}"}), []),
        (thing("v1", "Service", spec={"ports": []}), []),
        (thing("example.com/v1", "Other", status={"template": TEMPLATE}), []),
        (thing("apps/v1", "ControllerRevision", data={"spec": {"template": TEMPLATE}}), []),
        (thing("example.com/v1", "Service", spec={"template": HEADLESS}), []),
        (resource(), []),
    ],
)  # fmt: skip
def test_every_pod_template_has_a_path(manifest: dict[str, Any], paths: list[str]) -> None:
    assert [workloads.field(path) for path in workloads.pod_paths(manifest)] == paths


@pytest.mark.parametrize(
    ("manifest", "sentences"),
    [
        (thing("v1", "Pod", **TEMPLATE), []),
        (thing("apps/v1", "Deployment", spec={"template": TEMPLATE}), []),
        (thing("argoproj.io/v1alpha1", "Rollout", spec={"template": TEMPLATE}), []),
        (thing("apps.kruise.io/v1beta1", "StatefulSet", spec={"template": TEMPLATE}), []),
        (resource(), []),
        (thing("v1", "Deployment", spec={"template": TEMPLATE}),
         ["apiVersion v1 has no kind Deployment that makes pods"]),
        (thing("apps/v1", "Deploymnet", spec={"template": TEMPLATE}),
         ["apiVersion apps/v1 has no kind Deploymnet that makes pods"]),
        (thing("extensions/v1beta1", "Deployment", spec={"template": TEMPLATE}),
         ["apiVersion extensions/v1beta1 has no kind Deployment that makes pods"]),
        (thing("apps/v1beta1", "Deployment", spec={"template": TEMPLATE}),
         ["apiVersion apps/v1beta1 is not Kubernetes' own, which is apps/v1"]),
        (thing("v2", "Pod", **TEMPLATE), ["apiVersion v2 is not Kubernetes' own, which is v1"]),
        (thing("core/v1", "Pod", **TEMPLATE),
         ["apiVersion core/v1 has no kind Pod that makes pods",
          "spec looks like a pod, and is no pod template: it is left as it is"]),
        (thing("serving.knative.dev/v1", "Service", spec={"template": HEADLESS}),
         ["spec.template.spec looks like a pod, and is no pod template: it is left as it is"]),
        (thing("example.com/v1", "Machine", spec={"pods": [{"containers": [{"image": "x"}]}]}),
         ["spec.pods[0] looks like a pod, and is no pod template: it is left as it is"]),
        (thing("example.com/v1", "Machine", spec={"containers": [{"name": "x"}]}), []),
    ],
)  # fmt: skip
def test_what_may_be_a_mistake_is_named(manifest: dict[str, Any], sentences: list[str]) -> None:
    assert list(workloads.not_understood(manifest)) == sentences


def test_a_template_is_replaced_in_a_copy() -> None:
    manifest = thing("example.com/v1", "Jobs", spec={"jobs": [{"template": TEMPLATE}]})
    (path,) = workloads.pod_paths(manifest)
    changed = workloads.replaced(manifest, path, "other")
    assert changed["spec"]["jobs"] == [{"template": "other"}]
    assert workloads.at(manifest, path) == TEMPLATE


def test_our_own_kinds_have_templates_that_are_no_pods() -> None:
    assert resource()["apiVersion"].startswith(names.GROUP)
    assert workloads.pod_paths(resource()) == []
