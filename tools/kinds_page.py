"""Writes the table and the values of docs/kinds.md: the kinds that have pods, as the code has them.

Run `python -m tools.kinds_page` after a change of `core/pods/kinds.py`; a test compares.
"""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Iterator

from sidecar_injector.core.pods import kinds, workloads
from tools import pages

FILE = pathlib.Path(__file__).parent.parent / "docs" / "kinds.md"
_TABLE = re.compile(r"^\| kind \|.*?(?=^$)", re.MULTILINE | re.DOTALL)
_EXTRA = re.compile(r"(?<=^```yaml\n)webhook:\n.*?(?=^```$)", re.MULTILINE | re.DOTALL)


def text() -> str:
    """The page with the table and the values as the code has them."""
    page = FILE.read_text(encoding="utf-8")
    for pattern, lines in ((_TABLE, _rows()), (_EXTRA, _extra())):
        filled = "".join(f"{line}\n" for line in lines)
        before, after = pattern.split(page)
        page = f"{before}{filled}{after}"
    return page


def _rows() -> Iterator[str]:
    yield "| kind | pod template | restarted by | |"
    yield "|---|---|---|---|"
    for entry in (*kinds.BUILT_IN.values(), *kinds.CUSTOM.values()):
        paths = ", ".join(f"`{_written(path)}`" if path else "itself" for path in entry.paths)
        link = f"[{entry.group}]({entry.source})" if entry.source else ""
        kind = f"`{entry.kind}` of `{entry.group or 'v1'}`"
        yield f"| {kind} | {paths or 'none'} | {entry.restart.value} | {link} |"


def _written(path: kinds.Path) -> str:
    """A path as `--kind-path` takes it."""
    return workloads.field(path)


def _extra() -> Iterator[str]:
    yield "webhook:"
    yield "  workloads:"
    yield "    extra:"
    for entry in kinds.CUSTOM.values():
        if path := entry.template_path:
            rule: dict[str, list[str] | str] = {
                "apiGroups": [entry.group], "apiVersions": ["*"], "resources": [entry.plural],
            }  # fmt: skip
            if path != ("spec", "template"):
                rule["template"] = workloads.field(path)
            yield f"      - {json.dumps(rule)}"


if __name__ == "__main__":
    pages.write(FILE, text())
