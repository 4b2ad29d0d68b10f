"""An injection's template as it would stand in one pod."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sidecar_injector import names
from sidecar_injector.core.injections import model, parameters, schema
from sidecar_injector.core.merging import additions, container_additions, inherit, pod_additions
from sidecar_injector.core.merging.conflict import Conflict
from sidecar_injector.core.merging.status_annotation import Entry
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.reasons import Reason
from sidecar_injector.core.validity import container as container_rules

Json = dict[str, Any]


SUMMARY_PARTS = 8


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RenderContext:
    """What a template may ask for about a pod, as its author wrote it, and its namespace."""

    namespace: str
    service_account: str
    host_network: bool
    sources: Mapping[str, Mapping[str, Any]]
    """Labels and annotations, by the names in `parameters.SOURCES`."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What an injection wants a pod to have. The dicts are shared: nobody changes them."""

    mode: str = "Container"
    containers: tuple[Json, ...] = ()
    init_containers: tuple[Json, ...] = ()
    """The template's own first, then its native sidecars."""
    volumes: tuple[Json, ...] = ()
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    annotations: Mapping[str, str] = dataclasses.field(default_factory=dict)
    additions: tuple[additions.Addition, ...] = ()
    bare: Mapping[str, Json] = dataclasses.field(default_factory=dict)
    """The containers by name without what they inherit, which other injectors may change."""
    precomputed: container_rules.TemplateProblems | None = None
    """The problems of a template that is the same for every pod."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is wanted."""
        return not (
            self.containers
            or self.init_containers
            or self.volumes
            or self.labels
            or self.annotations
            or self.additions
        )

    def summary(self) -> str:
        """The parts in a few words, for people."""
        parts = [
            *(f"container {one['name']}" for one in self.containers),
            *(f"init container {one['name']}" for one in self.init_containers),
            *(f"volume {one['name']}" for one in self.volumes),
            *(f"label {key}" for key in self.labels),
            *(f"annotation {key}" for key in self.annotations),
            *(addition.path for addition in self.additions),
        ]
        shown = ", ".join(parts[:SUMMARY_PARTS])
        rest = len(parts) - SUMMARY_PARTS
        return f"{shown} and {rest} more" if rest > 0 else shown


def render(
    injection: model.Injection,
    *,
    pod: Mapping[str, Any],
    entries: Sequence[Entry],
    around: RenderContext,
) -> Parts:
    """The parts for this pod; `entries` say what injections added to it.

    Raises Conflict where a value is missing or not acceptable.
    """
    spec = _filled(injection, around)
    mode = mode_of(injection, pod)
    parts = constant(injection, mode) if spec is injection.spec else _of_template(spec, mode)
    inherited, applied = spec.get("inherit"), spec.get("applicationContainers")
    if not inherited and not applied:
        return parts
    ours = frozenset(name for one in entries for field in pod_fields.CONTAINER_LISTS
                     for name in one.names(field))  # fmt: skip
    if inherited:
        taken = inherit.Inheritance(inherited, pod=pod, ours=ours, entries=entries)
        parts = dataclasses.replace(
            parts,
            containers=tuple(taken.into(one) for one in parts.containers),
            init_containers=tuple(taken.into(one) for one in parts.init_containers),
        )
    if applied:
        added = container_additions.wanted(applied, pod=pod, ours=ours)
        parts = dataclasses.replace(parts, additions=(*parts.additions, *added))
    return parts


_COMPILED: weakref.WeakKeyDictionary[model.Injection, dict[str, Parts]] = (
    weakref.WeakKeyDictionary()
)
"""The parts of templates without tokens by mode, as long as their injections exist."""


def constant(injection: model.Injection, mode: str) -> Parts:
    """The parts of a template without tokens: the same objects for every pod."""
    compiled = _COMPILED.setdefault(injection, {})
    if (parts := compiled.get(mode)) is None:
        parts = _of_template(injection.spec, mode)
        containers = (*parts.init_containers, *parts.containers)
        precomputed = container_rules.TemplateProblems(containers, parts.volumes)
        # Another thread may do the same at the same time: its parts are as good as these.
        parts = compiled[mode] = dataclasses.replace(parts, precomputed=precomputed)
    return parts


def _of_template(spec: Mapping[str, Any], mode: str) -> Parts:
    template = spec.get("template") or {}
    pod_spec, metadata = template.get("spec") or {}, template.get("metadata") or {}
    containers, init_containers = _lists(pod_spec, mode)
    return Parts(
        mode=mode,
        containers=containers,
        init_containers=init_containers,
        volumes=tuple(pod_spec.get("volumes") or ()),
        labels=metadata.get("labels") or {},
        annotations=metadata.get("annotations") or {},
        additions=tuple(pod_additions.of_pod(pod_spec)),
        bare={one["name"]: one for one in (*init_containers, *containers)},
    )


def mode_of(injection: model.Injection, pod: Mapping[str, Any]) -> str:
    """`Native` or `Container`: Auto is native where the pod ends, so that the sidecar ends too."""
    mode = str(injection.spec.get("sidecarMode") or "Auto")
    if mode != "Auto":
        return mode
    restarts = (pod.get("spec") or {}).get("restartPolicy") or names.CONTAINER_RESTART_ALWAYS
    return "Container" if restarts == names.CONTAINER_RESTART_ALWAYS else "Native"


def mounted_volumes(containers: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The names of the volumes that containers mount or use as block devices."""
    for container in containers:
        for field in ("volumeMounts", "volumeDevices"):
            for mount in container.get(field) or ():
                yield mount["name"]


def _lists(spec: Mapping[str, Any], mode: str) -> tuple[tuple[Json, ...], tuple[Json, ...]]:
    """Containers and init containers; native sidecars are of the latter.

    https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/
    """
    containers = tuple(spec.get("containers") or ())
    init_containers = tuple(spec.get("initContainers") or ())
    if mode != "Native":
        return containers, init_containers
    native = tuple({**one, "restartPolicy": names.CONTAINER_RESTART_ALWAYS} for one in containers)
    return (), init_containers + native


def _filled(injection: model.Injection, around: RenderContext) -> Mapping[str, Any]:
    """The spec with its tokens replaced, and checked against the types that they stand in."""
    declared = injection.spec.get("parameters") or []
    if not declared and not injection.has_tokens:
        return injection.spec
    try:
        values = parameters.resolve(declared, sources=around.sources)
    except parameters.UnresolvedError as error:
        raise Conflict(error.reason, error.detail) from error
    if not injection.has_tokens:
        return injection.spec

    values |= {
        "pod.namespace": around.namespace,
        "pod.serviceAccountName": around.service_account,
        "injection.name": injection.name,
    }
    filled = {
        part: parameters.substitute(injection.spec[part], values)
        for part in ("template", "applicationContainers", "inherit")
        if part in injection.spec
    }
    properties = injection.spec_schema["properties"]
    for part, value in filled.items():
        for path, sentence in schema.problems(properties[part], value, path=part, tokens=False):
            # The sentence begins with the value, which the pod's author chose: it ends up in logs
            # and Events, so only what would be accepted is repeated.
            _, must, accepted = sentence.rpartition(" must ")
            expected = f"{must.strip()} {accepted}" if must else "has a value that is not accepted"
            raise Conflict(Reason.INVALID_VALUE, f"{path} {expected}")
    return {**injection.spec, **filled}
