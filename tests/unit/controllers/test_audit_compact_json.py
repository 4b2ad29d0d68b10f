"""JSON that is kept takes no more memory than its bytes."""

import tracemalloc

import orjson
import pytest

from sidecar_injector.controllers.audit import count as pod_count

OVERHEAD = 256
"""Of the object, and of whatever else happens to be allocated meanwhile."""


@pytest.mark.parametrize("count", [0, 1, 30, 300])
def test_what_is_kept_takes_no_more_than_its_bytes(count: int) -> None:
    value = [{"op": "add", "path": "/spec/x", "value": "y" * 300}] * count
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        kept = pod_count.compact_json(value)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert orjson.loads(kept) == value
    assert after - before <= len(kept) + OVERHEAD
