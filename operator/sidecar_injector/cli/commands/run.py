"""`run`: the operator."""

from __future__ import annotations

import os

import click

from sidecar_injector.cli import operator_extra
from sidecar_injector.kube import lean_import
from sidecar_injector.settings import SettingError, Settings


class BadSetting(click.ClickException):
    """A setting that cannot be used: one line that names it; exit status 2."""

    exit_code = 2


@click.command(epilog="Example: KUBECONFIG=~/.kube/config sidecar-injector run")
@click.option("--kubeconfig", metavar="FILE", help="Instead of $KUBECONFIG and the pod's own.")
@click.option("--context", metavar="NAME", help="A context of the kubeconfig.")
def run(*, kubeconfig: str | None, context: str | None) -> None:
    """Run the operator until SIGTERM or SIGINT.

    Settings are read from variables SIDECAR_INJECTOR_…; the Helm chart sets them.
    """
    # Kopf and the Kubernetes client take half a second to import: no other verb, and no completion
    # of a shell, should pay for that.
    lean_import.skip_synchronous_client()
    with operator_extra.needed("the operator"):
        from sidecar_injector import app  # noqa: PLC0415

    try:
        settings = Settings.from_environment(os.environ)
    except SettingError as error:
        raise BadSetting(str(error)) from error
    app.run(settings, environment=os.environ, kubeconfig=kubeconfig, context=context)
