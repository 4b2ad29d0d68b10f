"""What can go wrong with a node, each as one line for people that names the remedy."""

from __future__ import annotations

import pathlib

from tools.controlplane import errors


class ConditionError(errors.ControlPlaneError):
    """This machine cannot run a node."""

    def __init__(self, *, missing: str, found: object, remedy: str) -> None:
        self.missing, self.found = missing, found
        super().__init__(f"a node needs {missing}; found: {found}; {remedy}")


class ImageError(errors.ControlPlaneError):
    """An archive could not be imported."""

    def __init__(self, *, archive: pathlib.Path, reason: str) -> None:
        self.archive = archive
        super().__init__(
            f"the image {archive} cannot be imported: {reason}; remove the file, it is made anew"
        )
