"""The files of a release work with the programs of their users, and the workflows are valid."""

from __future__ import annotations

import os
import pathlib
import platform
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

import sidecar_injector
from tools import goprograms
from tools.controlplane import ports, release, waiting
from tools.releasing import files, krew

MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def run(*command: str | pathlib.Path, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **more)


def test_the_workflows_are_valid() -> None:
    actionlint = goprograms.ensure("actionlint", goprograms.ACTIONLINT)
    workflows = sorted((release.ROOT / ".github" / "workflows").glob("*.yaml"))
    assert workflows
    answer = run(actionlint, "-no-color", *workflows)
    assert (answer.returncode, answer.stdout) == (0, "")


def test_a_wrong_workflow_is_refused(tmp_path: pathlib.Path) -> None:
    text = (release.ROOT / ".github" / "workflows" / "ci.yaml").read_text()
    wrong = tmp_path / "ci.yaml"
    wrong.write_text(text.replace("${{ matrix.node }}@", "${{ matrix.nodes }}@"))
    answer = run(goprograms.ensure("actionlint", goprograms.ACTIONLINT), "-no-color", wrong)
    assert answer.returncode == 1
    assert 'property "nodes" is not defined' in answer.stdout


def answers(address: str) -> bool:
    with urllib.request.urlopen(address, timeout=5) as response:
        return bool(response.status == 200)


@pytest.fixture
def registry(tmp_path: pathlib.Path) -> Iterator[str]:
    """HOST:PORT of an empty registry without TLS."""
    program = goprograms.ensure("registry", goprograms.REGISTRY, minutes=3)
    address = f"127.0.0.1:{ports.free()}"
    configuration = tmp_path / "registry.yaml"
    storage = {"filesystem": {"rootdirectory": str(tmp_path / "storage")}}
    document = {"version": 0.1, "storage": storage, "http": {"addr": address}}
    configuration.write_text(yaml.safe_dump(document))
    with (tmp_path / "registry.log").open("wb") as log:
        process = subprocess.Popen([program, "serve", configuration], stdout=log, stderr=log)
    try:
        waiting.until(lambda: answers(f"http://{address}/v2/"), what="the registry's first answer")
        yield address
    finally:
        process.terminate()
        process.wait(timeout=30)


def test_the_chart_is_pushed_to_a_registry_and_used_from_there(
    registry: str, tmp_path: pathlib.Path
) -> None:
    helm = goprograms.helm()
    home = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KUBECONFIG": str(tmp_path / "none")}
    archive = files.chart(tmp_path, registry="ghcr.io/Owner")
    pushed = run(helm, "push", archive, f"oci://{registry}/charts", "--plain-http", env=home)
    assert pushed.returncode == 0, pushed.stderr
    # The release workflow signs what this line names.
    (digest,) = [
        line.split()[1]
        for line in (pushed.stdout + pushed.stderr).splitlines()
        if line.startswith("Digest: ")
    ]
    assert digest.startswith("sha256:")

    reference = f"oci://{registry}/charts/sidecar-injector"
    version = ("--version", sidecar_injector.__version__, "--plain-http")
    (tmp_path / "pulled").mkdir()
    pull = run(helm, "pull", reference, *version, "-d", tmp_path / "pulled", env=home)
    assert pull.returncode == 0, pull.stderr
    assert (tmp_path / "pulled" / archive.name).read_bytes() == archive.read_bytes()

    rendered = run(helm, "template", "demo", reference, *version, env=home)
    assert rendered.returncode == 0, rendered.stderr
    objects = [item for item in yaml.safe_load_all(rendered.stdout) if item]
    local = run(
        helm, "template", "demo", release.CHART,
        "--set", "image.registry=ghcr.io/owner", env=home,
    )  # fmt: skip
    assert objects == [item for item in yaml.safe_load_all(local.stdout) if item]
    images = {
        container["image"]
        for item in objects
        if item["kind"] == "Deployment"
        for container in item["spec"]["template"]["spec"]["containers"]
    }
    assert images == {f"ghcr.io/owner/sidecar-injector:{sidecar_injector.__version__}"}


def test_the_packaged_chart_names_the_published_image_and_sources(tmp_path: pathlib.Path) -> None:
    repository = "https://example.com/owner/name"
    archive = files.chart(tmp_path, registry="ghcr.io/owner", repository=repository)
    shutil.unpack_archive(archive, tmp_path)
    chart = yaml.safe_load((tmp_path / "sidecar-injector" / "Chart.yaml").read_text())
    (image,) = yaml.safe_load(chart["annotations"]["artifacthub.io/images"])
    assert (chart["home"], chart["sources"]) == (repository, [repository])
    assert image["image"] == f"ghcr.io/owner/sidecar-injector:{sidecar_injector.__version__}"


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> tuple[krew.Platform, pathlib.Path]:
    """The archive for this machine and this Python."""
    folder = tmp_path_factory.mktemp("dist")
    wheel = files.python(folder)
    machine = sys.platform, MACHINES[platform.machine()]
    (here,) = [each for each in krew.PLATFORMS if (each.os, each.arch) == machine]
    python = ".".join(map(str, sys.version_info[:2]))
    return here, krew.archive(wheel, folder, platform=here, pythons=(python,))


def test_the_plugin_needs_nothing_but_python(
    plugin: tuple[krew.Platform, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    # As krew does: unpacked into its store, and a link to the launcher in the PATH.
    store, path, work = tmp_path / "store", tmp_path / "bin", tmp_path / "work"
    for folder in (path, work):
        folder.mkdir()
    shutil.unpack_archive(plugin[1], store, filter="data")
    (path / "python3").symlink_to(pathlib.Path(sys.executable).resolve())
    (path / krew.LAUNCHER).symlink_to(store / krew.LAUNCHER)
    environment = {"PATH": str(path), "HOME": str(work)}
    answer = run(path / krew.LAUNCHER, "version", cwd=work, env=environment)
    assert answer.returncode == 0, answer.stderr
    assert sidecar_injector.__version__ in answer.stdout

    (work / "injection.yaml").write_text(
        "apiVersion: sidecar-injector.dev/v1alpha1\nkind: SidecarInjection\n"
        "metadata: {name: a, namespace: b}\nspec: {template: {spec: {containerz: []}}}\n"
    )
    answer = run(path / krew.LAUNCHER, "lint", "-f", "injection.yaml", cwd=work, env=environment)
    assert answer.returncode == 1, answer.stderr
    assert "containerz" in answer.stdout + answer.stderr


def test_a_python_without_libraries_gets_a_sentence(
    plugin: tuple[krew.Platform, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    shutil.unpack_archive(plugin[1], tmp_path, filter="data")
    launcher = tmp_path / krew.LAUNCHER
    python = ".".join(map(str, sys.version_info[:2]))
    launcher.write_text(launcher.read_text().replace(f'("{python}",)', '("3.98", "3.99")'))
    answer = run(sys.executable, launcher, "version")
    wanted = f"kubectl sidecar-injector needs Python 3.98 or 3.99; python3 is {python}\n"
    assert (answer.returncode, answer.stderr) == (1, wanted)


def test_krew_takes_the_manifest(
    plugin: tuple[krew.Platform, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    validate = goprograms.ensure("validate-krew-manifest", goprograms.VALIDATE_KREW)
    every = dict.fromkeys(krew.PLATFORMS, plugin[1])
    text = krew.manifest(every, number=files.version(), repository="https://example.com/owner/name")
    path = tmp_path / krew.MANIFEST
    path.write_text(text)
    # Installing would download what is not published.
    answer = run(validate, "-manifest", path, "-skip-install")
    assert answer.returncode == 0, answer.stderr
    path.write_text(text.replace(files.sha256(plugin[1]), "0"))
    assert run(validate, "-manifest", path, "-skip-install").returncode != 0
