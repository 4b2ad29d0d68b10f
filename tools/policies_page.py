"""Writes the tables of docs/policies.md: what is compiled, and which pods are left to the webhook.

Run `python -m tools.policies_page` after a change of `core/policies`; a test compares.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator
from typing import Any

from sidecar_injector import crds, names
from sidecar_injector.core.policies import doubts, unsupported
from tools import pages

FILE = pathlib.Path(__file__).parent.parent / "docs" / "policies.md"
_FIELDS = re.compile(r"^\| field \|.*?(?=^$)", re.MULTILINE | re.DOTALL)
_PODS = re.compile(r"^\| a pod is left alone where \|.*?(?=^$)", re.MULTILINE | re.DOTALL)
_PARENTS = (
    "", "template.metadata", "template.spec", "template.spec.containers[]", "applicationContainers",
)  # fmt: skip
"""Whose fields have a row each; other fields have one if a rule names them."""
_NOTES = {
    "failurePolicy": "`Fail` is held by the guard; where it cannot, `compile` says so",
    "onConflict": "where a container of the pod has the name, `Merge` is left to the webhook",
    "parameters": (
        "one without `enum` fills only `command`, `args`, values of variables and of annotations"
        " that are not `kubernetes.io`'s"
    ),
    "sidecarMode": "",
}


def text() -> str:
    """The page with both tables as the code has them."""
    page = FILE.read_text(encoding="utf-8")
    for pattern, lines in ((_FIELDS, _fields()), (_PODS, _pods())):
        filled = "".join(f"{line}\n" for line in lines)
        before, after = pattern.split(page)
        page = f"{before}{filled}{after}"
    return page


def _fields() -> Iterator[str]:
    yield "| field | compiled | |"
    yield "|---|---|---|"
    rules: dict[str, list[unsupported.Rule]] = {}
    for rule in unsupported.RULES:
        rules.setdefault(rule.path, []).append(rule)
    paths = dict.fromkeys(path for parent in _PARENTS for path in _below(parent))
    parents = {parent.removesuffix("[]") for parent in _PARENTS} | {"template"}
    ordered = sorted({*paths, *rules} - (parents - rules.keys()))
    for path in ordered:
        own = rules.get(path, [])
        is_never = any(rule.is_used in (bool, unsupported.is_set) for rule in own)
        reasons = [f"not if it {rule.why}" if not is_never else rule.why for rule in own]
        reasons += [note] if (note := _NOTES.get(path)) else []
        yield f"| `{path}` | {'no' if is_never else 'yes'} | {'; '.join(reasons)} |"


def _below(parent: str) -> Iterator[str]:
    shape: Any = crds.spec_schema(names.CLUSTER_KIND)
    for step in parent.split(".") if parent else ():
        shape = shape["properties"][step.removesuffix("[]")]
        shape = shape["items"] if step.endswith("[]") else shape
    for field in shape["properties"]:
        yield f"{parent}.{field}" if parent else field


def _pods() -> Iterator[str]:
    yield "| a pod is left alone where | for |"
    yield "|---|---|"
    for doubt in doubts.OF_PODS:
        yield f"| {doubt.sentence} | every injection |"
    for doubt in doubts.OF_INJECTIONS:
        yield f"| {doubt.sentence} | injections that it concerns |"


if __name__ == "__main__":
    pages.write(FILE, text())
