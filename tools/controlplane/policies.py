"""Admission policies and their bindings: put in force and taken away."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sidecar_injector.kube import api
from tools.controlplane import client as http

RESOURCES: Final = api.by_kind(api.POLICIES, api.POLICY_BINDINGS, api.GUARDS, api.GUARD_BINDINGS)
Json = dict[str, Any]


def create(client: http.Client, manifests: Iterable[Json]) -> None:
    """They are in force a moment later."""
    for manifest in manifests:
        client.request("POST", RESOURCES[manifest["kind"]].path(), manifest)


def delete(client: http.Client, manifests: Iterable[Json]) -> None:
    """Bindings first."""
    for manifest in reversed([*manifests]):
        name = manifest["metadata"]["name"]
        client.request("DELETE", RESOURCES[manifest["kind"]].path(name=name))
