"""docs/pictures: what a pod receives, where messages appear, a terminal, a page, from real output.

`python -m tools.pictures` writes them; a test compares. They have no remote fonts or references, so
that they look the same without a network. That of the page depends on the browser, so the test
compares the page of which it was made.
"""

from __future__ import annotations

import contextlib
import hashlib
import html
import importlib.resources
import io
import pathlib
import re
import shlex
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

import click.testing
import rich.console
import rich.text
import yaml

from sidecar_injector import names
from sidecar_injector.cli import main
from sidecar_injector.cli import playground as playground_package
from tools import browser, pages, thirdparty

ROOT: Final = pathlib.Path(__file__).parent.parent
FOLDER: Final = ROOT / "docs" / "pictures"
DEMO: Final = "tools/demo"
FONT: Final = "font-family='Helvetica, Arial, sans-serif'"
MONO: Final = "font-family='Menlo, Consolas, monospace'"
OURS, THEIRS, LINE, DARK = "#dcefe1", "#eef1f5", "#8894a5", "#1d2733"
COMMANDS: Final = (
    f"explain -f {DEMO}/deployment.yaml -i {DEMO}/injection.yaml",
    f"explain -f {DEMO}/silent.yaml -i {DEMO}/injection.yaml",
    f"explain -f {DEMO}/opted-out.yaml -i {DEMO}/injection.yaml",
    f"explain -f {DEMO}/typo.yaml -i {DEMO}/injection.yaml",
)
TYPED: Final = 1.5
"""Seconds between a command and its output."""
READ: Final = 4.0
"""Seconds until the next command."""
COLUMNS: Final = 118
Json = dict[str, Any]


def pictures() -> dict[str, str]:
    """All of them, by the names of their files."""
    return {"pod.svg": pod(), "way.svg": way(), "terminal.svg": terminal()}


def run(*words: str) -> str:
    """What a verb prints, for files of this repository."""
    with contextlib.chdir(ROOT):
        return click.testing.CliRunner().invoke(main.cli, words).stdout


def pod() -> str:
    """The pods of the demo's Deployment before and after, as `inject` makes them."""
    file = f"{DEMO}/deployment.yaml"
    before = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))["spec"]["template"]
    after = yaml.safe_load(run("inject", "-f", file, "-i", f"{DEMO}/injection.yaml"))
    own, parts = list(_parts(before)), list(_parts(after["spec"]["template"]))
    shapes = [
        *_box(20, "The pod as its author wrote it", [(part, THEIRS) for part in own]),
        _text(373, 58, "SidecarInjection", size=12, anchor="middle"),
        _text(373, 74, "nginx", size=12, anchor="middle"),
        *_arrow(330, 418, 88),
        *_box(
            430, "The pod that starts", [(part, THEIRS if part in own else OURS) for part in parts]
        ),
    ]  # fmt: skip
    return _svg(745, 50 + 25 * len(parts), shapes)


def _parts(manifest: Json) -> Iterator[str]:
    for key, value in manifest["metadata"].get("labels", {}).items():
        yield f"label {key.removeprefix(f'{names.GROUP}/')}: {value}"
    for key, value in manifest["metadata"].get("annotations", {}).items():
        short = key.partition("/")[2]
        yield f"annotation …/{short}" + (f": {value}" if len(value) < 20 else "")
    for field in ("initContainers", "containers", "volumes"):
        for item in manifest["spec"].get(field, ()):
            yield f"{field.removesuffix('s')} {item['name']}"


def way() -> str:
    """Where a pod comes from, and where each message appears."""
    steps = (
        ("kubectl apply", "warnings: mistakes, and", "injections that will not fit"),
        ("Deployment", "Events: skipped or refused", "pods, wrong annotations"),
        ("ReplicaSet", "condition ReplicaFailure", "if a pod is refused"),
        ("API server", "audit annotations", "injected and skipped"),
        ("injector", "log, metrics, and the", "status of each injection"),
        ("pod", "annotations injected", "and skipped, a label"),
    )
    shapes: list[str] = []
    for index, (title, *lines) in enumerate(steps):
        left = 30 + index * 205
        shapes += _rectangle(left, 20, 150, 44, OURS if title == "injector" else THEIRS)
        shapes.append(_text(left + 75, 47, title, size=16, weight="bold", anchor="middle"))
        shapes += [
            _text(left + 75, 92 + 19 * number, line, size=12, anchor="middle")
            for number, line in enumerate(lines)
        ]
        if index + 1 < len(steps):
            shapes += _arrow(left + 152, left + 202, 42)
    question = "kubectl sidecar-injector explain deploy/web: the answer first, then what helps"
    shapes.append(_text(618, 148, question, size=14, anchor="middle", font=MONO))
    return _svg(1236, 170, shapes)


def terminal() -> str:
    """A recording of the offline verbs, about 20 seconds."""
    console = rich.console.Console(record=True, width=COLUMNS, file=io.StringIO())
    for command in COMMANDS:
        prompt = rich.text.Text(f"$ {names.PRODUCT} {command}", style="bold green")
        console.print(prompt, soft_wrap=True)
        console.print(rich.text.Text(run(*shlex.split(command))), highlight=False)
    picture = _recording(console.export_svg(title=names.PRODUCT, unique_id="terminal"))
    # Rich names a font of a server.
    return re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL).replace(
        "Fira Code", "Menlo"
    )


def _recording(picture: str) -> str:
    """The lines appear one command after the other.

    A viewer without animations shows all of them at once.
    """
    start = -READ
    seconds: dict[str, float] = {}
    for line, text in re.findall(r'url\(#terminal-(line-\d+)\)">([^<]*)', picture):
        if text.startswith("$"):
            start += READ + TYPED
            seconds[line] = start - TYPED
        seconds.setdefault(line, start)
    rules = ["@keyframes appear { from { visibility: hidden } }"]
    for line, at in seconds.items():
        rule = f"animation: appear 0.1s step-end {at:g}s backwards"
        rules.append(f"[clip-path='url(#terminal-{line})'] {{ {rule} }}")
    return picture.replace("</style>", "\n".join([*rules, "</style>"]), 1)


PLAYGROUND: Final = "playground.png"
SOURCE: Final = b"Source"
"""The keyword of a text in the picture that says of which page it was made."""


def playground() -> bytes:
    """The page as it begins, as PNG."""
    program = thirdparty.chromium()
    with browser.playground() as address, browser.page(program) as page:
        page.resize(1280, 900)
        page.prefer("light")
        page.open(address)
        page.wait("document.getElementById('headline').textContent !== ''")
        picture = page.picture()
    text = b"tEXt" + SOURCE + b"\0" + page_digest()
    length, check = len(text) - 4, zlib.crc32(text)
    # The last 12 bytes are the end of every PNG.
    return picture[:-12] + length.to_bytes(4) + text + check.to_bytes(4) + picture[-12:]


def page_digest() -> bytes:
    """Names the files of the page, whatever is in them."""
    digest = hashlib.sha256()
    for name in ("page.html", "page.css", "page.js"):
        file = importlib.resources.files(playground_package) / name
        digest.update(file.read_bytes())
    return digest.hexdigest().encode()


def _box(left: int, title: str, parts: Sequence[tuple[str, str]]) -> Iterator[str]:
    yield _text(left, 24, title, size=15, weight="bold")
    for index, (part, colour) in enumerate(parts):
        yield from _rectangle(left, 36 + 25 * index, 295, 21, colour)
        yield _text(left + 8, 51 + 25 * index, part, size=12, font=MONO)


def _rectangle(left: int, top: int, width: int, height: int, colour: str) -> Iterator[str]:
    yield (
        f"<rect x='{left}' y='{top}' width='{width}' height='{height}' rx='4' fill='{colour}'"
        f" stroke='{LINE}'/>"
    )


def _arrow(start: int, end: int, height: int) -> Iterator[str]:
    yield (
        f"<path d='M{start} {height} H{end} m-8 -5 l8 5 l-8 5' fill='none' stroke='{DARK}'"
        " stroke-width='2'/>"
    )


def _text(
    left: int, top: int, text: str, *, size: int, weight: str = "normal", anchor: str = "start",
    font: str = FONT,
) -> str:  # fmt: skip
    return (
        f"<text x='{left}' y='{top}' font-size='{size}' font-weight='{weight}' fill='{DARK}'"
        f" text-anchor='{anchor}' {font}>{html.escape(text)}</text>"
    )


def _svg(width: int, height: int, shapes: Sequence[str]) -> str:
    head = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}'>"
    )
    ground = f"<rect width='{width}' height='{height}' fill='white'/>"
    return "\n".join([head, ground, *shapes, "</svg>", ""])


if __name__ == "__main__":
    for name, picture in pictures().items():
        pages.write(FOLDER / name, picture)
    (FOLDER / PLAYGROUND).write_bytes(playground())
