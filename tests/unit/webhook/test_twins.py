"""Reviews that are derived from each other get what is decided about each of them."""

from __future__ import annotations

import pytest

from tests.kits import random_pods
from tools.fuzz import twins


@pytest.mark.parametrize(
    ("seed", "count"), [(0, 1_500), pytest.param(1, 60_000, marks=pytest.mark.long)]
)
def test_no_review_gets_the_response_to_another_one(seed: int, count: int) -> None:
    result = twins.run(count=count, seed=random_pods.SEED + seed)
    assert not result.differences
    # About a tenth is. Without any, nothing would be tried.
    assert result.cached > result.compared / 20
