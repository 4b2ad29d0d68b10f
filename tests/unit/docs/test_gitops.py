"""The example for Argo CD covers both kinds."""

from __future__ import annotations

import pathlib
import re

import yaml

from sidecar_injector import names

PAGE = (pathlib.Path(__file__).parents[3] / "docs/gitops.md").read_text(encoding="utf-8")


def test_argo_cd_learns_the_health_of_both_kinds() -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (checks,) = [yaml.safe_load(text)["data"] for text in blocks if text.startswith("data:")]
    prefix = f"resource.customizations.health.{names.GROUP}_"
    assert checks.keys() == {prefix + names.KIND, prefix + names.CLUSTER_KIND}
    assert len(set(checks.values())) == 1
