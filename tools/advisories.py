"""`python -m tools.advisories`: advisories about the packages that the operator runs with.

pip-audit (PyPA) reads the Python Packaging Advisory Database for the lock of the run time. It has a
lock and an environment of its own.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final

from tools import environments
from tools.controlplane import binaries

ROOT: Final = pathlib.Path(__file__).parents[1]
AUDITED: Final = ROOT / "requirements" / "run.txt"
LOCK: Final = ROOT / "requirements" / "advisories.txt"
CLEAN, FINDINGS, NOT_AUDITED = 0, 1, 2
_RETRY: Final = "check that pypi.org can be reached, then run `make advisories` again"


class AdvisoriesError(Exception):
    """The advisories cannot be read: one line with the remedy."""

    def __init__(self, *, what: str, reason: str) -> None:
        super().__init__(f"{what}: {reason}; {_RETRY}")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What pip-audit has found, and what it could not check."""

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
    except AdvisoriesError as error:
        print(error, file=sys.stderr)
        return NOT_AUDITED
    status = report.status()
    print("\n".join(report.lines()), file=sys.stdout if status == CLEAN else sys.stderr)
    return status


def read(answer: dict[str, Any]) -> Report:
    """The report in pip-audit's JSON."""
    packages = answer["dependencies"]
    return Report(
        audited=sum("skip_reason" not in package for package in packages),
        findings=[
            f"{package['name']} {package['version']}: {_summary(advisory)}"
            for package in packages
            for advisory in package.get("vulns", ())
        ],
        skipped=[package["skip_reason"] for package in packages if "skip_reason" in package],
    )


def _summary(advisory: dict[str, Any]) -> str:
    identifiers = ", ".join([advisory["id"], *advisory.get("aliases", ())])
    fixed = " or ".join(advisory["fix_versions"])
    remedy = f"fixed in {fixed}: `make lock`" if fixed else "not fixed yet"
    return f"{identifiers} ({remedy}): {advisory['description'].split('. ')[0]}"


def _answer(program: pathlib.Path) -> dict[str, Any]:
    """Without its `--strict`, which stops at the first problem and hides the findings before it."""
    answer = subprocess.run(
        [
            str(program), "-m", "pip_audit", "--requirement", str(AUDITED), "--disable-pip",
            "--progress-spinner=off", "--format=json", "--aliases=on", "--desc=on",
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if not answer.stdout.strip():
        raise AdvisoriesError(
            what="no advisory was read", reason=environments.last_line(answer.stderr)
        )
    report: dict[str, Any] = json.loads(answer.stdout)
    return report


def _program() -> pathlib.Path:
    """The interpreter that has pip-audit."""
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    folder = binaries.cache_folder(os.environ).with_name("advisories") / digest
    try:
        return environments.python(folder, lock=LOCK)
    except environments.InstallError as error:
        raise AdvisoriesError(what="pip-audit cannot be installed", reason=str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
