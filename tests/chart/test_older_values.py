"""What an older chart accepted is accepted still, unless it could never work."""

from __future__ import annotations

import copy
import json
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from tests.kits import older_chart

Render = Callable[..., Any]

MATRIX = older_chart.matrix()
KUBELET = 10250


@pytest.fixture(scope="module")
def reused(bare_chart: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """This chart with the older defaults, as `helm upgrade --reuse-values` combines them."""
    folder = tmp_path_factory.mktemp("reused")
    chart = folder / "sidecar-injector"
    shutil.copytree(bare_chart, chart)
    older = older_chart.unpack(folder)
    shutil.copy(older / "values.yaml", chart / "values.yaml")
    return chart


@pytest.mark.parametrize("values", MATRIX.values(), ids=list(MATRIX))
def test_values_that_the_older_chart_accepted_render(
    values: dict[str, Any], reused: pathlib.Path, render: Render
) -> None:
    chosen = copy.deepcopy(values)
    if chosen.get("hostNetwork") and chosen["webhook"]["securePort"] == KUBELET:
        chosen["webhook"]["securePort"] = 9443
    now, then = render(chosen), render(chosen, chart=reused)

    assert now.one("Deployment")["spec"]["replicas"] == chosen.get("replicas", 2)
    assert json.dumps(now.objects) == json.dumps(then.objects)
