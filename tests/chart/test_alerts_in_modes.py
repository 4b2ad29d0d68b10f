"""In each certificate mode a healthy replica fires no alert, and each alert can fire.

The series are what real replicas expose, not what a test writes down: so an alert whose metric does
not exist in a mode, or has another value there, is noticed.
"""

from __future__ import annotations

import asyncio
import json
import pathlib
import subprocess
import time
from collections.abc import Callable
from typing import Any

import prometheus_client.parser
import pytest

from sidecar_injector.settings import CERTIFICATE_MODES
from tests.kits import chart_situations as situations
from tests.kits import healthy_replica
from tools import thirdparty

Series = dict[str, str]
Render = Callable[..., Any]

MINUTES = 80
"""When the alerts are looked at: the slowest one needs an hour."""
LONG = 100
PREFIX = "SidecarInjector"

BROKEN: dict[str, Series] = {
    "PodsRefused": {'admission_requests_total{result="Refused"}': f"0+1x{LONG}"},
    "UnknownNames": {'decisions_total{reason="UnknownInjection"}': f"0+1x{LONG}"},
    "Errors": {'admission_requests_total{result="error"}': f"0+6x{LONG}"},
    "Slow": {
        'admission_duration_seconds_bucket{le="1.0"}': f"0+60x{LONG}",
        'admission_duration_seconds_bucket{le="2.5"}': f"0+60x{LONG}",
        'admission_duration_seconds_bucket{le="5.0"}': f"0+60x{LONG}",
        'admission_duration_seconds_bucket{le="+Inf"}': f"0+60x{LONG}",
    },
    "CertificateExpiring": {
        'certificate_expiration_timestamp_seconds{certificate="leaf"}': f"{MINUTES * 60}x{LONG}"
    },
    "BundleOutOfSync": {
        'ca_bundle_in_sync{configuration="mutatingwebhookconfigurations"}': f"0x{LONG}"
    },
    "PolicyStale": {"policy_in_sync": f"0x{LONG}"},
    "CacheNotSynced": {'cache_synced{resource="secrets"}': f"0x{LONG}"},
    "CertificateProblem": {'certificate_problem{problem="CertificateNotLoaded"}': f"1x{LONG}"},
    "LoopBroken": {'loop_failures_total{loop="status"}': f"0+1x{LONG}"},
    "AuditStale": {"audit_last_success_timestamp_seconds": f"1x{LONG}"},
    "PodsMissing": {'audit_pods{state="missing"}': f"3x{LONG}"},
}
"""What fires an alert of our own metrics; every series is one that a replica exposes."""
LABELS = {
    "UnknownNames": {"reason": "UnknownInjection"},
    "BundleOutOfSync": {"configuration": "mutatingwebhookconfigurations"},
    "CacheNotSynced": {"resource": "secrets"},
    "CertificateProblem": {"problem": "CertificateNotLoaded"},
    "LoopBroken": {"loop": "status"},
}
OF_THE_API_SERVER = {"FailingOpen", "RefusingPods"}
"""They do not depend on what a replica exposes."""


@pytest.fixture(scope="module")
def rules(render: Render) -> list[dict[str, Any]]:
    (group,) = render({"prometheusRule": {"enabled": True}}).one("PrometheusRule")["spec"]["groups"]
    return list(group["rules"])


@pytest.fixture(scope="module", params=CERTIFICATE_MODES)
def exposed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Series:
    """What a leader exposes, and beside it a replica that does not lead."""
    folder = str(tmp_path_factory.mktemp(request.param))

    async def run() -> Series:
        series: Series = {}
        for pod, leads in (("a", True), ("b", False)):
            replica = healthy_replica.Replica(
                mode=request.param, scratch_folder=folder, leads=leads
            )
            async with replica.running():
                await replica.wait_until_healthy()
                series |= samples(replica, pod=pod, minutes=LONG)
        return series

    return asyncio.run(run())


def samples(replica: healthy_replica.Replica, *, pod: str, minutes: int) -> Series:
    """Series by name, all constant. Times are moved so that the alerts are looked at now."""
    shift = MINUTES * 60 - time.time()
    text = replica.metrics.exposition().decode()
    exposed = {}
    for family in prometheus_client.parser.text_string_to_metric_families(text):
        for sample in family.samples:
            is_time = sample.value > 0 and "timestamp" in sample.name
            value = sample.value + shift if is_time else sample.value
            name = series(sample.name, {**sample.labels, "pod": pod})
            exposed[name] = f"{value:f}x{minutes}"
    return exposed


def series(name: str, labels: dict[str, str]) -> str:
    pairs = sorted({"namespace": "sidecar-injector", **labels}.items())
    return f"{name}{{{','.join(f'{key}={json.dumps(value)}' for key, value in pairs)}}}"


def judge(
    rules: list[dict[str, Any]], expected: dict[str, Series], folder: pathlib.Path, *,
    minutes: int = MINUTES, fires: bool,
) -> None:  # fmt: skip
    """Fail unless promtool says the same of each alert and its series."""
    tests = []
    for rule in rules:
        alert = rule["alert"].removeprefix(PREFIX)
        if alert not in expected:
            continue
        fired = {
            "exp_labels": rule["labels"] | LABELS.get(alert, {}),
            "exp_annotations": rule["annotations"],
        }
        tests.append({
            "interval": "1m",
            "input_series": [
                {"series": name, "values": values} for name, values in expected[alert].items()
            ],
            "alert_rule_test": [{
                "eval_time": f"{minutes}m",
                "alertname": rule["alert"],
                "exp_alerts": [fired] if fires else [],
            }],
        })  # fmt: skip
    assert len(tests) == len(expected)
    (folder / "rules.json").write_text(json.dumps({"groups": [{"name": "g", "rules": rules}]}))
    whole = {"rule_files": ["rules.json"], "evaluation_interval": "1m", "tests": tests}
    (folder / "tests.json").write_text(json.dumps(whole))
    command = [str(thirdparty.promtool()), "test", "rules", "tests.json"]
    answer = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_healthy_replicas_fire_no_alert(
    exposed: Series, rules: list[dict[str, Any]], tmp_path: pathlib.Path
) -> None:
    alerts = {rule["alert"].removeprefix(PREFIX): exposed for rule in rules}
    judge(rules, alerts, tmp_path, fires=False)


def test_each_alert_fires_by_series_that_replicas_of_this_mode_expose(
    exposed: Series, rules: list[dict[str, Any]], tmp_path: pathlib.Path
) -> None:
    expected = {}
    for alert, changes in BROKEN.items():
        names = {
            name: values
            for short, values in changes.items()
            for name in exposed
            if matches(name, short)
        }
        assert len(names) >= len(changes), alert
        expected[alert] = exposed | names
    judge(rules, expected, tmp_path, fires=True)


def matches(name: str, short: str) -> bool:
    """Whether a series of a replica is this one; the short name lacks prefix, namespace and pod."""
    base, _, labels = short.partition("{")
    parts = [part for part in labels.rstrip("}").split(",") if part]
    return name.startswith(f"sidecar_injector_{base}{{") and all(part in name for part in parts)


def test_every_alert_of_our_own_metrics_is_tried_in_every_mode(rules: list[dict[str, Any]]) -> None:
    alerts = {rule["alert"].removeprefix(PREFIX) for rule in rules}
    by_absence = {"Down"}
    assert alerts == {*BROKEN, *OF_THE_API_SERVER, *by_absence}
    assert alerts == {situation.alert for situation in situations.SITUATIONS}


@pytest.mark.parametrize("mode", CERTIFICATE_MODES)
def test_one_replica_that_has_just_started_fires_no_alert(
    mode: str, rules: list[dict[str, Any]], tmp_path: pathlib.Path
) -> None:
    async def run() -> Series:
        replica = healthy_replica.Replica(mode=mode, scratch_folder=str(tmp_path))
        async with replica.running():  # No loop has had a turn yet.
            return samples(replica, pod="a", minutes=LONG)

    exposed = asyncio.run(run())
    alerts = {rule["alert"].removeprefix(PREFIX): exposed for rule in rules}
    judge(rules, alerts, tmp_path, minutes=4, fires=False)
