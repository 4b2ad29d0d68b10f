"""The ways in without the webhook, with the real kustomize and Helm: docs/gitops.md is executed."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable

import pytest
import yaml

from tests.kits import product as kit
from tools import goprograms
from tools.controlplane import binaries

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/gitops.md"
BLOCK = re.compile(r"^```(yaml|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\S+\.yaml)\n")
BUILD = "kustomize build --enable-alpha-plugins --enable-exec ."
POST_RENDERER = "sidecar-injector-post-renderer"


@dataclasses.dataclass(frozen=True)
class Shell:
    """A folder with the page's files, and the programs that the page names."""

    folder: pathlib.Path
    environment: dict[str, str]

    def run(self, script: str, *, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=self.folder, env=self.environment,
            input=stdin, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    def read(self, name: str) -> list[kit.Json]:
        return list(yaml.safe_load_all((self.folder / name).read_text()))

    def write(self, name: str, *content: kit.Json) -> None:
        (self.folder / name).write_text(yaml.safe_dump_all(content))


def blocks(language: str) -> list[str]:
    """Those of the page's sections about the build."""
    text = PAGE.read_text("utf-8").partition("\n## At build time")[2]
    return [block for name, block in BLOCK.findall(text) if name == language]


@pytest.fixture
def shell(tmp_path: pathlib.Path, programs: binaries.Binaries) -> Shell:
    bin_folder, folder = tmp_path / "bin", tmp_path / "work"
    templates = folder / "chart/templates"
    for each in (bin_folder, templates):
        each.mkdir(parents=True)
    command = bin_folder / "sidecar-injector"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m sidecar_injector "$@"\n')
    command.chmod(0o755)
    for program in (goprograms.ensure("kustomize", goprograms.KUSTOMIZE), programs.helm):
        (bin_folder / program.name).symlink_to(program)
    for text in blocks("yaml"):
        name = FILE.match(text)
        assert name, text
        (folder / name[1]).write_text(text)
    (folder / "plugins").symlink_to(ROOT / "plugins")
    (folder / "chart/Chart.yaml").write_text("apiVersion: v2\nname: web\nversion: 0.1.0\n")
    # Helm says where a release goes.
    deployment = (folder / "deployment.yaml").read_text().replace("  namespace: demo\n", "")
    (templates / "deployment.yaml").write_text(deployment)
    own = {name: str(tmp_path / name) for name in ("HOME", "HELM_DATA_HOME", "HELM_CACHE_HOME")}
    path = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
    python_path = os.pathsep.join(map(str, (ROOT / "operator", ROOT)))
    environment = {"PATH": path, "PYTHONPATH": python_path, "KUBECONFIG": "/dev/null", **own}
    return Shell(folder, environment)


@pytest.fixture
def helm(shell: Shell) -> Shell:
    """With both plugins."""
    result = shell.run("for plugin in plugins/helm/*; do helm plugin install $plugin; done")
    assert result.returncode == 0, result.stderr
    return shell


def of_kind(kind: str, documents: list[kit.Json]) -> kit.Json:
    (document,) = (document for document in documents if document["kind"] == kind)
    return document


def names_of(template: kit.Json) -> list[str]:
    return [container["name"] for container in template["spec"]["containers"]]


def post_rendering(namespace: str) -> str:
    words = ("-i", "injection.yaml", "-n", namespace)
    return " ".join([f"--post-renderer {POST_RENDERER}"]
                    + [f"--post-renderer-args={word}" for word in words])  # fmt: skip


def clash(shell: Shell) -> None:
    """Let the page's injection bring a container that the page's Deployment has."""
    (injection,) = shell.read("injection.yaml")
    injection["spec"]["template"]["spec"]["containers"][0]["name"] = "web"
    shell.write("injection.yaml", injection)


def test_the_blocks_of_the_page_give_the_pod_template_that_inject_prints(shell: Shell) -> None:
    for block in blocks("sh"):
        result = shell.run(block)
        assert result.returncode == 0, f"{block}\n{result.stderr}"
    built, piped, rendered = map(shell.read, ("built.yaml", "piped.yaml", "rendered.yaml"))
    (expected,) = piped
    assert names_of(expected["spec"]["template"]) == ["web", "log"]
    for documents in (built, rendered):
        assert of_kind("Deployment", documents)["spec"] == expected["spec"]


def test_kustomize_builds_what_inject_prints_and_again_changes_nothing(shell: Shell) -> None:
    demo = ("pod", "deployment", "silent", "opted-out")
    for name in demo:
        shutil.copy(ROOT / f"tools/demo/{name}.yaml", shell.folder)
    shutil.copy(ROOT / "tools/demo/injection.yaml", shell.folder)
    resources = [f"{name}.yaml" for name in demo]
    shell.write("kustomization.yaml", {"resources": resources})
    plain = shell.run(f"{BUILD} | sidecar-injector inject -f - -i injection.yaml").stdout
    asked = {"resources": [*resources, "injection.yaml"], "transformers": ["inject.yaml"]}
    shell.write("kustomization.yaml", asked)
    built = shell.run(BUILD)
    assert (built.returncode, built.stderr) == (0, "")
    documents = list(yaml.safe_load_all(built.stdout))
    assert [each for each in documents if each["kind"] != "SidecarInjection"] == list(
        yaml.safe_load_all(plain)
    )
    assert len(documents) == len(resources) + 1
    (shell.folder / "built.yaml").write_text(built.stdout)
    shell.write("kustomization.yaml", {**asked, "resources": ["built.yaml"]})
    assert shell.run(BUILD).stdout == built.stdout


def test_a_local_injection_and_one_that_is_the_transformer_are_not_in_what_is_built(
    shell: Shell,
) -> None:
    (injection,), (function,) = shell.read("injection.yaml"), shell.read("inject.yaml")
    local = {"config.kubernetes.io/local-config": "true"}
    shell.write("injection.yaml", {**injection, "metadata": {"name": "log", "annotations": local}})
    first = shell.run(BUILD)
    metadata = {
        "name": "log",
        "namespace": "demo",
        "annotations": function["metadata"]["annotations"],
    }
    shell.write("injection.yaml", {**injection, "metadata": metadata})
    (kustomization,) = shell.read("kustomization.yaml")
    shell.write("kustomization.yaml", {**kustomization, "resources": ["deployment.yaml"],
                                       "transformers": ["injection.yaml"]})  # fmt: skip
    second = shell.run(BUILD)
    assert first.stdout == second.stdout
    (deployment,) = yaml.safe_load_all(first.stdout)
    assert names_of(deployment["spec"]["template"]) == ["web", "log"]


REFUSED = {
    "conflict": (lambda injection: injection["spec"]["template"]["spec"]["containers"][0].update(
        name="web"), "Deployment/web: log Skipped ContainerConflict"),
    "invalid": (lambda injection: injection["spec"].update(priority="high"),
                "demo/Deployment/web: log Skipped Invalid "),
    "unknown kind": (lambda injection: injection.update(kind="Injection"),
                     "Injection/log: field kind: 'Injection' is unknown"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_kustomize_fails_with_a_line_that_names_the_object(
    shell: Shell, change: Callable[[kit.Json], None], message: str
) -> None:
    (injection,) = shell.read("injection.yaml")
    change(injection)
    shell.write("injection.yaml", injection)
    built = shell.run(BUILD)
    assert built.returncode == 1
    assert built.stdout == ""
    assert message in built.stderr


def test_helm_fails_with_a_line_that_names_the_object(helm: Shell) -> None:
    clash(helm)
    rendered = helm.run(f"helm template web ./chart -n demo {post_rendering('demo')}")
    assert rendered.returncode == 1
    assert rendered.stdout == ""
    assert "demo/Deployment/web log Skipped ContainerConflict" in rendered.stderr
    assert f'plugin "{POST_RENDERER}" exited with error' in rendered.stderr


def test_helm_hands_its_namespace_on_to_the_command(helm: Shell) -> None:
    (injection,) = helm.read("injection.yaml")
    helm.write("injection.yaml", {**injection, "metadata": {"name": "log", "namespace": "other"}})
    command = (
        "helm sidecar-injector inject -f chart/templates/deployment.yaml -i injection.yaml --report"
    )
    assert "other/Deployment/web log Injected" in helm.run(f"{command} -n other").stderr
    assert "default/Deployment/web - Unchanged" in helm.run(command).stderr


def test_helm_installs_and_upgrades_what_is_injected_and_the_webhook_adds_nothing(
    product: kit.Product, enabled_namespace: str, helm: Shell
) -> None:
    namespace, kubeconfig = enabled_namespace, str(product.plane.kubeconfig)
    (injection,) = helm.read("injection.yaml")
    injection["metadata"]["namespace"] = namespace
    helm.write("injection.yaml", injection)
    product.create_injection(namespace, injection)
    shell = dataclasses.replace(helm, environment={**helm.environment, "KUBECONFIG": kubeconfig})
    for verb, revision in (("install", 1), ("upgrade", 2)):
        result = shell.run(f"helm {verb} web ./chart -n {namespace} {post_rendering(namespace)}")
        assert result.returncode == 0, result.stderr
        assert f"REVISION: {revision}" in result.stdout
    answer = product.plane.kubectl("get", "deploy/web", "-n", namespace, "-o", "json").stdout
    deployment = json.loads(answer)
    assert deployment["metadata"]["generation"] == 1
    assert names_of(deployment["spec"]["template"]) == ["web", "log"]
    (pod,) = product.plane.wait("a pod of the release", lambda: product.pods(namespace))
    assert names_of(pod) == ["web", "log"]
