"""What `compile` prints, on a real API server: by kubectl, and as its own manifest files."""

from __future__ import annotations

import contextlib
import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import click.testing
import pytest
import yaml

from sidecar_injector import names
from tests.kits import controlplane_cli as cli
from tests.kits import installation as installing
from tests.kits import policies as kit
from tools.controlplane import binaries, cluster, policies

NAME = names.PRODUCT
POD = {
    "metadata": {"generateName": "web-"},
    "spec": {"containers": [{"name": "app", "image": "app:1"}]},
}
KINDS = {"MutatingAdmissionPolicy": "same", "MutatingAdmissionPolicyBinding": "same"}
Json = dict[str, Any]


def injection(name: str, **spec: Any) -> Json:
    parts = {"spec": {"containers": [{"name": name, "image": f"{name}:1"}]}}
    return {
        "apiVersion": names.API_VERSION, "kind": names.CLUSTER_KIND, "metadata": {"name": name},
        "spec": {"engine": "Policy", "template": parts, **spec},
    }  # fmt: skip


@pytest.fixture(scope="module")
def defined(plane: cluster.ControlPlane) -> cluster.ControlPlane:
    """A cluster that knows the injections, without an operator."""
    plane.kubectl("apply", "--server-side", "-f", str(installing.ROOT / "crds"))
    plane.wait_for_definitions("crd", "--all")
    return plane


@pytest.fixture
def apply(defined: cluster.ControlPlane) -> Iterator[Callable[[str], str]]:
    """Applies a text, and says what kubectl prints; all policies are gone afterwards."""
    yield lambda text: defined.kubectl("apply", "-f", "-", stdin=text).stdout
    kinds = ",".join((*policies.RESOURCES, names.CLUSTER_PLURAL))
    defined.kubectl("delete", kinds, "--all")


@pytest.fixture
def injected(defined: cluster.ControlPlane, apply: Callable[[str], str]) -> None:
    apply(yaml.safe_dump_all([injection("log"), injection("proxy", failurePolicy="Fail")]))


@pytest.fixture
def place(defined: cluster.ControlPlane) -> str:
    """An enabled namespace."""
    name = installing.unused_name()
    defined.create_namespace(name, labels={names.INJECTION_LABEL: names.ENABLED})
    return name


def compiled(plane: cluster.ControlPlane, *arguments: str, status: int = 0) -> click.testing.Result:
    result = cli.run(plane.kubeconfig, "compile", *arguments)
    assert result.exit_code == status, result.output
    return result


@contextlib.contextmanager
def calling(plane: cluster.ControlPlane) -> Iterator[Callable[[str], tuple[int, Json]]]:
    """Creates pods as dry runs: the status and the body of the answer."""
    caller = kit.Caller(plane)
    try:
        yield lambda namespace: caller.pod(namespace, POD)
    finally:
        caller.close()


def containers(answer: tuple[int, Json]) -> list[str]:
    status, pod = answer
    assert status == 201, pod
    return [each["name"] for each in pod["spec"]["containers"]]


def states(plane: cluster.ControlPlane, *arguments: str, status: int) -> dict[str, str]:
    answer = json.loads(compiled(plane, "--check", "-o", "json", *arguments, status=status).stdout)
    return {each["kind"]: each["state"] for each in answer["objects"]}


@pytest.mark.usefixtures("injected")
def test_what_is_printed_is_in_force_and_applied_again_changes_nothing(
    defined: cluster.ControlPlane, place: str, apply: Callable[[str], str]
) -> None:
    text = compiled(defined, "--guard").stdout
    assert apply(text).count(" created\n") == 4
    with calling(defined) as call:
        # The guard may be in force first, and refuses meanwhile.
        defined.wait("the policy is in force", lambda: "proxy" in str(call(place)[1].get("spec")))
        assert containers(call(place)) == ["app", "log", "proxy"]
    lines = apply(text).splitlines()
    assert len(lines) == 4
    assert all(line.endswith(" unchanged") for line in lines)
    defined.kubectl("diff", "-f", "-", stdin=text)
    command = ("apply", "--server-side", "-f", "-", "-o", "jsonpath={.metadata.resourceVersion} ")
    once, twice = (defined.kubectl(*command, stdin=text).stdout.split() for _ in range(2))
    assert once == twice


@pytest.mark.usefixtures("injected")
def test_check_gives_all_its_answers(
    defined: cluster.ControlPlane, tmp_path: pathlib.Path, apply: Callable[[str], str]
) -> None:
    assert {*states(defined, status=1).values()} == {"not there"}
    apply(compiled(defined, "--guard").stdout)
    assert states(defined, status=0) == KINDS
    assert {*states(defined, "--guard", status=0).values()} == {"same"}
    condition = {"name": "never", "expression": "false"}
    edit = [{"op": "add", "path": "/spec/matchConditions/-", "value": condition}]
    defined.kubectl(
        "patch", "mutatingadmissionpolicy", NAME, "--type=json", f"--patch={json.dumps(edit)}"
    )
    edited = KINDS | {"MutatingAdmissionPolicy": "edited by hand"}
    assert states(defined, status=1) == edited
    assert compiled(defined, "--check", status=1).stdout.splitlines()[-1].endswith(
        "| kubectl replace -f -"
    )  # fmt: skip
    apply(compiled(defined).stdout)
    assert states(defined, status=1) == edited, "what kubectl apply does not mend"
    defined.kubectl("replace", "-f", "-", stdin=compiled(defined).stdout)
    assert states(defined, status=0) == KINDS
    apply(yaml.safe_dump(injection("new")))
    result = compiled(defined, "--check", status=1)
    assert result.stdout.splitlines()[1].endswith(" compiled from other injections: cluster/new")
    apply(compiled(defined).stdout)
    assert states(defined, status=0) == KINDS
    defined.kubectl("delete", names.CLUSTER_PLURAL, "--all")
    answer = json.loads(compiled(defined, "--check", "-o", "json", status=1).stdout)
    assert {each["state"] for each in answer["objects"]} == {"not needed"}
    for remedy in answer["remedies"]:
        kubectl, *words = remedy.split()
        assert kubectl == "kubectl"
        defined.kubectl(*words)
    assert states(defined, status=0) == {}


@pytest.mark.usefixtures("injected")
def test_a_policy_of_files_is_that_of_the_cluster(
    defined: cluster.ControlPlane, tmp_path: pathlib.Path, apply: Callable[[str], str]
) -> None:
    file = tmp_path / "in.yaml"
    file.write_text(
        yaml.safe_dump_all([injection("proxy", failurePolicy="Fail"), injection("log")])
    )
    apply(compiled(defined, "-f", str(file)).stdout)
    assert states(defined, "-f", str(file), status=0) == KINDS
    assert states(defined, status=0) == KINDS


@pytest.mark.usefixtures("injected")
def test_check_and_explain_know_the_policy(
    defined: cluster.ControlPlane, place: str, apply: Callable[[str], str]
) -> None:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": POD["spec"]}
    spec = {"selector": {"matchLabels": {"app": "web"}}, "template": template}
    metadata = {"name": "web", "namespace": place}
    head = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata}
    defined.kubectl("apply", "-f", "-", stdin=json.dumps(head | {"spec": spec}))

    def told() -> tuple[list[str], list[str]]:
        """The levels of `check`, and the first words of `explain`."""
        config = defined.kubeconfig
        checked = json.loads(cli.run(config, "check", "-o", "json").stdout)["findings"]
        levels = [each["level"] for each in checked if each["check"] == "policies"]
        answer = json.loads(
            cli.run(config, "explain", "deploy/web", "-n", place, "-o", "json").stdout
        )
        rules = (rule for each in answer["pods"][0]["injections"] for rule in each["rules"])
        engines = [rule["message"] for rule in rules if rule["rule"] == "engine"]
        return levels, [engine.partition(" policy ")[0] for engine in engines]

    missing = f"by the webhook: MutatingAdmissionPolicy {NAME} is not there"
    assert told() == (["warning"] * 2, [missing] * 2)
    apply(compiled(defined, "--guard").stdout)
    assert told() == (["ok"], ["would be done by"] * 2)


@pytest.mark.usefixtures("injected")
def test_the_guard_alone_refuses_what_lacks_an_injection_that_must_be_there(
    defined: cluster.ControlPlane, place: str, apply: Callable[[str], str]
) -> None:
    documents = yaml.safe_load_all(compiled(defined, "--guard").stdout)
    guard = [each for each in documents if each["kind"].startswith("Validating")]
    apply(yaml.safe_dump_all(guard))
    with calling(defined) as call:
        defined.wait("the guard is in force", lambda: call(place)[0] != 201)
        status, answer = call(place)
        assert (status, "proxy" in answer["message"]) == (422, True), answer
        apply(compiled(defined).stdout)
        defined.wait("the policy is in force", lambda: call(place)[0] == 201)


ADMISSION = """\
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: MutatingAdmissionPolicy
  configuration:
    apiVersion: apiserver.config.k8s.io/v1
    kind: MutatingAdmissionPolicyConfiguration
    staticManifestsDir: {folder}/mutating
- name: ValidatingAdmissionPolicy
  configuration:
    apiVersion: apiserver.config.k8s.io/v1
    kind: ValidatingAdmissionPolicyConfiguration
    staticManifestsDir: {folder}/validating
"""


def test_manifest_files_are_in_force_before_anything_is_in_the_cluster(
    programs: binaries.Binaries, defined: cluster.ControlPlane, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "in.yaml"
    file.write_text(yaml.safe_dump(injection("proxy", failurePolicy="Fail")))
    for folder, options in (("mutating", ()), ("validating", ("--guard",))):
        (tmp_path / folder).mkdir()
        text = compiled(defined, "-f", str(file), "--static", *options).stdout
        (tmp_path / folder / "sidecar-injector.yaml").write_text(text)
    configuration = tmp_path / "admission.yaml"
    configuration.write_text(ADMISSION.format(folder=tmp_path))
    flags = [f"--admission-control-config-file={configuration}"]
    with cluster.ControlPlane(programs, apiserver_flags=flags) as plane:
        place = "enabled"
        plane.create_namespace(place, labels={names.INJECTION_LABEL: names.ENABLED})
        with calling(plane) as call:
            assert containers(call(place)) == ["app", "proxy"]
        for resource in policies.RESOURCES.values():
            assert plane.client.get(resource.path())["items"] == []
