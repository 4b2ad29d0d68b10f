"""Programs of others that Go builds from their modules, once, for every checkout of the user.

`python -m tools.goprograms` builds those of the tests beforehand. It takes five minutes on 2 cores,
and a test has two.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Final

from tools import environments
from tools.controlplane import binaries, errors, golang, locks, progress, recipes

KUSTOMIZE: Final = "sigs.k8s.io/kustomize/kustomize/v5@v5.8.1"
ACTIONLINT: Final = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"
REGISTRY: Final = "github.com/distribution/distribution/v3/cmd/registry@v3.1.2"
VALIDATE_KREW: Final = "sigs.k8s.io/krew/cmd/validate-krew-manifest@v0.4.3"


def main() -> int:
    """1, and one line, if a program cannot be built."""
    try:
        ensure("kustomize", KUSTOMIZE)
        ensure("actionlint", ACTIONLINT)
        ensure("registry", REGISTRY, minutes=3)
        ensure("validate-krew-manifest", VALIDATE_KREW)
    except errors.BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def helm() -> pathlib.Path:
    """The Helm of the tests: the control plane's, if that was built. Raises BuildError."""
    built = _cache() / recipes.key() / "helm"
    return built if built.exists() else ensure("helm", recipes.HELM, minutes=3)


def ensure(program: str, package: str, *, minutes: int = 1, flags: str = "-s -w") -> pathlib.Path:
    """The path of a program, built first where it is not cached. Raises BuildError.

    `package` is that of its command, PACKAGE@VERSION, and `flags` are the linker's. The version is
    in the folder's name, so the file keeps the program's name: the folder can be on a PATH.
    A second run at the same time waits for the first.
    """
    version = package.rpartition("@")[2]
    folder = _cache().with_name("goprograms") / f"{program}-{version}"
    path = folder / program
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    report = progress.Progress(sys.stderr)
    with locks.building(folder.with_name(f"{folder.name}.lock"), report=report):
        if path.exists():
            return path
        report.begin(f"building {program} {version}: about {minutes} min on 2 cores; once only")
        with tempfile.TemporaryDirectory(dir=folder) as target:
            run(program, str(go()), "install", "-trimpath", "-ldflags", flags, package,
                variables={"GOBIN": target})  # fmt: skip
            # Only a complete program gets its name, so an interrupted build is never used.
            (pathlib.Path(target) / program).replace(path)
        report.say(f"built {program} {version} in {progress.minutes(report.elapsed)}")
    return path


def go() -> pathlib.Path:
    """Go from the PATH or from the cache. Raises BuildError."""
    return golang.find(environment=os.environ, cache=_cache(), report=progress.Progress(sys.stderr))


def run(
    name: str, *command: str, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command of Go for the program `name`. Raises BuildError."""
    # Prometheus' go.work names folders that are not in the published module.
    fixed = {"CGO_ENABLED": "0", "GOWORK": "off", "GOTOOLCHAIN": "local"}
    environment = {**os.environ, **fixed, **(variables or {})}
    answer = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, cwd="/"
    )
    if answer.returncode != 0:
        reason = environments.last_line(answer.stderr or answer.stdout)
        raise errors.BuildError(name=name, reason=reason, remedy="check the network")
    return answer


def _cache() -> pathlib.Path:
    return binaries.cache_folder(os.environ)


if __name__ == "__main__":
    sys.exit(main())
