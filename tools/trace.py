"""`python -m tools.trace`: the files that a pod crosses on its way through the webhook.

It takes the README's injection and a pod of its Deployment from the bytes of a request to those of
the response, without a network: once as the first pod of its template, and once as a pod that the
response cache knows. It prints how many files and functions are called, how often a call goes to
another file than the call before, and the files in the order of their first call.
"""

from __future__ import annotations

import asyncio
import collections
import copy
import dataclasses
import itertools
import logging
import pathlib
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any, Final

import orjson
import yaml

import sidecar_injector
from sidecar_injector import names
from sidecar_injector.controllers import pod_events
from sidecar_injector.httpserver import connection, messages, pool
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.webhook import cluster_state, decision_log, mutate

PACKAGE: Final = pathlib.Path(sidecar_injector.__file__).parent
DEMO: Final = pathlib.Path(__file__).parent / "demo"
NAMESPACE: Final = "demo"


@dataclasses.dataclass(frozen=True, slots=True)
class Trace:
    """The calls of named functions of the package, in their order, as (file, function)."""

    calls: tuple[tuple[str, str], ...]

    @property
    def files(self) -> dict[str, int]:
        """How many calls go to each file, in the order of the first call."""
        return dict(collections.Counter(file for file, _ in self.calls))

    @property
    def changes(self) -> int:
        """How often a call goes to another file than the call before."""
        files = [file for file, _ in self.calls]
        return sum(file != before for before, file in itertools.pairwise(files))

    def summary(self) -> str:
        """The figures in one line."""
        return (
            f"{len(self.files)} files, {self.changes} changes of file,"
            f" {len(self.calls)} calls of {len(set(self.calls))} functions"
        )


class Transport(asyncio.Transport):
    """Takes the response and drops it."""

    def write(self, data: Any) -> None:
        """The end of the way."""
        del data

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """No peer, no certificate."""
        del name
        return default

    def is_closing(self) -> bool:
        """Never."""
        return False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is no buffer."""
        del high, low


def pod_webhook(
    injection: dict[str, Any], *, namespace: str, handlers: Sequence[logging.Handler]
) -> mutate.PodWebhook:
    """A webhook without a cluster that knows this injection; its pods cause no Events."""
    state = cluster_state.ClusterState(release_namespace=names.PRODUCT)
    labels = {names.INJECTION_LABEL: names.ENABLED}
    state.namespace_changed(
        ("", namespace), None, {"metadata": {"name": namespace, "labels": labels}}
    )
    injection["metadata"] |= {"namespace": namespace, "generation": 1, "uid": "0"}
    state.injection_changed((namespace, injection["metadata"]["name"]), None, injection)
    recorder: Any = None
    return mutate.PodWebhook(
        state=state,
        metrics=Metrics(),
        record_events=pod_events.teller(recorder),
        log=decision_log.DecisionLog(handlers),
    )


def pod_connection() -> connection.Connection:
    """A client's connection to a webhook that knows the README's injection."""
    injection = yaml.safe_load((DEMO / "injection.yaml").read_text("utf-8"))
    webhook = pod_webhook(injection, namespace=NAMESPACE, handlers=[logging.NullHandler()])
    routes = {names.MUTATE_PATH: {"POST": messages.when(lambda: True, webhook.mutate)}}
    client = connection.Connection(pool.Pool(routes=routes, metrics=Metrics()))
    client.connection_made(Transport())
    return client


def request(uid: str) -> bytes:
    """What an API server sends about a pod of the README's Deployment."""
    deployment = yaml.safe_load((DEMO / "deployment.yaml").read_text("utf-8"))
    pod = copy.deepcopy(deployment["spec"]["template"])
    pod["metadata"] |= {"generateName": "web-", "namespace": NAMESPACE}
    review = {
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": uid,
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": NAMESPACE,
            "operation": "CREATE",
            "object": {"kind": "Pod", "apiVersion": "v1", **pod},
        },
    }
    body = orjson.dumps(review)
    head = (
        f"POST {names.MUTATE_PATH} HTTP/1.1\r\nHost: webhook\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def trace(client: connection.Connection, data: bytes) -> Trace:
    """The calls that these bytes cause."""
    calls: list[tuple[str, str]] = []

    def note(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and not code.co_name.startswith("<"):
            file = pathlib.PurePath(code.co_filename)
            if file.is_relative_to(PACKAGE):
                calls.append((str(file.relative_to(PACKAGE)), code.co_qualname))

    sys.setprofile(note)
    try:
        client.data_received(data)
    finally:
        sys.setprofile(None)
    return Trace(tuple(calls))


async def traces() -> tuple[Trace, Trace]:
    """Of the first pod of a template, and of a later one."""
    # What happens once in the life of a process does not belong to a pod's way.
    pod_connection().data_received(request("0" * 8))
    client = pod_connection()
    return trace(client, request("1" * 8)), trace(client, request("2" * 8))


def summaries(first: Trace, later: Trace) -> tuple[str, str]:
    """A line for each of both ways."""
    return f"first pod of a template: {first.summary()}", f"later pod: {later.summary()}"


def main() -> None:
    """Print both ways."""
    ways = asyncio.run(traces())
    for way, line in zip(ways, summaries(*ways), strict=True):
        print(line)
        for file, calls in way.files.items():
            print(f"  {calls:4}  {file}")


if __name__ == "__main__":
    main()
