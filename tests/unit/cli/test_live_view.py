"""What verbs read of a cluster is what decisions in the cluster look at."""

from __future__ import annotations

import pytest

from sidecar_injector.cli.cluster import injections
from tests.kits import cluster as kit


@pytest.mark.parametrize(("version", "minor"), [("v1.32.9", 32), ("v1.37.2", 37)])
async def test_the_release_of_the_cluster_counts(version, minor):
    fake = kit.seeded(version=version)
    read = await injections.injections(fake, namespace="demo")
    view = await injections.namespace_view(fake, "demo", injections=read, release_namespace="x")
    assert view.kubernetes_minor == minor
    assert [injection.name for injection in view.injections] == ["log"]
