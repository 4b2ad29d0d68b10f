"""What the dashboard and the alerts ask for is what a replica and the API server really have."""

from __future__ import annotations

import pathlib
import re

import pytest

from sidecar_injector import names
from tests.kits import installation as installing
from tests.kits import product as kit
from tools.controlplane import metrics
from tools.dashboard import panels

ALERTS = pathlib.Path(__file__).parents[2] / "charts/sidecar-injector/templates/_alerts.tpl"
SELECTOR = re.compile(r"((?:sidecar_injector|apiserver|process)_\w+)\{([^}]*)\}")
OF_PROMETHEUS = {"namespace", "pod"}
"""Labels that the scrape adds."""
ASKED = [query for panel in panels.PANELS for query in panel.queries.values()]


@pytest.fixture(scope="module")
def samples(product: kit.Product) -> dict[str, list[dict[str, str]]]:
    """The labels of every sample by its name, of a replica and of the API server."""
    namespace = installing.unused_name()
    labels = {names.INJECTION_LABEL: names.ENABLED}
    product.plane.create_namespace(namespace, labels=labels)
    product.create_pod(namespace, kit.pod())
    api_server = metrics.read(product.plane.client.text("GET", "/metrics")[1])
    samples_by_name: dict[str, list[dict[str, str]]] = {}
    for sample in (*product.replicas[0].metrics().samples, *api_server.samples):
        samples_by_name.setdefault(sample.name, []).append(sample.labels)
    return samples_by_name


@pytest.mark.parametrize("query", ASKED)
def test_every_query_of_the_dashboard_finds_something(
    query: str, samples: dict[str, list[dict[str, str]]]
) -> None:
    assert found(query, samples)


def test_every_alert_looks_at_something(samples: dict[str, list[dict[str, str]]]) -> None:
    text = ALERTS.read_text().replace("{%s", '{namespace="x"').replace('\\"', '"')
    assert len(found(text, samples)) >= 7


def found(text: str, samples: dict[str, list[dict[str, str]]]) -> list[str]:
    """Every metric that is named, after a look at its labels."""
    matches = []
    for metric, selector in SELECTOR.findall(text):
        # Counted only once there was a failure: the API server shows them from then on.
        if metric.endswith(("fail_open_count", "rejection_count")):
            continue
        assert metric in samples, metric
        for label, operator, value in re.findall(r'(\w+)(=~|!=|=)"([^"]*)"', selector):
            if label in OF_PROMETHEUS:
                continue
            values = {labels.get(label) for labels in samples[metric]}
            assert values - {None}, f"{metric} has no label {label}"
            assert operator != "=" or value in values, f"{metric} has no {label}={value}"
        matches.append(metric)
    return matches or [text]
