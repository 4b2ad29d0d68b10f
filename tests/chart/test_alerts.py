"""Every alert fires when it should and only then; Prometheus' promtool is the judge."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.kits import chart_situations as situations
from tools import thirdparty

Render = Callable[..., Any]
Judge = Callable[..., subprocess.CompletedProcess[str]]

OPERATIONS = pathlib.Path(__file__).parents[2] / "docs" / "operations.md"


@pytest.fixture(scope="module")
def rules(render: Render) -> list[dict[str, Any]]:
    values = {
        "prometheusRule": {"enabled": True},
        "settings": {"leafSeconds": situations.LEAF_SECONDS},
    }
    (group,) = render(values).one("PrometheusRule")["spec"]["groups"]
    return list(group["rules"])


@pytest.fixture(scope="module")
def judged(rules: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Judge:
    """promtool's word on a situation."""
    folder = tmp_path_factory.mktemp("alerts")
    (folder / "rules.json").write_text(json.dumps({"groups": [{"name": "g", "rules": rules}]}))

    def run(*words: str, tests: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
        (folder / "tests.json").write_text(json.dumps(tests))
        command = [str(thirdparty.promtool()), *words]
        return subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=60, check=False
        )

    return run


def test_prometheus_accepts_the_rules(judged: Judge, rules: list[dict[str, Any]]) -> None:
    answer = judged("check", "rules", "rules.json")

    assert answer.returncode == 0, answer.stderr
    assert f"{len(rules)} rules found" in answer.stdout


@pytest.mark.parametrize(
    "situation",
    situations.SITUATIONS,
    ids=lambda situation: f"{situation.alert}: {situation.when}",
)
def test_an_alert_fires_when_it_should_and_only_then(
    situation: situations.Situation, judged: Judge, rules: list[dict[str, Any]]
) -> None:
    (rule,) = [rule for rule in rules if rule["alert"] == f"SidecarInjector{situation.alert}"]
    labels = rule["labels"] | situation.labels
    fired = {"exp_labels": labels, "exp_annotations": rule["annotations"]}
    expected = {
        "eval_time": f"{situation.minutes}m",
        "alertname": rule["alert"],
        "exp_alerts": [fired] if situation.fires else [],
    }
    test = {
        "interval": "1m",
        "input_series": [
            {"series": name, "values": each} for name, each in situation.series.items()
        ],
        "alert_rule_test": [expected],
    }
    tests = {"rule_files": ["rules.json"], "evaluation_interval": "1m", "tests": [test]}
    answer = judged("test", "rules", "tests.json", tests=tests)

    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_every_alert_is_seen_firing_and_keeping_still(rules: list[dict[str, Any]]) -> None:
    for rule in rules:
        seen = [
            situation.fires
            for situation in situations.SITUATIONS
            if rule["alert"] == f"SidecarInjector{situation.alert}"
        ]
        assert {*seen} == {True, False}, rule["alert"]


def test_every_alert_has_a_runbook_and_every_runbook_an_alert(rules: list[dict[str, Any]]) -> None:
    headings = re.findall(r"^### (\w+)$", OPERATIONS.read_text(), re.MULTILINE)

    assert headings == [rule["alert"] for rule in rules]
    for rule in rules:
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert OPERATIONS.parents[1] / page == OPERATIONS
        assert anchor == rule["alert"].lower()


def test_a_runbook_is_a_link_only_where_it_has_an_absolute_address(render: Render) -> None:
    for url, key, other in (
        ("https://example.com/ops", "runbook_url", "runbook"),
        ("ops.md", "runbook", "runbook_url"),
    ):
        values = {"prometheusRule": {"enabled": True, "runbookUrl": url}}
        (group,) = render(values).one("PrometheusRule")["spec"]["groups"]
        for rule in group["rules"]:
            assert rule["annotations"][key] == f"{url}#{rule['alert'].lower()}"
            assert other not in rule["annotations"]
