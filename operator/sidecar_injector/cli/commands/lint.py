"""`lint`: what is wrong with injections, before a cluster says it."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click

from sidecar_injector.cli import options
from sidecar_injector.cli.input import manifests
from sidecar_injector.cli.output import tables
from sidecar_injector.core.injections import model
from sidecar_injector.core.linting import validate

ERROR, WARNING, FINE = "error", "warning", "ok"
COLUMNS = ("INJECTION", "LEVEL", "FIELD", "MESSAGE")
STYLES = {ERROR: tables.BAD, WARNING: tables.NEUTRAL, FINE: tables.GOOD}
NOTHING = "-"


@dataclasses.dataclass(frozen=True, slots=True)
class LintFinding:
    """Something about an injection that its author should look at."""

    level: str
    field: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class Linted:
    """An injection and all that was found."""

    injection: model.Injection
    findings: Sequence[LintFinding]

    def has(self, level: str) -> bool:
        """Whether anything of this level was found."""
        return any(one.level == level for one in self.findings)


@click.command(epilog="Example: sidecar-injector lint -f injections.yaml --strict")
@options.files("SidecarInjections of either kind; other objects are passed over.")
@options.namespace()
@options.output()
@click.option("--strict", is_flag=True, help="Exit status 1 for warnings, too.")
def lint(*, files: tuple[str, ...], namespace: str, form: str, strict: bool) -> None:
    """Check SidecarInjections as the cluster would.

    An error is what `kubectl apply` would refuse. A warning is what works on some pods only, or
    not together with another injection of these files. Reads files only, never a cluster. Exit
    status 1 if there is an error.
    """
    options.check_stdin(*files)
    linted = check(manifests.read_injections(files, namespace=namespace))
    if form == options.TABLE:
        tables.table(
            COLUMNS, [row for one in linted for row in rows(one)],
            styles=STYLES, to=tables.console(),
        )  # fmt: skip
    else:
        tables.structured({"injections": [as_json(one) for one in linted]}, form=form)
    fatal = (ERROR, WARNING) if strict else (ERROR,)
    sys.exit(1 if any(one.has(level) for one in linted for level in fatal) else 0)


def check(injections: Sequence[model.Injection]) -> list[Linted]:
    """All injections, in the given order, each with what is wrong with it."""
    return [Linted(one, list(_findings(one, injections))) for one in injections]


def _findings(one: model.Injection, injections: Sequence[model.Injection]) -> Iterator[LintFinding]:
    found = validate.validate(one, others=injections)
    yield from (LintFinding(ERROR, field, sentence) for field, sentence in found.errors)
    yield from (LintFinding(WARNING, field, sentence) for field, sentence in found.warnings)


def rows(one: Linted) -> Iterator[tables.Row]:
    """A row for each finding; one that says so if there is none."""
    name = f"{one.injection.kind}/{one.injection.name}"
    if one.injection.namespace:
        name = f"{one.injection.namespace}/{name}"
    for found in one.findings:
        yield name, found.level, found.field, found.message
    if not one.findings:
        yield name, FINE, NOTHING, NOTHING


def as_json(one: Linted) -> dict[str, Any]:
    """For programs; its shape is stable. The namespace of the cluster kind is empty."""
    return {
        "kind": one.injection.kind,
        "namespace": one.injection.namespace or "",
        "name": one.injection.name,
        "valid": not one.has(ERROR),
        "findings": [dataclasses.asdict(found) for found in one.findings],
    }
