"""Whether the limits of a namespace have room for what an injection adds to a usual pod."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.injections.schema import Problem
from sidecar_injector.core.limits import namespace_limits
from sidecar_injector.core.linting import trial


def warnings(
    injection: model.Injection,
    limits: Mapping[str, namespace_limits.NamespaceLimits],
    namespaces: Mapping[str, namespace_view.Namespace],
) -> Iterator[Problem]:
    """One for each namespace whose pods cannot take the injection; `limits` are by namespace."""
    applicable = {
        name: each for name, each in limits.items() if _may_apply(injection, name, namespaces)
    }
    results = list(trial.outcomes(injection)) if applicable else []
    for name, each in applicable.items():
        for result in results:
            if conflict := each.conflict(before=result.before, after=result.after):
                yield Problem(
                    "spec.template",
                    f"pods of namespace {name}: {conflict.reason.value} {conflict.detail}",
                )
                break


def _may_apply(
    injection: model.Injection, name: str, namespaces: Mapping[str, namespace_view.Namespace]
) -> bool:
    if not injection.is_cluster:
        return injection.namespace == name
    namespace = namespaces.get(name) or namespace_view.Namespace.assumed(name)
    return bool(injection.namespace_selector(namespace.labels))
