"""Builds the control plane's programs once and caches them for every checkout of the user."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from tools.controlplane import errors, golang, guard, locks, processes, progress, recipes

COMMANDS: Final = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl", "helm")
"""What a control plane needs; other commands come with the Kubernetes binary."""
MINIMUM_BYTES: Final = 1024**3
"""Free space for the binaries and what the linker writes. Go's own caches (5 GiB from nothing) may
be elsewhere, or full already; `_failure` recognises a full disk there."""
_POLL_SECONDS: Final = 0.5
_PARTIAL: Final = ".partial"
_NO_SPACE: Final = re.compile(r"no space left on device", re.IGNORECASE)
_NO_NETWORK: Final = re.compile(r"dial tcp|no such host|i/o timeout|proxyconnect|TLS handshake")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Binaries:
    """Where the programs are."""

    etcd: pathlib.Path
    apiserver: pathlib.Path
    controller_manager: pathlib.Path | None
    """None only if `given` has not found it."""
    kubectl: pathlib.Path
    helm: pathlib.Path


def ensure(
    *, environment: Mapping[str, str] = os.environ, report: progress.Progress | None = None
) -> Binaries:
    """The programs, built first where they are missing: 15 minutes from nothing on 2 cores.

    Programs in the folder KUBEBUILDER_ASSETS are used from there. A second run at the same time
    waits for the first; an interrupted run leaves what it has finished. Raises BuildError.
    """
    report = report or progress.Progress(sys.stderr)
    folder, assets = _folder(environment), _assets(environment)
    build(folder, missing=lambda: _missing(folder, assets), environment=environment, report=report)
    return _binaries(folder, assets)


def build(
    folder: pathlib.Path,
    *,
    missing: Callable[[], Sequence[recipes.Recipe]],
    environment: Mapping[str, str],
    report: progress.Progress,
) -> None:
    """Build what is missing; `missing` is called again when no other run builds there."""
    if missing():
        folder.mkdir(parents=True, exist_ok=True)
        with locks.building(folder.with_name(f"{folder.name}.lock"), report=report):
            for recipe in missing():
                _build(recipe, folder=folder, environment=environment, report=report)


def cached(environment: Mapping[str, str] = os.environ) -> Binaries:
    """The same without a build of a quarter of an hour: raises BuildError if one is missing."""
    folder, assets = _folder(environment), _assets(environment)
    require(_missing(folder, assets), folder=folder, target="controlplane")
    return _binaries(folder, assets)


def given(environment: Mapping[str, str] = os.environ) -> Binaries:
    """What KUBEBUILDER_ASSETS holds, without a build. Raises MissingError.

    The API server has to be there. The controller manager fits no other release, so it is from
    there or None. The rest may be from elsewhere, as `command` finds it.
    """
    assets, server = _assets(environment), "kube-apiserver"
    if server not in assets:
        raise errors.MissingError(
            name=server,
            reason=f"it is not in KUBEBUILDER_ASSETS={environment['KUBEBUILDER_ASSETS']}",
            remedy="name the folder that `setup-envtest use -p path` prints, or unset the variable"
            " to have all programs built",
        )
    return Binaries(
        etcd=assets.get("etcd") or command("etcd", environment),
        apiserver=assets[server],
        controller_manager=assets.get("kube-controller-manager"),
        kubectl=assets.get("kubectl") or command("kubectl", environment),
        helm=assets.get("helm") or command("helm", environment),
    )


def command(name: str, environment: Mapping[str, str] = os.environ) -> pathlib.Path:
    """kubectl or helm: the user's own, or else the one that was built. Raises MissingError."""
    own = shutil.which(name, path=environment.get("PATH", ""))
    path = pathlib.Path(own) if own else _folder(environment) / name
    if not path.exists():
        raise errors.MissingError(
            name=name,
            reason="it is not on the PATH, and was not built before",
            remedy="install it, or run `make controlplane` first",
        )
    return path


def require(missing: Sequence[recipes.Recipe], *, folder: pathlib.Path, target: str) -> None:
    """Raise BuildError for the first one that is missing; `target` of make builds it."""
    for recipe in missing:
        raise errors.BuildError(
            name=recipe.name,
            reason=f"{folder / recipe.name} does not exist yet",
            remedy=f"run `make {target}` first",
        )


def cache_folder(environment: Mapping[str, str]) -> pathlib.Path:
    """The user's cache, shared by all checkouts."""
    base = environment.get("XDG_CACHE_HOME") or pathlib.Path("~/.cache").expanduser()
    return pathlib.Path(base) / "sidecar-injector" / "controlplane"


def _folder(environment: Mapping[str, str]) -> pathlib.Path:
    return cache_folder(environment) / recipes.key()


def _assets(environment: Mapping[str, str]) -> dict[str, pathlib.Path]:
    folder = environment.get("KUBEBUILDER_ASSETS")
    candidates = {command: pathlib.Path(folder, command) for command in COMMANDS} if folder else {}
    return {name: path for name, path in candidates.items() if os.access(path, os.X_OK)}


def _missing(folder: pathlib.Path, assets: Mapping[str, pathlib.Path]) -> list[recipes.Recipe]:
    """What has to be built so that every command is there."""
    unavailable = {
        command for command in COMMANDS if command not in assets and not (folder / command).exists()
    }
    return [recipe for recipe in recipes.all_recipes() if unavailable.intersection(recipe.provides)]


def _binaries(folder: pathlib.Path, assets: Mapping[str, pathlib.Path]) -> Binaries:
    paths = {command: assets.get(command, folder / command) for command in COMMANDS}
    return Binaries(
        etcd=paths["etcd"],
        apiserver=paths["kube-apiserver"],
        controller_manager=paths["kube-controller-manager"],
        kubectl=paths["kubectl"],
        helm=paths["helm"],
    )


def _build(
    recipe: recipes.Recipe,
    *,
    folder: pathlib.Path,
    environment: Mapping[str, str],
    report: progress.Progress,
) -> None:
    _require_space(recipe, folder)
    go = golang.find(environment=environment, cache=folder.parent, report=report)
    partial = folder / _PARTIAL
    partial.mkdir(exist_ok=True)
    report.begin(
        f"building {recipe.name} {recipe.version} with {go}: about {recipe.minutes} min on 2 cores"
        " from nothing, less with what Go has cached; once only"
    )
    with contextlib.closing(guard.Guard()) as watcher:
        compiler = processes.Process(
            name=f"go {recipe.verb} {recipe.package}",
            command=(str(go), *recipe.arguments(partial / recipe.name)),
            log=partial / f"{recipe.name}.log",
            guard=watcher,
            environment=_go_environment(environment, go=go, output=partial),
            folder=recipe.source,
        )
        compiler.log.unlink(missing_ok=True)
        compiler.start()
        _follow(compiler, recipe=recipe, report=report)
    # Only a complete program gets its name, so an interrupted build is never used.
    (partial / recipe.name).replace(folder / recipe.name)
    for command in recipe.provides:
        if command != recipe.name and not (folder / command).is_symlink():
            (folder / command).symlink_to(recipe.name)
    report.say(f"built {recipe.name} {recipe.version} in {progress.minutes(report.elapsed)}")


def _go_environment(
    environment: Mapping[str, str], *, go: pathlib.Path, output: pathlib.Path
) -> dict[str, str]:
    """The user's environment, without what changes the result or needs more than Go."""
    return {
        **environment,
        "PATH": f"{go.parent}{os.pathsep}{environment.get('PATH', '')}",
        "CGO_ENABLED": "0",
        "GOBIN": str(output),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }


def _follow(
    compiler: processes.Process, *, recipe: recipes.Recipe, report: progress.Progress
) -> None:
    while (status := compiler.wait(seconds=_POLL_SECONDS)) is None:
        # `-v` prints a line for each package that is compiled or module that is downloaded.
        lines = compiler.log.read_text("utf-8", errors="replace").splitlines()
        latest = lines[-1] if lines else "reading what is cached"
        report.tick(f"{recipe.name}: {len(lines)} packages so far, now {latest}")
    if status != 0:
        raise _failure(recipe, compiler)


def _failure(recipe: recipes.Recipe, compiler: processes.Process) -> errors.BuildError:
    """What Go's output means, by its text: every failure is exit status 1."""
    tail = compiler.tail()
    for pattern, remedy in (
        (_NO_SPACE, "free some gigabytes, or set XDG_CACHE_HOME and GOCACHE to a larger disk"),
        (_NO_NETWORK, "check the network, or set GOPROXY to a proxy that can be reached"),
    ):
        lines = [line for line in tail.splitlines() if pattern.search(line)]
        if lines:
            return errors.BuildError(name=recipe.name, reason=lines[0].strip(), remedy=remedy)
    last = tail.splitlines()[-1] if tail else "no output"
    return errors.BuildError(
        name=recipe.name, reason=last, remedy=f"all of it is in {compiler.log}"
    )


def _require_space(recipe: recipes.Recipe, folder: pathlib.Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < MINIMUM_BYTES:
        raise errors.BuildError(
            name=recipe.name,
            reason=f"{free // 1024**2} MiB are free on the disk of {folder}",
            remedy=f"it takes {MINIMUM_BYTES // 1024**2} MiB: free some,"
            " or set XDG_CACHE_HOME to a larger disk",
        )
