"""Nothing that a client sends crashes, blocks or steers the operator: the short run.

`python -m tools.fuzz` is the long one.
"""

from __future__ import annotations

from tests.kits import product as kit
from tools.fuzz import campaign

INPUTS = 4000


def test_malformed_input_is_survived(product: kit.Product, injecting_namespace: str) -> None:
    (replica, *_) = product.replicas
    report = campaign.run(replica, namespace=injecting_namespace, count=INPUTS, seed=1)

    assert report.complaints() == []
    assert report.result.total == INPUTS
    assert len(report.result.healthy) > 20
    assert {200, 400, 404, 405} <= set(report.result.statuses)
