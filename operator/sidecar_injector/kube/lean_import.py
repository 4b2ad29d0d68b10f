"""Imports the asyncio part of the official client without the rest of it.

`kubernetes/__init__.py` imports the synchronous client as well, with requests, oauthlib and
websocket. A replica uses none of them: they are 8 MB of its memory and a quarter of a second of its
start. https://github.com/kubernetes-client/python/blob/master/kubernetes/__init__.py
"""

from __future__ import annotations

import importlib.util
import sys
import types
from typing import Final

PACKAGE: Final = "kubernetes"


def skip_synchronous_client() -> None:
    """Make `kubernetes` a package without contents of its own; its modules can be imported.

    Does nothing if it was imported before. Call this before anything imports it, as Kopf does.
    """
    if PACKAGE in sys.modules:
        return
    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    package = types.ModuleType(PACKAGE)
    package.__spec__, package.__path__ = spec, list(spec.submodule_search_locations)
    sys.modules[PACKAGE] = package
