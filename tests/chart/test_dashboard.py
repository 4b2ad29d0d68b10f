"""The Grafana dashboard: it is the generated one, and Prometheus understands what it asks."""

from __future__ import annotations

import json
import pathlib
import subprocess
from collections.abc import Callable
from typing import Any

from tools import thirdparty
from tools.dashboard import board, panels

Render = Callable[..., Any]

VARIABLES = {"$__rate_interval": "5m", "$namespace": "sidecar-injector"}


def test_the_dashboard_of_the_chart_is_the_one_that_its_panels_make() -> None:
    assert board.FILE.read_text() == board.text()


def test_the_config_map_holds_it_whole(render: Render, chart: pathlib.Path) -> None:
    rendered = render({"grafanaDashboard": {"enabled": True}}, chart=chart)
    config_map = rendered.one("ConfigMap", name="sidecar-injector-dashboard")

    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"
    (content,) = config_map["data"].values()
    assert json.loads(content) == json.loads(board.text())


def test_prometheus_understands_every_query(tmp_path: pathlib.Path) -> None:
    queries = [query for panel in panels.PANELS for query in panel.queries.values()]
    rules = [
        {"record": f"panel:{number}", "expr": substituted(query)}
        for number, query in enumerate(queries)
    ]
    groups = {"groups": [{"name": "panels", "rules": rules}]}
    (tmp_path / "rules.json").write_text(json.dumps(groups))
    command = [str(thirdparty.promtool()), "check", "rules", str(tmp_path / "rules.json")]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert answer.returncode == 0, answer.stderr
    assert f"{len(rules)} rules found" in answer.stdout


def test_no_two_panels_overlap() -> None:
    cells = [
        (column, row)
        for panel in json.loads(board.text())["panels"]
        for column in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for row in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]

    assert len(cells) == len(set(cells))
    assert max(column for column, _ in cells) < board.WIDTH


def substituted(query: str) -> str:
    """As Grafana sends it."""
    for variable, value in VARIABLES.items():
        query = query.replace(variable, value)
    return query
