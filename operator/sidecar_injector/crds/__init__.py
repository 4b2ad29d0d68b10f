"""The schemas of our two kinds, as the CRDs have them, for use where no API server is at hand.

Generated beside the CRDs by `make crds`; here belongs nothing that is written by hand.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
from typing import Any

from sidecar_injector import names

_FILES = {
    names.KIND: f"{names.PLURAL}.json",
    names.CLUSTER_KIND: f"{names.CLUSTER_PLURAL}.json",
}


@functools.cache
def resource_schema(kind: str) -> dict[str, Any]:
    """The schema of a whole resource of one of our kinds."""
    file = importlib.resources.files(__package__) / _FILES[kind]
    schema: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return schema


def spec_schema(kind: str) -> dict[str, Any]:
    """The schema of `spec` of one of our kinds."""
    schema: dict[str, Any] = resource_schema(kind)["properties"]["spec"]
    return schema
