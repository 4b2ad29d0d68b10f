"""The class of a pod is the one that the API server computes."""

from __future__ import annotations

import pytest

from sidecar_injector.core.pods import qos
from tests.kits.samples import Json, container

BOTH = {"cpu": "1", "memory": "1Gi"}
EQUAL = {"requests": {"cpu": "1000m", "memory": "1024Mi"}, "limits": BOTH}


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ([EQUAL], "Guaranteed"),
        ([{"limits": BOTH}], "Guaranteed"),
        ([EQUAL, {}], "Burstable"),
        ([{"limits": BOTH, "requests": {"cpu": "1m"}}], "Burstable"),
        ([{"limits": {"cpu": "1"}}], "Burstable"),
        ([{"requests": BOTH}], "Burstable"),
        ([{}], "BestEffort"),
        ([{"requests": {"cpu": "0", "example.com/gpu": "1"}}], "BestEffort"),
    ],
)
def test_every_container_counts_and_a_request_is_its_limit(
    resources: list[Json], expected: str
) -> None:
    containers = [container(f"c{index}", resources=each) for index, each in enumerate(resources)]
    assert qos.service_class({"containers": containers}) == expected
    assert qos.service_class({"containers": containers[:1], "initContainers": containers[1:]}) == (
        expected
    )


def test_the_resources_of_the_pod_count_instead_of_its_containers() -> None:
    spec = {"containers": [container()], "resources": {"limits": BOTH}}
    assert qos.service_class(spec) == "Guaranteed"
    assert qos.service_class({**spec, "resources": {"requests": {"cpu": "1"}}}) == "Burstable"
    assert qos.service_class({**spec, "resources": {}}) == "BestEffort"
