"""The chart's tests render it with the real helm and look at the objects; no cluster is needed."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any

import pytest
import yaml

from tools.controlplane import binaries

CHART = pathlib.Path(__file__).parents[2] / "charts" / "sidecar-injector"


class StrictLoader(yaml.CSafeLoader):
    """Refuses a mapping with a repeated key, of which YAML parsers keep only one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"twice in one mapping: {sorted(map(str, twice))}", node.start_mark
            )
        return super().construct_mapping(node, deep)


@dataclasses.dataclass(frozen=True)
class Rendered:
    """The objects of one rendering, in helm's order."""

    objects: tuple[dict[str, Any], ...]

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [item for item in self.objects if item["kind"] == kind]

    def one(self, kind: str, *, name: str | None = None) -> dict[str, Any]:
        """The only object of a kind (and name); an AssertionError when there is none or more."""
        matches = [item for item in self.all(kind) if name in (None, item["metadata"]["name"])]
        assert len(matches) == 1, f"{len(matches)} objects of kind {kind} and name {name}"
        return matches[0]

    def operator(self) -> dict[str, Any]:
        """The operator's container, which is the first of its pods."""
        container = self.one("Deployment")["spec"]["template"]["spec"]["containers"][0]
        assert container["name"] == "operator"
        return dict(container)


@dataclasses.dataclass(frozen=True)
class Helm:
    """The helm binary, without the configuration of the user who runs the tests."""

    binary: pathlib.Path
    home: pathlib.Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "KUBECONFIG": str(self.home / "no-cluster"),
        }
        return subprocess.run(
            [self.binary, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """The real helm, of the version that the local control plane has."""
    return Helm(binary=binaries.ensure().helm, home=tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="session")
def chart() -> pathlib.Path:
    """The chart of the repository, unchanged."""
    return CHART


@pytest.fixture(scope="session")
def bare_chart(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The chart without its definitions, which are large and have tests of their own."""
    copy = tmp_path_factory.mktemp("chart") / CHART.name
    shutil.copytree(CHART, copy, ignore=shutil.ignore_patterns("crds"))
    return copy


@pytest.fixture(scope="session")
def template(
    helm: Helm, bare_chart: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`helm template` with the given values; equal calls are run once.

    The objects of `helm test` are not part of the release; `hooks` renders them too.
    """
    folder = tmp_path_factory.mktemp("values")
    done: dict[str, subprocess.CompletedProcess[str]] = {}

    def run(
        values: Mapping[str, Any] | None = None,
        *,
        release: str = "sidecar-injector",
        namespace: str = "sidecar-injector",
        chart: pathlib.Path = bare_chart,
        kube_version: str = "1.37.0",
        hooks: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        text = json.dumps(values or {}, sort_keys=True)
        arguments = (
            release,
            str(chart),
            f"--namespace={namespace}",
            f"--kube-version={kube_version}",
            *(() if hooks else ("--skip-tests",)),
        )
        key = json.dumps([text, *arguments])
        if key not in done:
            path = folder / f"{len(done)}.yaml"
            path.write_text(text)
            done[key] = helm.run("template", *arguments, f"--values={path}")
        return done[key]

    return run


@pytest.fixture(scope="session")
def render(
    template: Callable[..., subprocess.CompletedProcess[str]],
) -> Callable[..., Rendered]:
    """The objects that the chart makes of the given values."""

    def run(values: Mapping[str, Any] | None = None, **options: Any) -> Rendered:
        result = template(values, **options)
        assert result.returncode == 0, result.stderr
        return Rendered(objects=tuple(_objects(result.stdout)))

    return run


@pytest.fixture(scope="session")
def refusal(
    template: Callable[..., subprocess.CompletedProcess[str]],
) -> Callable[..., str]:
    """What helm says about values that it must refuse."""

    def run(values: Mapping[str, Any], **options: Any) -> str:
        result = template(values, **options)
        assert result.returncode != 0, f"rendered in spite of {values}"
        return result.stderr

    return run


def _objects(text: str) -> Iterator[dict[str, Any]]:
    for document in yaml.load_all(text, Loader=StrictLoader):
        if document is not None:
            yield document
