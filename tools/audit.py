"""`python -m tools.audit`: is an advisory known about any package that the operator runs with?

pip-audit (PyPA) asks the Python Packaging Advisory Database about the lock of the run time. It runs
from a lock and an environment of its own: its dependencies are not ours.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final

from tools.controlplane import binaries

ROOT: Final = pathlib.Path(__file__).parents[1]
AUDITED: Final = ROOT / "requirements" / "run.txt"
LOCK: Final = ROOT / "requirements" / "audit.txt"
CLEAN, FINDINGS, NOT_AUDITED = 0, 1, 2
_RETRY: Final = "check that pypi.org can be reached, then run `make audit` again"


class AuditError(Exception):
    """Nothing could be asked: one line with the remedy."""

    def __init__(self, *, what: str, reason: str) -> None:
        self.what, self.reason = what, reason
        super().__init__(f"{what}: {reason}; {_RETRY}")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What pip-audit found out, and what it could not."""

    audited: int
    findings: Sequence[str]
    """A line for each advisory."""
    skipped: Sequence[str]
    """Why a package was not audited, a line each."""

    def status(self) -> int:
        """Of the process. Findings count even where not all could be audited."""
        if self.findings:
            return FINDINGS
        return NOT_AUDITED if self.skipped or not self.audited else CLEAN

    def lines(self) -> Iterator[str]:
        """For people."""
        yield from self.findings
        if self.skipped:
            total = self.audited + len(self.skipped)
            yield (
                f"{len(self.skipped)} of {total} packages could not be audited;"
                f" the first: {self.skipped[0]}; {_RETRY}"
            )
        elif not self.audited:
            yield f"nothing was audited: {AUDITED.name} names no package"
        elif not self.findings:
            yield f"{self.audited} packages audited, no advisory is known about them"


def main() -> int:
    """0 if nothing is known, 1 for advisories, 2 where not everything could be audited."""
    try:
        report = read(_answer(_program()))
    except AuditError as error:
        print(error, file=sys.stderr)
        return NOT_AUDITED
    status = report.status()
    print("\n".join(report.lines()), file=sys.stdout if status == CLEAN else sys.stderr)
    return status


def read(answer: dict[str, Any]) -> Report:
    """The report in pip-audit's JSON."""
    packages = answer["dependencies"]
    return Report(
        audited=sum("skip_reason" not in one for one in packages),
        findings=[
            f"{one['name']} {one['version']}: {_told(advisory)}"
            for one in packages
            for advisory in one.get("vulns", ())
        ],
        skipped=[one["skip_reason"] for one in packages if "skip_reason" in one],
    )


def _told(advisory: dict[str, Any]) -> str:
    known_as = ", ".join([advisory["id"], *advisory.get("aliases", ())])
    fixed = " or ".join(advisory["fix_versions"])
    remedy = f"fixed in {fixed}: `make lock`" if fixed else "not fixed yet"
    return f"{known_as} ({remedy}): {advisory['description'].split('. ')[0]}"


def _answer(program: pathlib.Path) -> dict[str, Any]:
    """Not its own `--strict`, which stops at the first package and hides what it found before."""
    answer = subprocess.run(
        [
            str(program), "-m", "pip_audit", "--requirement", str(AUDITED), "--disable-pip",
            "--progress-spinner=off", "--format=json", "--aliases=on", "--desc=on",
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if not answer.stdout.strip():
        raise AuditError(what="no advisory was read", reason=_last_line(answer.stderr))
    report: dict[str, Any] = json.loads(answer.stdout)
    return report


def _program() -> pathlib.Path:
    """The interpreter that has pip-audit, made first where it is missing."""
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    folder = binaries.cache_folder(os.environ).with_name("audit") / digest
    python = folder / "bin" / "python"
    if python.exists():
        return python
    print(f"installing pip-audit into the cache: {folder}", file=sys.stderr)
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    # A moved environment's scripts would not start; its interpreter does, and nothing else is used.
    install = ["-m", "pip", "install", "--quiet", "--require-hashes", "--requirement", str(LOCK)]
    for command in (
        [sys.executable, "-m", "venv", str(partial)],
        [str(partial / "bin" / "python"), *install],
    ):
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode != 0:
            raise AuditError(what="pip-audit cannot be installed", reason=_last_line(answer.stderr))
    partial.rename(folder)
    return python


def _last_line(stderr: str) -> str:
    return (stderr.strip().splitlines() or ["no reason given"])[-1]


if __name__ == "__main__":
    sys.exit(main())
