"""What an injection wants one pod to have: its template with the parameters filled in."""

from __future__ import annotations

import dataclasses
import functools
import weakref
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sidecar_injector import names
from sidecar_injector.core.injections import model, parameters, schema
from sidecar_injector.core.merging import additions, container_additions, inherit, part_names
from sidecar_injector.core.merging.claims import Claims
from sidecar_injector.core.merging.status_annotation import NAMED_LISTS
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.reasons import Conflict, Reason
from sidecar_injector.core.validity import container as container_rules

Json = dict[str, Any]


SUMMARY_PARTS = 8


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RenderContext:
    """What a template may refer to, about the pod as its author wrote it and its namespace."""

    namespace: str
    service_account: str
    host_network: bool
    sources: Mapping[str, Mapping[str, Any]]
    """Labels and annotations, by the names in `parameters.SOURCES`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parts:
    """What an injection wants a pod to have. The dicts are shared, so they are never changed.

    Its properties are computed once, so for a template without tokens once for all pods.
    """

    mode: str = "Container"
    containers: tuple[Json, ...] = ()
    init_containers: tuple[Json, ...] = ()
    """The template's own first, then its native sidecars."""
    volumes: tuple[Json, ...] = ()
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    annotations: Mapping[str, str] = dataclasses.field(default_factory=dict)
    additions: tuple[additions.Addition, ...] = ()
    without_inherited: Mapping[str, Json] = dataclasses.field(default_factory=dict)
    """The containers by name without what they inherit, which other injectors may change."""
    precomputed: container_rules.TemplateProblems | None = None
    """The problems of a template that is the same for every pod."""
    left_out: tuple[str, ...] = ()
    """The paths of what is not added, because it would break or replace what the author set."""
    credentials: tuple[str, ...] = ()
    """The author's mounts that are not taken because they may hold credentials, by their paths."""

    @functools.cached_property
    def names(self) -> dict[str, list[str]]:
        """The names of the whole items that are added, by the list of the pod's spec."""
        lists = zip(NAMED_LISTS, (self.containers, self.init_containers, self.volumes), strict=True)
        return {field: [item["name"] for item in items] for field, items in lists}

    @functools.cached_property
    def local_volumes(self) -> list[str]:
        """The names of the volumes that keep the cluster autoscaler from removing a node."""
        return [volume["name"] for volume in self.volumes if is_local(volume)]

    @functools.cached_property
    def mounts(self) -> list[tuple[str, str]]:
        """Which container mounts a volume or uses it as a device, and the volume's name."""
        return [
            (container["name"], mount["name"])
            for container in (*self.init_containers, *self.containers)
            for field in ("volumeMounts", "volumeDevices")
            for mount in container.get(field) or ()
        ]

    @functools.cached_property
    def foreign_mounts(self) -> list[tuple[str, str]]:
        """Those mounts whose volume is not among the parts."""
        volumes = set(self.names["volumes"])
        return [(container, name) for container, name in self.mounts if name not in volumes]

    @functools.cached_property
    def unmounted(self) -> set[str]:
        """The names of the volumes that no container among the parts mounts."""
        return set(self.names["volumes"]).difference(name for _, name in self.mounts)

    @property
    def is_empty(self) -> bool:
        """Whether the injection adds nothing."""
        return not (
            self.containers
            or self.init_containers
            or self.volumes
            or self.labels
            or self.annotations
            or self.additions
        )

    @functools.cached_property
    def summary(self) -> str:
        """The parts in a few words, for people."""
        parts = [
            *(f"container {container['name']}" for container in self.containers),
            *(f"init container {container['name']}" for container in self.init_containers),
            *(f"volume {volume['name']}" for volume in self.volumes),
            *(f"label {key}" for key in self.labels),
            *(f"annotation {key}" for key in self.annotations),
            *(path for addition in self.additions for path in addition.paths),
        ]
        text = _listed(parts)
        return f"{text}; without {_listed(self.left_out)}" if self.left_out else text


def _listed(parts: Sequence[str]) -> str:
    text = ", ".join(
        part_names.of_path(part) if part.startswith("/") else part for part in parts[:SUMMARY_PARTS]
    )
    rest = len(parts) - SUMMARY_PARTS
    return f"{text} and {rest} more" if rest > 0 else text


def is_local(volume: Mapping[str, Any]) -> bool:
    """Whether the volume is on the node's disk, as the autoscaler counts it.

    https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/utils/drain/drain.go
    """
    sources = [key for key, value in volume.items() if key != "name" and value is not None]
    if sources in ([], ["emptyDir"]):
        return (volume.get("emptyDir") or {}).get("medium") != "Memory"
    return "hostPath" in sources


def render(
    injection: model.Injection,
    *,
    pod: Mapping[str, Any],
    claims: Claims,
    context: RenderContext,
) -> Parts:
    """The parts for this pod; `claims` are what injections added to it.

    Raises Conflict where a value is missing or not accepted.
    """
    spec = _filled(injection, context)
    mode = mode_of(injection, pod=pod, claims=claims)
    parts = constant(injection, mode) if spec is injection.spec else _of_template(spec, mode)
    inherited, applied = spec.get("inherit"), spec.get("applicationContainers")
    if inherited:
        inheritance = inherit.Inheritance(inherited, pod=pod, claims=claims)
        parts = dataclasses.replace(
            parts,
            containers=tuple(
                inheritance.into(container, "containers") for container in parts.containers
            ),
            init_containers=tuple(
                inheritance.into(container, "initContainers") for container in parts.init_containers
            ),
            left_out=tuple(inheritance.left_out),
            credentials=tuple(inheritance.credentials),
        )
    if applied:
        injected_names: Collection[str] = claims.containers.keys()
        if spec.get("onConflict") != "Merge":
            # A container of the template that nobody claims is one, too: `kubectl debug` makes
            # copies without the annotation.
            injected_names = injected_names | parts.without_inherited.keys()
        added = container_additions.additions_of(
            applied, pod=pod, injected_names=injected_names, claims=claims
        )
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
        precomputed = container_rules.TemplateProblems(
            parts.containers, parts.volumes, init_containers=parts.init_containers
        )
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
        additions=tuple(additions.of_pod(pod_spec)),
        without_inherited={
            container["name"]: container for container in (*init_containers, *containers)
        },
    )


def mode_of(injection: model.Injection, *, pod: Mapping[str, Any], claims: Claims) -> str:
    """`Native` or `Container`: Auto is native in a pod that can end, so that the sidecar ends too.

    A pod can end if all containers of its author can.
    """
    mode = str(injection.spec.get("sidecarMode") or "Auto")
    if mode != "Auto":
        return mode
    policy = (pod.get("spec") or {}).get("restartPolicy") or names.CONTAINER_RESTART_ALWAYS
    ends = policy != names.CONTAINER_RESTART_ALWAYS
    for container in pod_fields.items(pod, "containers"):
        if container["name"] not in claims.containers:
            ends = pod_fields.can_end(container, policy)
            if not ends:
                break
    return "Native" if ends else "Container"


def _lists(spec: Mapping[str, Any], mode: str) -> tuple[tuple[Json, ...], tuple[Json, ...]]:
    """Containers and init containers; native sidecars are among the latter.

    https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/
    """
    containers = tuple(spec.get("containers") or ())
    init_containers = tuple(spec.get("initContainers") or ())
    if mode != "Native":
        return containers, init_containers
    native = tuple(
        {**container, "restartPolicy": names.CONTAINER_RESTART_ALWAYS} for container in containers
    )
    return (), init_containers + native


def _filled(injection: model.Injection, context: RenderContext) -> Mapping[str, Any]:
    """The spec with its tokens replaced and the result checked against the schema."""
    declared = injection.spec.get("parameters") or []
    if not declared and not injection.token_uses:
        return injection.spec
    values = parameters.resolve(declared, sources=context.sources)
    if not injection.token_uses:
        return injection.spec

    values |= {
        "pod.namespace": context.namespace,
        "pod.serviceAccountName": context.service_account,
        "injection.name": injection.name,
    }
    parameters.check_size(values, injection.token_uses)
    properties = injection.spec_schema["properties"]
    filled = {
        part: parameters.substitute(injection.spec[part], values, shape=properties[part])
        for part in parameters.FILLED
        if part in injection.spec
    }
    for part, value in filled.items():
        for problem in schema.problems(properties[part], value, path=part, tokens=False):
            # The pod's author chose the value, and the message goes to logs and Events: it repeats
            # only what would be accepted.
            names_accepted = problem.expectation.startswith("must ")
            expected = problem.expectation if names_accepted else "has a value that is not accepted"
            raise Conflict(Reason.INVALID_VALUE, f"{problem.path} {expected}")
    return {**injection.spec, **filled}
