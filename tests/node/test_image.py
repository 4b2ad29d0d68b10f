"""The image that was built: what is in it, and that it starts where nothing can be written."""

from __future__ import annotations

import pathlib
import subprocess
import tarfile

import pytest

import sidecar_injector
from tools.image import archive, build, recipe

HOME = "opt/sidecar-injector"
PACKAGES = f"{HOME}/lib/python{recipe.PYTHON}/site-packages"
MEBIBYTES = 100
"""Of the archive; it is 75 now."""
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
    with archive.opened(image) as source:
        for digest in archive.read(image).layers:
            blob = source.extractfile("blobs/" + digest.replace(":", "/"))
            with tarfile.open(fileobj=blob) as layer:
                layer.extractall(folder, filter="fully_trusted")
    folder.chmod(0o755)  # the image's user is another than ours
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
    return dict(one.split("=", 1) for one in archive.read(image).config["config"]["Env"])


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


def test_both_names_of_the_command_are_there(files: dict[str, tarfile.TarInfo]) -> None:
    commands = {path.rpartition("/")[2] for path in files if path.startswith(f"{HOME}/bin/")}
    assert commands == {
        *("python", "python3", f"python{recipe.PYTHON}"),
        *("sidecar-injector", "kubectl-sidecar_injector"),
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
