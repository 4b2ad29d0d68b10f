"""The demo runs to its end, in a folder of its own so that one that is up stays so."""

import contextlib
import io
import pathlib

import pytest

from tools.controlplane import binaries, release
from tools.demo import steps


def test_the_demo_tells_all_six_steps(
    programs: binaries.Binaries, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(release.ROOT)
    stream = io.StringIO()
    with contextlib.ExitStack() as stack:
        demo = steps.Steps(printer=steps.Printer(stream), folder=tmp_path, stack=stack)
        demo.play()
        demo.leave()
        demo.uninstall()
    demo.ended()
    lines = stream.getvalue().splitlines()
    numbers = [line[0] for line in lines if line[:1].isdigit()]
    assert numbers == ["1", "2", "3", "4", "5", "6", "6"]
    assert "   ok  containers of alpine: alpine sidecar-nginx" in lines


def test_a_line_that_is_not_true_is_never_printed() -> None:
    stream = io.StringIO()
    printer = steps.Printer(stream)
    with pytest.raises(steps.DemoError, match="containers: seen 'a', wanted 'a b'"):
        printer.show("containers", "a", "a b")
    assert stream.getvalue() == ""
