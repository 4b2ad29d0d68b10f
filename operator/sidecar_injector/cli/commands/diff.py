"""`diff`: pods before and after."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import click
import jsonpatch
import jsonpointer

from sidecar_injector.cli import options
from sidecar_injector.cli.cluster import client, subjects
from sidecar_injector.cli.commands import inject
from sidecar_injector.cli.input import yaml_documents
from sidecar_injector.cli.output import differences, report, tables


class WrongPatchError(click.ClickException):
    """The patch that the webhook would send does not make the pod that it decided on."""

    exit_code = 1


@click.command(epilog="Example: sidecar-injector diff deploy/web -n demo")
@options.subjects()
@client.address()
def diff(**arguments: Any) -> None:
    """Print what the webhook would change in pods, as a unified diff.

    KIND/NAME asks a cluster: what would change in the object's pods if they were created now. With
    -f and -i only files are read; with -f alone, the injections and namespaces of the cluster
    count. Coloured on a terminal unless NO_COLOR is set. Reasons go to stderr. Exit status 1 only
    if an injection that applies could not be done, not because there is a difference; 2 where a
    named object does not exist. A file of another namespace than -n is refused.

    The patch that the webhook would send is applied by an independent library first, which must
    come to the same pod.

    Example: sidecar-injector diff -f deployment.yaml -i injection.yaml
    """
    chosen = subjects.read(subjects.SubjectOptions(**arguments))
    decided = [subject for subject, _ in chosen.subjects]
    for subject in decided:
        check(subject)
    console = tables.console()
    for subject in decided:
        differences.write(difference(subject), to=console)
    for subject in decided:
        is_changed = bool(subject.entry.decision.operations)
        for line in report.lines([subject.entry], findings_only=is_changed):
            click.echo(line, err=True)
    tables.notes(chosen.notes)
    chosen.exit()


def check(subject: inject.Subject) -> None:
    """Raises WrongPatchError unless the recorded patch, applied strictly, gives the pod."""
    decision = subject.entry.decision
    try:
        pod = copy.deepcopy(dict(subject.request.pod))
        patched = jsonpatch.apply_patch(pod, list(decision.operations))
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as error:
        raise _wrong_patch(subject, f"cannot be applied: {error}") from error
    if _canonical(patched) != _canonical(decision.pod):
        raise _wrong_patch(subject, "makes another pod than was decided on")


def difference(subject: inject.Subject) -> Iterator[str]:
    """The unified diff of the pods' YAML, line by line; nothing where they are the same."""
    before, after = (
        yaml_documents.dump_all([dict(pod)])
        for pod in (subject.request.pod, subject.entry.decision.pod)
    )
    place = subject.entry.place
    return differences.unified(before, after, place, f"{place} (injected)")


def _wrong_patch(subject: inject.Subject, problem: str) -> WrongPatchError:
    return WrongPatchError(
        f"{subject.entry.place}: the patch of the webhook {problem}. This is a bug of"
        " sidecar-injector: please report it, with the pod and the injections"
    )


def _canonical(pod: Any) -> str:
    """A text that differs where JSON does: in Python 1, 1.0 and True are equal."""
    return json.dumps(pod, sort_keys=True)
