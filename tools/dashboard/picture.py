"""Some panels of the dashboard as one picture: minutes of load, recorded by a real Prometheus."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import math
import pathlib
import re
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml

from benchmarks import results
from sidecar_injector import names
from tools import thirdparty
from tools.controlplane import (
    binaries,
    cluster,
    errors,
    operators,
    ports,
    processes,
    progress,
    release,
)
from tools.dashboard import panels

FILE: Final = release.ROOT / "docs" / "dashboard.png"
SHOWN: Final = (
    "Pods by result",
    "Reasons",
    "Time of an answer",
    "Time as the API server sees it",
    "Lateness of the event loop",
    "Pods by their sidecars",
    "Memory",
    "CPU",
)
SCALES: Final[Mapping[str, tuple[float, str]]] = {
    "s": (1000.0, "ms"),
    "bytes": (1 / 2**20, "MiB"),
    "reqps": (1.0, "pods a second"),
}
"""By unit of Grafana: a factor, and the unit after it."""
SCRAPE_SECONDS: Final = 2
VARIABLES: Final = {"$__rate_interval": "20s", "$namespace": names.PRODUCT}
"""As Grafana replaces them: an interval is at least four scrapes."""
NAMESPACE: Final = "team"
INJECTION: Final = release.injection(
    "proxy", container="proxy", selector={"matchLabels": {"proxy": "yes"}}
)
PODS: Final = (("app", "yes"), ("app", "yes"), ("app", "yes"), ("proxy", "yes"), ("app", "no"))
"""Of each five pods the container (one is a conflict), and the label that is selected."""
Json = dict[str, Any]


def draw(target: pathlib.Path, *, seconds: float, report: progress.Progress) -> None:
    """A plot of each panel over so many seconds of load, as PNG. Raises ControlPlaneError."""
    figure = results.figure(len(SHOWN), panel=(6.0, 2.5), remedy="use `make dashboard`")
    by_title = {panel.title: panel for panel in panels.PANELS}
    with cluster.ControlPlane(binaries.ensure()) as plane:
        report.begin("the product is installed")
        release.install(plane)
        with operators.Operators(plane) as running, _prometheus(plane, running) as port:
            running.wait_ready()
            began = time.time()
            _load(plane, seconds=seconds, report=report)
            for axes, title in zip(figure.axes, SHOWN, strict=True):
                _plot(axes, by_title[title], port=port, began=began)
    figure.savefig(target, dpi=75)


@contextlib.contextmanager
def _prometheus(plane: cluster.ControlPlane, running: operators.Operators) -> Iterator[int]:
    """The port of a Prometheus that scrapes the replicas and the API server."""
    port, folder = ports.free(), plane.folder / "prometheus"
    folder.mkdir()
    settings = folder / "prometheus.yml"
    settings.write_text(yaml.safe_dump(_settings(plane, running)), "utf-8")
    process = processes.Process(
        name="prometheus",
        command=(
            str(thirdparty.prometheus()), f"--config.file={settings}",
            f"--storage.tsdb.path={folder / 'data'}",
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


def _settings(plane: cluster.ControlPlane, running: operators.Operators) -> Json:
    """Replicas get the labels that a ServiceMonitor gives them."""
    replicas = [
        {
            "targets": [f"{ports.LOOPBACK}:{replica.backend.admin_port}"],
            "labels": {"namespace": names.PRODUCT, "pod": replica.name},
        }
        for replica in running.replicas
    ]
    server = {
        "job_name": "apiserver",
        "scheme": "https",
        "tls_config": {"ca_file": str(plane.client.certificate_authority)},
        "authorization": {"credentials": plane.client.token},
        "static_configs": [{"targets": [plane.client.server.removeprefix("https://")]}],
    }
    every = f"{SCRAPE_SECONDS}s"
    return {
        "global": {"scrape_interval": every, "scrape_timeout": every},
        "scrape_configs": [{"job_name": names.PRODUCT, "static_configs": replicas}, server],
    }


def _load(plane: cluster.ControlPlane, *, seconds: float, report: progress.Progress) -> None:
    """Pods of all sorts, created in two waves, from very few to ten a second."""
    plane.create_namespace(NAMESPACE, labels=release.ENABLED)
    plane.client.request("POST", release.injections(NAMESPACE), INJECTION)
    report.begin(f"{seconds:g} seconds of pods")
    began = time.monotonic()
    for number in itertools.count():
        passed = time.monotonic() - began
        if passed >= seconds:
            return
        container, selected = PODS[number % len(PODS)]
        labels = {"proxy": selected}
        pod = release.pod(container=container, name=f"web-{number}", labels=labels)
        plane.client.request("POST", release.pods(NAMESPACE), pod)
        time.sleep(0.1 + 0.9 * math.cos(2 * math.pi * passed / seconds) ** 2)


def _plot(axes: Any, panel: panels.Panel, *, port: int, began: float) -> None:
    factor, unit = SCALES.get(panel.unit, (1.0, ""))
    for legend, query in panel.queries.items():
        for series in _query(port, query, began=began):
            # Not finite are moments without a value: a rate of nothing, a quantile of none.
            points = [
                (moment - began, float(value) * factor)
                for moment, value in series["values"]
                if math.isfinite(float(value))
            ]
            seconds, values = zip(*points, strict=True) if points else ((), ())
            axes.plot(seconds, values, label=_label(legend, series["metric"]))
    axes.set_title(panel.title, loc="left", fontsize=10)
    axes.set_ylabel(unit, fontsize=8)
    axes.set_xlabel("seconds", fontsize=8)
    axes.set_ylim(bottom=0)
    axes.tick_params(labelsize=8)
    axes.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))


def _query(port: int, query: str, *, began: float) -> list[Json]:
    """The series that Prometheus has for a query of a panel."""
    text = query
    for variable, value in VARIABLES.items():
        text = text.replace(variable, value)
    words = {"query": text, "start": began, "end": time.time(), "step": SCRAPE_SECONDS}
    connection = http.client.HTTPConnection(ports.LOOPBACK, port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", f"/api/v1/query_range?{urllib.parse.urlencode(words)}")
        response = connection.getresponse()
        body = response.read().decode()
    if response.status != http.client.OK:
        raise errors.ApiError(method="GET", path=query, status=response.status, message=body)
    series: list[Json] = json.loads(body)["data"]["result"]
    return series


def _label(legend: str, labels: Mapping[str, str]) -> str:
    """The name of a line, as Grafana makes it of its labels."""
    return re.sub(r"{{(\w+)}}", lambda match: labels.get(match[1], ""), legend)
