"""Writes the chart's README and the descriptions in the schema, from the comments in values.yaml.

Run `python -m tools.chart_docs` after a change of the values; a test compares.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from sidecar_injector import names
from tools import pages
from tools.controlplane.compat import page

CHART = Path(__file__).parent.parent / "charts" / names.PRODUCT
PAGE = CHART / "README.md"
SCHEMA = CHART / "values.schema.json"
MARK = "# --"
"""The begin of a value's comment; its other lines begin with `#`."""

_HEAD = f"""\
# The chart of {names.PRODUCT}

<!-- Written by `python -m tools.chart_docs` from values.yaml; edit its comments instead. -->

For Helm 3 and 4, on Kubernetes 1.32 and newer. Tried on {page.tried()} and, with each change, on
1.37.2. Values that make no sense together are refused
before anything reaches the cluster, with a sentence that says what would be accepted; an unknown
value is refused too. No value needs `null` to be unset, which an umbrella chart cannot pass on.
Seconds are a number or a duration with the units h, m and s: `720h`, `15m`, `1h30m`.

```console
helm install {names.PRODUCT} charts/{names.PRODUCT} --namespace {names.PRODUCT} --create-namespace
```

What is installed, how to upgrade it and what to do when an alert fires is in the repository's
`docs/operations.md`; how to install it with Argo CD or Flux is in `docs/gitops.md`.

| value | default | what it is |
|---|---|---|
"""


def text() -> str:
    """The whole page. Raises LookupError for a value that no comment describes."""
    rows = (
        (f"`{path}`", f"`{json.dumps(default)}`", comment.replace("|", "\\|"))  # would end the cell
        for path, default, comment in values()
    )
    return _HEAD + "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def schema() -> str:
    """The schema of the values, each with its comment as the description that editors show."""
    tree = json.loads(SCHEMA.read_text(encoding="utf-8"))
    for path, _, comment in values():
        node = tree
        for key in path.split("."):
            node = node["properties"][key]
        node["description"] = comment
    return json.dumps(tree, indent=2, ensure_ascii=False) + "\n"


def values() -> Iterator[tuple[str, Any, str]]:
    """Path, default and comment of each value."""
    lines = (CHART / "values.yaml").read_text(encoding="utf-8").splitlines()
    loader = yaml.CSafeLoader("\n".join(lines))
    root = loader.get_single_node()
    assert root is not None, "values.yaml is empty"
    return _rows(root, loader.construct_document(root), path="", lines=lines)


def _rows(
    node: yaml.Node, value: Any, *, path: str, lines: Sequence[str]
) -> Iterator[tuple[str, Any, str]]:
    """Node and value are the same part of the file; only a node knows its line."""
    if not value or not isinstance(node, yaml.MappingNode):
        raise LookupError(f"values.yaml: no comment begins with {MARK!r} above {path}")
    for key, below in node.value:
        here = f"{path}.{key.value}" if path else key.value
        part = value[key.value]
        if comment := _comment(lines, above=key.start_mark.line):
            yield here, part, comment
        else:
            yield from _rows(below, part, path=here, lines=lines)


def _comment(lines: Sequence[str], *, above: int) -> str:
    """The comment right above a line, as one line; empty if there is none."""
    upwards = (line.strip() for line in reversed(lines[:above]))
    block = [*itertools.takewhile(lambda line: line.startswith("#"), upwards)][::-1]
    if not block or not block[0].startswith(MARK):
        return ""
    words = [block[0].removeprefix(MARK), *(line.removeprefix("#") for line in block[1:])]
    return " ".join(word.strip() for word in words)


if __name__ == "__main__":
    pages.write(PAGE, text())
    pages.write(SCHEMA, schema())
