"""What Prometheus scrapes of a running replica, and that the manual lists exactly that."""

from __future__ import annotations

from collections.abc import Iterable

import prometheus_client
import prometheus_client.parser
import pytest

from sidecar_injector import names
from sidecar_injector.core.reasons import Reason
from sidecar_injector.httpserver import tls
from sidecar_injector.observability.metrics import NAMESPACE, Metrics
from tests.kits import product as kit
from tools import reference

Families = dict[str, prometheus_client.Metric]
WATCHED = {
    names.PLURAL, names.CLUSTER_PLURAL, "namespaces", "serviceaccounts", "secrets",
    "mutatingwebhookconfigurations", "validatingwebhookconfigurations", "limitranges",
    "resourcequotas",
}  # fmt: skip


def scraped(text: str) -> Families:
    """Ours by name, without the times at which counters began."""
    parsed = prometheus_client.parser.text_string_to_metric_families(text)
    ours = {family.name: family for family in parsed if family.name.startswith(f"{NAMESPACE}_")}
    return {name: family for name, family in ours.items() if not name.endswith("_created")}


@pytest.fixture
def families(product: kit.Product) -> list[Families]:
    return [scraped(replica.get("/metrics")[1]) for replica in product.replicas]


def values(families: Iterable[Families], metric: str, label: str) -> set[str]:
    """Every value that a label of it has."""
    samples = [
        sample for each in families for sample in each[metric.removesuffix("_total")].samples
    ]
    return {sample.labels[label] for sample in samples if not sample.name.endswith("_created")}


def test_every_metric_of_the_manual_is_scraped_and_no_other(families: list[Families]) -> None:
    listed = {
        instrument.name.removesuffix("_total"): instrument for instrument in Metrics().instruments
    }
    for scraped_families in families:
        assert set(scraped_families) == set(listed)
        for name, instrument in listed.items():
            assert (scraped_families[name].type, scraped_families[name].documentation) == (
                instrument.kind,
                instrument.text,
            )
            labels = {
                label for sample in scraped_families[name].samples for label in sample.labels
            } - {"le"}
            assert labels == set(instrument.labels)


def test_the_manual_lists_every_metric_in_its_table() -> None:
    page = reference.FILE.read_text(encoding="utf-8")
    for instrument in Metrics().instruments:
        assert f"| `{instrument.name}` | {instrument.kind} | " in page
    assert page.count(f"| `{NAMESPACE}_") == len(Metrics().instruments)


def test_the_values_of_labels_are_those_of_the_manual(families: list[Families]) -> None:
    for label, metrics in reference.LABELS.items():
        for metric, listed in metrics.items():
            label_values = values(families, f"{NAMESPACE}_{metric}", label)
            if not isinstance(listed, str):
                assert label_values == set(listed), f"{metric}{{{label}}}"


def test_the_values_that_the_manual_describes_are_few_and_ours(families: list[Families]) -> None:
    def of(metric: str, label: str) -> set[str]:
        return values(families, f"{NAMESPACE}_{metric}", label)

    assert of("decisions_total", "reason") == {reason.value for reason in Reason}
    assert of("tls_handshake_failures_total", "reason") == {*tls.REASONS, tls.OTHER}
    assert of("cache_synced", "resource") <= WATCHED
    assert all(400 <= int(code) < 600 for code in of("http_errors_total", "code"))


def test_no_pod_or_namespace_adds_a_label_value(
    product: kit.Product, injecting_namespace: str
) -> None:
    """Not its name, its annotations, nor what it asks for."""

    def labels() -> list[set[tuple[str, str]]]:
        return [
            {
                (sample.name, str(sample.labels))
                for family in scraped(replica.get("/metrics")[1]).values()
                for sample in family.samples
            }
            for replica in product.replicas
        ]

    before = labels()
    for number in range(5):
        asking = {names.INJECT_ANNOTATION: f"nobody-{number}"}
        product.create_pod(
            injecting_namespace, kit.with_metadata(kit.pod(f"pod-{number}"), annotations=asking)
        )
    for replica in product.replicas:
        replica.get("/nothing/here")
    assert labels() == before


def test_what_a_replica_counts_moves(product: kit.Product, injecting_namespace: str) -> None:
    def moved() -> list[float]:
        return [
            product.counted("sidecar_injector_admission_duration_seconds_count"),
            product.counted("sidecar_injector_patch_bytes_count"),
            product.counted("sidecar_injector_loop_lag_seconds_count"),
            product.counted("sidecar_injector_loop_held_seconds_count"),
        ]

    before = moved()
    product.create_pod(injecting_namespace, kit.pod())
    assert all(new > old for new, old in zip(moved(), before, strict=True))
    assert product.counted("sidecar_injector_leader") == 1
