"""`run`: the operator."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

import click

from sidecar_injector import names
from sidecar_injector import settings as settings_module
from sidecar_injector.cli import operator_extra
from sidecar_injector.kube import lean_import
from sidecar_injector.settings import SettingError, Settings

OUTSIDE: Final = "--outside-of-a-pod"


class BadSetting(click.ClickException):
    """A setting that cannot be used: one line that names it; exit status 2."""

    exit_code = 2


class NotInPodError(click.ClickException):
    """Somebody has typed the command that pods run; exit status 2."""

    exit_code = 2

    def __init__(self) -> None:
        super().__init__(
            "this would join the cluster of the kubeconfig as one more replica of the operator,"
            f" with your rights; {names.PRODUCT} status shows what runs there. To run it all the"
            f" same: {OUTSIDE}"
        )


@click.command(epilog=f"Example: KUBECONFIG=~/.kube/config sidecar-injector run {OUTSIDE}")
@click.option("--kubeconfig", metavar="FILE", help="Instead of $KUBECONFIG and the pod's own.")
@click.option("--context", metavar="NAME", help="A context of the kubeconfig.")
@click.option(OUTSIDE, "outside", is_flag=True, help="Also where no pod, and no chart, runs it.")
def run(*, kubeconfig: str | None, context: str | None, outside: bool) -> None:
    """Run the operator until SIGTERM or SIGINT.

    Settings are read from variables SIDECAR_INJECTOR_…; the Helm chart sets them. Without any of
    them it runs in a pod only.
    """
    # Kopf and the Kubernetes client take half a second to import: no other verb, and no completion
    # of a shell, should pay for that.
    lean_import.skip_synchronous_client()
    with operator_extra.needed("the operator"):
        from sidecar_injector import app  # noqa: PLC0415

    if not (outside or _is_deployed(os.environ)):
        raise NotInPodError
    try:
        settings = Settings.from_environment(os.environ)
    except SettingError as error:
        raise BadSetting(str(error)) from error
    app.run(settings, environment=os.environ, kubeconfig=kubeconfig, context=context)


def _is_deployed(environment: Mapping[str, str]) -> bool:
    """Whether this is a pod, or somebody has set what the chart sets."""
    prefix = settings_module.variable("")
    is_set = any(variable.startswith(prefix) for variable in environment)
    return is_set or "KUBERNETES_SERVICE_HOST" in environment
