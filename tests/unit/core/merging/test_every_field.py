"""Every field that the CRDs accept in a template's spec reaches the pod, and leaves it again."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar_injector import crds, names
from tests.kits.samples import container, injection, pod, round_trip

SIDECAR = container(volumeMounts=[{"name": "scratch", "mountPath": "/scratch"}])
CONSTRAINT = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
EXAMPLES: dict[str, Any] = {
    "containers": [container()],
    "initContainers": [container("first")],
    "volumes": [{"name": "scratch", "emptyDir": {}}],
    "imagePullSecrets": [{"name": "registry"}],
    "hostAliases": [{"ip": "192.0.2.1", "hostnames": ["example"]}],
    "serviceAccountName": "robot",
    "shareProcessNamespace": True,
    "dnsConfig": {"searches": ["example.com"]},
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "topologySpreadConstraints": [CONSTRAINT],
    "hostNetwork": True,
    "hostPID": True,
}


def fields(kind: str) -> set[str]:
    template = crds.spec_schema(kind)["properties"]["template"]
    return set(template["properties"]["spec"]["properties"])


def test_there_is_an_example_of_every_field() -> None:
    assert fields(names.CLUSTER_KIND) == EXAMPLES.keys()
    assert fields(names.KIND) < EXAMPLES.keys()


@pytest.mark.parametrize("field", sorted(EXAMPLES))
def test_a_field_of_the_template_is_added_and_taken_out_again(field: str) -> None:
    spec = {"containers": [SIDECAR], "volumes": EXAMPLES["volumes"], field: EXAMPLES[field]}
    if field == "containers":
        spec["volumes"] = []
    decision = round_trip(pod(), injection(cluster=True, template={"spec": spec}))
    added, expected = decision.pod["spec"][field], EXAMPLES[field]
    if isinstance(expected, list):
        (item,) = expected
        assert item.items() <= added[-1].items()
    else:
        assert added == expected
