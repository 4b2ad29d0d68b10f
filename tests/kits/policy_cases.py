"""Pods about which a policy must know more than it seems, each with what comes of them."""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sidecar_injector import names
from sidecar_injector.core.injections import model
from tests.kits import samples

Json = dict[str, Any]
BASELINE: Final = {names.POD_SECURITY_ENFORCE_LABEL: "baseline"}
HOST_PATH: Final = {"name": "v", "hostPath": {"path": "/x"}}
EMPTY_DIR: Final = {"name": "v", "emptyDir": {}}
MOUNT: Final = {"name": "v", "mountPath": "/data"}
_CLAIM: Final = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
_NESTED: Final = [{"name": "A", "value": "$($(params.x))"}, {"name": "B", "value": "1"}]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """Injections, a pod, and what each of the two makes of it."""

    injections: Sequence[model.Injection]
    pod: Json
    reasons: Sequence[str]
    """Of the decision, for each injection."""
    comes_to: str = "deferred"
    """What `policies.compare` counts."""
    doubt: str = ""
    """Words of the doubt."""
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Of the namespace."""


def of_cluster(
    name: str = "log", *, applied: Json | None = None, parameters: Sequence[Json] = (), **spec: Any
) -> model.Injection:
    """An injection of the cluster; `spec` is that of its template."""
    rest = {"applicationContainers": applied} if applied else {}
    return samples.injection(
        name, cluster=True, template={"spec": spec}, parameters=[*parameters], **rest
    )


def _with_device() -> Json:
    device = {"name": "b", "devicePath": "/data"}
    volumes = [{"name": "b", "persistentVolumeClaim": {"claimName": "c"}}]
    return samples.pod(
        containers=[samples.container("app", volumeDevices=[device])], volumes=volumes
    )


def _variables(letters: str) -> Json:
    several = [*letters, *(f"{letters[0]}{letter}" for letter in letters)][:50]
    return {"env": [{"name": name} for name in several]}


CASES: Final[Mapping[str, Case]] = {
    "a block device at the path": Case(
        injections=[of_cluster(applied={"volumeMounts": [MOUNT]}, volumes=[EMPTY_DIR])],
        pod=_with_device(), doubt="block device", reasons=["PodWouldBeInvalid"],
    ),
    "the volume is a block device": Case(
        injections=[of_cluster(applied={"volumeMounts": [{"name": "b", "mountPath": "/other"}]})],
        pod=_with_device(), doubt="block device", reasons=["PodWouldBeInvalid"],
    ),
    "the claim of an ephemeral volume": Case(
        injections=[of_cluster(
            containers=[samples.container(volumeMounts=[MOUNT])],
            volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "web-data"}}],
        )],
        pod=samples.pod(volumes=[{"name": "data", "ephemeral": {
            "volumeClaimTemplate": {"spec": _CLAIM}}}]),
        doubt="ephemeral volume", reasons=["PodWouldBeInvalid"],
    ),
    "a volume that this pod does not need": Case(
        injections=[of_cluster(
            applied={"names": {"include": ["web*"]}, "volumeMounts": [MOUNT]},
            containers=[samples.container()], volumes=[HOST_PATH],
        )],
        pod=samples.pod(), labels=BASELINE, doubt="Pod Security", reasons=["Injected"],
    ),
    "a value decides what a variable refers to": Case(
        injections=[of_cluster(
            parameters=[{"name": "x", "from": {"podAnnotation": "x"}, "default": "none"}],
            applied={"env": _NESTED}, containers=[samples.container()],
        )],
        pod=samples.pod(annotations={"x": "B"}, containers=[samples.container(
            "app", envFrom=[{"prefix": "B", "configMapRef": {"name": "c"}}])]),
        doubt="a variable may come from envFrom", reasons=["MissingValue"],
    ),
    "a long record beside many bytes": Case(
        injections=[of_cluster("a", applied=_variables(string.ascii_uppercase)),
                    of_cluster("b", applied=_variables(string.ascii_lowercase))],
        pod=samples.pod(annotations={"text": "€" * 15_000}, containers=[
            samples.container(f"k{number:02}{'x' * 60}", image="x") for number in range(20)]),
        reasons=["Injected", "TooMuchWork"],
    ),
    "the name of the injection is in an image": Case(
        injections=[of_cluster(containers=[samples.container(image="x/$(injection.name):1")])],
        pod=samples.pod(containers=[samples.container("app"),
                                    samples.container(image="x/log:1")]),
        comes_to="equal, unchanged",
        doubt="a container that may be the one of the template", reasons=["AlreadyInjected"],
    ),
    "a pull secret without a name": Case(
        injections=[of_cluster(imagePullSecrets=[{"name": "a"}])],
        pod=samples.pod(imagePullSecrets=[{}]), comes_to="equal, changed", reasons=["Injected"],
    ),
    "a volume with an empty source": Case(
        injections=[of_cluster(containers=[samples.container()],
                               volumes=[{"name": "v", "configMap": {}}])],
        pod=samples.pod(volumes=[EMPTY_DIR]),
        doubt="only the webhook compares", reasons=["Injected"],
    ),
}  # fmt: skip
