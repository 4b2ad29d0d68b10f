"""The admission policies of an installed product, and how people change them by hand."""

from __future__ import annotations

from typing import Final

from sidecar_injector import names
from sidecar_injector.controllers import policy_objects
from sidecar_injector.kube import api
from tests.kits import product as kit

OBJECTS: Final = policy_objects.object_names(names.PRODUCT)
EDITS: Final[dict[api.Resource, kit.Json]] = {
    api.POLICIES: {"matchConditions": [{"name": "never", "expression": "1 == 2"}]},
    api.POLICY_BINDINGS: {"matchResources": {"objectSelector": {"matchLabels": {"a": "b"}}}},
    api.GUARDS: {"validations": [{"expression": "1 == 1"}]},
    api.GUARD_BINDINGS: {"validationActions": ["Warn"]},
}
"""A change by hand of each."""
SECONDS: Final = 30


def path(resource: api.Resource = api.POLICIES) -> str:
    return resource.path(name=OBJECTS[resource])


def spec(product: kit.Product, resource: api.Resource = api.POLICIES) -> kit.Json:
    """What the cluster has."""
    found: kit.Json = product.plane.client.get(path(resource))["spec"]
    return found


def edit_until_mended(product: kit.Product, resource: api.Resource) -> None:
    """Change an object by hand, and wait until the operator has undone it."""
    before = spec(product, resource)
    body = {"spec": EDITS[resource]}
    changed = product.plane.client.request("PATCH", path(resource), body, **kit.PATCH)
    assert changed["spec"] != before
    product.plane.wait("it is mended", lambda: spec(product, resource) == before, seconds=SECONDS)
