"""`python -m tools.controlplane.compat 1.34` builds that version and prints its folder."""

from __future__ import annotations

import argparse
import hashlib
import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from tools.controlplane import binaries, errors, golang, progress, recipes
from tools.controlplane.compat import modules

MAIN: Final = pathlib.Path(__file__).with_name("main.go")
COMMANDS: Final = ("kube-apiserver", "kube-controller-manager")
SECONDS: Final = 600
"""To download a module."""


def main() -> int:
    """Exit status 1 and one line if it cannot be built."""
    parser = argparse.ArgumentParser(prog="compat", description=__doc__)
    parser.add_argument("version", help="1.34 (the newest patch release that is served) or 1.34.2")
    wanted = parser.parse_args().version
    try:
        folder = ensure(wanted, report=progress.Progress(sys.stderr))
    except (errors.ControlPlaneError, modules.UnavailableError) as error:
        print(error, file=sys.stderr)
        return 1
    print(folder)
    return 0


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
            reason=answer.stderr.strip().splitlines()[-1],
            remedy="check the network, or set GOPROXY to a proxy that can be reached",
        )
    return answer.stdout


if __name__ == "__main__":
    sys.exit(main())
