from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.kits import certificates as kit


@pytest.fixture
async def cluster(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[kit.Cluster]:
    cluster = kit.Cluster(monkeypatch)
    yield cluster
    await cluster.stop()
