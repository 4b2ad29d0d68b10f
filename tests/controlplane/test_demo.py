"""The demo runs to its end, in a folder of its own so that one that is up stays so."""

import contextlib
import io
import pathlib

import pytest

from tools.controlplane import binaries
from tools.demo import narration, story


def test_the_demo_tells_all_six_steps(
    programs: binaries.Binaries, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(story.probes.ROOT)
    stream = io.StringIO()
    with contextlib.ExitStack() as stack:
        play = story.Story(narrator=narration.Narrator(stream), folder=tmp_path, stack=stack)
        play.tell()
        play.leave()
        play.uninstall()
    play.ended()
    lines = stream.getvalue().splitlines()
    steps = [line[0] for line in lines if line[:1].isdigit()]
    assert steps == ["1", "2", "3", "4", "5", "6", "6"]
    assert "   ok  containers of alpine: alpine sidecar-nginx" in lines


def test_a_line_that_is_not_true_is_never_printed() -> None:
    stream = io.StringIO()
    narrator = narration.Narrator(stream)
    with pytest.raises(narration.DemoError, match="containers: seen 'a', wanted 'a b'"):
        narrator.show("containers", "a", "a b")
    assert stream.getvalue() == ""
