"""`python -m tools.controlplane.compat 1.34`: the tests with that release of Kubernetes.

It builds the release, which takes 12 minutes on 2 cores once, runs tests/chart and
tests/controlplane, 15 minutes, and writes what came out into docs/compatibility.md.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import os
import pathlib
import subprocess
import sys
import xml.etree.ElementTree
from collections.abc import Sequence
from typing import Final

from tools import chart_docs, environments, pages
from tools.controlplane import binaries, errors, golang, progress, recipes
from tools.controlplane.compat import modules, page

MAIN: Final = pathlib.Path(__file__).with_name("main.go")
COMMANDS: Final = ("kube-apiserver", "kube-controller-manager")
TESTS: Final = ("tests/chart", "tests/controlplane")
REPORT: Final = pathlib.Path(".run/compat/junit.xml")
COUNTS: Final = ("tests", "skipped", "failures", "errors")
SECONDS: Final = 600
"""To download a module."""


def main() -> int:
    """Exit status 1 and one line if it cannot be built."""
    parser = argparse.ArgumentParser(prog="compat", description=__doc__)
    parser.add_argument("version", help="1.34 (the newest patch release that is served) or 1.34.2")
    parser.add_argument("--build", action="store_true", help="print its folder, and run nothing")
    arguments = parser.parse_args()
    try:
        folder = ensure(arguments.version, report=progress.Progress(sys.stderr))
    except (errors.ControlPlaneError, modules.UnavailableError) as error:
        print(error, file=sys.stderr)
        return 1
    if arguments.build:
        print(folder)
        return 0
    return run(folder)


def run(folder: pathlib.Path) -> int:
    """Run the tests with the programs in a folder and record the result; pytest's exit status."""
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", f"--junit-xml={REPORT}", *TESTS],
        env={**os.environ, "KUBEBUILDER_ASSETS": str(folder)},
        check=False,
    )
    suite = xml.etree.ElementTree.parse(REPORT).getroot().find("testsuite")  # noqa: S314 - pytest's
    counts = {key: int(suite.get(key, 0)) if suite is not None else 0 for key in COUNTS}
    failed = counts["failures"] + counts["errors"]
    version = folder.name.removeprefix("kubernetes").partition("-")[0]
    page.record(
        page.Run(
            version=version,
            day=datetime.datetime.now(datetime.UTC).date().isoformat(),
            passed=counts["tests"] - counts["skipped"] - failed,
            # An expected failure is a skipped test in pytest's report; nothing else is skipped.
            differing=counts["skipped"],
            failed=failed,
        )
    )
    pages.write(page.FILE, page.text())
    pages.write(chart_docs.PAGE, chart_docs.text(), name="the chart's README.md")
    return tests.returncode


def ensure(wanted: str, *, report: progress.Progress) -> pathlib.Path:
    """The folder of the programs, built first if they are missing: 10 minutes on 2 cores.

    Raises BuildError or UnavailableError.
    """
    cache = binaries.cache_folder(os.environ)
    go = golang.find(environment=os.environ, cache=cache, report=report)
    found = modules.resolve(wanted, lambda arguments: _go(go, arguments))
    if found.version != wanted:
        report.say(f"Kubernetes {wanted}: {found.version} is built")
    for neighbour in found.neighbours:
        report.say(f"{neighbour} takes the place of its own release, which is not served")
    source = MAIN.read_text("utf-8")
    digest = hashlib.sha256((found.go_mod() + source).encode()).hexdigest()[:12]
    folder = cache / f"kubernetes{found.version}-{digest}"
    if not (folder / "kubernetes").exists():
        module = folder / "source"
        module.mkdir(parents=True, exist_ok=True)
        for name, text in (
            ("go.mod", found.go_mod()),
            ("go.sum", found.go_sum()),
            ("main.go", source),
        ):
            (module / name).write_text(text, "utf-8")
    environment = {**os.environ, "GOFLAGS": f"{os.environ.get('GOFLAGS', '')} -mod=mod".strip()}
    recipe = recipes.kubernetes(
        found.version, package=".", provides=COMMANDS, source=folder / "source"
    )
    binaries.build(
        folder,
        missing=lambda: () if (folder / recipe.name).exists() else (recipe,),
        environment=environment,
        report=report,
    )
    return folder


def _go(go: pathlib.Path, arguments: Sequence[str]) -> str:
    answer = subprocess.run(
        [str(go), *arguments],
        cwd="/",
        env={**os.environ, "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "GOWORK": "off"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if answer.returncode != 0 and not answer.stdout:
        raise errors.BuildError(
            name="Kubernetes",
            reason=environments.last_line(answer.stderr),
            remedy="check the network, or set GOPROXY to a proxy that can be reached",
        )
    return answer.stdout


if __name__ == "__main__":
    sys.exit(main())
