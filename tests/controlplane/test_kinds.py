"""Custom kinds of workloads on a real API server: a CRD, its object, and pods that it owns."""

from __future__ import annotations

import datetime
import json
import pathlib
from collections.abc import Iterator

import pytest
import yaml

from sidecar_injector.cli.cluster import restarts
from tests.kits import controlplane_cli as cli
from tests.kits import product as kit
from tools.controlplane import cluster

ROLLOUTS = ("argoproj.io", "v1alpha1", "Rollout", "rollouts", "ro")
FOOS = ("example.com", "v1", "Foo", "foos", "fo")
SECOND = datetime.timedelta(seconds=1)
NAMED = ("--kind-path", "example.com/Foo=spec.pod")


def definition(group: str, version: str, kind: str, plural: str, short: str) -> kit.Json:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(),
                      "shortNames": [short]},
            "versions": [{"name": version, "served": True, "storage": True,
                          "schema": {"openAPIV3Schema": schema}}],
        },
    }  # fmt: skip


@pytest.fixture(scope="module")
def config(product: kit.Product) -> Iterator[pathlib.Path]:
    """The kubeconfig of a cluster that serves both kinds."""
    plane = product.plane
    wanted = [definition(*ROLLOUTS), definition(*FOOS)]
    defined = "\n---\n".join(map(json.dumps, wanted))
    plane.kubectl("apply", "-f", "-", stdin=defined)
    for crd in wanted:
        name = crd["metadata"]["name"]
        plane.wait(
            f"{name} is served",
            lambda name=name: plane.kubectl("get", name, check=False).returncode == 0,
        )
    yield plane.kubeconfig
    plane.kubectl("delete", "-f", "-", stdin=defined)


def create(plane: cluster.ControlPlane, namespace: str, body: kit.Json) -> kit.Json:
    text = plane.kubectl(
        "create", "-n", namespace, "-f", "-", "-o", "json", stdin=json.dumps(body)
    ).stdout  # fmt: skip
    created: kit.Json = json.loads(text)
    return created


def custom(group: str, version: str, kind: str, *_: str, **spec: object) -> kit.Json:
    return {"apiVersion": f"{group}/{version}", "kind": kind, "metadata": {"name": "web"},
            "spec": spec}  # fmt: skip


def owned(body: kit.Json, owner: kit.Json) -> kit.Json:
    reference = {
        "apiVersion": owner["apiVersion"], "kind": owner["kind"],
        "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"], "controller": True,
    }  # fmt: skip
    return kit.with_metadata(body, ownerReferences=[reference])


@pytest.fixture
def rollout(product: kit.Product, config: pathlib.Path, enabled_namespace: str) -> kit.Json:
    """A Rollout with a ReplicaSet, whose controller makes a pod; then there is an injection."""
    replica_set = kit.workload("ReplicaSet")
    created = create(
        product.plane,
        enabled_namespace,
        custom(*ROLLOUTS, template=replica_set["spec"]["template"]),
    )
    product.created_by(enabled_namespace, owned(replica_set, created))
    product.create_injection(enabled_namespace, kit.injection())
    (pod,) = product.pods(enabled_namespace)
    born = datetime.datetime.fromisoformat(pod["metadata"]["creationTimestamp"])
    # A restart within the second in which a pod is created may mean that pod or not.
    product.plane.wait("the pod is older than a second", lambda: _now() - born > SECOND)
    return created


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def test_a_rollout_is_explained_and_restarted_as_its_project_does(
    product: kit.Product, config: pathlib.Path, enabled_namespace: str, rollout: kit.Json
) -> None:
    where = ("-n", enabled_namespace)
    path = f"/apis/argoproj.io/v1alpha1/namespaces/{enabled_namespace}/rollouts/web"
    (old,) = product.pods(enabled_namespace)
    for word in ("rollout", "ro", "rollouts.argoproj.io"):
        (web,) = cli.read(config, "explain", f"{word}/web", *where)["pods"]
        assert [lacking["pod"] for lacking in web["running"]["lacking"]] == [
            old["metadata"]["name"]
        ]
    command = web["running"]["command"]
    restart = f"restart rollouts.argoproj.io/web -n {enabled_namespace}"
    assert command == f"kubectl sidecar-injector {restart}"
    (pod,) = cli.read(config, "explain", f"pod/{old['metadata']['name']}", *where)["pods"]
    assert "restart" in cli.run(config, "explain", f"pod/{pod['name']}", *where).stdout
    lines = cli.run(config, "diff", "rollout/web", *where).stdout.splitlines()
    assert any(line.startswith("+") and line.endswith("name: sidecar") for line in lines)

    (owner,) = cli.read(config, *restart.split())["owners"]
    assert (owner["group"], owner["kind"], owner["action"]) == (
        "argoproj.io", "Rollout", "restarted",
    )  # fmt: skip
    spec = product.plane.client.get(path)["spec"]
    assert spec == {**rollout["spec"], "restartAt": spec["restartAt"]}
    assert "under way" in cli.run(config, "restart", *where).stdout

    # Its controller would delete the pods, and write it down.
    product.plane.kubectl("delete", "pod", old["metadata"]["name"], *where, "--now")
    product.plane.client.request(
        "PATCH", path, {"status": {"restartedAt": spec["restartAt"]}}, **kit.PATCH
    )
    (new,) = product.plane.wait(
        "a new pod",
        lambda: [pod for pod in product.pods(enabled_namespace)
                 if pod["metadata"]["uid"] != old["metadata"]["uid"]],
    )  # fmt: skip
    assert kit.containers(new) == kit.BOTH
    (web,) = cli.read(config, "explain", "rollout/web", *where)["pods"]
    assert not web["running"]["lacking"]


def test_a_file_of_a_rollout_is_injected_as_its_pods_are(
    product: kit.Product, config: pathlib.Path, enabled_namespace: str, rollout: kit.Json,
    tmp_path: pathlib.Path,
) -> None:  # fmt: skip
    file = tmp_path / "rollout.json"
    file.write_text(json.dumps(rollout))
    result = cli.run(config, "inject", "-f", str(file), "-n", enabled_namespace)
    assert result.stderr == ""
    template = yaml.safe_load(result.stdout)["spec"]["template"]
    assert kit.containers(template) == kit.BOTH
    spec = rollout["spec"]["template"]["spec"]
    created = product.create_pod(enabled_namespace, {**kit.pod("new"), "spec": spec})
    assert kit.containers(created) == kit.containers(template)


def test_an_unknown_kind_needs_its_template_named(
    product: kit.Product, config: pathlib.Path, enabled_namespace: str
) -> None:
    where = ("-n", enabled_namespace)
    template = kit.workload("ReplicaSet")["spec"]["template"]
    foo = create(product.plane, enabled_namespace, custom(*FOOS, pod=template))
    product.create_pod(enabled_namespace, owned(kit.pod("web-1"), foo))
    product.create_injection(enabled_namespace, kit.injection())

    (owner,) = cli.read(config, "restart", *where, status=1)["owners"]
    assert (owner["group"], owner["action"]) == ("example.com", "recreate by hand")
    assert (
        "no pod template is found in foo/web"
        in cli.run(config, "explain", "foo/web", *where).stderr
    )
    (web,) = cli.read(config, "explain", "fo/web", *where, *NAMED)["pods"]
    assert web["running"]["pods"] == 1
    (owner,) = cli.read(config, "restart", "foos", *where, *NAMED)["owners"]
    assert owner["action"] == "restarted"
    path = f"/apis/example.com/v1/namespaces/{enabled_namespace}/foos/web"
    metadata = product.plane.client.get(path)["spec"]["pod"]["metadata"]
    assert metadata["annotations"].keys() == {restarts.RESTARTED_ANNOTATION}


def test_a_right_that_is_missing_is_one_line(
    product: kit.Product, config: pathlib.Path, enabled_namespace: str, rollout: kit.Json,
    tmp_path: pathlib.Path,
) -> None:  # fmt: skip
    stranger = cli.stranger(product.plane, tmp_path, enabled_namespace, role="view")
    result = cli.run(stranger, "explain", "rollout/web", "-n", enabled_namespace)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"Error: you may not get rollouts in namespace {enabled_namespace}")
