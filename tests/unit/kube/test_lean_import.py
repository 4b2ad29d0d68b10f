"""A replica does not load what it never uses."""

from __future__ import annotations

import subprocess
import sys

START = """
import os, sys, click.testing
from sidecar_injector.cli import main
# It ends at this setting, with everything imported.
os.environ["SIDECAR_INJECTOR_WEBHOOK_PORT"] = "none"
answer = click.testing.CliRunner().invoke(main.cli, ["run"])
assert "WEBHOOK_PORT" in answer.output, answer.output
assert "kopf" in sys.modules
"""


def run(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def test_a_replica_loads_neither_the_synchronous_client_nor_other_verbs() -> None:
    loaded = set(run(f"{START}\nprint(*sys.modules)").split())
    assert not loaded & {"requests", "oauthlib", "websocket", "rich", "kubernetes.config"}
    verbs = {name for name in loaded if name.startswith("sidecar_injector.cli.commands.")}
    assert verbs == {"sidecar_injector.cli.commands.run"}


def test_the_client_is_the_official_one_all_the_same() -> None:
    code = "from kubernetes.aio.client import rest\nprint(rest.RESTClientObject.__module__)"
    assert run(START + code) == "kubernetes.aio.client.rest\n"


def test_a_package_that_was_imported_before_stays() -> None:
    code = (
        "import kubernetes\n"
        "from sidecar_injector.kube import lean_import\n"
        "lean_import.skip_synchronous_client()\n"
        "import sys\n"
        "print(sys.modules['kubernetes'] is kubernetes, hasattr(kubernetes, 'config'))"
    )
    assert run(code) == "True True\n"
