"""docs/validity.md has every function of the API server that a pod's creation can reach."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys

from tools import validity_list
from tools.controlplane import binaries, golang, progress, recipes

PACKAGE = pathlib.Path("pkg", "apis", "core", "validation")
FUNCTION = re.compile(r"^func (\w+)\(.*?^}", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"(?<![\w.])[A-Za-z]\w*")


def test_each_rule_is_checked_or_has_its_reason() -> None:
    page = validity_list.FILE.read_text("utf-8")
    rules = {name for name in _reachable("ValidatePodCreate") if name.lower().startswith("valid")}
    assert len(rules) > 150
    named = set(NAME.findall(page))
    assert {name for name in rules if name.startswith(("validate", "Validate"))} <= named


def _reachable(first: str) -> set[str]:
    """The functions of the package that a function calls, directly or not."""
    sources = [path.read_text("utf-8") for path in sorted(_folder().glob("*.go"))
               if not path.name.endswith("_test.go")]  # fmt: skip
    bodies = {match[1]: match[0] for source in sources for match in FUNCTION.finditer(source)}
    reached, waiting = set(), [first]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += bodies.keys() & set(NAME.findall(bodies[name]))
    return reached


def _folder() -> pathlib.Path:
    """The source that the API server of the tests is built from, in the cache of Go."""
    report = progress.Progress(sys.stderr)
    go = golang.find(environment=os.environ, cache=binaries.cache_folder(os.environ), report=report)
    answer = subprocess.run(
        [go, "mod", "download", "-json", "k8s.io/kubernetes"],
        cwd=recipes.FOLDER, capture_output=True, check=True,
    )  # fmt: skip
    return pathlib.Path(json.loads(answer.stdout)["Dir"], PACKAGE)
