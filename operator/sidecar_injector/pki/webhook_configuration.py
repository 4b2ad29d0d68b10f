"""What a webhook configuration says about caBundles: questions on plain JSON, nothing else."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from sidecar_injector import names
from sidecar_injector.pki import checks

Json = dict[str, Any]


def common_authorities(configuration: Json) -> frozenset[str]:
    """Fingerprints of the CAs that each entry's caBundle holds; rubbish holds none."""
    # The API server leaves out an empty list.
    bundles = [
        _fingerprints(entry["clientConfig"].get("caBundle", ""))
        for entry in configuration.get("webhooks") or ()
    ]
    return frozenset.intersection(*bundles) if bundles else frozenset()


def _fingerprints(bundle: str) -> frozenset[str]:
    try:
        return checks.fingerprints(base64.b64decode(bundle))
    except binascii.Error:
        return frozenset()


def other_managers(configuration: Json) -> list[str]:
    """The field managers but ourselves that own a caBundle, by name.

    Whoever removes it owns nothing afterwards; then it is whoever else has written last.
    """
    others = [
        entry
        for entry in configuration["metadata"].get("managedFields") or []
        if entry.get("manager") not in {names.PRODUCT, None}
    ]
    owners = {entry["manager"] for entry in others if _owns_bundle(entry.get("fieldsV1") or {})}
    last = max(others, key=lambda entry: str(entry.get("time", "")), default=None)
    return sorted(owners) or ([last["manager"]] if last else [])


def _owns_bundle(fields: Json) -> bool:
    webhooks = fields.get("f:webhooks") or {}
    return any(
        "f:caBundle" in (entry.get("f:clientConfig") or {})
        for key, entry in webhooks.items()
        if key != "."
    )


def wrong_entries(configuration: Json | None, wanted: bytes | None) -> list[str]:
    """The names of the entries whose caBundle differs; none if nothing is wanted."""
    if configuration is None or wanted is None:
        return []
    expected = base64.b64encode(wanted).decode()
    return [
        entry["name"]
        for entry in configuration.get("webhooks") or []
        if entry["clientConfig"].get("caBundle") != expected
    ]
