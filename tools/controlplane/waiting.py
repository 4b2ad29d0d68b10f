"""The one function that polls."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

from tools.controlplane import errors

Result = TypeVar("Result")
PAUSE_SECONDS: Final = 0.05


def until(
    probe: Callable[[], Result], *, what: str, seconds: float = 30, pause: float = PAUSE_SECONDS
) -> Result:
    """The probe's first result that is true.

    An OSError or ControlPlaneError of the probe means "not yet": a server that starts causes them.
    ProcessDiedError means never, and is raised. Raises WaitError with the last result or error when
    the time is over.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            result = probe()
            if result:
                return result
            last = repr(result)
        except errors.ProcessDiedError:
            raise
        except (OSError, errors.ControlPlaneError) as error:
            last = str(error) or repr(error)
        if time.monotonic() >= end:
            raise errors.WaitError(what=what, seconds=seconds, last=last)
        time.sleep(pause)
