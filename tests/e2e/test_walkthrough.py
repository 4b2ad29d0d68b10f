"""The walkthrough, on a node: what its first two pods are when they run."""

from sidecar_injector import names
from tests.kits import e2e as kit
from tools.controlplane import access
from tools.node import product

ANSWER = "from the app"


def test_the_release_runs_in_pods_under_the_restricted_level(
    cluster: access.Access, installed: product.Product
) -> None:
    namespace = cluster.client.get(f"/api/v1/namespaces/{installed.namespace}")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    service = f"/api/v1/namespaces/{installed.namespace}/services/{installed.name}"
    assert cluster.client.get(service)["spec"]["type"] == "ClusterIP"
    replicas = installed.pods()
    assert len(replicas) == 2
    scene = kit.Scene(installed, installed.namespace)
    assert {scene.shown(replica["metadata"]["name"]) for replica in replicas} == {"1/1 Running"}
    assert {replica["status"]["containerStatuses"][0]["restartCount"] for replica in replicas} == {
        0
    }


def test_the_walkthrough_ends_with_two_running_containers_that_talk(
    installed: product.Product, namespace: str
) -> None:
    scene = kit.Scene(installed, namespace)
    installed.apply("configmap.yaml", "injection.yaml", namespace=namespace)
    scene.wait_for("sidecarinjection/nginx")
    installed.apply("pod.yaml", "deployment.yaml", namespace=namespace)
    scene.wait_for("pod/alpine")
    scene.wait_for("deployment/web", "condition=Available")

    assert scene.shown("alpine") == "2/2 Running"
    pod = scene.pod("alpine")
    assert [container["image"] for container in pod["spec"]["containers"]] == [
        installed.images.alpine,
        installed.images.nginx,
    ]
    assert (
        pod["metadata"]["annotations"][names.TUTORIAL_STATUS_ANNOTATION] == names.TUTORIAL_INJECTED
    )
    (web,) = scene.pods("web")
    assert scene.shown(web["metadata"]["name"]) == "2/2 Running"

    scene.execute("alpine", "sh", "-c", f"echo {ANSWER} >/tmp/index.html", container="alpine")
    scene.execute("alpine", "httpd", "-p", "127.0.0.1:8080", "-h", "/tmp", container="alpine")
    answer = scene.execute(
        "alpine", "wget", "-q", "-O", "-", "http://127.0.0.1/", container="alpine"
    )
    assert answer.strip() == ANSWER
    assert '"GET / HTTP/1.1" 200' in scene.kubectl("logs", "alpine", "--container=sidecar-nginx")
