"""Windows of load: nothing else, audits one after the other, or somebody else who lists the same.

The last of them tells what of the price is the API server's work, on a machine that it shares with
whoever loads them, and what is the replica's own.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import http.client
import itertools
import json
import multiprocessing
import socket
import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Event
from typing import Final

from benchmarks import audit_scene
from sidecar_injector import names
from sidecar_injector.controllers.audit import count
from tools.controlplane import client, ports, waiting

AGAIN_SECONDS: Final = 0.5
"""Between two requests for an audit: more often than one is done."""
LATE_BOUND: Final = "0.02"
"""Seconds; nothing may hold the event loop for longer."""
_LAG: Final = "sidecar_injector_loop_lag_seconds"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One admission: when it was answered (seconds since 1970), and after how long."""

    at: float
    milliseconds: float


@dataclasses.dataclass(slots=True, kw_only=True)
class Kind:
    """What went on in all windows of one kind."""

    name: str
    answers: list[Answer] = dataclasses.field(default_factory=list)
    looks: float = 0.0
    """How often the event loop was looked at."""
    late: float = 0.0
    collections: float = 0.0
    """Of the oldest generation: the collector looks at every object that there is."""

    def add(self, before: audit_scene.Samples, after: audit_scene.Samples) -> None:
        """What a window has added to the replica's metrics."""

        def gained(name: str, labels: str) -> float:
            return after[name, labels] - before[name, labels]

        looks = gained(f"{_LAG}_count", "{}")
        self.looks += looks
        self.late += looks - gained(f"{_LAG}_bucket", str({"le": LATE_BOUND}))
        self.collections += gained("python_gc_collections_total", str({"generation": "2"}))


def take(scene: audit_scene.Scene, kind: Kind, *, seconds: float, rate: float) -> None:
    """One window: admissions one after the other, at the rate."""
    before = scene.samples()
    context = ssl.create_default_context(cadata=scene.authorities)
    plain = socket.create_connection((ports.LOOPBACK, scene.replica.backend.port))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    name = f"{names.PRODUCT}.{names.PRODUCT}.svc"
    connection = http.client.HTTPConnection(name)
    connection.sock = context.wrap_socket(plain, server_hostname=name)
    end = time.perf_counter() + seconds
    for number in itertools.count():
        body = json.dumps(_review(number))
        began = time.perf_counter()
        if began >= end:
            break
        connection.request("POST", names.MUTATE_PATH, body)
        connection.getresponse().read()
        spent = time.perf_counter() - began
        kind.answers.append(Answer(at=time.time(), milliseconds=spent * 1000))
        time.sleep(max(1 / rate - spent, 0))
    connection.close()
    kind.add(before, scene.samples())


def _review(number: int) -> audit_scene.Json:
    asked = {
        "uid": f"6e9d9bd4-0000-4000-8000-{number:012}",
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": "load-0",
        "operation": "CREATE",
        "object": audit_scene.pod(f"new-{number}"),
        "dryRun": True,
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": asked}


@contextlib.contextmanager
def auditing(scene: audit_scene.Scene) -> Iterator[None]:
    """From the begin of an audit, and back to back meanwhile: they rest in between, for as long as
    the last one tells them to."""
    over, before = threading.Event(), scene.lists()

    def ask() -> None:
        for priority in itertools.cycle(range(10, 1000)):
            scene.ask_for_audit(priority)
            if over.wait(AGAIN_SECONDS):
                return

    with concurrent.futures.ThreadPoolExecutor(1) as asker:
        asking = asker.submit(ask)
        try:
            waiting.until(lambda: scene.lists() > before, what="an audit", seconds=120, pause=0.1)
            yield
        finally:
            over.set()
            asking.result()
    waiting.until(lambda: _is_idle(scene), what="no audit is running", seconds=60, pause=0.2)


def _is_idle(scene: audit_scene.Scene) -> bool:
    """No more lists of pods within a second."""
    before = scene.lists()
    time.sleep(1)
    return scene.lists() == before


@contextlib.contextmanager
def listing(scene: audit_scene.Scene, *, page_seconds: float) -> Iterator[None]:
    """A process that lists the same pages meanwhile, one in so many seconds."""
    # A process that is forked beside threads may hang.
    spawning = multiprocessing.get_context("spawn")
    over = spawning.Event()
    lister = spawning.Process(target=_list_pods, args=(scene.plane.client, page_seconds, over))
    lister.start()
    try:
        yield
    finally:
        over.set()
        lister.join()


def _list_pods(asked: client.Client, page_seconds: float, over: Event) -> None:
    context = ssl.create_default_context(cafile=str(asked.certificate_authority))
    host = asked.server.removeprefix("https://")
    connection = http.client.HTTPSConnection(host, timeout=60, context=context)
    accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    headers = {"Authorization": f"Bearer {asked.token}", "Accept": accept}
    selector = f"{count.ALIVE},{count.NETWORKS[False]}"
    following = ""
    while not over.is_set():
        began = time.perf_counter()
        query = {"limit": count.PAGE, "fieldSelector": selector, "continue": following}
        connection.request("GET", f"/api/v1/pods?{urllib.parse.urlencode(query)}", headers=headers)
        answer = json.loads(connection.getresponse().read())
        following = answer["metadata"].get("continue", "")
        over.wait(max(page_seconds - (time.perf_counter() - began), 0))


Meanwhile = Callable[[], contextlib.AbstractContextManager[None]]
