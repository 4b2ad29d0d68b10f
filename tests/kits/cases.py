"""The cases of `tests/cases`: one folder each, shared by the tests of command line and webhook.

Each is run by `sidecar-injector test`: `pod.yaml` (manifests with pods, and maybe a Namespace),
`injections.yaml`, and what comes out in `expected.yaml`. `make cases` writes what is expected; it
is reviewed like code.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import yaml

from sidecar_injector.cli.input import case_files

FOLDER = Path(__file__).parent.parent / "cases"
NAMESPACE = "demo"
"""Of objects that carry none."""


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """One folder."""

    folder: Path

    @property
    def expected(self) -> Path:
        """The manifests as they come out."""
        return self.folder / "expected.yaml"

    @property
    def pods(self) -> list[dict[str, Any]]:
        """What is expected of each pod, in the order of the pods."""
        return yaml.safe_load((self.folder / case_files.NAME).read_text())["cases"]

    @property
    def manifests(self) -> Path:
        """The pods, and maybe their namespace."""
        return self.folder / "pod.yaml"

    @property
    def injections(self) -> Path:
        """The injections."""
        return self.folder / "injections.yaml"


ALL = [Case(path.parent) for path in sorted(FOLDER.glob(f"*/{case_files.NAME}"))]
