"""The control plane itself: real, several at a time, breakable, and gone without a trace."""

import pathlib
import signal
import socket
from typing import Any

import pytest
import yaml

from tests.kits import process_owner, versions
from tools.controlplane import binaries, cluster, errors, operators, ports, recipes, waiting

ROOT = pathlib.Path(__file__).parents[2]


def pods(plane: cluster.ControlPlane, namespace: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = plane.client.get(f"/api/v1/namespaces/{namespace}/pods")["items"]
    return items


def test_a_deployment_gets_its_pod_with_a_service_account_token(
    controlplane: cluster.ControlPlane, namespace: str
) -> None:
    controlplane.kubectl("create", "deployment", "web", "--image=nginx", "-n", namespace)
    (pod,) = controlplane.wait("the Deployment's pod", lambda: pods(controlplane, namespace))
    (container,) = pod["spec"]["containers"]
    paths = [mount["mountPath"] for mount in container["volumeMounts"]]
    assert paths == ["/var/run/secrets/kubernetes.io/serviceaccount"]


def test_helm_and_kubectl_are_those_of_the_cache(controlplane: cluster.ControlPlane) -> None:
    version = yaml.safe_load(controlplane.kubectl("version", "-o", "yaml").stdout)
    assert version["clientVersion"]["gitVersion"] == f"v{recipes.required('k8s.io/kubernetes')}"
    # An older one is in KUBEBUILDER_ASSETS.
    assert version["serverVersion"]["minor"] == str(versions.minor())
    assert controlplane.helm("list", "-o", "json").stdout.strip() == "[]"


def test_a_failed_command_says_what_was_run_and_why(controlplane: cluster.ControlPlane) -> None:
    with pytest.raises(errors.CommandError, match=r'^kubectl get pod x: exit status 1: .*"x" not'):
        controlplane.kubectl("get", "pod", "x")
    assert controlplane.kubectl("get", "pod", "x", check=False).returncode == 1


def test_a_service_account_may_do_nothing_by_itself(
    controlplane: cluster.ControlPlane, namespace: str
) -> None:
    token = controlplane.kubectl("create", "token", "default", "-n", namespace).stdout.strip()
    with pytest.raises(errors.ApiError, match="403: pods is forbidden") as caught:
        controlplane.user(token).get(f"/api/v1/namespaces/{namespace}/pods")
    assert caught.value.status == 403


def test_the_api_server_can_be_away_and_come_back(
    controlplane: cluster.ControlPlane, namespace: str
) -> None:
    controlplane.apiserver.kill()
    with pytest.raises(ConnectionRefusedError):
        controlplane.client.get("/api/v1/namespaces")
    controlplane.apiserver.start()
    controlplane.wait_ready()
    assert controlplane.client.get(f"/api/v1/namespaces/{namespace}")["status"]["phase"] == "Active"


def test_a_second_one_beside_it_knows_nothing_of_it_and_keeps_its_logs_when_a_test_fails(
    controlplane: cluster.ControlPlane,
    namespace: str,
    programs: binaries.Binaries,
    capsys: pytest.CaptureFixture[str],
    tmp_path: pathlib.Path,
) -> None:
    with (
        pytest.raises(errors.CommandError, match="not found"),
        cluster.ControlPlane(programs, folder=tmp_path) as other,
    ):
        other.kubectl("get", "namespace", namespace)
    assert f"logs are kept in {tmp_path}" in capsys.readouterr().err
    assert (tmp_path / "kube-apiserver.log").stat().st_size > 0
    assert not other.apiserver.running
    assert controlplane.kubectl("get", "namespace", namespace).returncode == 0


OWNER = """
from tools.controlplane import binaries, cluster
with cluster.ControlPlane(binaries.cached(), folder=folder) as plane:
    parts = (plane.etcd, plane.apiserver, plane.controller_manager)
    print(plane.guard.pid, *(part.pid for part in parts), flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_process_is_left_when_the_owner_is_killed_or_interrupted(
    number: signal.Signals, tmp_path: pathlib.Path
) -> None:
    assert process_owner.end(OWNER, tmp_path, number) == 4


OPERATOR = """
import http.server, os, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ["GREETING"].encode())
def serve(name):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ[name])), Handler)
    threading.Thread(target=server.serve_forever).start()
serve("SIDECAR_INJECTOR_WEBHOOK_PORT")
serve("SIDECAR_INJECTOR_ADMIN_PORT")
"""


def install_stand_in(plane: cluster.ControlPlane, namespace: str) -> None:
    """A Deployment, Service and ServiceAccount as a chart makes them, with a program of our own."""
    field = {"fieldRef": {"fieldPath": "metadata.name"}}
    container = {
        "name": "operator",
        "image": "none",
        "command": ["python"],
        "args": ["-c", OPERATOR],
        "env": [{"name": "GREETING", "valueFrom": field}],
    }
    pod = {"serviceAccountName": "stand-in", "containers": [container]}
    metadata = {"name": "stand-in", "namespace": namespace}
    spec = {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "x"}},
        "template": {"metadata": {"labels": {"app": "x"}}, "spec": pod},
    }
    service = {
        "type": "ExternalName",
        "externalName": "localhost",
        "ports": [{"port": ports.free()}],
    }
    documents = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec},
    ]
    plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(documents))


def test_replicas_run_as_their_deployment_says_behind_one_port(
    controlplane: cluster.ControlPlane, namespace: str
) -> None:
    install_stand_in(controlplane, namespace)
    with operators.Operators(controlplane, namespace=namespace, name="stand-in") as running:
        running.wait_ready()
        first, second = running.replicas
        assert [replica.get("/")[1] for replica in running.replicas] == ["stand-in-0", "stand-in-1"]
        assert first.rss() > 1_000_000

        first.kill()
        waiting.until(lambda: running.balancer.ready == (second.backend,), what="one is out")
        first.start()
        running.wait_ready()
        for replica in running.replicas:
            replica.terminate()
        waiting.until(lambda: not running.balancer.ready, what="both are out")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((ports.LOOPBACK, running.balancer.port))


def test_a_replica_is_the_service_account_to_the_api_server(
    controlplane: cluster.ControlPlane, namespace: str
) -> None:
    install_stand_in(controlplane, namespace)
    with operators.Operators(
        controlplane, namespace=namespace, name="stand-in", replicas=1
    ) as running:
        environment = running.replicas[0].environment
        assert environment is not None
        user = yaml.safe_load(pathlib.Path(environment["KUBECONFIG"]).read_text())["users"][0]
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        answer = controlplane.user(user["user"]["token"]).request(
            "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review
        )
    name = answer["status"]["userInfo"]["username"]
    assert name == f"system:serviceaccount:{namespace}:stand-in"
