"""The pods that controllers make; `tests/controlplane` compares them with real ones."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar_injector import names
from sidecar_injector.core.pods import controllers, workloads
from tests.kits.samples import container, pod

TOKEN = {
    "name": "kube-api-access-unknown", "mountPath": names.TOKEN_PATH, "readOnly": True,
}  # fmt: skip


def expected(
    version: str, kind: str, template: dict[str, Any], *, account: Any = None, **spec: Any
) -> controllers.ExpectedPod:
    path = workloads.PATHS[workloads.kind_of({"apiVersion": version, "kind": kind})]
    inner = {**spec, "template": template}
    if kind == "CronJob":
        inner = {"jobTemplate": {"spec": inner}}
    manifest = {"apiVersion": version, "kind": kind, "metadata": {"name": "x"}, "spec": inner}
    return controllers.expected(manifest, path, template, account=account)


def template(**spec: Any) -> dict[str, Any]:
    quiet = {"automountServiceAccountToken": False}
    return {"metadata": {"labels": {"app": "x"}}, "spec": pod(**quiet, **spec)["spec"]}


def test_a_claim_is_a_volume_and_takes_the_place_of_one_of_its_name() -> None:
    volumes = [{"name": "data", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]
    claims = [{"metadata": {"name": "data"}, "spec": {}}, {"metadata": {"name": "logs"}}]
    of_set = expected(
        "apps/v1", "StatefulSet", template(volumes=volumes), volumeClaimTemplates=claims
    ).pod
    assert of_set["spec"]["volumes"] == [
        {"name": "data", "persistentVolumeClaim": {"claimName": "data-x-0"}},
        {"name": "logs", "persistentVolumeClaim": {"claimName": "logs-x-0"}},
        {"name": "tmp", "emptyDir": {}},
    ]


@pytest.mark.parametrize(
    ("version", "kind", "keys"),
    [
        ("apps/v1", "ReplicaSet", set()),
        ("v1", "ReplicationController", set()),
        ("apps/v1", "Deployment", {"pod-template-hash"}),
        ("apps/v1", "DaemonSet", {"controller-revision-hash", "pod-template-generation"}),
        ("apps/v1", "StatefulSet", {"controller-revision-hash", "apps.kubernetes.io/pod-index",
                                    "statefulset.kubernetes.io/pod-name"}),
        ("batch/v1", "Job", {"controller-uid", "batch.kubernetes.io/controller-uid"}),
        ("batch/v1", "CronJob", {"controller-uid", "batch.kubernetes.io/controller-uid",
                                 "job-name", "batch.kubernetes.io/job-name"}),
    ],
)  # fmt: skip
def test_labels_whose_values_only_the_cluster_knows(
    version: str, kind: str, keys: set[str]
) -> None:
    result = expected(version, kind, template())
    assert result.unknown == keys
    assert result.pod["metadata"]["labels"].keys() >= {"app", *keys}


def test_a_job_names_itself_unless_its_selector_is_its_own() -> None:
    labels = expected("batch/v1", "Job", template()).pod["metadata"]["labels"]
    assert labels["job-name"] == labels["batch.kubernetes.io/job-name"] == "x"
    manual = expected("batch/v1", "Job", template(), manualSelector=True)
    assert (manual.pod["metadata"]["labels"], manual.unknown) == ({"app": "x"}, frozenset())
    given = template()
    given["metadata"]["labels"]["controller-uid"] = "1"
    of_live = expected("batch/v1", "Job", given)
    assert of_live.unknown == {"batch.kubernetes.io/controller-uid"}


def test_the_pods_of_an_indexed_job_know_their_index() -> None:
    result = expected("batch/v1", "Job", template(), completionMode="Indexed")
    (app,) = result.pod["spec"]["containers"]
    assert [variable["name"] for variable in app["env"]] == ["JOB_COMPLETION_INDEX"]
    assert controllers.COMPLETION_INDEX in result.unknown
    assert controllers.COMPLETION_INDEX in result.pod["metadata"]["annotations"]


def test_the_pods_of_a_daemon_tolerate_more_and_are_bound_to_a_node() -> None:
    term = {"matchExpressions": [{"key": "a", "operator": "Exists"}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    spec = expected(
        "apps/v1", "DaemonSet", template(hostNetwork=True, affinity={"nodeAffinity": required})
    ).pod["spec"]
    keys = [toleration["key"].partition("/")[2] for toleration in spec["tolerations"]]
    assert keys == [
        "not-ready", "unreachable", "disk-pressure", "memory-pressure", "pid-pressure",
        "unschedulable", "network-unavailable",
    ]  # fmt: skip
    (term,) = spec["affinity"]["nodeAffinity"][next(iter(required))]["nodeSelectorTerms"]
    assert term.keys() == {"matchFields"}


def test_a_token_is_mounted_once_into_each_container_that_has_nothing_there() -> None:
    own = {"name": "own", "mountPath": names.TOKEN_PATH}
    author = pod(
        containers=[container("app"), container("other", volumeMounts=[own])],
        initContainers=[container("first")],
    )
    spec = controllers.expected(author, (), author, account=None).pod["spec"]
    mounts = [item["volumeMounts"] for item in (*spec["initContainers"], *spec["containers"])]
    assert mounts == [[TOKEN], [TOKEN], [own]]
    assert [volume["name"] for volume in spec["volumes"]] == [TOKEN["name"]]
    again = {**author, "spec": spec}
    assert controllers.expected(again, (), again, account=None).pod == again


@pytest.mark.parametrize(
    ("of_pod", "of_account", "mounted"),
    [(None, None, True), (None, False, False), (True, False, True), (False, True, False)],
)
def test_the_pod_decides_about_its_token_before_its_account(
    of_pod: bool | None, of_account: bool | None, mounted: bool
) -> None:
    author = pod(automountServiceAccountToken=of_pod)
    account = {"automountServiceAccountToken": of_account}
    spec = controllers.expected(author, (), author, account=account).pod["spec"]
    assert ("volumes" in spec) is mounted


def test_pull_secrets_come_from_the_account_unless_the_pod_has_some() -> None:
    account = {"imagePullSecrets": [{"name": "a"}], "automountServiceAccountToken": False}
    for own, secrets in ((None, ["a"]), ([], ["a"]), ([{"name": "b"}], ["b"])):
        author = pod(imagePullSecrets=own)
        spec = controllers.expected(author, (), author, account=account).pod["spec"]
        assert [secret["name"] for secret in spec["imagePullSecrets"]] == secrets


def test_nothing_is_added_to_the_mirror_of_a_static_pod() -> None:
    mirror = pod(annotations={names.MIRROR_ANNOTATION: "1"})
    assert controllers.expected(mirror, (), mirror, account=None).pod == mirror


@pytest.mark.parametrize(
    ("spec", "name"),
    [({}, "default"), ({"serviceAccountName": ""}, "default"), ({"serviceAccount": "a"}, "a"),
     ({"serviceAccountName": "b", "serviceAccount": "a"}, "b")],
)  # fmt: skip
def test_the_name_of_the_account(spec: dict[str, str], name: str) -> None:
    assert controllers.account_of(pod(**spec)) == name
