"""A few minutes of the product under load, recorded by a real Prometheus."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import itertools
import json
import math
import pathlib
import time
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import yaml

from sidecar_injector import names
from tools import thirdparty
from tools.controlplane import binaries, cluster, errors, operators, ports, processes, progress

CHART: Final = pathlib.Path(__file__).parents[2] / "charts" / names.PRODUCT
VALUES: Final = pathlib.Path(__file__).parents[1] / "controlplane" / "values.yaml"
SCRAPE_SECONDS: Final = 2
RATE_INTERVAL: Final = "20s"
"""What Grafana would put in for $__rate_interval: at least four scrapes."""
TEAM: Final = "team"
INJECTION: Final = {
    "apiVersion": names.API_VERSION,
    "kind": names.KIND,
    "metadata": {"name": "proxy"},
    "spec": {
        "selector": {"matchLabels": {"proxy": "yes"}},
        "template": {"spec": {"containers": [{"name": "proxy", "image": "proxy:1"}]}},
    },
}
PODS: Final = (("app", True), ("app", True), ("app", True), ("proxy", True), ("app", False))
"""Of each five the container (one is a conflict), and whether the injection selects the pod."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a panel."""

    labels: Mapping[str, str]
    seconds: Sequence[float]
    """Since the recording began."""
    values: Sequence[float]


def record(
    queries: Sequence[str], *, seconds: float, report: progress.Progress
) -> dict[str, list[Line]]:
    """The lines of each query over so many seconds of load. Raises ControlPlaneError."""
    server = thirdparty.prometheus()
    with cluster.ControlPlane(binaries.ensure()) as plane:
        report.begin("the product is installed")
        where = ("-n", names.PRODUCT, "--create-namespace")
        more = ("-f", str(VALUES), "--set", f"service.port={ports.free()}")
        plane.helm("install", names.PRODUCT, str(CHART), *where, *more)
        with operators.Operators(plane) as running, _scraping(plane, running, server) as port:
            running.wait_ready()
            began = time.time()
            _load(plane, seconds=seconds, report=report)
            return {query: _answer(port, query, began=began) for query in queries}


@contextlib.contextmanager
def _scraping(
    plane: cluster.ControlPlane, running: operators.Operators, server: pathlib.Path
) -> Iterator[int]:
    """Prometheus' port, while it looks at the replicas and the API server."""
    port, folder = ports.free(), plane.folder / "prometheus"
    folder.mkdir()
    settings = folder / "prometheus.yml"
    settings.write_text(yaml.safe_dump(_settings(plane, running)), "utf-8")
    process = processes.Process(
        name="prometheus",
        command=(
            str(server), f"--config.file={settings}", f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={ports.LOOPBACK}:{port}",
        ),
        log=plane.folder / "prometheus.log",
        guard=plane.guard,
    )  # fmt: skip
    process.start()
    try:
        yield port
    finally:
        process.kill()


def _settings(plane: cluster.ControlPlane, running: operators.Operators) -> dict[str, Any]:
    """Replicas with the labels that a ServiceMonitor gives them."""
    replicas = [
        {
            "targets": [f"{ports.LOOPBACK}:{one.backend.admin_port}"],
            "labels": {"namespace": names.PRODUCT, "pod": one.name},
        }
        for one in running.replicas
    ]
    server = {
        "job_name": "apiserver",
        "scheme": "https",
        "tls_config": {"ca_file": str(plane.client.certificate_authority)},
        "authorization": {"credentials": plane.client.token},
        "static_configs": [{"targets": [plane.client.server.removeprefix("https://")]}],
    }
    ours = {"job_name": names.PRODUCT, "static_configs": replicas}
    every = f"{SCRAPE_SECONDS}s"
    return {
        "global": {"scrape_interval": every, "scrape_timeout": every},
        "scrape_configs": [ours, server],
    }


def _load(plane: cluster.ControlPlane, *, seconds: float, report: progress.Progress) -> None:
    """Pods of all sorts, created in waves."""
    plane.create_namespace(TEAM, labels={names.INJECTION_LABEL: names.ENABLED})
    plane.client.request(
        "POST", f"/apis/{names.API_VERSION}/namespaces/{TEAM}/{names.PLURAL}", INJECTION
    )
    report.begin(f"{seconds:g} seconds of pods")
    began = time.monotonic()
    for number in itertools.count():
        passed = time.monotonic() - began
        if passed >= seconds:
            return
        plane.client.request("POST", f"/api/v1/namespaces/{TEAM}/pods", _pod(number))
        # Two waves: from next to nothing to ten a second.
        time.sleep(0.1 + 0.9 * math.cos(2 * math.pi * passed / seconds) ** 2)


def _pod(number: int) -> dict[str, Any]:
    container, selected = PODS[number % len(PODS)]
    labels = {"proxy": "yes" if selected else "no"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"web-{number}", "labels": labels},
        "spec": {"containers": [{"name": container, "image": "app:1"}]},
    }


def _answer(port: int, query: str, *, began: float) -> list[Line]:
    """What Prometheus answers to a query of a panel."""
    asked = query.replace("$__rate_interval", RATE_INTERVAL).replace("$namespace", names.PRODUCT)
    words = {"query": asked, "start": began, "end": time.time(), "step": SCRAPE_SECONDS}
    connection = http.client.HTTPConnection(ports.LOOPBACK, port, timeout=30)
    connection.request("GET", f"/api/v1/query_range?{urllib.parse.urlencode(words)}")
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    if answer.status != http.client.OK:
        raise errors.ApiError(method="GET", path=query, status=answer.status, message=text)
    return [_line(one, began=began) for one in json.loads(text)["data"]["result"]]


def _line(series: dict[str, Any], *, began: float) -> Line:
    """Without moments for which there is no value: a rate of nothing, a quantile of none."""
    points = [(at - began, float(value)) for at, value in series["values"]]
    kept = [(at, value) for at, value in points if math.isfinite(value)]
    return Line(
        labels=series["metric"],
        seconds=[at for at, _ in kept],
        values=[value for _, value in kept],
    )
