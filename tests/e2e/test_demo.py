"""The demo on a node: it runs to its end, and prints what the page about nodes shows of it."""

import contextlib
import io
import pathlib
import re
from collections.abc import Iterator

import pytest

from tests.kits import e2e as kit
from tools.demo import places, printer, steps
from tools.image import recipe

pytestmark = pytest.mark.own_node("the demo starts a node of its own")

PAGE = recipe.ROOT / "docs/node.md"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CHANGING = re.compile(r"(?<=web-)\w+-\w+|  \(\d+ s\)$")
"""What is another one in every run: names of pods, seconds."""
RUNNING = "ok  alpine: 2/2 Running"


def shown() -> Iterator[list[str]]:
    """Each block of the page that is of this demo, and not of the one without a node."""
    for block in BLOCK.findall(PAGE.read_text("utf-8")):
        if RUNNING in block:
            yield block.splitlines()


@pytest.mark.timeout(2 * kit.SECONDS)
def test_the_demo_prints_what_the_page_shows(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(recipe.ROOT)
    stream = io.StringIO()
    with contextlib.ExitStack() as stack:
        place = places.Node(tmp_path)
        demo = steps.Steps(place, printer=printer.Printer(stream), stack=stack)
        demo.play()
        demo.uninstall()
    demo.ended()

    printed = [CHANGING.sub("", line) for line in stream.getvalue().splitlines()]
    blocks = list(shown())
    assert len(blocks) == 1
    for block in blocks:
        rest = iter(printed)
        for line in block:
            assert CHANGING.sub("", line) in rest, f"not told, or not in this order: {line}"
