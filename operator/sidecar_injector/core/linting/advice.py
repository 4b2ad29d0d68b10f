"""What an author should know about an injection that works: said by `lint`, not by /validate."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.injections.schema import Problem
from sidecar_injector.core.linting import trial
from sidecar_injector.core.pods import lenient, qos

CONFIG_MAP, SECRET = "ConfigMap", "Secret"
CLAIM, SERVICE_ACCOUNT = "PersistentVolumeClaim", "ServiceAccount"
VOLUME_SOURCES = (
    ("configMap", "name", CONFIG_MAP),
    ("secret", "secretName", SECRET),
    ("persistentVolumeClaim", "claimName", CLAIM),
)
"""The source of a volume, the member with the object's name, the object's kind."""
ENV_SOURCES = (("configMapKeyRef", CONFIG_MAP), ("secretKeyRef", SECRET))
ENV_FROM_SOURCES = (("configMapRef", CONFIG_MAP), ("secretRef", SECRET))


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class NeededObject:
    """An object without which a pod does not start, or is not created."""

    kind: str
    name: str

    def __str__(self) -> str:
        """Kind and name."""
        return f"{self.kind} {self.name!r}"


def warnings(
    injection: model.Injection, limited: Sequence[namespace_view.NamespaceView] = ()
) -> Iterator[Problem]:
    """The advice about an injection without errors, also about `limited` namespaces."""
    if injection.errors:
        return
    yield from _service_class(injection)
    yield from _without_room(injection, limited)
    if injection.namespace is None:
        for needed, path in needed_objects(injection).items():
            yield Problem(path, f"needs {needed} in the namespace of each pod")


def needed_objects(injection: model.Injection) -> dict[NeededObject, str]:
    """What a pod's namespace must have, with the field that first names it."""
    needed: dict[NeededObject, str] = {}
    spec, path = injection.template_spec, "spec.template.spec"
    applied = injection.spec.get("applicationContainers") or {}
    for index, volume in enumerate(spec.get("volumes") or ()):
        for each in _of_volume(volume):
            needed.setdefault(each, f"{path}.volumes[{index}]")
    sources = [*trial.containers(injection), ("spec.applicationContainers", applied)]
    for place, container in sources:
        for each in _of_env(container):
            needed.setdefault(each, place)
    if account := spec.get("serviceAccountName"):
        needed.setdefault(NeededObject(SERVICE_ACCOUNT, account), f"{path}.serviceAccountName")
    return needed


def _of_volume(volume: Mapping[str, Any]) -> Iterator[NeededObject]:
    projected = lenient.objects(lenient.child(volume, "projected"), "sources")
    # In a projection the Secret's name is in the member `name`.
    parts = [(volume, field) for field in VOLUME_SOURCES]
    parts += [
        (each, (field, "name", kind)) for each in projected for field, _, kind in VOLUME_SOURCES
    ]
    for part, (field, member, kind) in parts:
        yield from _required(lenient.child(part, field), kind, member=member)


def _of_env(container: Mapping[str, Any]) -> Iterator[NeededObject]:
    for source in lenient.objects(container, "envFrom"):
        for field, kind in ENV_FROM_SOURCES:
            yield from _required(lenient.child(source, field), kind)
    for variable in lenient.objects(container, "env"):
        for field, kind in ENV_SOURCES:
            yield from _required(lenient.child(lenient.child(variable, "valueFrom"), field), kind)


def _required(
    reference: Mapping[str, Any], kind: str, *, member: str = "name"
) -> Iterator[NeededObject]:
    if reference.get(member) and not reference.get("optional"):
        yield NeededObject(kind, reference[member])


def _service_class(injection: model.Injection) -> Iterator[Problem]:
    changing = [
        container["name"]
        for _, container in trial.containers(injection)
        if not qos.is_guaranteed(container.get("resources"))
    ]
    if changing:
        yield Problem(
            "spec.template.spec",
            f"makes a pod of class {qos.GUARANTEED} {qos.BURSTABLE}: its class needs limits of cpu"
            f" and memory that equal the requests, in {', '.join(changing)} too",
        )


def _without_room(
    injection: model.Injection, limited: Sequence[namespace_view.NamespaceView]
) -> Iterator[Problem]:
    """A warning for each namespace whose limits forbid in the example pod what is added."""
    reached = [
        view
        for view in limited
        if injection.namespace in (None, view.namespace.name)
        and injection.namespace_selector(view.namespace.labels)
    ]
    pairs = list(trial.outcomes(injection)) if reached else []
    for view in reached:
        conflicts = (
            view.limits.conflict(before=pair.before, after=pair.after)
            for pair in pairs
            if view.limits
        )
        if conflict := next(filter(None, conflicts), None):
            sentence = f"{conflict.reason.value} {conflict.detail}"
            yield Problem("spec.template", f"pods of namespace {view.namespace.name}: {sentence}")
