"""Injected pods of every kind, seen running: what starts when, what ends, what talks to what."""

import json

import pytest

from sidecar_injector import names
from tests.kits import e2e as kit
from tools.controlplane import errors
from tools.node import product

APP = "app"
ANSWER = "from the sidecar\n"


@pytest.fixture
def scene(installed: product.Product, namespace: str) -> kit.Scene:
    return kit.Scene(installed, namespace)


def sidecar(scene: kit.Scene) -> kit.Json:
    """The next container of the pod starts once it answers."""
    probe = {"httpGet": {"path": "/", "port": kit.PORT}, "periodSeconds": 1, "failureThreshold": 60}
    return scene.serving(kit.SIDECAR, port=kit.PORT, text="from the sidecar", startupProbe=probe)


def template(scene: kit.Scene, **spec: object) -> kit.Json:
    """Of the pods of a workload."""
    pod = {"containers": [scene.waiting()], "terminationGracePeriodSeconds": 1, **spec}
    return {"metadata": {"labels": {"app": APP}}, "spec": pod}


def workload(scene: kit.Scene, kind: str, name: str, **spec: object) -> kit.Json:
    selector = {"matchLabels": {"app": APP}}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"selector": selector, "template": template(scene), **spec},
    }


def job(scene: kit.Scene) -> kit.Json:
    """It succeeds if the sidecar answers, at the first try."""
    containers = [scene.fetching(APP, port=kit.PORT)]
    return {
        "backoffLimit": 0,
        "template": template(scene, restartPolicy="Never", containers=containers),
    }


def test_a_native_sidecar_answers_before_the_pods_own_init_container_asks(
    scene: kit.Scene,
) -> None:
    scene.inject(scene.injection(containers=[sidecar(scene)], sidecarMode="Native"))
    inits = [scene.fetching("first", port=kit.PORT)]
    scene.apply(kit.pod(APP, containers=[scene.waiting()], initContainers=inits))
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
    scene.inject(scene.injection(containers=[sidecar(scene)], sidecarMode=mode))
    manifest = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": APP},
        "spec": job(scene),
    }
    scene.apply(manifest)
    scene.wait_for(f"job/{APP}", "condition=Complete")
    (pod,) = scene.pods(APP)
    assert pod["status"]["phase"] == "Succeeded"
    assert scene.kubectl("logs", pod["metadata"]["name"], f"--container={APP}") == ANSWER


def test_the_job_of_a_cronjob_completes(scene: kit.Scene) -> None:
    scene.inject(scene.injection(containers=[sidecar(scene)]))
    never = {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": job(scene)}}
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
    scene.inject(scene.injection())
    scene.apply(workload(scene, kind, APP, **more))
    scene.kubectl("rollout", "status", f"{kind}/{APP}", f"--timeout={kit.SECONDS}s")
    pods = [pod["metadata"]["name"] for pod in scene.pods(APP)]
    if kind == "DaemonSet":  # one for each node that takes pods
        status = json.loads(scene.kubectl("get", f"daemonset/{APP}", "--output=json"))["status"]
        count *= status["desiredNumberScheduled"]
    assert [scene.shown(pod) for pod in pods] == ["2/2 Running"] * count
    for pod in pods:
        assert scene.fetch(pod, container=APP, port=kit.PORT) == ANSWER


def test_a_failing_injection_refuses_the_pod_and_says_why(scene: kit.Scene) -> None:
    scene.inject(scene.injection(failurePolicy="Fail"))
    taken = kit.pod(APP, containers=[scene.waiting(kit.SIDECAR)])
    with pytest.raises(errors.CommandError, match=r"one.*ContainerConflict"):
        scene.apply(taken)
    assert scene.pods(APP) == []
    scene.apply(kit.pod(APP, containers=[scene.waiting()]))
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
    scene.inject(scene.injection())
    manifest = kit.pod(APP, containers=[scene.waiting()])
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
        "image": scene.images.alpine,
        "command": writes,
        "volumeMounts": [{"name": "shared", "mountPath": "/shared"}],
        "readinessProbe": mounted,
    }
    manifest = scene.injection(
        containers=[writer],
        applicationContainers={
            "env": [{"name": "GREETING", "value": "from the injection"}],
            "appendEnv": [{"name": "OPTIONS", "value": "-added", "separator": " "}],
            "volumeMounts": [{"name": "shared", "mountPath": "/received", "readOnly": True}],
        },
    )
    manifest["spec"]["template"]["spec"]["volumes"] = [{"name": "shared", "emptyDir": {}}]
    scene.inject(manifest)
    own = {"name": APP, "image": scene.images.alpine, "command": ["sleep", "3600"]}
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
    scene.inject(scene.injection())
    scene.apply(kit.pod(APP, containers=[scene.waiting()]))
    scene.wait_for(f"pod/{APP}")
    pod = scene.pod(APP)
    (entry,) = json.loads(pod["metadata"]["annotations"][names.STATUS_ANNOTATION])["injections"]
    running = [
        container_status["name"]
        for container_status in pod["status"]["containerStatuses"]
        if container_status["ready"]
    ]
    assert set(entry["added"]["containers"]) == set(running) - {APP}
