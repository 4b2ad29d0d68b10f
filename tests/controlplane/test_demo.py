"""The demo runs to its end on every kind of cluster, and leaves nothing.

Its folder and lock are the test's own, so that a demo that is up in this checkout stays so.
"""

import io
import os
import pathlib
import re

import pytest

from sidecar_injector import names
from tools.controlplane import binaries, cluster, ports, release
from tools.demo import __main__ as demo
from tools.demo import printer, stage
from tools.node import product

STORY = ["1", "2", "3", "4", "5", "6"]


@pytest.fixture(autouse=True)
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Of a demo that knows no cluster and no programs but those that a test gives."""
    monkeypatch.chdir(release.ROOT)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setattr(stage, "RUN", tmp_path)
    monkeypatch.setattr(stage, "FOLDER", tmp_path / "demo")
    monkeypatch.setattr(stage, "LOCK", tmp_path / "demo.lock")
    return tmp_path


@pytest.fixture
def assets(
    programs: binaries.Binaries, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> pathlib.Path:
    """What setup-envtest downloads, as KUBEBUILDER_ASSETS, and Helm on the PATH."""
    for name, path in (
        ("etcd", programs.etcd), ("kube-apiserver", programs.apiserver),
        ("kubectl", programs.kubectl),
    ):  # fmt: skip
        link = tmp_path / "assets" / name
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(path)
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "helm").symlink_to(programs.helm)
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}{os.pathsep}/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "nothing-was-built"))
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))
    return tmp_path / "assets"


def everything(plane: cluster.ControlPlane) -> set[str]:
    """KIND/NAME of all objects in all namespaces, without those that expire."""
    kinds = plane.kubectl("api-resources", "--verbs=list", "--output=name").stdout.split()
    wanted = ",".join(sorted(set(kinds) - product.NOISE))
    shape = "{range .items[*]}{.kind}/{.metadata.namespace}/{.metadata.name}{'\\n'}{end}"
    answer = plane.kubectl("get", wanted, "--all-namespaces", f"--output=jsonpath={shape}")
    return set(answer.stdout.split())


def steps_of(text: str) -> list[str]:
    return re.findall(r"^(\d)\. ", text, re.MULTILINE)


def test_the_whole_story_is_told_on_a_control_plane_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert demo.main(["up"]) == 0
    lines = capsys.readouterr().out
    assert steps_of(lines) == STORY
    assert re.search(r"ok  containers of web-\w+-\w+: alpine sidecar-nginx", lines)


def test_the_programs_of_envtest_are_enough_for_bare_pods(
    assets: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo.main(["up"]) == 0
    lines = capsys.readouterr().out
    assert steps_of(lines) == STORY
    assert f"Programs of {assets} on loopback; nothing is built. Without kube-contr" in lines
    assert "ok  containers of web: alpine sidecar-nginx" in lines
    assert "Deployment with ours" not in lines


@pytest.mark.parametrize(
    ("missing", "problem"),
    [
        ("assets/kube-apiserver", r"kube-apiserver is missing: .* KUBEBUILDER_ASSETS=.*; name"),
        ("assets/etcd", r"etcd is missing: it is not on the PATH, .*; install it"),
        ("path/helm", r"helm is missing: it is not on the PATH, .*; install it"),
    ],
)
def test_a_program_that_is_missing_is_named_and_not_built(
    assets: pathlib.Path, capsys: pytest.CaptureFixture[str], missing: str, problem: str
) -> None:
    (assets.parent / missing).unlink()
    assert demo.main(["up"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(f"the demo failed: {problem}", line)


def test_a_cluster_that_is_there_hears_the_whole_story_and_is_left_as_it_was(
    plane: cluster.ControlPlane, capsys: pytest.CaptureFixture[str]
) -> None:
    before = everything(plane)
    assert demo.main(["up", f"--kubeconfig={plane.kubeconfig}"]) == 0
    lines = capsys.readouterr().out
    assert steps_of(lines) == STORY
    announced = lines.index(f"Context local, server {plane.client.server}. ")
    assert announced < lines.index("helm install")
    assert re.search(r"ok  containers of web-\w+-\w+: alpine sidecar-nginx", lines)
    assert "ok  namespaces and definitions left: none" in lines
    assert everything(plane) == before


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (KeyboardInterrupt(), (demo.INTERRUPTED, "interrupted; what was started has ended")),
        (printer.DemoError(what="pods", seen=1, wanted=2), (1, "the demo failed: pods: seen 1")),
    ],
    ids=["Ctrl-C", "error"],
)
def test_a_story_that_breaks_off_leaves_a_cluster_as_it_was(
    plane: cluster.ControlPlane,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    ending: tuple[int, str],
) -> None:
    def break_off(*_: object) -> None:
        assert f"namespace/{names.PRODUCT}" in plane.kubectl("get", "ns", "-o", "name").stdout
        raise error

    before = everything(plane)
    monkeypatch.setattr("tools.demo.installed.Processes.start", break_off)
    status = demo.main(["up", f"--kubeconfig={plane.kubeconfig}"])
    text = capsys.readouterr().err
    assert (status, text[: len(ending[1])]) == ending
    assert everything(plane) == before


def refused(capsys: pytest.CaptureFixture[str], kubeconfig: pathlib.Path, *more: str) -> str:
    """The one line of a refusal; nothing was installed."""
    assert demo.main(["up", f"--kubeconfig={kubeconfig}", *more]) == 1
    printed = capsys.readouterr()
    assert "helm install" not in printed.out
    (line,) = printed.err.splitlines()
    return line


def test_what_leads_to_no_server_is_refused(
    plane: cluster.ControlPlane, folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "/absent is not a file; give the path" in refused(capsys, folder / "absent")
    path = folder / "config"
    path.write_text("clusters: []\n")
    assert re.search("kubectl cannot read .*; try it yourself", refused(capsys, path))
    text, server = plane.kubeconfig.read_text("utf-8"), plane.client.server
    path.write_text(text.replace(server, f"https://127.0.0.1:{ports.free()}"))
    assert re.search("no answer with .*; try it yourself", refused(capsys, path))


def test_a_process_here_needs_an_api_server_here(
    plane: cluster.ControlPlane, folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, text = folder / "config", plane.kubeconfig.read_text("utf-8")
    path.write_text(text.replace("127.0.0.1", "192.0.2.1"))
    line = refused(capsys, path)
    assert re.search("server, https://192.0.2.1:.* does not reach a process of .*: IMAGE=", line)

    # With kind, the server is in a container that has a port of loopback forwarded to it.
    slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
    endpoints = [{"addresses": ["192.0.2.1"]}]
    advertised = {"metadata": {"name": "kubernetes"}, "addressType": "IPv4", "endpoints": endpoints}
    plane.client.request("POST", slices, advertised)
    try:
        line = refused(capsys, plane.kubeconfig)
    finally:
        plane.client.request("DELETE", f"{slices}/kubernetes")
    assert re.search("runs at 192.0.2.1, in a container or a virtual machine, .*: IMAGE=", line)
    assert "is not a reference of an image" in refused(capsys, plane.kubeconfig, "--image=A B")


def test_what_is_there_already_is_refused_and_stays(
    plane: cluster.ControlPlane, capsys: pytest.CaptureFixture[str]
) -> None:
    plane.create_namespace("demo")
    line = refused(capsys, plane.kubeconfig)
    assert "namespace/demo is there already, and would be deleted at the end; use" in line
    release.install(plane)
    before = everything(plane)
    line = refused(capsys, plane.kubeconfig)
    assert "of another installation is there already; use another cluster" in line
    assert everything(plane) == before
    assert "Namespace//demo" in before


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--image=app:1",), "IMAGE is for a cluster that is there already: give KUBECONFIG"),
        (("--node", "--kubeconfig=x"), "NODE=1 starts a cluster of its own"),
    ],
)
def test_options_that_contradict_are_refused(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], problem: str
) -> None:
    with pytest.raises(SystemExit):
        demo.main(["up", *words])
    assert problem in capsys.readouterr().err


def test_a_line_that_is_not_true_is_never_printed() -> None:
    stream = io.StringIO()
    shown = printer.Printer(stream)
    with pytest.raises(printer.DemoError, match="containers: seen 'a', wanted 'a b'"):
        shown.show("containers", "a", "a b")
    assert stream.getvalue() == ""
