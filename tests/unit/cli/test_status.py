"""The tables of `status`: commands can be copied, whatever the width."""

from __future__ import annotations

import datetime
import json
import types

import pytest

from sidecar_injector.cli.cluster import pods as cluster_pods
from sidecar_injector.cli.commands import status
from sidecar_injector.cli.output import tables
from sidecar_injector.core import audit
from sidecar_injector.core.pods.owner import Owner
from sidecar_injector.kube import api
from tests.kits import cluster as kit
from tests.kits.cli import run, terminal
from tests.kits.samples import injection, resource


def _candidate(name, *, kind="Deployment", namespace="demo", obstacle=""):
    return cluster_pods.RestartCandidate(
        pod=f"{name}-0",
        created=datetime.datetime.now(datetime.UTC),
        owner=Owner(namespace, kind, name),
        injection=injection("log"),
        state=audit.MISSING,
        obstacle=obstacle,
    )


def _rows(*candidates):
    pods = types.SimpleNamespace(candidates=candidates, skipped=())
    return list(status._without_rows(types.SimpleNamespace(pods=pods, refusals=())))


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_command_is_one_line_for_each_namespace(width):
    names = ("web", "api", "a-deployment-with-a-name-of-forty-letters")
    rows = _rows(*map(_candidate, names), _candidate("db", namespace="shop"))
    console = terminal(width=width, no_color=True)
    tables.table(status.WITHOUT, rows, styles=status.STYLES, to=console)
    lines = console.file.getvalue().splitlines()
    assert lines[-2:] == [
        "  → kubectl sidecar-injector restart -n demo",
        "  → kubectl sidecar-injector restart -n shop",
    ]
    assert sum("kubectl" in line for line in lines) == 2


def test_no_restart_is_advised_where_it_does_not_help():
    rows = _rows(_candidate("job", kind="Job"), _candidate("web", obstacle="a conflict"))
    assert not any("kubectl" in cell for row in rows for cell in row)


@pytest.mark.parametrize(
    ("condition", "engine"),
    [
        (("True", "InForce"), "Policy"),
        (("False", "Unsupported"), "Webhook: Unsupported"),
        (("False", "NotManaged"), "Policy: NotManaged"),
        (None, "Policy: Unknown"),
    ],
)
def test_the_engine_is_shown_where_an_injection_asks_for_a_policy(monkeypatch, condition, engine):
    fake = kit.installed()
    item = resource("mesh", cluster=True, engine="Policy")
    if condition:
        fields = dict(zip(("status", "reason"), condition, strict=True))
        item["status"] = {"conditions": [{"type": "Compiled", **fields}]}
    fake.seed(api.CLUSTER_INJECTIONS, item)
    with kit.served(monkeypatch, fake):
        shown = json.loads(run("status", "-o", "json").stdout)["injections"]
        lines = run("status").stdout.splitlines()
    assert {each["name"]: each["engine"] for each in shown} == {"log": "Webhook", "mesh": engine}
    (heading,) = [line for line in lines if "READY" in line]
    (line,) = [line for line in lines if "cluster/mesh" in line and "unknown" in line]
    assert line[heading.index("ENGINE") :].startswith(engine)
    fake.take(api.CLUSTER_INJECTIONS, name="mesh")
    with kit.served(monkeypatch, fake):
        assert "ENGINE" not in run("status").stdout
