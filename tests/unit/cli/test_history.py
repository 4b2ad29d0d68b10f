"""What a pod's annotation says of its creation, in rows and for programs."""

from __future__ import annotations

from sidecar_injector.cli.cluster import history
from sidecar_injector.core import remedies
from sidecar_injector.core.merging import status_annotation
from tests.kits.samples import container, decided, injection, pod


def test_what_was_left_out_is_told_beside_what_was_added():
    logging = injection(applicationContainers={"env": [{"name": "A", "value": "a"}]})
    sources = [{"configMapRef": {"name": "own"}}]
    created = decided(pod(containers=[container("app", envFrom=sources)]), logging).pod
    recorded = status_annotation.read(created["metadata"]["annotations"])
    pod_history = history.PodHistory(
        recorded=recorded, injections=[logging], owner=remedies.Subject(namespace="demo")
    )
    (row,) = history.rows(pod_history)
    left_out = "/spec/containers/app/env/A"
    what = "container sidecar, without env A of container app"
    assert row == ("log", "Injected", "current", what)
    (entry,) = history.as_json(pod_history)["injected"]
    assert entry["leftOut"] == [left_out]
