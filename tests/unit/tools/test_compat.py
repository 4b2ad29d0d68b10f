"""Which modules another version of Kubernetes is built from."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Sequence

import pytest

from sidecar_injector.core.validity import releases
from tools.controlplane.compat import differences, modules, page
from tools.crds import __main__ as crds
from tools.fields import dropped

TESTS = pathlib.Path(__file__).parents[2]

SERVED = {
    "k8s.io/kubernetes": "v1.33.6 v1.34.2 v1.34.4 v1.34.5-rc.0",
    "k8s.io/api": "v0.33.6 v0.34.4",
    "k8s.io/kubectl": "v0.34.1 v0.34.7",
    "k8s.io/sample-controller": "",
}


@pytest.fixture
def go(tmp_path: pathlib.Path) -> modules.Go:
    lines = [f"\t{path} v0.0.0 // indirect" for path in SERVED if path != modules.KUBERNETES]
    upstream = ["go 1.24.0", "require (", *lines, "\tk8s.io/klog/v2 v2.130.1", ")"]
    (tmp_path / "go.mod").write_text("\n".join(upstream))
    (tmp_path / "go.work").write_text("godebug default=go1.23\n")

    def run(arguments: Sequence[str]) -> str:
        if arguments[:2] == ("mod", "download"):
            return json.dumps({"Dir": str(tmp_path)})
        return "".join(f"{path} {SERVED[path]}\n" for path in arguments[4:])

    return run


@pytest.mark.parametrize(
    ("wanted", "version"),
    [("1.34", "1.34.4"), ("v1.34.2", "1.34.2"), ("1.34.3", "1.34.4"), ("1.33.99", "1.33.6")],
)
def test_a_version_that_is_not_served_is_replaced_by_its_neighbour(wanted, version, go) -> None:
    assert modules.resolve(wanted, go).version == version


def test_the_module_has_kubernetes_own_settings_and_names_what_is_of_another_release(go) -> None:
    resolved = modules.resolve("1.34", go)
    assert resolved.neighbours == ["k8s.io/kubectl@v0.34.7"]
    lines = resolved.go_mod().splitlines()
    assert {"go 1.24.0", "godebug default=go1.23", "require k8s.io/kubernetes v1.34.4"} <= {*lines}
    assert "replace k8s.io/api => k8s.io/api v0.34.4" in lines
    assert not any("klog" in line for line in lines)


@pytest.mark.parametrize(("wanted", "reason"), [("1.20", "is served"), ("latest", "like 1.34")])
def test_a_version_that_cannot_be_built_is_refused(wanted, reason, go) -> None:
    with pytest.raises(modules.UnavailableError, match=reason):
        modules.resolve(wanted, go)


def test_the_page_says_what_was_run() -> None:
    assert page.FILE.read_text("utf-8") == page.text(), "run `python -m tools.controlplane.compat`"


def test_the_readme_names_each_release_that_was_tried() -> None:
    readme = pathlib.Path("README.md").read_text("utf-8").partition("## Tested with")[2]
    for run in page.runs():
        assert run.version in readme
        assert run.day in readme


def test_the_oldest_supported_release_was_tried_and_none_had_a_surprise() -> None:
    """The newest is what `make test` runs."""
    runs = page.runs()
    assert int(runs[0].version.split(".")[1]) == releases.OLDEST
    assert [run.failed for run in runs] == [0] * len(runs)


def test_the_module_of_dropped_fields_is_what_was_measured() -> None:
    file = crds.ROOT / dropped.PATH
    text = dropped.module(dropped.table())
    assert file.read_text("utf-8") == text, "run `python -m tools.fields.dropped`"


@pytest.mark.parametrize("pattern", [test for row in differences.table() for test in row.tests])
def test_a_difference_names_tests_that_exist(pattern: str) -> None:
    file, _, name = pattern.partition("::")
    function = name.partition("[")[0]
    paths = [TESTS / folder / file for folder in ("controlplane", "chart")]
    texts = [path.read_text("utf-8") for path in paths if path.exists()]
    assert any(f"def {function.removesuffix('*')}" in text for text in texts)
