"""The comparators: each a server on a port of its own, kept on the servers' core."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Mapping
from typing import Final

import jsonpatch

from benchmarks import errors, machine
from sidecar_injector.pki import issue, keys
from tools.controlplane import (
    binaries,
    golang,
    guard,
    ports,
    processes,
    progress,
    waiting,
    webhook,
)

FOLDER: Final = pathlib.Path(__file__).parent / "comparators"
NOTHING: Final = "do-nothing asyncio"
KOPF: Final = "stock Kopf"
TUTORIAL: Final = "Go, the tutorial's way"
RUNTIME: Final = "Go, controller-runtime"
PROGRAMS: Final = ("go_tutorial", "go_runtime")
_DAY: Final = 86_400


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """One that answers AdmissionReviews."""

    name: str
    port: int
    process: processes.Process
    path: str = "/mutate"

    @property
    def url(self) -> str:
        return f"https://{ports.LOOPBACK}:{self.port}{self.path}"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Certificate:
    """Files in PEM: of the same kind and size as the product's own certificate."""

    certificate: pathlib.Path
    key: pathlib.Path
    authority: bytes


def certificate(folder: pathlib.Path) -> Certificate:
    """A new one for localhost."""
    now = datetime.datetime.now(datetime.UTC)
    authority = issue.ca(fresh=keys.generate(), generation=1, now=now, seconds=2 * _DAY)
    pair = issue.leaf(
        fresh=keys.generate(), issuer=authority, dns_names=["localhost"], now=now, seconds=_DAY
    )
    files = Certificate(
        certificate=folder / "bench.crt", key=folder / "bench.key", authority=authority.certificate
    )
    files.certificate.write_bytes(pair.certificate)
    files.key.touch(mode=0o600)
    files.key.write_bytes(pair.key)
    return files


class Comparators:
    """Starts them; they end with the guard."""

    def __init__(self, *, watcher: guard.Guard, folder: pathlib.Path) -> None:
        self._guard, self._folder = watcher, folder
        self.certificate = certificate(folder)

    def nothing(self, *, pinned: bool = True) -> Server:
        """The least that a Python server must do."""
        port = ports.free()
        command = (sys.executable, str(FOLDER / "nothing" / "server.py"), *self._arguments(port))
        return self._start(NOTHING, port, command, pinned=pinned)

    def go(self, name: str, program: pathlib.Path) -> Server:
        """One of those that `build` makes."""
        port = ports.free()
        return self._start(name, port, (str(program), *self._arguments(port)))

    def kopf(self, kubeconfig: pathlib.Path) -> Server:
        """Stock Kopf, which needs an API server to discover what a pod is."""
        port = ports.free()
        handler = FOLDER / "kopf_stock" / "handler.py"
        command = (sys.executable, "-m", "kopf", "run", "--standalone", "--all-namespaces")
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self._folder),
            "KUBECONFIG": str(kubeconfig),
            "BENCH_PORT": str(port),
            "BENCH_CERTIFICATE": str(self.certificate.certificate),
            "BENCH_KEY": str(self.certificate.key),
        }
        return self._start(KOPF, port, (*command, str(handler)), environment=environment)

    def _arguments(self, port: int) -> tuple[str, ...]:
        return str(port), str(self.certificate.certificate), str(self.certificate.key)

    def _start(
        self,
        name: str,
        port: int,
        command: tuple[str, ...],
        *,
        environment: Mapping[str, str] | None = None,
        pinned: bool = True,
    ) -> Server:
        process = processes.Process(
            name=name,
            command=(*(machine.on_core(machine.SERVER_CORE) if pinned else ()), *command),
            log=self._folder / f"{re.sub('[^A-Za-z]+', '-', name)}.log",
            guard=self._guard,
            environment=environment,
        )
        process.start()
        return Server(name=name, port=port, process=process)


def wait_serving(server: Server, review: bytes) -> None:
    """Until it answers as all of them must: by a patch that adds the sidecar and its volume.

    Raises WrongAnswerError if it answers something else, ProcessDiedError if it ends.
    """

    def answered() -> bool:
        server.process.require_running()
        with webhook.Connection(server.port) as connection:
            require_injected(server.name, review, connection.post(review, server.path))
        return True

    waiting.until(answered, what=f"{server.name} answers ({server.process.log})", seconds=60)


def require_injected(name: str, review: bytes, answer: webhook.Json) -> None:
    """Raise WrongAnswerError unless the answer's patch makes of the pod what is wanted."""
    response = answer.get("response") or {}
    if not response.get("allowed") or "patch" not in response:
        raise errors.WrongAnswerError(server=name, seen=answer, wanted="a patch")
    pod = json.loads(review)["request"]["object"]
    patched = jsonpatch.apply_patch(pod, json.loads(base64.b64decode(response["patch"])))
    added = tuple(
        [entry["name"] for entry in patched["spec"][field][len(pod["spec"][field]) :]]
        for field in ("containers", "volumes")
    )
    if added != (["sidecar-nginx"], ["nginx-conf"]):
        raise errors.WrongAnswerError(server=name, seen=added, wanted="the sidecar and its volume")


def build(report: progress.Progress) -> dict[str, pathlib.Path]:
    """The programs by name, built first where they are missing: 3 minutes from nothing.

    Raises BenchError if Go cannot build them, BuildError if there is no Go.
    """
    cache = binaries.cache_folder(os.environ)
    folder = cache.with_name("comparators") / _go_key()
    built = {name: folder / name for name in PROGRAMS}
    if all(path.exists() for path in built.values()):
        return built
    folder.mkdir(parents=True, exist_ok=True)
    go = golang.find(environment=os.environ, cache=cache, report=report)
    for name, path in built.items():
        report.begin(f"building the comparator {name}: 2 min from nothing, once only")
        _go_build(go, name=name, target=path)
        report.say(f"built {name} in {progress.minutes(report.elapsed)}")
    return built


def _go_build(go: pathlib.Path, *, name: str, target: pathlib.Path) -> None:
    partial = target.with_suffix(".partial")
    answer = subprocess.run(
        [go, "build", "-trimpath", "-ldflags", "-s -w", "-o", partial, f"./{name}"],
        cwd=FOLDER,
        env={**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"},
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode != 0:
        raise errors.BenchError(f"go build {name}: {answer.stderr.strip()}")
    partial.replace(target)


def _go_key() -> str:
    """The folder's name in the cache: a hash of all that shapes the programs."""
    digest = hashlib.sha256()
    for pattern in ("go.*", "*/*.go"):
        for source in sorted(FOLDER.glob(pattern)):
            digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:12]
