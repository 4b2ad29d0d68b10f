"""What the command line says about a manifest is what becomes of it: for every kind of workload.

The manifest is created in an enabled namespace, where controllers and the webhook make its pod. The
printed manifest is created in a namespace without injections. Both pods must be the same.
"""

from __future__ import annotations

import copy
import json
import pathlib
from collections.abc import Iterator

import pytest
import yaml

from sidecar_injector import names
from sidecar_injector.core.merging import status_annotation
from tests.kits import cli
from tests.kits import controlplane_cli as live
from tests.kits import installation as installing
from tests.kits import product as kit

APP = {
    "containers": [
        {
            "name": "app",
            "image": "app:1",
            "volumeMounts": [{"name": "data", "mountPath": "/var/lib/app"}],
        }
    ]
}
DATA = {"volumes": [{"name": "data", "emptyDir": {}}]}
LABELS = {"app": "work"}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": APP | DATA}
SELECTOR = {"selector": {"matchLabels": LABELS}}
CLAIM = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}
JOB = {"metadata": {"labels": LABELS}, "spec": APP | DATA | {"restartPolicy": "Never"}}
ROLLOUT = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "rollouts.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"kind": "Rollout", "plural": "rollouts", "singular": "rollout"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
                        },
                    }
                },
            }
        ],
    },
}


def workload(version: str, kind: str, **spec: object) -> kit.Json:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "work"}, "spec": spec}


WORKLOADS = {
    "Pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "work", "labels": LABELS},
            "spec": APP | DATA},
    "PodTemplate": {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "work"},
                    "template": TEMPLATE},
    "Deployment": workload("apps/v1", "Deployment", template=TEMPLATE, **SELECTOR),
    "ReplicaSet": workload("apps/v1", "ReplicaSet", template=TEMPLATE, **SELECTOR),
    "ReplicationController": workload("v1", "ReplicationController", template=TEMPLATE),
    "StatefulSet": workload(
        "apps/v1", "StatefulSet", serviceName="work", template={**TEMPLATE, "spec": APP},
        volumeClaimTemplates=[CLAIM], **SELECTOR,
    ),
    "StatefulSet whose claim takes a volume's place": workload(
        "apps/v1", "StatefulSet", serviceName="work", template=TEMPLATE,
        volumeClaimTemplates=[CLAIM], **SELECTOR,
    ),
    "DaemonSet": workload("apps/v1", "DaemonSet", template=TEMPLATE, **SELECTOR),
    "Job": workload("batch/v1", "Job", template=JOB),
    "indexed Job": workload(
        "batch/v1", "Job", template=JOB, completionMode="Indexed", completions=1
    ),
    "Job with a selector of its own": workload(
        "batch/v1", "Job", template=JOB, manualSelector=True, **SELECTOR
    ),
    "CronJob": workload(
        "batch/v1", "CronJob", schedule="0 0 1 1 *", jobTemplate={"spec": {"template": JOB}}
    ),
    "custom resource": workload("example.com/v1", "Rollout", template=TEMPLATE),
}  # fmt: skip

CONTAINER = {"name": "log", "image": "log:1"}
MOUNT = {"name": "data", "mountPath": "/data"}
DISK_PRESSURE = {
    "key": "node.kubernetes.io/disk-pressure",
    "operator": "Exists",
    "effect": "NoSchedule",
}
INDEX = "JOB_COMPLETION_INDEX"
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"
INJECTIONS = [
    kit.injection(
        "mount",
        template={"spec": {"containers": [CONTAINER | {"volumeMounts": [MOUNT]}]}},
    ),
    kit.injection(
        "everything",
        template={
            "metadata": {"labels": {"more": "yes"}},
            "spec": {
                "initContainers": [{"name": "setup", "image": "setup:1"}],
                "volumes": [{"name": "own", "emptyDir": {}}],
                "tolerations": [DISK_PRESSURE, {"key": "a", "operator": "Exists"}],
                "imagePullSecrets": [{"name": "ours"}],
                "serviceAccountName": "robot",
            },
        },
        inherit={"volumeMounts": {}},
        applicationContainers={
            "env": [{"name": "FIRST", "value": "1"}],
            "volumeMounts": [{"name": "own", "mountPath": "/own"}],
        },
    ),
    kit.injection(
        "token",
        template={"spec": {"volumes": [{"name": "no-token", "emptyDir": {}}]}},
        applicationContainers={"volumeMounts": [{"name": "no-token", "mountPath": TOKEN}]},
    ),
    kit.injection("taken", template={"spec": {"volumes": [{"name": "data", "secret": {
        "secretName": "x"}}], "containers": [{"name": "taken", "image": "x", "volumeMounts": [MOUNT]
        }]}}),
    kit.injection("labelled", selector={"matchExpressions": [
        {"key": "job-name", "operator": "Exists"}]}, template={"spec": {"containers": [
            {"name": "labelled", "image": "x"}]}}),
    kit.injection("index", template={"spec": {"containers": [{"name": "index", "image": "x"}]}},
                  inherit={"env": [{"name": INDEX, "fromContainer": "app"}]}),
]  # fmt: skip


@pytest.fixture(scope="module")
def node(product: kit.Product) -> Iterator[None]:
    """One on which a DaemonSet's pod may be."""
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "offline"}}
    product.plane.client.request("POST", "/api/v1/nodes", body)
    yield
    product.plane.client.request("DELETE", "/api/v1/nodes/offline")


@pytest.fixture(scope="module")
def definition(product: kit.Product) -> None:
    product.plane.kubectl("apply", "-f", "-", stdin=json.dumps(ROLLOUT))
    product.plane.wait_for_definitions("crd/rollouts.example.com")


@pytest.fixture(scope="module")
def injecting(product: kit.Product) -> str:
    """An enabled namespace with the injections and nothing else."""
    name = installing.unused_name()
    product.plane.create_namespace(name, labels={names.INJECTION_LABEL: names.ENABLED})
    create_robot(product, name)
    for injection in INJECTIONS:
        product.create_injection(name, injection)
    return name


def create_robot(product: kit.Product, namespace: str) -> None:
    """The ServiceAccount that an injection wants."""
    product.plane.kubectl("create", "serviceaccount", "robot", "-n", namespace)


def create(product: kit.Product, namespace: str, manifest: kit.Json) -> kit.Json:
    """The pod that becomes of the manifest, which is deleted then."""
    kind = manifest["kind"]
    product.plane.kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps(manifest))
    where = ("-n", namespace)
    if kind == "CronJob":
        product.plane.kubectl("create", "job", "made", "--from=cronjob/work", *where)
    if kind in ("PodTemplate", "Rollout"):
        # No controller of Kubernetes makes pods of them: this is what one would do.
        template = (manifest.get("spec") or manifest)["template"]
        product.create_pod(namespace, {**kit.pod(), **template, "metadata": {
            **template["metadata"], "name": "work"}})  # fmt: skip
    (pod,) = product.plane.wait(f"the pod of {kind}", lambda: product.pods(namespace))
    for resource in ("jobs", kind.lower(), "pods"):
        product.plane.kubectl("delete", resource, "--all", "--cascade=background",
                              "--grace-period=0", "--force", *where)  # fmt: skip
    product.plane.wait("no pod is left", lambda: not product.pods(namespace))
    return pod


def comparable(pod: kit.Json) -> kit.Json:
    """The pod without the names and the random values of its creation; order where it counts."""
    metadata, spec = pod["metadata"], copy.deepcopy(pod["spec"])
    random_keys = ("controller-uid", "controller-revision-hash", "pod-template-hash")
    labels = {
        key: value
        for key, value in metadata["labels"].items()
        if not key.endswith(random_keys) and not key.endswith("job-name")
    }
    tokens = [item["name"] for item in spec["volumes"] if item["name"].startswith("kube-api-")]
    text = json.dumps({"labels": labels, "annotations": metadata.get("annotations"), "spec": spec})
    for token in tokens:
        text = text.replace(token, "token")
    result: kit.Json = json.loads(text)
    spec = result["spec"]
    spec["volumes"].sort(key=lambda volume: str(volume["name"]))
    spec["tolerations"].sort(key=json.dumps)
    for container in (*spec["containers"], *spec.get("initContainers", ())):
        container["volumeMounts"].sort(key=lambda mount: str(mount["mountPath"]))
        # A Job's controller adds it to each container of a template, so to injected ones too.
        env = [variable for variable in container.pop("env", ()) if variable["name"] != INDEX]
        container["env"] = env
    for field in ("hostname", "subdomain", "nodeName", "affinity"):
        spec.pop(field, None)
    return result


def recorded(text: str) -> kit.Json:
    """What the annotation says, without what a template had not and the pod has.

    Files have no generations, and the API server names the default account.
    """
    content: kit.Json = json.loads(text)
    for entry in content["injections"]:
        entry.pop("generation", None)
        entry["patched"] = [
            record
            for record in entry.get("patched", ())
            if not record["path"].startswith("/spec/serviceAccount")
        ]
    content.pop("empty", None)
    return content


def reasons_in(pod: kit.Json) -> dict[str, str]:
    """What became of each injection that applied, by the pod's annotation."""
    recorded = status_annotation.read(pod["metadata"]["annotations"])
    injected = {entry.name: "Injected" for entry in recorded.entries}
    return injected | {skipped.name: skipped.reason for skipped in recorded.skipped}


@pytest.mark.usefixtures("node", "definition")
@pytest.mark.parametrize("manifest", WORKLOADS.values(), ids=WORKLOADS)
def test_the_printed_manifest_makes_the_pod_that_the_webhook_would_make(
    product: kit.Product, injecting: str, namespace: str, manifest: kit.Json, tmp_path: pathlib.Path
) -> None:
    pod = create(product, injecting, manifest)

    placed = [{**injection, "metadata": {**injection["metadata"], "namespace": injecting}}
              for injection in INJECTIONS]  # fmt: skip
    files = ("-f", cli.write(tmp_path, "work.yaml", manifest), "-n", injecting,
             "-i", cli.write(tmp_path, "injections.yaml", placed))  # fmt: skip
    result = cli.run("inject", *files, "--report", "json")
    (subject,) = json.loads(result.stderr)["pods"]
    applying = {
        line["name"]: line["reason"]
        for line in subject["injections"]
        if line["verdict"] in ("Injected", "Skipped")
    }
    assert applying == reasons_in(pod)
    explained = json.loads(cli.run("explain", *files, "-o", "json").stdout)["pods"][0]
    assert [line["reason"] for line in explained["injections"]] == [
        line["reason"] for line in subject["injections"]
    ]

    create_robot(product, namespace)
    # The items of a list are without kind.
    text = json.dumps({**kit.pod(), **pod})
    taken_out = yaml.safe_load(cli.run("uninject", "-f", "-", stdin=text).stdout)
    assert comparable(taken_out) == comparable(create(product, namespace, manifest))

    printed = yaml.safe_load(result.stdout)
    of_printed = create(product, namespace, printed)
    for each in (pod, of_printed):
        annotations = each["metadata"]["annotations"]
        annotations[names.STATUS_ANNOTATION] = recorded(annotations[names.STATUS_ANNOTATION])
    assert comparable(of_printed) == comparable(pod)
    (back,) = yaml.safe_load_all(cli.run("uninject", "-f", "-", stdin=result.stdout).stdout)
    assert back == manifest


def test_a_live_workload_is_decided_about_with_its_claims_and_its_account(
    product: kit.Product, enabled_namespace: str
) -> None:
    product.create_injection(enabled_namespace, INJECTIONS[0])
    product.create_injection(enabled_namespace, INJECTIONS[2])
    where, account = ("-n", enabled_namespace), {"automountServiceAccountToken": False}
    path = f"/api/v1/namespaces/{enabled_namespace}/serviceaccounts/default"
    pod = product.created_by(enabled_namespace, WORKLOADS["StatefulSet"])
    assert reasons_in(pod) == {"mount": "Injected", "token": "MountPathConflict"}
    for change, reasons in (({}, ["Injected", "MountPathConflict"]), (account, ["Injected"] * 2)):
        product.plane.client.request("PATCH", path, change, **kit.PATCH)
        explained = live.run(product.plane.kubeconfig, "explain", "sts/work", *where, "-o", "json")
        (subject,) = json.loads(explained.stdout)["pods"]
        assert [line["reason"] for line in subject["injections"]] == reasons
        assert explained.stderr == ""
