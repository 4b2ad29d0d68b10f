"""The table of fields is what a real API server does, for every field that a template accepts."""

from __future__ import annotations

import copy
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from sidecar_injector.core.merging import defaults
from sidecar_injector.core.pods import api_fields, images, quantity
from tests.kits import image_names, versions
from tools.controlplane import cluster
from tools.crds.__main__ import OPENAPI
from tools.fields import __main__ as fields
from tools.fields import dropped, dry_run, measure

Json = dict[str, Any]
QUANTITIES = (
    "1",
    "0.5",
    "1500u",
    "0.0001",
    "1e3",
    "1E",
    "1.5Gi",
    "8Ki",
    "0",
    "1e-10",
    "20Ei",
    "12e6",
)


class Recording:
    """Dry runs, with every pod that was accepted and how it came back."""

    def __init__(self, create: dry_run.DryRun) -> None:
        self._create = create
        self.pairs: list[tuple[Json, Json]] = []

    def __call__(self, pod: Json) -> Json | None:
        created = self._create(pod)
        if created is not None:
            self.pairs.append((copy.deepcopy(pod), created))
        return created


@pytest.fixture
def create(controlplane: cluster.ControlPlane, namespace: str) -> Iterator[dry_run.DryRun]:
    controlplane.wait_for_service_account(namespace)
    with dry_run.DryRun(controlplane.client, namespace=namespace) as create:
        yield create


def test_every_field_is_measured_as_the_table_says(
    controlplane: cluster.ControlPlane, create: dry_run.DryRun
) -> None:
    recording = Recording(create)
    table = measure.measure(controlplane.client.get(OPENAPI), recording)
    committed = pathlib.Path(fields.PATH).read_text("utf-8")
    assert fields.text(table) == committed, "python -m tools.fields writes it again"

    # Whatever was sent, with typical and with empty values, is recognised in what came back.
    assert len(recording.pairs) > len(table.defaults) + len(table.pointers)
    for sent, created in recording.pairs:
        for name, value in sent["spec"].items():
            field, there = api_fields.TEMPLATE.member(name), created["spec"].get(name)
            wanted = without(value, name, table.dropped)
            if isinstance(value, list):
                # Admission plugins add tolerations behind the pod's own.
                for index, item in enumerate(wanted):
                    assert_recognised(there[index], item, name, field)
            else:
                assert defaults.contains(there, wanted, field), (name, wanted, there)


def assert_recognised(there: Json, item: Json, name: str, field: api_fields.Field) -> None:
    assert defaults.contains(there, item, field), (name, item, there)
    if name == "volumes":
        assert defaults.same_volume(there, item), (item, there)
    if name == "tolerations":
        assert defaults.ItemIndex([there], field=field).find(item), (item, there)


def without(value: Any, path: str, dropped: frozenset[str]) -> Any:
    """The value without the fields that this API server drops."""
    path = path.replace("initContainers", "containers")
    if isinstance(value, dict):
        below = {key: without(item, f"{path}.{key}", dropped) for key, item in value.items()}
        return {key: item for key, item in below.items() if f"{path}.{key}" not in dropped}
    return [without(item, path, dropped) for item in value] if isinstance(value, list) else value


def test_the_table_of_dropped_fields_is_what_this_release_does(create: dry_run.DryRun) -> None:
    committed = dropped.table()[versions.minor()]
    assert dropped.dropped(create) == committed, "python -m tools.fields.dropped writes it again"


@pytest.mark.parametrize("name", [*image_names.ALWAYS, *image_names.IF_NOT_PRESENT])
def test_the_pull_policy_is_read_from_the_image(create: dry_run.DryRun, name: str) -> None:
    volumes = [{"name": "v", "image": {"reference": name}}]
    spec = {"containers": [{"name": "app", "image": name}], "volumes": volumes}
    created = create({"metadata": {"name": "app"}, "spec": spec})
    assert created is not None
    policy = images.default_pull_policy(name)
    assert created["spec"]["containers"][0]["imagePullPolicy"] == policy
    assert created["spec"]["volumes"][0]["image"]["pullPolicy"] == policy


@pytest.mark.parametrize("text", QUANTITIES)
def test_quantities_are_rounded_as_the_api_server_rounds_them(
    create: dry_run.DryRun, text: str
) -> None:
    container = {"name": "app", "image": "app:1", "resources": {"limits": {"cpu": text}}}
    volumes = [{"name": "v", "emptyDir": {"sizeLimit": text}}]
    created = create(
        {"metadata": {"name": "app"}, "spec": {"containers": [container], "volumes": volumes}}
    )
    assert created is not None
    cpu = created["spec"]["containers"][0]["resources"]["limits"]["cpu"]
    assert quantity.stored(text, digits=quantity.MILLI) == quantity.parse(cpu)
    size = created["spec"]["volumes"][0]["emptyDir"]["sizeLimit"]
    assert quantity.stored(text, digits=quantity.NANO) == quantity.parse(size)
