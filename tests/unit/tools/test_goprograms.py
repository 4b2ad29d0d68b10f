"""Go builds a program of another module once; Go is a script here, so nothing is compiled."""

import os
import pathlib

import pytest

from tools import goprograms
from tools.controlplane import errors

GO = """#!/bin/sh
if [ "$1" = version ]; then echo "go version go1.99.1 test/test"; exit 0; fi
echo "$@" >>"$CALLS"
echo "half" >"$GOBIN/tool"
chmod +x "$GOBIN/tool"
[ -z "$MESSAGE" ] || { echo "go: downloading"; echo "$MESSAGE"; exit 1; } >&2
"""
PACKAGE = "example.com/module/v2/cmd/tool@v2.1.0"


@pytest.fixture
def calls(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The file with a line for each call of Go."""
    go, calls = tmp_path / "bin" / "go", tmp_path / "calls"
    go.parent.mkdir()
    go.write_text(GO)
    go.chmod(0o755)
    calls.touch()
    for name, text in {
        "PATH": f"{go.parent}:/usr/bin:/bin", "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "CALLS": str(calls), "MESSAGE": "",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, text)
    return calls


def test_a_program_is_built_once_and_keeps_its_name(calls: pathlib.Path) -> None:
    path = goprograms.ensure("tool", PACKAGE, flags="-s -w -X main.version=2")
    assert goprograms.ensure("tool", PACKAGE) == path
    assert path.name == "tool"
    assert os.access(path, os.X_OK)
    assert [file.name for file in path.parent.iterdir()] == ["tool"]
    assert calls.read_text() == f"install -trimpath -ldflags -s -w -X main.version=2 {PACKAGE}\n"


def test_each_version_has_a_folder_of_its_own(calls: pathlib.Path) -> None:
    newer = PACKAGE.replace("v2.1.0", "v2.2.0")
    folders = {goprograms.ensure("tool", package).parent.name for package in (PACKAGE, newer)}
    assert folders == {"tool-v2.1.0", "tool-v2.2.0"}
    assert len(calls.read_text().splitlines()) == 2


def test_a_failed_build_leaves_no_program_and_says_why(
    calls: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESSAGE", "proxy.example.com: not found")
    with pytest.raises(errors.BuildError) as failure:
        goprograms.ensure("tool", PACKAGE)
    assert str(failure.value) == (
        "cannot build tool: proxy.example.com: not found; check the network"
    )
    monkeypatch.setenv("MESSAGE", "")
    assert goprograms.ensure("tool", PACKAGE).exists()
    assert len(calls.read_text().splitlines()) == 2
