"""`plan` in a large cluster: processor time and memory of one process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

from benchmarks import machine, product, results
from sidecar_injector import names
from sidecar_injector.cli.input import yaml_documents
from tools.controlplane import release

TITLE: Final = "A plan"
TEXT: Final = """\
`sidecar-injector plan -f` of one cluster injection that selects every pod, in a cluster with
{workloads:,} workloads of templates that all differ, in {namespaces} namespaces, and {injections}
injections, of which two more select each pod. The workloads have no replicas: only the plan works.
Processor time is user and system time; memory is what was resident at most."""
WORKLOADS: Final = 5_000
INJECTIONS: Final = 100
NAMESPACES: Final = 10
MOST_SECONDS: Final = 20.0
MOST_MIB: Final = 300.0
APPS: Final = "/apis/apps/v1/namespaces/{}/replicasets"
CLUSTER: Final = f"/apis/{names.API_VERSION}/{names.CLUSTER_PLURAL}"


def measure(bench: product.Bench) -> results.Result:
    """Fill the cluster, plan once."""
    count = int(bench.pick(WORKLOADS, WORKLOADS / 10))
    with product.started(bench.plane, replicas=1):
        bench.report.begin(f"creating {count} workloads and {INJECTIONS} injections")
        for number in range(INJECTIONS - 1):
            bench.plane.client.request("POST", CLUSTER, _injection(number))
        for number in range(NAMESPACES):
            bench.plane.create_namespace(f"plan-{number}", labels=release.ENABLED)
        for number, workload in enumerate(_workloads(count)):
            path = APPS.format(f"plan-{number % NAMESPACES}")
            bench.plane.client.request("POST", path, workload)
        bench.report.begin("planning")
        seconds, mebibytes, first = _planned(bench)
    rows = [(first, f"{seconds:.1f}", f"{mebibytes:.0f}")]
    return results.Result(
        title=TITLE,
        text=TEXT.format(workloads=count, namespaces=NAMESPACES, injections=INJECTIONS),
        tables=[results.Table(headings=("answer", "processor time, s", "MiB"), rows=rows)],
        figures=[
            results.Figure(name="processor time of plan", value=seconds, unit="s",
                           most=MOST_SECONDS),
            results.Figure(name="memory of plan", value=mebibytes, unit="MiB", most=MOST_MIB),
        ],
    )  # fmt: skip


def _planned(bench: product.Bench) -> tuple[float, float, str]:
    """Processor time, MiB and the answer of one process."""
    file = machine.folder() / "planned.yaml"
    file.write_text(yaml_documents.dump_all([_injection(INJECTIONS, selector={})]))
    command = [sys.executable, "-m", "sidecar_injector", "plan", "-f", str(file),
               "--kubeconfig", str(bench.plane.kubeconfig)]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8")
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    # Popen must not wait for it once more.
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, printed.splitlines()[0]


def _injection(number: int, **spec: object) -> product.Json:
    selector = {"matchLabels": {"group": str(number // 2)}}
    container = f"sidecar-{number}"
    return release.injection(
        f"plan-{number}", kind=names.CLUSTER_KIND, container=container,
        **{"selector": selector, **spec},
    )  # fmt: skip


def _workloads(count: int) -> Iterator[product.Json]:
    """ReplicaSets without pods; no controller of theirs has anything to do."""
    for number in range(count):
        labels = {"app": f"app-{number}", "group": str(number % (INJECTIONS // 2))}
        env = [{"name": f"VARIABLE_{index}", "value": "x" * 40} for index in range(20)]
        requests = {"requests": {"cpu": "100m", "memory": "64Mi"}}
        containers = [
            {"name": name, "image": f"{name}:1", "env": env, "resources": requests}
            for name in ("app", "second")
        ]
        template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
        yield {
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": f"app-{number}"},
            "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
        }  # fmt: skip
