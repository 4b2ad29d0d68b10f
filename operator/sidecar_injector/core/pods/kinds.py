"""The kinds that make pods: where their pod templates are, and how they are restarted.

The one table of them. Any other object in which something looks like a pod template is a workload
too (`workloads.pod_paths`); how its kind is restarted is not known.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import enum
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

Path = tuple[str | int, ...]
EACH: Final = "*"
"""A step of a path: every item of a list, or every member of a map."""
_TEMPLATE: Final[Path] = ("spec", "template")


class Restart(enum.Enum):
    """How new pods take the place of those that run; the value is for the documents."""

    ANNOTATION = "the annotation of `kubectl rollout restart` in its pod template"
    RESTART_AT = "its field `spec.restartAt`"
    NEXT_RUN = "nothing to do: its next run is new"
    RUNS_ONCE = "by hand: delete it and create it again"
    DELETE_PODS = "by hand: delete its pods"
    ABOVE = "through the object that made it"
    NO_PODS = "-"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of object."""

    group: str
    """Its API group; empty for the core group."""
    kind: str
    plural: str
    paths: tuple[Path, ...] = (_TEMPLATE,)
    """To its pod templates, of which an object may lack some."""
    restart: Restart = Restart.DELETE_PODS
    labels: tuple[str, ...] = ()
    """The labels that its controller writes into pods with values of their own."""
    short: str = ""
    """kubectl's short name of a kind of Kubernetes; custom kinds are looked up in the cluster."""
    makers: tuple[str, ...] = ()
    """The kinds of this table that make it as a step on the way to pods."""
    is_declared: bool = False
    """A person said where its pod template is."""
    source: str = ""
    """Where its project says so; empty for a kind of Kubernetes."""

    @property
    def resource(self) -> str:
        """Plural and group, as kubectl takes them."""
        return f"{self.plural}.{self.group}".rstrip(".")

    @property
    def rolls(self) -> bool:
        """Whether `restart` restarts it; `kubectl rollout restart` takes those of Kubernetes."""
        return self.restart in (Restart.ANNOTATION, Restart.RESTART_AT)

    @property
    def template_path(self) -> Path:
        """The path to its only template; empty if it may have several."""
        only = self.paths[0] if len(self.paths) == 1 else ()
        return () if EACH in only else only


def _keys(prefix: str, names: str) -> tuple[str, ...]:
    return tuple(f"{prefix}/{name}" for name in names.split())


_HASH: Final = "pod-template-hash"
_REVISION: Final = "controller-revision-hash"
_OF_STATEFUL_SETS: Final = (
    _REVISION, "apps.kubernetes.io/pod-index", "statefulset.kubernetes.io/pod-name",
)  # fmt: skip
_OF_JOBS: Final = (
    "job-name", "controller-uid", *_keys("batch.kubernetes.io", "job-name controller-uid"),
)  # fmt: skip
_OWN: Final = (
    Kind(group="", kind="Pod", plural="pods", paths=((),), restart=Restart.RUNS_ONCE, short="po",
         makers=("LeaderWorkerSet",)),
    Kind(group="", kind="PodTemplate", plural="podtemplates", paths=(("template",),),
         restart=Restart.NO_PODS),
    Kind(group="", kind="ReplicationController", plural="replicationcontrollers", short="rc"),
    Kind(group="apps", kind="DaemonSet", plural="daemonsets", restart=Restart.ANNOTATION,
         labels=(_REVISION, "pod-template-generation"), short="ds"),
    Kind(group="apps", kind="Deployment", plural="deployments", restart=Restart.ANNOTATION,
         labels=(_HASH,), short="deploy", makers=("Revision", "UnitedDeployment")),
    Kind(group="apps", kind="ReplicaSet", plural="replicasets", short="rs",
         makers=("Deployment", "Rollout")),
    Kind(group="apps", kind="StatefulSet", plural="statefulsets", restart=Restart.ANNOTATION,
         labels=_OF_STATEFUL_SETS, short="sts", makers=("LeaderWorkerSet", "UnitedDeployment")),
    Kind(group="batch", kind="CronJob", plural="cronjobs", restart=Restart.NEXT_RUN, short="cj",
         paths=(("spec", "jobTemplate", *_TEMPLATE),)),
    Kind(group="batch", kind="Job", plural="jobs", restart=Restart.RUNS_ONCE,
         makers=("CronJob", "JobSet", "AdvancedCronJob", "RayJob")),
)  # fmt: skip
_KRUISE: Final = "https://openkruise.io/docs/user-manuals/"
_LIFECYCLE: Final = "lifecycle.apps.kruise.io/state"
_OF_CLONE_SETS: Final = (_REVISION, _HASH, "apps.kruise.io/cloneset-instance-id", _LIFECYCLE)
_OF_BROADCAST_JOBS: Final = ("broadcastjob-name", "broadcastjob-controller-uid")
_RAY: Final = "https://github.com/ray-project/kuberay/tree/master/ray-operator/apis/ray/v1"
_OF_RAY: Final = _keys("ray.io", "cluster node-type group is-ray-node identifier")
_TRAINING: Final = "https://github.com/kubeflow/trainer/tree/release-1.9/pkg/apis/kubeflow.org/v1"
_KNATIVE: Final = "https://knative.dev/docs/serving/"
_OF_REVISIONS: Final = (_HASH, *_keys(
    "serving.knative.dev", "revision revisionUID configuration configurationUID"
    " configurationGeneration service serviceUID",
))  # fmt: skip
_VOLCANO: Final = "https://github.com/volcano-sh/apis/tree/master/pkg/apis/batch/v1alpha1"
_OF_VOLCANO: Final = _keys("volcano.sh", "job-name job-namespace queue-name task-index task-spec")


def _ray(*above: str) -> tuple[Path, ...]:
    return (
        (*above, "headGroupSpec", "template"), (*above, "workerGroupSpecs", EACH, "template"),
    )  # fmt: skip


def _ray_job(*above: str) -> tuple[Path, ...]:
    return (*_ray(*above, "rayClusterSpec"), (*above, "submitterPodTemplate"))


def _training(kind: str, field: str) -> Kind:
    return Kind(
        group="kubeflow.org", kind=kind, plural=f"{kind.lower()}s", restart=Restart.RUNS_ONCE,
        paths=(("spec", field, EACH, "template"),), source=_TRAINING,
        labels=_keys("training.kubeflow.org", "job-name job-role operator-name replica-index"
                     " replica-type"),
    )  # fmt: skip


_CUSTOM: Final = (
    Kind(group="argoproj.io", kind="Rollout", plural="rollouts", restart=Restart.RESTART_AT,
         labels=("rollouts-pod-template-hash",),
         source="https://argo-rollouts.readthedocs.io/en/stable/features/restart/"),
    Kind(group="apps.kruise.io", kind="CloneSet", plural="clonesets", restart=Restart.ANNOTATION,
         labels=_OF_CLONE_SETS, makers=("UnitedDeployment",),
         source=f"{_KRUISE}cloneset"),
    Kind(group="apps.kruise.io", kind="StatefulSet", plural="statefulsets",
         restart=Restart.ANNOTATION, labels=(*_OF_STATEFUL_SETS, _LIFECYCLE),
         makers=("UnitedDeployment",), source=f"{_KRUISE}advancedstatefulset"),
    Kind(group="apps.kruise.io", kind="DaemonSet", plural="daemonsets", labels=(_REVISION,),
         restart=Restart.ANNOTATION, source=f"{_KRUISE}advanceddaemonset"),
    Kind(group="apps.kruise.io", kind="UnitedDeployment", plural="uniteddeployments",
         restart=Restart.ANNOTATION,
         labels=("apps.kruise.io/subset-name", *_OF_STATEFUL_SETS, *_OF_CLONE_SETS),
         paths=tuple(("spec", "template", f"{inner}Template", *_TEMPLATE)
                     for inner in ("statefulSet", "advancedStatefulSet", "cloneSet", "deployment")),
         source=f"{_KRUISE}uniteddeployment"),
    Kind(group="apps.kruise.io", kind="BroadcastJob", plural="broadcastjobs",
         restart=Restart.RUNS_ONCE, makers=("AdvancedCronJob",),
         labels=_OF_BROADCAST_JOBS, source=f"{_KRUISE}broadcastjob"),
    Kind(group="apps.kruise.io", kind="AdvancedCronJob", plural="advancedcronjobs",
         restart=Restart.NEXT_RUN, labels=(*_OF_JOBS, *_OF_BROADCAST_JOBS),
         paths=tuple(("spec", "template", f"{inner}Template", *_TEMPLATE)
                     for inner in ("job", "broadcastJob")),
         source=f"{_KRUISE}advancedcronjob"),
    Kind(group="apps.kruise.io", kind="SidecarSet", plural="sidecarsets", paths=(),
         restart=Restart.NO_PODS, source=f"{_KRUISE}sidecarset"),
    Kind(group="serving.knative.dev", kind="Service", plural="services",
         restart=Restart.ANNOTATION, labels=_OF_REVISIONS, source=_KNATIVE),
    Kind(group="serving.knative.dev", kind="Configuration", plural="configurations",
         restart=Restart.ANNOTATION, labels=_OF_REVISIONS, makers=("Service",), source=_KNATIVE),
    Kind(group="serving.knative.dev", kind="Revision", plural="revisions", paths=(),
         restart=Restart.ABOVE, makers=("Configuration",), source=_KNATIVE),
    Kind(group="jobset.x-k8s.io", kind="JobSet", plural="jobsets", restart=Restart.RUNS_ONCE,
         paths=(("spec", "replicatedJobs", EACH, "template", *_TEMPLATE),),
         labels=(*_OF_JOBS, "batch.kubernetes.io/job-completion-index", *_keys(
             "jobset.sigs.k8s.io", "jobset-name jobset-uid replicatedjob-name"
             " replicatedjob-replicas global-replicas restart-attempt job-index job-key"
             " job-global-index job-group-index group-name group-replicas")),
         source="https://jobset.sigs.k8s.io/docs/reference/jobset.v1alpha2/"),
    Kind(group="leaderworkerset.x-k8s.io", kind="LeaderWorkerSet", plural="leaderworkersets",
         restart=Restart.ANNOTATION,
         paths=tuple(("spec", "leaderWorkerTemplate", f"{role}Template")
                     for role in ("leader", "worker")),
         labels=(*_OF_STATEFUL_SETS, *_keys(
             "leaderworkerset.sigs.k8s.io", "name template-revision-hash group-index group-key"
             " subgroup-index subgroup-key worker-index")),
         source="https://lws.sigs.k8s.io/docs/reference/leaderworkerset.v1/"),
    Kind(group="batch.volcano.sh", kind="Job", plural="jobs", restart=Restart.RUNS_ONCE,
         paths=(("spec", "tasks", EACH, "template"),), labels=_OF_VOLCANO, makers=("CronJob",),
         source=_VOLCANO),
    Kind(group="batch.volcano.sh", kind="CronJob", plural="cronjobs", restart=Restart.NEXT_RUN,
         paths=(("spec", "jobTemplate", "spec", "tasks", EACH, "template"),), labels=_OF_VOLCANO,
         source=_VOLCANO),
    Kind(group="ray.io", kind="RayCluster", plural="rayclusters", paths=_ray("spec"),
         labels=_OF_RAY, makers=("RayJob", "RayService"), source=_RAY),
    Kind(group="ray.io", kind="RayJob", plural="rayjobs", restart=Restart.RUNS_ONCE,
         paths=_ray_job("spec"), labels=_OF_RAY, makers=("RayCronJob",), source=_RAY),
    Kind(group="ray.io", kind="RayCronJob", plural="raycronjobs", restart=Restart.NEXT_RUN,
         paths=_ray_job("spec", "jobTemplate"), labels=_OF_RAY, source=_RAY),
    Kind(group="ray.io", kind="RayService", plural="rayservices",
         paths=_ray("spec", "rayClusterConfig"), labels=_OF_RAY, source=_RAY),
    _training("PyTorchJob", "pytorchReplicaSpecs"),
    _training("TFJob", "tfReplicaSpecs"),
    _training("MPIJob", "mpiReplicaSpecs"),
    _training("XGBoostJob", "xgbReplicaSpecs"),
    _training("PaddleJob", "paddleReplicaSpecs"),
    _training("JAXJob", "jaxReplicaSpecs"),
)  # fmt: skip

BUILT_IN: Final[Mapping[str, Kind]] = {entry.kind: entry for entry in _OWN}
"""Everything in Kubernetes that has pods, by kind."""
CUSTOM: Final[Mapping[tuple[str, str], Kind]] = {
    (entry.group, entry.kind): entry for entry in _CUSTOM
}
"""What other projects have, by API group and kind."""
_OWN_GROUPS: Final = frozenset(entry.group for entry in _OWN)
_ALL: Final = {(entry.group, entry.kind): entry for entry in (*_OWN, *_CUSTOM)}
_table: contextvars.ContextVar[Mapping[tuple[str, str], Kind]] = contextvars.ContextVar(
    "table", default=_ALL
)


def find(group: str, kind: str) -> Kind | None:
    """The entry of a kind; None if it has none."""
    return _table.get().get((group, kind))


def of_owner(custom_group: str, kind: str) -> Kind | None:
    """The entry of a kind, by the group that `custom_group` returns."""
    return find(custom_group, kind) if custom_group else BUILT_IN.get(kind)


def custom_group(group: str, kind: str) -> str:
    """The group of a custom kind; empty for a kind of Kubernetes, also in an older group."""
    return "" if kind in BUILT_IN and "." not in group else group


def is_like_own(group: str, kind: str) -> bool:
    """Whether the group or the kind is one of those of Kubernetes that have pods."""
    return group in _OWN_GROUPS or kind in BUILT_IN


def custom() -> Iterable[Kind]:
    """The kinds of other projects, those that were declared included."""
    return [entry for entry in _table.get().values() if entry.group not in _OWN_GROUPS]


@contextlib.contextmanager
def declared(entries: Iterable[Kind]) -> Iterator[None]:
    """Know these kinds, too, as long as the context is open; they come before the table."""
    added = {(entry.group, entry.kind): entry for entry in entries}
    token = _table.set({**_table.get(), **added})
    try:
        yield
    finally:
        _table.reset(token)


def present(manifest: Mapping[str, Any], path: Path) -> Iterator[Path]:
    """The places in a manifest that a path with `EACH` leads to."""
    places: list[tuple[Path, Any]] = [((), manifest)]
    for step in path:
        places = [
            ((*place, key), member)
            for place, value in places
            for key, member in _members(value, step)
        ]
    return (place for place, _ in places)


def _members(value: Any, step: str | int) -> Iterable[tuple[str | int, Any]]:
    if isinstance(value, list):
        return enumerate(value) if step == EACH else ()
    if not isinstance(value, dict):
        return ()
    if step == EACH:
        return list(value.items())
    return [(step, value[step])] if step in value else ()


class InvalidKindPathError(ValueError):
    """A text does not say where the pod template of a kind is."""


_SEGMENT: Final = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_KIND_PATH: Final = re.compile(
    rf"(?P<group>{_SEGMENT}(\.{_SEGMENT})*)/(?P<kind>[A-Z][A-Za-z0-9]{{0,62}})=(?P<path>.*)",
    re.DOTALL,
)
_STEP: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}(\[\*\])?|\*")
MOST_STEPS: Final = 16
_NOT_OF_TEMPLATES: Final = frozenset({"metadata", "status", "apiVersion", "kind"})
FORM: Final = "GROUP/KIND=PATH, such as example.com/Foo=spec.podTemplate"


def from_texts(texts: Iterable[str]) -> list[Kind]:
    """The kinds of texts such as `example.com/Foo=spec.groups[*].template`.

    Several texts may be about one kind, with a path each. Raises InvalidKindPathError.
    """
    paths: dict[tuple[str, str], list[Path]] = {}
    for text in texts:
        match = _KIND_PATH.fullmatch(text)
        if match is None:
            raise InvalidKindPathError(f"{text[:200]!r} is not {FORM}")
        if "." not in match["group"]:
            raise InvalidKindPathError(
                f"{text[:200]!r}: the group of a custom kind has a dot, as in {FORM}; the pod"
                " templates of Kubernetes' own kinds are known"
            )
        of_kind = paths.setdefault((match["group"], match["kind"]), [])
        path = _path(text, match["path"])
        if any(_leads_into(path, other) or _leads_into(other, path) for other in of_kind):
            raise InvalidKindPathError(
                f"{text[:200]!r}: another path of the kind leads into this pod template, or this"
                " one into another: they are no templates both"
            )
        of_kind.append(path)
    return [
        Kind(
            group=group,
            kind=kind,
            plural=f"{kind.lower()}s",
            paths=tuple(dict.fromkeys(of_kind)),
            restart=Restart.ANNOTATION,
            is_declared=True,
        )
        for (group, kind), of_kind in paths.items()
    ]


def _leads_into(path: Path, other: Path) -> bool:
    """Whether the path may lead into what is at the other one."""
    steps = zip(path, other, strict=False)
    return len(path) > len(other) and all(a == b or EACH in (a, b) for a, b in steps)


def _path(text: str, written: str) -> Path:
    words = written.removeprefix(".").split(".")
    wrong = next((word for word in words if not _STEP.fullmatch(word)), None)
    if wrong is not None or len(words) > MOST_STEPS:
        what = "too long" if wrong is None else f"wrong at {wrong[:60]!r}"
        raise InvalidKindPathError(
            f"{text[:200]!r}: the path is {what}: it is names with dots between them, [*] behind a"
            " list, and * for each member of a map, such as spec.groups[*].template"
        )
    if words[0] in _NOT_OF_TEMPLATES or words[0] == EACH:
        raise InvalidKindPathError(
            f"{text[:200]!r}: there is no pod template in {words[0]}; a path begins with spec"
        )
    steps: list[str | int] = []
    for word in words:
        steps.append(word.removesuffix("[*]"))
        steps += [EACH] * word.endswith("[*]")
    return tuple(steps)
