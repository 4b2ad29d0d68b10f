"""The custom resource definitions: copies that upgrade with the release and may outlive it."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from sidecar_injector import names

Render = Callable[..., Any]

KEEP = "helm.sh/resource-policy"
AWKWARD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: things.example.com
  annotations: {api-approved.example.com: "yes"}
spec:
  description: "a {{ .Values.template }} of somebody else, and 'y': \\"no\\""
  maximum: 9007199254740991
  minimum: -2147483648
  pattern: '^\\$\\(params\\.[A-Za-z][A-Za-z0-9]*\\)$'
  enum: ["yes", "on", "1e3", "0o17", "12:30:45", "null", "~"]
  "y": true
"""


@pytest.fixture
def awkward(tmp_path: pathlib.Path, bare_chart: pathlib.Path) -> pathlib.Path:
    """The chart with one definition that has all that YAML and templates could spoil."""
    chart = tmp_path / "sidecar-injector"
    shutil.copytree(bare_chart, chart)
    (chart / "files" / "crds").mkdir(parents=True)
    (chart / "files" / "crds" / "things.yaml").write_text(AWKWARD)
    return chart


def test_both_kinds_are_installed_as_they_were_generated(
    chart: pathlib.Path, render: Render
) -> None:
    rendered = render(chart=chart)
    paths = chart.glob("files/crds/*.yaml")
    sources = [yaml.load(path.read_text(), Loader=yaml.CSafeLoader) for path in paths]

    assert {source["metadata"]["name"] for source in sources} == {
        f"{names.PLURAL}.{names.GROUP}",
        f"{names.CLUSTER_PLURAL}.{names.GROUP}",
    }
    for source in sources:
        copy = rendered.one("CustomResourceDefinition", name=source["metadata"]["name"])
        assert copy["spec"] == source["spec"]


def test_a_definition_passes_through_unchanged(awkward: pathlib.Path, render: Render) -> None:
    copy = render(chart=awkward).one("CustomResourceDefinition")

    assert copy["spec"] == yaml.safe_load(AWKWARD)["spec"]


def test_definitions_are_kept_by_default(awkward: pathlib.Path, render: Render) -> None:
    copy = render(chart=awkward).one("CustomResourceDefinition")

    assert copy["metadata"]["annotations"] == {"api-approved.example.com": "yes", KEEP: "keep"}


def test_definitions_that_are_not_kept_say_nothing(awkward: pathlib.Path, render: Render) -> None:
    copy = render({"crds": {"keep": False}}, chart=awkward).one("CustomResourceDefinition")

    assert copy["metadata"]["annotations"] == {"api-approved.example.com": "yes"}


def test_annotations_of_the_administrator_are_added(awkward: pathlib.Path, render: Render) -> None:
    values = {"crds": {"annotations": {"argocd.argoproj.io/sync-options": "ServerSideApply=true"}}}
    copy = render(values, chart=awkward).one("CustomResourceDefinition")

    assert copy["metadata"]["annotations"] == {
        "api-approved.example.com": "yes",
        "argocd.argoproj.io/sync-options": "ServerSideApply=true",
        KEEP: "keep",
    }


def test_the_chart_can_leave_definitions_out(awkward: pathlib.Path, render: Render) -> None:
    rendered = render({"crds": {"install": False}}, chart=awkward)

    assert rendered.all("CustomResourceDefinition") == []
