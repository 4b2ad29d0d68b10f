"""`lint`: what is wrong with injections, before a cluster refuses them."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click

from sidecar_injector.cli import options
from sidecar_injector.cli.commands import inject
from sidecar_injector.cli.input import manifests
from sidecar_injector.cli.output import tables
from sidecar_injector.core import near_misses
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.limits import namespace_limits
from sidecar_injector.core.linting import advice, validate
from sidecar_injector.core.pods import workloads
from sidecar_injector.core.validity import releases

ERROR, WARNING, FINE = "error", "warning", "ok"
NOTE = "note"
"""What is worth knowing and no reason to change anything."""
COLUMNS = ("INJECTION", "LEVEL", "FIELD", "MESSAGE")
STYLES = {ERROR: tables.BAD, WARNING: tables.NEUTRAL, NOTE: tables.NEUTRAL, FINE: tables.GOOD}
NOTHING = "-"
WEBHOOKS = ("admissionregistration.k8s.io", "MutatingWebhookConfiguration")
"""Group and kind of what says for which pods the webhook is called."""
NEWEST = f"1.{releases.NEWEST}"


@dataclasses.dataclass(frozen=True, slots=True)
class LintFinding:
    """Something about an injection that its author should look at."""

    level: str
    field: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class LintResult:
    """An injection and its findings."""

    injection: model.Injection
    findings: list[LintFinding]

    def has(self, level: str) -> bool:
        """Whether a finding has this level."""
        return any(finding.level == level for finding in self.findings)


def minor_of(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """The minor version in `1.34`, `v1.34.2` or what a cloud makes of it."""
    match = value and re.match(r"v?1\.(\d+)(\D|$)", value)
    if value and not match:
        raise click.BadParameter(f"{value!r} is not a version such as {NEWEST}")
    minor = int(match[1]) if match else None
    if minor is not None and minor < releases.OLDEST:
        raise click.BadParameter(f"1.{releases.OLDEST} is the oldest supported version")
    return minor


@click.command(epilog="Example: sidecar-injector lint -f injections.yaml --strict")
@options.files("SidecarInjections of either kind, and workloads and namespaces with our labels.")
@options.namespace()
@options.kind_paths()
@options.output()
@click.option("--strict", is_flag=True, help="Exit status 1 for warnings, too.")
@click.option(
    "--kubernetes-version",
    "version",
    metavar="VERSION",
    callback=minor_of,
    help=f"The release of the cluster, such as 1.{releases.OLDEST}.  [default: {NEWEST}]",
)
@click.option(
    "--pod-security",
    "level",
    type=click.Choice(validate.LEVELS),
    help="The level that the namespaces enforce.",
)
def lint(
    *,
    files: tuple[str, ...],
    namespace: str,
    form: str,
    strict: bool,
    version: int | None,
    level: str | None,
) -> None:
    """Check SidecarInjections as the cluster would.

    An error is what `kubectl apply` would refuse. A warning is what works on some pods only, in
    some namespaces only, or not together with another injection of these files; LimitRanges and
    ResourceQuotas of the files count for their namespaces. Of pods, workloads and namespaces, a
    warning names labels and annotations that are nearly ours. A note is about an injection with
    engine Policy that is left to the webhook all the same. Reads files only, never a cluster.
    Exit status 1 if there is an error.
    """
    options.check_stdin(*files)
    notes: list[str] = []
    injections, others = read(files, namespace=namespace, notes=notes)
    injector = inject.offline(injections, namespace=namespace, namespace_labels={})
    injector.learn(others)
    limited = [injector.view_of(name) for name in injector.limits]
    results = check(injections, minor=version, level=level, limited=limited)
    for result, left in _left_to_webhook(results, minor=version):
        result.findings.append(LintFinding(NOTE, *left))
    mistakes = [
        (item.place, each) for item in others for each in near_misses.of_manifest(item.manifest)
    ]
    if form == options.TABLE:
        lines = [row for result in results for row in rows(result)]
        lines += ((place, WARNING, each.subject, each.message) for place, each in mistakes)
        if lines:
            tables.table(COLUMNS, lines, styles=STYLES, to=tables.console())
        if not any(result.findings for result in results) and not mistakes:
            count = len(injections) + len(others)
            click.echo(f"no problems in {count} object{'' if count == 1 else 's'}", err=True)
    else:
        shape: dict[str, Any] = {"injections": [as_json(result) for result in results]}
        if mistakes:
            shape["workloads"] = [
                {"place": place, "reason": each.reason.value, "message": each.message}
                for place, each in mistakes
            ]
        tables.structured(shape, form=form)
    tables.notes([*notes, *injector.notes])
    fatal = (ERROR, WARNING) if strict else (ERROR,)
    has_fatal = any(result.has(level) for result in results for level in fatal)
    sys.exit(1 if has_fatal or (strict and mistakes) else 0)


def read(
    files: Sequence[str], *, namespace: str, notes: list[str]
) -> tuple[list[model.Injection], list[manifests.Document]]:
    """The injections of files, and what else a label or an annotation of ours may be on.

    Raises UnreadableInput for a file, or a folder, without either.
    """
    injections: list[manifests.Document] = []
    others: list[manifests.Document] = []
    for location, paths in manifests.by_location(files):
        items = list(manifests.every_item(manifests.read_files(paths, notes)))
        found = list(manifests.of_our_group(items)), list(filter(_may_be_ours, items))
        if not any(found):
            raise manifests.without_injection(location)
        injections += found[0]
        others += found[1]
    return manifests.injections(injections, namespace=namespace), others


def _may_be_ours(item: manifests.Document) -> bool:
    group, kind = workloads.kind_of(item.manifest)
    of_namespace = not group and kind in ("Namespace", *namespace_limits.KINDS)
    is_webhook = (group, kind) == WEBHOOKS
    return of_namespace or is_webhook or bool(workloads.pod_paths(item.manifest))


def check(
    injections: Sequence[model.Injection],
    *,
    minor: int | None = None,
    level: str | None = None,
    limited: Sequence[namespace_view.NamespaceView] = (),
) -> list[LintResult]:
    """All injections, in this order, each with its findings in that release and at that level.

    `limited` are the namespaces of which LimitRanges or ResourceQuotas are among the files.
    """
    results = []
    enforcing = {level: "the namespace"} if level else {}
    for injection in injections:
        checked = validate.validate(injection, others=injections, enforcing=enforcing, minor=minor)
        findings = [
            LintFinding(level, problem.path, problem.sentence)
            for level, problems in (
                (ERROR, checked.errors),
                (WARNING, (*checked.warnings, *advice.warnings(injection, limited))),
            )
            for problem in problems
        ]
        results.append(LintResult(injection, findings))
    return results


def _left_to_webhook(
    results: Sequence[LintResult], *, minor: int | None
) -> Iterator[tuple[LintResult, tuple[str, str]]]:
    """Field and reason of each injection that asks for a policy and cannot be compiled."""
    valid = [result for result in results if not result.has(ERROR)]
    asking = [each for each in valid if each.injection.is_compiled]
    if not asking:
        return
    # The compiler is for them alone.
    from sidecar_injector.core.policies import chain  # noqa: PLC0415

    if minor is not None and minor < chain.OLDEST_MINOR:
        why = f"Kubernetes 1.{minor} does not serve such policies, so the webhook does it"
        yield from ((result, ("spec.engine", why)) for result in asking)
        return
    policy = chain.compile_chain(
        [each.injection for each in asking],
        chain.Place(minor=minor),
        others=[each.injection for each in valid if each not in asking],
    )
    by_identity = {each.injection.identity: each for each in asking}
    for left in policy.left:
        why = f"{left.why}, so the webhook does it"
        yield by_identity[left.injection.identity], (left.path, why)


def rows(result: LintResult) -> Iterator[tables.Row]:
    """A row for each finding; without findings a row that says so."""
    injection = result.injection
    name = f"{injection.kind}/{injection.name}"
    if injection.namespace:
        name = f"{injection.namespace}/{name}"
    for finding in result.findings:
        yield name, finding.level, finding.field, finding.message
    if not result.findings:
        yield name, FINE, NOTHING, NOTHING


def as_json(result: LintResult) -> dict[str, Any]:
    """For programs; its shape is stable. The namespace of the cluster kind is empty."""
    return {
        "kind": result.injection.kind,
        "namespace": result.injection.namespace or "",
        "name": result.injection.name,
        "valid": not result.has(ERROR),
        "findings": [dataclasses.asdict(finding) for finding in result.findings],
    }
