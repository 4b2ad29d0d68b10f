"""What Prometheus would scrape, read: from a replica or from the API server."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import prometheus_client.parser
from prometheus_client.samples import Sample


@dataclasses.dataclass(frozen=True, slots=True)
class Metrics:
    """The samples of one scrape."""

    samples: Sequence[Sample]

    def value(self, name: str, **labels: str) -> float:
        """The sum over all samples of this name that have these labels; 0 for none."""
        return sum(
            sample.value
            for sample in self.samples
            if sample.name == name and sample.labels.items() >= labels.items()
        )

    def label_values(self, name: str, label: str) -> set[str]:
        """All values of a label, for instance the bounds of a histogram's buckets."""
        return {sample.labels[label] for sample in self.samples if sample.name == name}


def read(text: str) -> Metrics:
    """Parse the text format."""
    families = prometheus_client.parser.text_string_to_metric_families(text)
    return Metrics([sample for family in families for sample in family.samples])
