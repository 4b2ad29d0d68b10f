"""The image that was built: what is in it, and that it works where nothing can be written.

No node is needed for that: a mount namespace makes the root read-only, chroot and the numeric user
do the rest, and the API server is a real one.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import pathlib
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator

import pytest

import sidecar_injector
from sidecar_injector import names, settings
from tools.controlplane import balancer, binaries, cluster, operators, release
from tools.image import archive, build, recipe

pytestmark = pytest.mark.own_node("unpacks the image that is built here, as root")

_log = logging.getLogger(__name__)
HOME = "opt/sidecar-injector"
PACKAGES = f"{HOME}/lib/python{recipe.PYTHON}/site-packages"
MEBIBYTES = 100
"""Of the archive; it is 75 now."""
USER = 65532
READY_SECONDS = 20
"""From the process's start to /readyz, beside whatever else the machine does; idle it takes 3."""
CONFINED = """
set -e
mount --bind "$1" "$1"
mount --options remount,bind,ro "$1"
mount --bind "$2" "$1/tmp"
exec /usr/sbin/chroot --userspec=65532:65532 "$1" /opt/sidecar-injector/bin/python -c "$3" "$4"
"""
"""Shell: root, scratch folder, program, its argument."""
WRITES = """
import errno, os, sys
try:
    open("/opt/sidecar-injector/written", "w")
except OSError as error:
    assert error.errno == errno.EROFS, error
else:
    sys.exit("the root can be written")
os.execlp(sys.argv[1], sys.argv[1], "run")
"""
"""Python: see that the root is read-only, then become the operator."""
UNCOMPILED = """
import os, sys
import sidecar_injector.app, sidecar_injector.cli.main

found = (getattr(module, "__cached__", None) for module in list(sys.modules.values()))
print(*sorted(path for path in found if path and not os.path.exists(path)))
"""


@pytest.fixture(scope="module")
def image() -> pathlib.Path:
    return build.ensure()


@pytest.fixture(scope="module")
def files(image: pathlib.Path) -> dict[str, tarfile.TarInfo]:
    return archive.files(image)


@pytest.fixture(scope="module")
def root(image: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The image's files, unpacked."""
    folder = tmp_path_factory.mktemp("root")
    archive.unpack(image, folder)
    return folder


def run(root: pathlib.Path, environment: dict[str, str], *command: str) -> str:
    """The output of a command in the image, as the image's user."""
    inside = ["/usr/sbin/chroot", "--userspec=65532:65532", str(root), f"/{HOME}/bin/{command[0]}"]
    return subprocess.run(
        [*inside, *command[1:]],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.fixture(scope="module")
def environment(image: pathlib.Path) -> dict[str, str]:
    """The variables that the image sets, and no other."""
    return dict(pair.split("=", 1) for pair in archive.read(image).config["config"]["Env"])


def test_it_says_of_itself_what_the_dockerfile_says(image: pathlib.Path) -> None:
    read = archive.read(image)
    process = read.config["config"]
    assert process["User"] == "65532:65532"
    assert [*process["Entrypoint"], *process["Cmd"]] == ["sidecar-injector", "run"]
    assert f"PATH=/{HOME}/bin:" in "\n".join(process["Env"])
    assert process["Labels"]["org.opencontainers.image.version"] == sidecar_injector.__version__
    assert read.names == (archive.kubelet_name(recipe.NAME), recipe.NAME)


def test_it_holds_neither_installers_nor_tests_nor_caches(
    files: dict[str, tarfile.TarInfo], image: pathlib.Path
) -> None:
    ours = {path.removeprefix(f"{PACKAGES}/") for path in files if path.startswith(PACKAGES)}
    assert {"sidecar_injector", "kopf"} <= {path.partition("/")[0] for path in ours}
    assert not [path for path in ours if path.startswith(("pip/", "setuptools/", "hatchling/"))]
    assert not [path for path in ours if "/tests/" in path]
    assert not [path for path in files if path.startswith(("build/", "root/.cache"))]
    assert not [path for path in files if path.endswith(("_Packages", "_InRelease", ".deb"))]
    assert image.stat().st_size < MEBIBYTES * 1024**2


def test_no_file_of_ours_may_be_changed_by_its_user(files: dict[str, tarfile.TarInfo]) -> None:
    ours = [member for path, member in files.items() if path.startswith(HOME)]
    assert len(ours) > 1000
    assert {(member.uid, member.gid) for member in ours} == {(0, 0)}
    assert not [member.name for member in ours if member.mode & 0o022 and not member.issym()]


def test_all_names_of_the_command_are_there(files: dict[str, tarfile.TarInfo]) -> None:
    commands = {path.rpartition("/")[2] for path in files if path.startswith(f"{HOME}/bin/")}
    assert commands == {
        *("python", "python3", f"python{recipe.PYTHON}"),
        *("sidecar-injector", "kubectl-sidecar_injector", "kubectl_complete-sidecar_injector"),
    }


def test_it_tells_its_version_without_a_shell(
    root: pathlib.Path, environment: dict[str, str]
) -> None:
    assert run(root, environment, "sidecar-injector", "version").startswith(
        f"sidecar-injector {sidecar_injector.__version__} "
    )


def test_all_that_the_operator_imports_is_compiled(
    root: pathlib.Path, environment: dict[str, str]
) -> None:
    assert run(root, environment, "python", "-c", UNCOMPILED).split() == []


def test_compiled_files_hold_whatever_the_times_of_their_sources(root: pathlib.Path) -> None:
    compiled = sorted((root / PACKAGES / "sidecar_injector").rglob("*.pyc"))
    assert len(compiled) > 100
    for path in compiled:
        # Flags: 1 is "by hash", 2 would be "compare it": https://peps.python.org/pep-0552/
        assert int.from_bytes(path.read_bytes()[4:8], "little") == 1, path


@pytest.fixture(scope="module")
def plane(request: pytest.FixtureRequest) -> Iterator[cluster.ControlPlane]:
    """A control plane with the chart installed, and no operator yet."""
    with cluster.ControlPlane(binaries.cached()) as started:
        release.install(started)
        yield started
        started.keep_logs = request.session.testsfailed > 0


class Confined(operators.Operators):
    """The Deployment's replicas, out of the image instead of our virtual environment."""

    def __init__(
        self, plane: cluster.ControlPlane, *, root: pathlib.Path, environment: dict[str, str]
    ) -> None:
        super().__init__(plane, replicas=1)
        self._control_plane, self._root, self._variables = plane, root, environment

    def _replica(self, number: int, backend: balancer.Backend) -> operators.Replica:
        replica = super()._replica(number, backend)
        scratch = self._plane.folder / f"{names.PRODUCT}-{replica.name}"
        shutil.copy(self._plane.client.certificate_authority, scratch / "ca.crt")
        inside = pathlib.Path("/tmp")
        user = self._control_plane.user(self._token())
        identity = dataclasses.replace(user, certificate_authority=inside / "ca.crt")
        identity.write_kubeconfig(scratch / "kubeconfig")
        for path in (scratch, *scratch.iterdir()):
            os.chown(path, USER, USER)
        replica.command = (
            *("/usr/bin/unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", CONFINED),
            *("sh", str(self._root), str(scratch), WRITES, "sidecar-injector"),
        )
        replica.environment = {
            **(replica.environment or {}),
            **self._variables,
            settings.variable("scratch_folder"): str(inside),
            "KUBECONFIG": str(inside / "kubeconfig"),
        }
        return replica


def test_it_injects_pods_from_a_read_only_root(
    plane: cluster.ControlPlane,
    root: pathlib.Path,
    environment: dict[str, str],
) -> None:
    plane.create_namespace("demo", labels={names.INJECTION_LABEL: names.ENABLED})
    plane.kubectl("apply", "-f", str(recipe.ROOT / "tools/demo/injection.yaml"))
    began = time.monotonic()
    with Confined(plane, root=root, environment=environment) as running:
        running.wait_ready(seconds=READY_SECONDS)
        seconds = time.monotonic() - began
        (replica,) = running.replicas
        plane.kubectl("-n", "demo", "wait", "sidecarinjection/nginx", "--for=condition=Ready")
        plane.kubectl("apply", "-f", str(recipe.ROOT / "tools/demo/pod.yaml"))
        pod = plane.client.get("/api/v1/namespaces/demo/pods/alpine")
        _log.info("ready after %.1f s, %d MiB", seconds, replica.rss() // 1024**2)
        assert replica.terminate() == 0
    assert [container["name"] for container in pod["spec"]["containers"]] == [
        "alpine",
        "sidecar-nginx",
    ]
