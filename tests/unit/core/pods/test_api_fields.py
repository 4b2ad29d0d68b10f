"""The table of fields belongs to the schema, and is read with its one rule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sidecar_injector import crds, names
from sidecar_injector.core.pods import api_fields, field_table

Json = dict[str, Any]


def accepted(schema: Json, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all fields of a schema."""
    yield path
    for name, member in schema.get("properties", {}).items():
        yield from accepted(member, (*path, name))
    if "items" in schema:
        yield from accepted(schema["items"], path)
    if "additionalProperties" in schema:
        yield from accepted(schema["additionalProperties"], (*path, api_fields.EVERY))


def test_the_table_has_only_fields_that_a_template_accepts() -> None:
    template = crds.spec_schema(names.CLUSTER_KIND)["properties"]["template"]
    paths = {".".join(path) for path in accepted(template["properties"]["spec"])}
    for part in (field_table.DEFAULTS, field_table.POINTERS, field_table.MAPS,
                 field_table.QUANTITIES, field_table.KEYS):  # fmt: skip
        assert part
        assert set(part) <= paths


@pytest.mark.parametrize(
    ("path", "value", "is_absent"),
    [
        ("containers.tty", False, True),
        ("containers.tty", True, False),
        ("containers.workingDir", "", True),
        ("containers.args", [], True),
        ("containers.ports.hostPort", 0, True),
        ("containers.securityContext.privileged", False, False),
        ("containers.securityContext.privileged", None, True),
        ("containers.securityContext.runAsUser", 0, False),
        ("initContainers.securityContext.runAsUser", 0, False),
        ("shareProcessNamespace", False, False),
        ("hostNetwork", False, True),
        ("tolerations.tolerationSeconds", 0, False),
        ("tolerations.value", "", True),
        ("topologySpreadConstraints.labelSelector", {}, False),
        ("volumes.csi.volumeAttributes.any", "", False),
        ("volumes.csi.readOnly", False, False),
        ("volumes.nfs.readOnly", False, True),
        ("volumes.ofAnotherVersion.flag", False, True),
    ],
)
def test_an_empty_value_is_absent_unless_the_field_is_a_pointer(
    path: str, value: Any, is_absent: bool
) -> None:
    assert api_fields.TEMPLATE.at(path.split(".")).is_absent(value) is is_absent


@pytest.mark.parametrize(
    ("path", "value", "read"),
    [
        ("containers.livenessProbe.periodSeconds", 0, 10),
        ("containers.livenessProbe.periodSeconds", None, 10),
        ("containers.livenessProbe.periodSeconds", 5, 5),
        ("volumes.secret.defaultMode", None, 420),
        ("volumes.secret.defaultMode", 0, 0),
        ("containers.ports.protocol", "", "TCP"),
        ("containers.name", "", None),
    ],
)
def test_what_is_filled_in(path: str, value: Any, read: Any) -> None:
    assert api_fields.TEMPLATE.at(path.split(".")).read(value) == read
