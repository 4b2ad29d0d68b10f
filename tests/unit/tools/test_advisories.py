"""What `make advisories` says about the answers of pip-audit, and its exit status."""

from __future__ import annotations

import json
import pathlib
import subprocess
from typing import Any

import pytest

from tools import advisories

FINE = {"name": "click", "version": "8.4.0", "vulns": []}
SKIPPED = {"name": "kopf", "skip_reason": "Dependency not found on PyPI: kopf (1.45)"}
VULNERABLE = {
    "name": "orjson",
    "version": "3.9.0",
    "vulns": [
        {
            "id": "PYSEC-2024-40",
            "aliases": ["CVE-2024-27454"],
            "fix_versions": ["3.9.15"],
            "description": "Recursion is not limited. More about it.",
        }
    ],
}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Exit status, stdout and stderr for what pip-audit printed."""

    def called(stdout: str, stderr: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(advisories, "_program", lambda: pathlib.Path("python"))
        monkeypatch.setattr(
            subprocess, "run",
            lambda command, **_: subprocess.CompletedProcess(command, 1, stdout, stderr),
        )  # fmt: skip
        status = advisories.main()
        return status, *capsys.readouterr()

    return called


def dependencies(*packages: dict[str, object]) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


def test_no_advisory_about_any_package_is_0(run: Any) -> None:
    assert run(dependencies(FINE, FINE)) == (
        0, "2 packages audited, no advisory is known about them\n", "",
    )  # fmt: skip


def test_an_advisory_is_1_and_one_line_with_its_remedy(run: Any) -> None:
    status, out, err = run(dependencies(FINE, VULNERABLE))

    assert (status, out) == (1, "")
    assert err == (
        "orjson 3.9.0: PYSEC-2024-40, CVE-2024-27454 (fixed in 3.9.15: `make lock`):"
        " Recursion is not limited\n"
    )


def test_a_package_that_could_not_be_audited_is_2_even_if_the_others_are_fine(run: Any) -> None:
    status, out, err = run(dependencies(FINE, SKIPPED))

    assert (status, out) == (2, "")
    assert err.startswith("1 of 2 packages could not be audited; the first: Dependency not found")
    assert "pypi.org" in err


def test_an_advisory_counts_although_another_package_could_not_be_audited(run: Any) -> None:
    status, _, err = run(dependencies(VULNERABLE, SKIPPED))

    assert status == 1
    assert [line.split()[0] for line in err.splitlines()] == ["orjson", "1"]


def test_an_empty_lock_is_no_clean_one(run: Any) -> None:
    assert run(dependencies())[0] == 2


def test_a_service_that_cannot_be_reached_is_2_and_one_line(run: Any) -> None:
    status, out, err = run("", "Traceback (most recent call last):\nConnectionError: refused\n")

    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "ConnectionError: refused" in err
    assert "Traceback" not in err
