"""A replica does not load what it never uses."""

from __future__ import annotations

import subprocess
import sys

START = """
import sys
from sidecar_injector.kube import lean_import
lean_import.skip_synchronous_client()
from sidecar_injector import app
"""


def run(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def test_a_replica_loads_neither_the_synchronous_client_nor_other_verbs() -> None:
    unused = ("requests", "oauthlib", "websocket", "rich", "kubernetes.config")
    verbs = "sidecar_injector.cli"
    code = (
        f"{START}\nprint([name for name in sys.modules if name in {unused} or '{verbs}' in name])"
    )
    assert run(code) == "[]\n"


def test_the_client_is_the_official_one_all_the_same() -> None:
    code = (
        f"{START}\nfrom kubernetes.aio.client import rest\nprint(rest.RESTClientObject.__module__)"
    )
    assert run(code) == "kubernetes.aio.client.rest\n"


def test_a_package_that_was_imported_before_stays() -> None:
    code = (
        "import kubernetes\n"
        "from sidecar_injector.kube import lean_import\n"
        "lean_import.skip_synchronous_client()\n"
        "import sys\n"
        "print(sys.modules['kubernetes'] is kubernetes, hasattr(kubernetes, 'config'))"
    )
    assert run(code) == "True True\n"
