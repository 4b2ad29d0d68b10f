"""Warnings to the author of an injection that need nothing but the injection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sidecar_injector.core.injections import model, parameters
from sidecar_injector.core.injections.schema import Problem
from sidecar_injector.core.linting import trial

RESOURCES = ("cpu", "memory")
FILLED = ("template", "applicationContainers", "inherit")
"""The parts of a spec in which tokens are replaced."""


def warnings(injection: model.Injection) -> Iterator[Problem]:
    """Parts that work, but perhaps not as the author expects."""
    yield from _requests(injection)
    yield from _volumes(injection)
    yield from _tokens(injection)


def _requests(injection: model.Injection) -> Iterator[Problem]:
    """Containers without requests; a limit without a request counts as one.

    https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/
    """
    for path, container in trial.containers(injection):
        resources: dict[str, Any] = container.get("resources") or {}
        set_names = (resources.get("requests") or {}).keys() | (
            resources.get("limits") or {}
        ).keys()
        if missing := [name for name in RESOURCES if name not in set_names]:
            yield Problem(
                f"{path}.resources",
                f"requests no {' and no '.join(missing)}: autoscaling and quotas may need it",
            )


def _volumes(injection: model.Injection) -> Iterator[Problem]:
    for path, name in trial.unresolved(injection):
        yield Problem(path, f"mounts {name!r}, which the template does not define: the pod must")
    mounted = {name for _, name in trial.mounts(injection)}
    for index, volume in enumerate(injection.template_spec.get("volumes") or ()):
        if volume["name"] not in mounted:
            yield Problem(
                f"spec.template.spec.volumes[{index}]",
                f"{volume['name']!r} is only added to pods that mount it: nothing here does",
            )


def _tokens(injection: model.Injection) -> Iterator[Problem]:
    """Tokens in parts where tokens are not replaced, and parameters without a token."""
    spec = injection.spec
    for part in spec.keys() - set(FILLED):
        for path, _, name in parameters.tokens(spec[part], path=f"spec.{part}"):
            yield Problem(
                path, f"$({name}) stays as it is: tokens are replaced in {', '.join(FILLED)}"
            )
    used = {
        name
        for part in FILLED
        for _, _, name in parameters.tokens(spec.get(part), path=f"spec.{part}")
    }
    for index, parameter in enumerate(spec.get("parameters") or ()):
        if f"params.{parameter['name']}" not in used:
            yield Problem(
                f"spec.parameters[{index}]",
                f"$(params.{parameter['name']}) stands nowhere: the parameter changes nothing",
            )
