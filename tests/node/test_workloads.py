"""Injected pods of every kind, seen running: what starts when, what ends, what talks to what."""

import json

import pytest

from sidecar_injector import names
from tests.kits import node as kit
from tools.controlplane import errors
from tools.image import test_images
from tools.node import node

APP = "app"
ANSWER = "from the sidecar\n"


@pytest.fixture
def scene(cluster: node.Node, namespace: str) -> kit.Scene:
    return kit.Scene(cluster, namespace)


def sidecar() -> kit.Json:
    """The next container of the pod starts once it answers."""
    probe = {"httpGet": {"path": "/", "port": kit.PORT}, "periodSeconds": 1, "failureThreshold": 60}
    return kit.serving(kit.SIDECAR, port=kit.PORT, text="from the sidecar", startupProbe=probe)


def template(**spec: object) -> kit.Json:
    """Of the pods of a workload."""
    pod = {"containers": [kit.waiting()], "terminationGracePeriodSeconds": 1, **spec}
    return {"metadata": {"labels": {"app": APP}}, "spec": pod}


def workload(kind: str, name: str, **spec: object) -> kit.Json:
    selector = {"matchLabels": {"app": APP}}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"selector": selector, "template": template(), **spec},
    }


def job() -> kit.Json:
    """It succeeds if the sidecar answers, at the first try."""
    containers = [kit.fetching(APP, port=kit.PORT)]
    return {"backoffLimit": 0, "template": template(restartPolicy="Never", containers=containers)}


def test_a_native_sidecar_answers_before_the_pods_own_init_container_asks(
    scene: kit.Scene,
) -> None:
    scene.inject(kit.injection(containers=[sidecar()], sidecarMode="Native"))
    inits = [kit.fetching("first", port=kit.PORT)]
    scene.apply(kit.pod(APP, containers=[kit.waiting()], initContainers=inits))
    scene.wait_for(f"pod/{APP}")
    assert scene.shown(APP) == "2/2 Running"
    pod = scene.pod(APP)
    assert [container["name"] for container in pod["spec"]["initContainers"]] == [
        kit.SIDECAR,
        "first",
    ]
    assert [
        container_status["restartCount"]
        for container_status in pod["status"]["initContainerStatuses"]
    ] == [0, 0]
    assert scene.kubectl("logs", APP, "--container=first") == ANSWER


@pytest.mark.parametrize("mode", ["Auto", "Native"])
def test_a_job_with_a_sidecar_completes(scene: kit.Scene, mode: str) -> None:
    scene.inject(kit.injection(containers=[sidecar()], sidecarMode=mode))
    manifest = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": APP}, "spec": job()}
    scene.apply(manifest)
    scene.wait_for(f"job/{APP}", "condition=Complete")
    (pod,) = scene.pods(APP)
    assert pod["status"]["phase"] == "Succeeded"
    assert scene.kubectl("logs", pod["metadata"]["name"], f"--container={APP}") == ANSWER


def test_the_job_of_a_cronjob_completes(scene: kit.Scene) -> None:
    scene.inject(kit.injection(containers=[sidecar()]))
    never = {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": job()}}
    manifest = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": APP}}
    scene.apply({**manifest, "spec": never})
    scene.kubectl("create", "job", "now", f"--from=cronjob/{APP}")
    scene.wait_for("job/now", "condition=Complete")
    (pod,) = scene.pods(APP)
    assert [container["name"] for container in pod["spec"]["initContainers"]] == [kit.SIDECAR]


@pytest.mark.parametrize(
    ("kind", "more", "count"),
    [
        ("Deployment", {"replicas": 2}, 2),
        ("StatefulSet", {"replicas": 2, "serviceName": APP}, 2),
        ("DaemonSet", {}, 1),
    ],
)
def test_all_pods_of_a_workload_run_with_the_sidecar(
    scene: kit.Scene, kind: str, more: kit.Json, count: int
) -> None:
    scene.inject(kit.injection())
    scene.apply(workload(kind, APP, **more))
    scene.kubectl("rollout", "status", f"{kind}/{APP}", f"--timeout={kit.SECONDS}s")
    pods = [pod["metadata"]["name"] for pod in scene.pods(APP)]
    assert [scene.shown(pod) for pod in pods] == ["2/2 Running"] * count
    for pod in pods:
        assert scene.fetch(pod, container=APP, port=kit.PORT) == ANSWER


def test_a_failing_injection_refuses_the_pod_and_says_why(scene: kit.Scene) -> None:
    scene.inject(kit.injection(failurePolicy="Fail"))
    taken = kit.pod(APP, containers=[kit.waiting(kit.SIDECAR)])
    with pytest.raises(errors.CommandError, match=r"one.*ContainerConflict"):
        scene.apply(taken)
    assert scene.pods(APP) == []
    scene.apply(kit.pod(APP, containers=[kit.waiting()]))
    scene.wait_for(f"pod/{APP}")
    assert scene.shown(APP) == "2/2 Running"


@pytest.mark.parametrize(
    ("labels", "annotations"),
    [
        ({names.INJECTION_LABEL: names.DISABLED}, {}),
        ({}, {names.INJECT_ANNOTATION: "no"}),
        ({}, {names.TUTORIAL_INJECT_ANNOTATION: "no"}),
    ],
)
def test_a_pod_that_opts_out_runs_alone(
    scene: kit.Scene, labels: dict[str, str], annotations: dict[str, str]
) -> None:
    scene.inject(kit.injection())
    manifest = kit.pod(APP, containers=[kit.waiting()])
    manifest["metadata"]["labels"] |= labels
    manifest["metadata"]["annotations"] = annotations
    scene.apply(manifest)
    scene.wait_for(f"pod/{APP}")
    assert scene.shown(APP) == "1/1 Running"


def test_application_containers_see_their_variables_and_files(scene: kit.Scene) -> None:
    writes = ["sh", "-c", "echo hello >/shared/word; touch /shared/written; exec sleep 3600"]
    mounted = {"exec": {"command": ["test", "-e", "/shared/written"]}, "periodSeconds": 1}
    writer = {
        "name": kit.SIDECAR,
        "image": test_images.ALPINE,
        "command": writes,
        "volumeMounts": [{"name": "shared", "mountPath": "/shared"}],
        "readinessProbe": mounted,
    }
    manifest = kit.injection(
        containers=[writer],
        applicationContainers={
            "env": [{"name": "GREETING", "value": "from the injection"}],
            "appendEnv": [{"name": "OPTIONS", "value": "-added", "separator": " "}],
            "volumeMounts": [{"name": "shared", "mountPath": "/received", "readOnly": True}],
        },
    )
    manifest["spec"]["template"]["spec"]["volumes"] = [{"name": "shared", "emptyDir": {}}]
    scene.inject(manifest)
    own = {"name": APP, "image": test_images.ALPINE, "command": ["sleep", "3600"]}
    own["env"] = [{"name": "OPTIONS", "value": "-own"}]
    scene.apply(kit.pod(APP, containers=[own]))
    scene.wait_for(f"pod/{APP}")

    def seen(script: str) -> str:
        return scene.execute(APP, "sh", "-c", script, container=APP).strip()

    assert seen('echo "$GREETING"') == "from the injection"
    assert seen('echo "$OPTIONS"') == "-own -added"
    assert seen("cat /received/word") == "hello"
    assert seen("touch /received/mine 2>/dev/null || echo read-only") == "read-only"


def test_the_status_annotation_tells_what_runs(scene: kit.Scene) -> None:
    scene.inject(kit.injection())
    scene.apply(kit.pod(APP, containers=[kit.waiting()]))
    scene.wait_for(f"pod/{APP}")
    pod = scene.pod(APP)
    (entry,) = json.loads(pod["metadata"]["annotations"][names.STATUS_ANNOTATION])["injections"]
    running = [
        container_status["name"]
        for container_status in pod["status"]["containerStatuses"]
        if container_status["ready"]
    ]
    assert set(entry["added"]["containers"]) == set(running) - {APP}
