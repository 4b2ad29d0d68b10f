"""Random pods and sets of injections that write what others of the set read, extend or need."""

from __future__ import annotations

from typing import Any

from sidecar_injector import names
from sidecar_injector.core.injections import model
from tests.kits.random_pods import Choices
from tests.kits.samples import injection

Json = dict[str, Any]


NO_POINTERS = ("hostIPC", "hostNetwork", "hostPID")
"""Fields of a pod's spec for which Go knows no difference between absent and false."""


def comparable(value: Any) -> Any:
    """The value without members that are absent, null, empty, or an empty text, as Go reads it."""
    if isinstance(value, dict):
        members = {key: comparable(item) for key, item in value.items()}
        return {
            key: item
            for key, item in members.items()
            if item not in (None, "", [], {}) and not (key in NO_POINTERS and item is False)
        }
    return [comparable(item) for item in value] if isinstance(value, list) else value


VARIABLES = ("A", "B")
TEXTS = ("x", "y", "x y", "x,y", "-x", ",", "xx")
SEPARATORS = (" ", ",", "", "-", ", ", "x")
APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
ANNOTATIONS = ("a", "b", names.SAFE_TO_EVICT_ANNOTATION, names.DEFAULT_CONTAINER_ANNOTATION)
SOURCES = (*ANNOTATIONS, names.STATUS_ANNOTATION, names.TUTORIAL_STATUS_ANNOTATION)
CONTAINERS = ("app", "log", "agent", "proxy")
FULL = 256 * 1024


class Meeting(Choices):
    """A pod, and injections that meet on it."""

    def variables(self) -> list[Json]:
        return [
            {"name": name, **self.members(0.8, value=lambda: self.choice(["", *TEXTS]))}
            for name in self.some(VARIABLES)
        ]

    def pod(self) -> Json:
        """The pod; sometimes its annotations leave hardly any room for another."""
        annotations = {key: self.choice(["v", "app", "v,w"]) for key in self.some(ANNOTATIONS)}
        if self.sometimes(0.05):
            annotations["notes"] = "x" * (FULL - self.randint(50, 2500))
        metadata = {"name": "p", "annotations": annotations} | self.members(
            0.5, labels=lambda: {key: self.choice("12") for key in self.some("ab")}
        )
        own = [{"name": "app", "image": "app:1", **self.members(0.7, env=self.variables)}]
        own += [{"name": name, "image": "app:1"} for name in self.some(["own", "log"], most=1)]
        spec = self.members(
            0.3,
            serviceAccountName=lambda: self.choice(["", "default", "robot", "own"]),
            serviceAccount=lambda: self.choice(["default", "own"]),
            volumes=lambda: [{"name": "v", "emptyDir": {}}],
        )
        if "serviceAccountName" in spec:
            spec.pop("serviceAccount", None)
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata,
                "spec": {"containers": own, **spec}}  # fmt: skip

    def container(self, name: str) -> Json:
        file = {"fileKeyRef": {"volumeName": "v", "path": "p", "key": "K"}}
        return {
            "name": name,
            "image": "log:1",
            **self.members(
                0.3,
                args=lambda: [self.choice(["$(params.p)", "$(pod.serviceAccountName)"])],
                env=lambda: [{"name": "K", "valueFrom": file}],
                volumeMounts=lambda: [{"name": "v", "mountPath": "/v"}],
                ports=lambda: [{"containerPort": 80, "hostPort": self.choice([80, 81])}],
            ),
        }

    def application(self) -> Json:
        spec = self.members(
            0.4, env=self.variables, envFrom=lambda: [{"configMapRef": {"name": self.choice("cd")}}]
        )
        taken = {variable["name"] for variable in spec.get("env", ())}
        appended = [
            {"name": name, "value": self.choice(TEXTS),
             **self.members(0.7, separator=lambda: self.choice(SEPARATORS))}
            for name in self.some(VARIABLES)
            if name not in taken
        ]  # fmt: skip
        return {**spec, **({"appendEnv": appended} if appended else {})}

    def annotations(self) -> Json:
        drawn = {key: self.choice(["v", "app", "$(params.p)"]) for key in self.some(ANNOTATIONS)}
        if self.sometimes():
            drawn[APPARMOR + self.choice(CONTAINERS)] = "unconfined"
        return drawn

    def parameter(self) -> Json:
        source = {self.choice(["podAnnotation", "podLabel"]): self.choice(SOURCES)}
        return {
            "name": "p",
            "type": self.choice(["String", "Integer"]),
            "from": source,
            **self.members(0.95, default=lambda: "7"),
        }

    def injection(self, name: str) -> model.Injection:
        parameter = self.parameter()
        if parameter["type"] == "Integer" and "default" in parameter:
            parameter["default"] = 7
        spec = self.members(
            0.3,
            serviceAccountName=lambda: self.choice(["robot", "other"]),
            volumes=lambda: [
                {"name": "v", **self.choice([{"emptyDir": {}}, {"hostPath": {"path": "/"}}])}
            ],
            shareProcessNamespace=lambda: True,
            hostAliases=lambda: [{"ip": "1.1.1.1", "hostnames": [self.choice("ab")]}],
        )
        labels = {key: self.choice(["1", "$(params.p)"]) for key in self.some("abc")}
        return injection(
            name,
            cluster=self.sometimes(0.4),
            parameters=[parameter],
            priority=self.choice([0, 0, 0, 1]),
            onConflict=self.choice(["Skip", "Merge"]),
            placement={"containers": self.choice(["First", "Last"])},
            template={
                "metadata": {"labels": {"set": "of", **labels}, "annotations": self.annotations()},
                "spec": {**spec, "containers": [
                    self.container(each) for each in self.some(CONTAINERS)
                ]},
            },
            **self.members(0.6, applicationContainers=self.application),
            **self.members(0.2, inherit=lambda: {"env": [{"name": "A", "fromContainer": "app"}]}),
        )  # fmt: skip

    def injections(self) -> list[model.Injection]:
        return [self.injection(name) for name in "edcba"[: self.randint(2, 5)]]
