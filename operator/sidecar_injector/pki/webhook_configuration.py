"""The caBundles in a webhook configuration, and who writes them, read from its JSON."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from sidecar_injector import names
from sidecar_injector.pki import checks

Json = dict[str, Any]


def common_cas(configuration: Json) -> frozenset[str]:
    """Fingerprints of the CAs that the caBundle of every entry contains."""
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
    """The names of the field managers that own a caBundle, without our own.

    A manager that removes a caBundle owns nothing of it, so without an owner it is the last writer.
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
    """The names of the entries whose caBundle is not `wanted`; none if that is None."""
    if configuration is None or wanted is None:
        return []
    expected = base64.b64encode(wanted).decode()
    return [
        entry["name"]
        for entry in configuration.get("webhooks") or []
        if entry["clientConfig"].get("caBundle") != expected
    ]
