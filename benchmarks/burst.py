"""What a pod waits while other clients do what they may."""

from __future__ import annotations

import subprocess
import sys

import uvloop

from benchmarks import disturb, errors, load, machine, pace, product, reviews, scrape, stage
from tools.controlplane import operators

TITLE = "Small pods among trouble"
TEXT = """\
The recorded review {rate:g} times a second over {connections} kept-alive connections, from when it
was due to its whole answer, {seconds:g} s for each kind of trouble. Trouble comes from a process of
its own on the client's core. The last row asks as fast as it is answered."""
GRACE_SECONDS = 1.0
KEPT = 64


def measure(scene: stage.Stage) -> stage.Result:
    """Each kind in turn, on one replica."""
    scene.report.begin("starting the product")
    seconds = scene.pick(10, 1)
    with product.started(scene.plane, replicas=1) as running:
        (replica,) = running.replicas
        server = product.server(replica)
        rows = []
        for kind in disturb.KINDS:
            scene.report.tick(kind)
            rows.append(row(kind, replica, seconds=seconds))
        aim = load.Target(
            name=server.name,
            url=server.url,
            body=reviews.RECORDED,
            varied=reviews.herd(reviews.recorded()),
        )
        ran = load.run(aim, seconds=seconds, connections=KEPT)
        rows.append(
            (f"{KEPT} kept-alive connections, {ran.rate:,.0f} answers/s",
             f"{ran.p50:.1f}", f"{ran.p99:.1f}", f"{ran.slowest:.1f}", "", "")
        )  # fmt: skip
    text = TEXT.format(rate=pace.RATE, connections=pace.CONNECTIONS, seconds=seconds)
    headings = ("beside", "p50 ms", "p99 ms", "slowest ms", "loop later than 20 ms", "by our work")
    return stage.Result(title=TITLE, text=text, tables=[stage.Table(headings=headings, rows=rows)])


def row(kind: str, replica: operators.Replica, *, seconds: float) -> tuple[str, ...]:
    """What those who ask politely have waited, and how often the event loop was held."""
    port, meter = replica.backend.port, scrape.Meter(replica)
    command = (sys.executable, "-m", "benchmarks.disturb", kind, str(port))
    with subprocess.Popen(
        [*machine.on_core(machine.CLIENT_CORE), *command, str(seconds + GRACE_SECONDS)],
        cwd=product.ROOT,
        stderr=subprocess.PIPE,
        text=True,
    ) as trouble:
        waits = uvloop.run(pace.ask(port, reviews.recorded(), seconds=seconds))
        _, said = trouble.communicate()
    if trouble.returncode != 0:
        raise errors.BenchError(f"{kind}: {said.splitlines()[-1] if said else trouble.returncode}")
    values = [waits.percentile(share) for share in (0.5, 0.99, 1.0)]
    seen = meter.since()
    return (kind, *(f"{value:.1f}" for value in values), f"{seen.late:.0f}", f"{seen.held:.0f}")
