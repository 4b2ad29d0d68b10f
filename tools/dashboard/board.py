"""The dashboard around the panels, as Grafana imports it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from sidecar_injector import names
from tools.dashboard import panels

CHART: Final = Path(__file__).parents[2] / "charts" / names.PRODUCT
FILE: Final = CHART / "files" / "dashboards" / "overview.json"
UID: Final = "sidecar-injector-overview"
WIDTH: Final = 24
"""Columns of Grafana's grid."""
HEIGHT: Final = 7

Json = dict[str, Any]


def text() -> str:
    """The dashboard as Grafana imports it."""
    return json.dumps(_dashboard(), indent=2) + "\n"


def _dashboard() -> Json:
    return {
        "uid": UID,
        "title": names.PRODUCT,
        "description": "What is injected, how fast, and what stands in the way.",
        "tags": [names.PRODUCT, "kubernetes"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [_datasource(), _namespace()]},
        "panels": [_panel(number, panel) for number, panel in enumerate(panels.PANELS)],
    }


def _datasource() -> Json:
    return {
        "name": "datasource",
        "type": "datasource",
        "query": "prometheus",
        "label": "Data source",
    }


def _namespace() -> Json:
    query = "label_values(sidecar_injector_build_info, namespace)"
    return {
        "name": "namespace",
        "type": "query",
        "label": "Namespace",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "query": {"query": query, "refId": "namespace"},
        "refresh": 2,
        "includeAll": True,
        "current": {"text": "All", "value": "$__all"},
    }


def _panel(number: int, panel: panels.Panel) -> Json:
    return {
        "id": number + 1,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "gridPos": _place(number),
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + index), "expr": query, "legendFormat": legend}
            for index, (legend, query) in enumerate(panel.queries.items())
        ],
    }


def _place(number: int) -> Json:
    """Panels flow from left to right; a row ends where the next panel does not fit."""
    x = y = 0
    for index, panel in enumerate(panels.PANELS):
        if x + panel.width > WIDTH:
            x, y = 0, y + HEIGHT
        if index == number:
            return {"x": x, "y": y, "w": panel.width, "h": HEIGHT}
        x += panel.width
    raise IndexError(number)
