"""What can go wrong with a node, each as one line for people that names the remedy."""

from __future__ import annotations

import pathlib

from tools.controlplane import errors


class ConditionError(errors.ControlPlaneError):
    """This machine cannot run a node."""

    def __init__(self, *, missing: str, found: object, remedy: str) -> None:
        super().__init__(f"a node needs {missing}; found: {found}; {remedy}")


class PortError(errors.ControlPlaneError):
    """Another process has the port at which this machine was to reach the API server."""

    def __init__(self, *, address: str, port: int) -> None:
        super().__init__(
            f"port {port} of {address} was taken by another process; start again, a node chooses"
            " another port each time"
        )


class ImageError(errors.ControlPlaneError):
    """An archive could not be imported."""

    def __init__(self, *, archive: pathlib.Path, reason: str) -> None:
        full = "no space left on device" in reason.lower()
        remedy = (
            "free some, or set TMPDIR to a larger disk"
            if full
            else "remove the file, it is made anew"
        )
        super().__init__(f"the image {archive} cannot be imported: {reason}; {remedy}")
