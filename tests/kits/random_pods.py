"""Random pods and injections that often conflict: few names, paths, ports and values.

Drawn with `random.Random(seed)` rather than with hypothesis: a hundred times as many examples in
the same time, and a failure names its seed.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from typing import Any

from sidecar_injector import names
from sidecar_injector.core.injections import model
from tests.kits.samples import injection

SEED = int(os.environ.get("PODS_SEED", "20261122"))
"""The first seed. All runs use the same seeds; another number tries other pods."""

Json = dict[str, Any]
NAMES = ("a", "b", "c")
SOURCES = ({"emptyDir": {}}, {"configMap": {"name": "x"}}, {"secret": {"secretName": "s"}})
MARKS = (
    ("labels", names.INJECTED_LABEL, "true"),
    ("annotations", names.INJECTED_ANNOTATION, "log"),
    ("annotations", names.SKIPPED_ANNOTATION, ""),
)
"""Keys of ours that an author may have set."""
WORDS = ("yes", "no", "only: two", "one,two", "cluster/one,three", "?")


class Choices(random.Random):
    """Random choices, the same for the same seed."""

    def sometimes(self, chance: float = 0.3) -> bool:
        return self.random() < chance

    def some(self, items: Sequence[Any], *, most: int = 2, least: int = 0) -> list[Any]:
        return self.sample(items, self.randint(least, min(most, len(items))))

    def members(self, chance: float, **makers: Callable[[], Any]) -> Json:
        """Each member with this chance."""
        return {key: make() for key, make in makers.items() if self.sometimes(chance)}


class Draw(Choices):
    """One pod or injection after another, the same for the same seed."""

    def variables(self) -> list[Json]:
        return [
            {"name": name, **self.members(0.7, value=lambda: self.choice(["1", "2", "$(A)-$(B)"]))}
            for name in self.some("AB")
        ]

    def mounts(self, paths: tuple[str, ...]) -> list[Json]:
        most = len(paths)
        return [
            {
                "name": self.choice(NAMES),
                "mountPath": path,
                **self.members(0.2, subPathExpr=lambda: self.choice(["$(A)", "$(B)/x"])),
            }
            for path in self.some(paths, most=most)
        ]

    def sources(self) -> list[Json]:
        prefix = self.members(0.5, prefix=lambda: self.choice(["A", "X_"]))
        return [{"configMapRef": {"name": self.choice(NAMES)}, **prefix}]

    def ports(self) -> list[Json]:
        return [{"containerPort": self.choice([80, 90]), "name": "web"}]

    def volumes(self) -> list[Json]:
        return [{"name": name, **self.choice(SOURCES)} for name in self.some(NAMES, most=3)]

    def container(self, name: str) -> Json:
        return {
            "name": name,
            "image": self.choice(["x:1", "y:2"]),
            **self.members(
                0.4,
                env=self.variables,
                envFrom=self.sources,
                volumeMounts=lambda: self.mounts(("/a", "/b", "/b/x", "/c", "/run/secrets")),
                ports=self.ports,
                resources=lambda: {"requests": {"cpu": self.choice(["1", "500m", 0.5])}},
                args=lambda: [self.choice(NAMES)],
            ),
        }

    def container_lists(
        self, *, least: int, among: Sequence[str] = NAMES
    ) -> tuple[list[Json], list[Json]]:
        """Containers and init containers; names are unique over both."""
        together = [self.container(name) for name in self.some(among, most=3)]
        split = self.randint(0, len(together))
        containers, init_containers = together[:split], together[split:]
        while len(containers) < least:
            containers.append({"name": "app", "image": "z", "ports": self.ports()})
        return containers, init_containers

    def metadata(self) -> Json:
        return self.members(
            0.4,
            labels=lambda: {key: self.choice("12") for key in self.some(NAMES)},
            annotations=lambda: {key: self.choice("12") for key in self.some(NAMES)},
        )

    def pod_fields(self, chance: float) -> Json:
        return self.members(
            chance,
            imagePullSecrets=lambda: [{"name": name} for name in self.some(NAMES)],
            hostAliases=lambda: [
                {"ip": ip, "hostnames": self.some(NAMES) or ["d"]}
                for ip in self.some(("1.1.1.1", "2.2.2.2"))
            ],
            serviceAccountName=lambda: self.choice(["", "default", "a", "b"]),
            shareProcessNamespace=lambda: self.sometimes(0.5),
            dnsConfig=lambda: self.members(
                0.5,
                nameservers=lambda: self.some(("8.8.8.8", "9.9.9.9", "1.1.1.1"), most=3),
                searches=lambda: self.some(NAMES),
                options=self.variables,
            ),
            tolerations=lambda: [{"key": key, "operator": "Exists"} for key in self.some(NAMES)],
            topologySpreadConstraints=lambda: [
                {"topologyKey": key, "maxSkew": self.choice([1, 2]),
                 "whenUnsatisfiable": "DoNotSchedule"}
                for key in self.some(NAMES)
            ],
        )  # fmt: skip

    def pod(self) -> Json:
        metadata = self.metadata()
        if self.sometimes(0.5):
            key = self.choice([names.INJECT_ANNOTATION, names.TUTORIAL_INJECT_ANNOTATION])
            metadata.setdefault("annotations", {})[key] = self.choice(WORDS)
        containers, init_containers = self.container_lists(least=1)
        for container in containers:
            policy = self.members(0.2, restartPolicy=lambda: self.choice(["Always", "Never"]))
            container.update(policy)
        if self.sometimes(0.1):
            containers[0]["futureField"] = {"kept": [1]}
        spec = {
            "containers": containers,
            **self.members(0.2, hostNetwork=lambda: self.sometimes(0.7)),
            **self.members(0.4, restartPolicy=lambda: self.choice(["Always", "Never"])),
            **self.members(
                0.1,
                nodeSelector=lambda: {"kubernetes.io/os": self.choice(["linux", "windows"])},
                **{"another/~": lambda: None},
            ),
            **self.pod_fields(0.2),
        }
        for key, value in (("initContainers", init_containers), ("volumes", self.volumes())):
            if value or self.sometimes(0.2):
                spec[key] = value or self.choice([None, []])
        # Of its own seed: the other draws of a seed stay what they were.
        choices = random.Random(repr(spec))
        for field, key, value in MARKS:
            if choices.random() < 0.05:
                metadata.setdefault(field, {})[key] = value
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}

    def application(self) -> Json:
        spec = self.members(
            0.6,
            names=lambda: {"exclude": self.some(NAMES, most=1)},
            initContainers=lambda: "Include",
            env=self.variables,
            onEnvFrom=lambda: self.choice(["Skip", "Override"]),
            envFrom=self.sources,
            volumeMounts=lambda: self.mounts(("/a", "/b/", "/c")),
        )
        taken = {variable["name"] for variable in spec.get("env", ())}
        if appended := [name for name in self.some("AC") if name not in taken]:
            spec["appendEnv"] = [{"name": name, "value": self.choice(NAMES)} for name in appended]
        return spec

    def inheritance(self) -> Json:
        return self.members(
            0.5,
            volumeMounts=lambda: {
                "exclude": self.some(("a", "/b*"), most=1),
                **self.members(0.5, credentials=lambda: self.some(("b", "/run/*"), most=1)),
            },
            env=lambda: [{"name": self.choice("AB"), "fromContainer": self.choice(["a", "app"])}],
        )

    def injection(self, name: str) -> model.Injection:
        """One that its schema accepts; our rules may refuse it, which is then the answer."""
        containers, init_containers = self.container_lists(least=0, among=(*NAMES, "d"))
        if self.sometimes() and containers:
            containers[0]["args"] = ["$(params.p)", "x-$(params.p)-$$(params.p)-$(POD)"]
        cluster = self.sometimes(0.4)
        host = self.members(0.2, hostNetwork=self.sometimes, hostPID=self.sometimes)
        template = {
            "metadata": self.metadata(),
            "spec": {
                "containers": containers,
                "initContainers": init_containers,
                "volumes": self.volumes(),
                **self.pod_fields(0.15),
                **(host if cluster else {}),
            },
        }
        place = ["First", "Last"]
        parameter = {"name": "p", "from": {"podLabel": "a"}}
        if self.sometimes(0.9):
            parameter["default"] = "$(X)"
        selector = self.choice(
            [{}, {}, {}, {}, {"matchLabels": {"a": "1"}},
             {"matchExpressions": [{"key": "b", "operator": "DoesNotExist"}]}]
        )  # fmt: skip
        priority = self.choice([-1, 0, 0, 1])
        activation = self.choice(["Automatic", "Automatic", "OnRequest"])
        is_mandatory = cluster and priority > 0 and activation == "Automatic"
        return injection(
            name,
            cluster=cluster,
            template=template,
            parameters=[parameter],
            selector=selector,
            priority=priority,
            activation=activation,
            sidecarMode=self.choice(["Auto", "Native", "Container"]),
            hostNetworkPods=self.choice(["Skip", "Inject"]),
            operatingSystem=self.choice([*["Linux"] * 9, "Any", "Windows"]),
            onConflict=self.choice(["Skip", "Merge"]),
            placement={"containers": self.choice(place), "initContainers": self.choice(place)},
            **({"optOut": "Forbidden"} if is_mandatory else {}),
            **self.members(
                0.4, applicationContainers=self.application, inherit=self.inheritance
            ),
        )  # fmt: skip

    def injections(self) -> list[model.Injection]:
        return [self.injection(name) for name in ("one", "two", "three")]
