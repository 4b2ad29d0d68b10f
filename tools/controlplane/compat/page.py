"""docs/compatibility.md: which releases of Kubernetes were tried, when, and what differs there."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import yaml

from sidecar_injector.core.pods import release_table
from sidecar_injector.core.validity import releases
from tools.controlplane.compat import differences

RUNS: Final = pathlib.Path(__file__).with_name("runs.yaml")
FILE: Final = pathlib.Path(__file__).parents[3] / "docs" / "compatibility.md"
HEAD: Final = """# Releases of Kubernetes

<!-- Written by `make compat VERSION=…`; edit tools/controlplane/compat. -->

The product is for Kubernetes {oldest} and newer. `helm install` refuses older clusters.

## What was run

`make compat VERSION=1.34` builds the API server and the controller manager of that release from
their Go modules. Then it runs all of `tests/chart` and `tests/controlplane` with them. A test that
fails because the release behaves in another way is expected to fail there. Each such behaviour is
in the table below. A test that is expected to fail and passes is a failure of the run.

| Kubernetes | tried on | passed | differ, as expected | unexpected |
| --- | --- | ---: | ---: | ---: |
"""
DIFFERENCES: Final = """
The newest release is run by `make test` with each change. The node of `make e2e` is of this
release, too. A patch release that the module proxy does not serve is replaced by its nearest
neighbour.

## What differs

| Kubernetes | there | what it means |
| --- | --- | --- |
"""
FIELDS: Final = """
## Fields that the API server drops

A template accepts these fields. An API server of the releases in the table drops them from pods,
with its default feature gates. The pod comes without the field. The commands `check` and
`lint --kubernetes-version 1.34` warn about them, and so does `kubectl apply` of an injection.
`python -m tools.fields.dropped` measures them.

| field | dropped by Kubernetes |
| --- | --- |
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """The result of all tests with one release."""

    version: str
    day: str
    passed: int
    differing: int
    failed: int


def runs() -> Sequence[Run]:
    """What was run, the oldest release first."""
    rows: Mapping[str, Any] = yaml.safe_load(RUNS.read_text("utf-8")) or {}
    recorded = [Run(version=version, **row) for version, row in rows.items()]
    return sorted(recorded, key=lambda run: tuple(map(int, run.version.split("."))))


def record(run: Run) -> None:
    """Add a run; it replaces that of another patch release."""
    minor = run.version.rpartition(".")[0]
    kept = [each for each in runs() if each.version.rpartition(".")[0] != minor]
    rows = {each.version: dataclasses.asdict(each) for each in (*kept, run)}
    for row in rows.values():
        del row["version"]
    RUNS.write_text(yaml.safe_dump(rows), "utf-8")


def text() -> str:
    """The page."""
    return "".join(_parts())


def tried() -> str:
    """The recorded runs in a line for other pages: each release with the day of its run."""
    return ", ".join(f"{run.version} ({run.day})" for run in runs())


def _parts() -> Iterator[str]:
    yield HEAD.format(oldest=f"1.{releases.OLDEST}")
    for run in runs():
        yield f"| {run.version} | {run.day} | {run.passed} | {run.differing} | {run.failed} |\n"
    yield DIFFERENCES
    for row in differences.table():
        yield f"| {_releases(row.minors)} | {row.what} | {row.effect} |\n"
    yield FIELDS
    for path, minors in release_table.DROPPED.items():
        yield f"| `{path}` | {_releases(minors)} |\n"


def _releases(minors: Sequence[int]) -> str:
    """All that are meant: `1.32`, `1.32 to 1.34`, `1.32, 1.34`."""
    if len(minors) > 1 and list(minors) == list(range(minors[0], minors[-1] + 1)):
        return f"1.{minors[0]} to 1.{minors[-1]}"
    return ", ".join(f"1.{minor}" for minor in minors)
