"""The wheel in an empty environment, with what `requirements/cli.txt` locks and nothing else."""

from __future__ import annotations

import pathlib
import subprocess
import sys
from collections.abc import Callable

import pytest

import sidecar_injector
from sidecar_injector import names
from sidecar_injector.cli import operator_extra

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements" / "cli.txt"
ON_SILENT = ("-f", "tools/demo/silent.yaml", "-i", "tools/demo/injection.yaml")
Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Its `bin`: each package is checked against the lock's hash, the wheel is built here."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    into = (*pip, "--python", str(folder / "venv"), "install", "--quiet", "--no-compile")
    build = ("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder))
    for command in (
        (sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")),
        (*pip, *build, str(ROOT)),
        (*into, "--require-hashes", "--only-binary=:all:", "--requirement", str(LOCK)),
    ):
        subprocess.run(command, check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*into, "--no-index", str(wheel)], check=True)
    return folder / "venv" / "bin"


@pytest.fixture(scope="module")
def program(environment: pathlib.Path) -> Program:
    """The command `sidecar-injector` of this environment, in the root of the repository."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [environment / names.PRODUCT, *arguments],
            cwd=ROOT, env={"PATH": str(environment)}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return run


def test_nothing_of_the_operator_is_installed(environment: pathlib.Path) -> None:
    code = "import importlib.util as u, sys; print([n for n in sys.argv[1:] if u.find_spec(n)])"
    command = [environment / "python", "-I", "-c", code, *sorted(operator_extra.PACKAGES)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_it_has_its_version_and_every_verb(program: Program) -> None:
    version = program("version").stdout
    assert version == f"{names.PRODUCT} {sidecar_injector.__version__} ({names.API_VERSION})\n"
    usage = program("--help")
    assert (usage.returncode, usage.stderr) == (0, "")
    for verb in ("certificates", "check", "inject", "lint", "status"):
        assert f"\n  {verb} " in usage.stdout


def test_it_decides_about_files(program: Program) -> None:
    silent = program("inject", *ON_SILENT, "--report")
    assert silent.returncode == 0
    assert "demo/Pod/silent nginx NotApplicable NotRequested" in silent.stderr
    injected = program("inject", "-f", "tools/demo/deployment.yaml", "-i", ON_SILENT[-1])
    assert injected.returncode == 0
    assert "name: sidecar-nginx" in injected.stdout
    assert program("lint", "-f", ON_SILENT[-1]).returncode == 0
    assert program("explain", *ON_SILENT).returncode == 0
    assert "complete" in program("completion", "bash").stdout


def test_run_says_what_is_missing(program: Program) -> None:
    answer = program("run")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.endswith(f"which is not installed: {operator_extra.INSTALL}\n")
    assert answer.stderr.count("\n") == 1
