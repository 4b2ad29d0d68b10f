"""Pods on a real API server: who is injected, and who is not."""

from __future__ import annotations

import json
import pathlib
import signal
import subprocess
import time
from typing import Any

import pytest
import yaml

from sidecar_injector import names
from tests.kits import product as kit
from tools.controlplane import operators

TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
ASKING = "app"
"""The pod that tests ask replicas about, which makes lines in their logs."""
TWO_SOURCES = {"name": "data", "emptyDir": {}, "hostPath": {"path": "/data"}}


@pytest.fixture
def namespace(injecting_namespace: str) -> str:
    return injecting_namespace


def test_a_bare_pod_is_injected_and_says_so(product: kit.Product, namespace: str) -> None:
    pod = product.create_pod(namespace, kit.pod())
    assert kit.containers(pod) == kit.BOTH
    provenance = json.loads(pod["metadata"]["annotations"][names.STATUS_ANNOTATION])
    (entry,) = provenance["injections"]
    assert (entry["kind"], entry["name"], entry["generation"]) == (names.KIND, "proxy", 1)
    assert entry["added"] == {"containers": ["sidecar"]}


def test_kubectl_shows_whole_what_a_pod_got_and_selects_by_it(
    product: kit.Product, enabled_namespace: str
) -> None:
    """The longest names that there are: what is too long ends in a count, and is not cut."""
    long = [letter * 63 for letter in "ab"]
    for name in (*long, "last"):
        clash = name != "last"
        container = {"name": "app" if clash else "sidecar", "image": f"other:{name[0]}"}
        template = {"spec": {"containers": [container]}}
        product.create_injection(enabled_namespace, kit.injection(name, template=template))
        product.wait_known(enabled_namespace, name)
    product.create_pod(enabled_namespace, kit.pod("web"))
    printed = product.plane.kubectl("describe", "pod", "web", "-n", enabled_namespace).stdout
    lines = [line.strip() for line in printed.splitlines()]
    assert f"{names.INJECTED_ANNOTATION}: last" in "\n".join(lines)
    shown = f"{long[0]}=ContainerConflict,+1 more"
    assert any(line.endswith(shown) for line in lines), printed
    selector = f"{names.INJECTED_LABEL}={names.INJECTED_LABEL_VALUE}"
    listed = product.plane.kubectl(
        "get", "pods", "-n", enabled_namespace, "-l", selector, "-o", "name"
    )
    assert listed.stdout.split() == ["pod/web"]


def test_the_sidecar_gets_the_service_account_token(product: kit.Product, namespace: str) -> None:
    """The ServiceAccount plugin runs before webhooks, and sees no container of ours then.

    The API server runs its own plugins again after a webhook has changed the object, whatever that
    webhook's reinvocationPolicy is, so the token is mounted into what we have added as well: into
    the same volume, which exists only once.
    https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#reinvocation-policy
    """
    pod = product.create_pod(namespace, kit.pod())
    mounts = [container["volumeMounts"] for container in pod["spec"]["containers"]]
    assert [[mount["mountPath"] for mount in some] for some in mounts] == [[TOKEN_PATH]] * 2
    (volume,) = pod["spec"]["volumes"]
    assert {mount["name"] for some in mounts for mount in some} == {volume["name"]}


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
def test_the_pods_of_a_workload_are_injected(
    product: kit.Product, namespace: str, kind: str
) -> None:
    if kind == "DaemonSet":  # makes a pod for each node, and there is none
        product.plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(node(namespace)))
    spec = {"nodeSelector": {"node": namespace}} if kind == "DaemonSet" else {}
    pod = product.created_by(namespace, kit.workload(kind, **spec))
    assert kit.containers(pod) == kit.BOTH
    assert pod["metadata"]["generateName"].startswith("work-")
    if kind == "DaemonSet":
        product.plane.kubectl("delete", "node", namespace)


def node(name: str) -> kit.Json:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"node": name}},
    }


def test_a_job_gets_a_native_sidecar_so_that_it_ends(product: kit.Product, namespace: str) -> None:
    pod = product.created_by(namespace, kit.workload("Job", restartPolicy="Never"))
    assert kit.containers(pod) == kit.ALONE
    (sidecar,) = pod["spec"]["initContainers"]
    assert (sidecar["name"], sidecar["restartPolicy"]) == ("sidecar", "Always")


def test_a_pod_whose_name_is_generated_is_injected_and_logged_by_its_prefix(
    product: kit.Product, namespace: str
) -> None:
    nameless = kit.with_metadata(kit.pod(), name=None, generateName="made-")
    pod = product.create_pod(namespace, nameless)
    assert pod["metadata"]["name"].startswith("made-")
    assert kit.containers(pod) == kit.BOTH
    product.flush()
    logged = [line["pod"] for line in product.log() if line.get("namespace") == namespace]
    assert set(logged) - {ASKING} == {"made-"}


def test_the_webhook_is_not_called_for_a_pod_that_its_label_opts_out(
    product: kit.Product, namespace: str
) -> None:
    before = product.counted(kit.REQUESTS)
    labels = {names.INJECTION_LABEL: names.DISABLED}
    pod = product.create_pod(namespace, kit.with_metadata(kit.pod(), labels=labels))
    assert kit.containers(pod) == kit.ALONE
    assert product.counted(kit.REQUESTS) == before


@pytest.mark.parametrize(
    "key", [names.INJECT_ANNOTATION, names.TUTORIAL_INJECT_ANNOTATION], ids=["ours", "tutorial"]
)
def test_a_pod_is_opted_out_by_its_annotation(
    product: kit.Product, namespace: str, key: str
) -> None:
    before = product.counted(kit.DECISIONS, reason="PodAnnotationDisabled")
    pod = product.create_pod(namespace, kit.with_metadata(kit.pod(), annotations={key: "No"}))
    assert kit.containers(pod) == kit.ALONE
    assert product.counted(kit.DECISIONS, reason="PodAnnotationDisabled") == before + 1


def test_a_pod_in_a_namespace_without_the_label_is_left_alone(
    product: kit.Product, controlplane: Any, namespace: str
) -> None:
    controlplane.kubectl("label", "namespace", namespace, f"{names.INJECTION_LABEL}-")
    before = product.counted(kit.REQUESTS)
    assert kit.containers(product.create_pod(namespace, kit.pod())) == kit.ALONE
    assert product.counted(kit.REQUESTS) == before


def test_an_injection_starts_and_stops_within_a_second(
    product: kit.Product, enabled_namespace: str
) -> None:
    """From the API server's answer to its first pod, and on every replica."""
    path = kit.injections_path(enabled_namespace)
    dry_run = kit.pod()
    for wanted, change in (
        (kit.BOTH, lambda: product.plane.client.request("POST", path, kit.injection())),
        (kit.ALONE, lambda: product.plane.client.request("DELETE", f"{path}/proxy")),
    ):
        change()
        changed = time.monotonic()
        product.plane.wait(
            f"pods are {wanted}",
            lambda wanted=wanted: (
                kit.containers(product.create_pod(enabled_namespace, dry_run, dry_run=True))
                == wanted
            ),
        )
        product.wait_known(enabled_namespace, "proxy", known=wanted is kit.BOTH)
        seconds = time.monotonic() - changed
        print(f"{wanted} after {seconds * 1000:.0f} ms")  # noqa: T201 - a figure to look at
        assert seconds < 1


def test_one_replica_is_enough(product: kit.Product, namespace: str) -> None:
    first, second = product.replicas
    first.kill()
    product.plane.wait("it is out", lambda: product.operators.balancer.ready == (second.backend,))
    try:
        assert kit.containers(product.create_pod(namespace, kit.pod())) == kit.BOTH
    finally:
        first.start()
        product.operators.wait_ready()


def test_pods_start_bare_while_the_operator_is_down_and_are_injected_when_it_is_back(
    product: kit.Product, namespace: str
) -> None:
    assert [replica.terminate() for replica in product.replicas] == [0, 0]
    try:
        product.plane.wait("both are out", lambda: product.operators.balancer.ready == ())
        assert kit.containers(product.create_pod(namespace, kit.pod("bare"))) == kit.ALONE
    finally:
        for replica in product.replicas:
            replica.start()
        product.operators.wait_ready()
    assert kit.containers(product.create_pod(namespace, kit.pod("back"))) == kit.BOTH


def test_a_replica_that_is_told_to_end_still_serves_and_then_exits_with_0(
    product: kit.Product, namespace: str
) -> None:
    last = product.operators.add()
    last.wait_ready()
    last.signal(signal.SIGTERM)
    product.plane.wait("it says that it goes", lambda: not last.ready())
    answer = product.ask(last, namespace, kit.pod())
    status = last.wait(seconds=10)
    product.operators.balancer.remove(last.backend)
    product.replicas.remove(last)
    assert "patch" in answer
    assert status == 0
    assert kit.log_lines(last)[-1]["message"] == "ended"


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_a_review_is_answered_in_the_version_that_asks(
    product: kit.Product, namespace: str, version: str
) -> None:
    for replica in product.replicas:
        answer = product.review(replica, namespace, kit.pod(), version=version, dry_run=True)
        assert answer["apiVersion"] == f"admission.k8s.io/{version}"
        assert answer["response"]["uid"] == "6e9d9bd4-0000-4000-8000-000000000000"
        assert kit.containers(kit.patched(kit.pod(), answer["response"])) == kit.BOTH


def test_what_the_webhook_made_is_left_as_it_is_by_the_command_line(
    product: kit.Product, namespace: str, tmp_path: pathlib.Path
) -> None:
    product.create_pod(namespace, kit.pod())
    stored = product.plane.kubectl("get", "pod", "app", "-n", namespace, "-o", "yaml").stdout
    (tmp_path / "pod.yaml").write_text(stored)
    injection = kit.with_metadata(kit.injection(), namespace=namespace)
    (tmp_path / "injection.yaml").write_text(yaml.safe_dump(injection))
    words = ("inject", "-f", "pod.yaml", "-i", "injection.yaml", "--report")
    program = str(operators.PROGRAMS / names.PRODUCT)
    answer = subprocess.run(
        [program, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    assert answer.stderr.split()[:4] == [
        f"{namespace}/Pod/app",
        "proxy",
        "Present",
        "AlreadyInjected",
    ]
    assert yaml.safe_load(answer.stdout) == yaml.safe_load(stored)


def test_an_injection_that_is_broken_is_not_applied_and_stops_no_other(
    product: kit.Product, namespace: str
) -> None:
    """It slips past while the validating configuration is away; CEL does not know this rule."""
    template = kit.injection()["spec"]["template"]["spec"]
    broken = kit.injection("broken", template={"spec": {**template, "volumes": [TWO_SOURCES]}})
    stored = product.plane.client.get(kit.VALIDATING)
    product.plane.client.request("DELETE", kit.VALIDATING)
    path = kit.injections_path(namespace)
    try:
        # It goes on being called until the API server has heard of its end.
        product.plane.wait("created", lambda: product.plane.client.request("POST", path, broken))
    finally:
        kept = ("name", "labels", "annotations")
        metadata = {key: stored["metadata"][key] for key in kept if key in stored["metadata"]}
        collection = kit.VALIDATING.rpartition("/")[0]
        product.plane.client.request("POST", collection, {**stored, "metadata": metadata})
    product.wait_known(namespace, "broken")
    accepted = product.condition(namespace, "broken", "Accepted", reason="Invalid")
    assert accepted["status"] == "False"
    assert accepted["message"].startswith("spec.template.spec.volumes[0]: has 2 sources")
    product.condition(namespace, "broken", "Ready", reason="NotAccepted")
    assert kit.containers(product.create_pod(namespace, kit.pod())) == kit.BOTH
