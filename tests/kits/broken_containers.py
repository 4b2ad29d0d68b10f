"""Random containers, for random pods: see broken_pods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.kits import validity
from tests.kits.random_pods import Choices

Json = dict[str, Any]
Maker = Callable[[], Any]

PATHS = ("/a", "/b", "/a/b")
PROBES = ("livenessProbe", "startupProbe", "readinessProbe")


class Draw(Choices):
    """Containers, the same for the same seed; `bad_share` of the values are refused."""

    bad_share = 0.0
    restrained = False
    """Within the restricted Pod Security level."""

    def mostly(self, *good: Any, bad: Sequence[Any]) -> Any:
        """A value that is accepted on its own, or now and then one that is not."""
        return self.choice(bad if self.sometimes(self.bad_share) else good)

    def container(self, name: str) -> Json:
        rest = self.members(
            0.2,
            ports=lambda: [self.port(number) for number in self.some((80, 81, 82), least=1)],
            env=lambda: [self.variable()],
            envFrom=lambda: [self.variables()],
            volumeMounts=lambda: [self.mount(path) for path in self.some(PATHS, least=1)],
            resources=self.resources,
            securityContext=self.security,
            resizePolicy=lambda: [self.resize()],
            lifecycle=self.lifecycle,
            **{probe: lambda probe=probe: self.probe(probe) for probe in PROBES},
        )
        rest |= self.members(
            self.bad_share,
            imagePullPolicy=lambda: self.mostly("Never", bad=["never"]),
            restartPolicyRules=self.restart_rules,
            volumeDevices=lambda: [{"name": self.choice("ac"), "devicePath": "/a"}],
        )
        if self.restrained or self.sometimes(0.4):
            rest["securityContext"] = rest.get("securityContext", {}) | validity.HARMLESS
        return {"name": name, "image": self.mostly("x:1", bad=["", " x", "x\n"]), **rest}

    def init_container(self, name: str) -> Json:
        container = self.container(name)
        if self.sometimes(0.6):
            return {**container, "restartPolicy": "Always"}
        if not self.sometimes(self.bad_share * 3):
            for field in ("lifecycle", *PROBES):
                container.pop(field, None)
        return container

    def port(self, number: int) -> Json:
        number = self.mostly(number, bad=[0, 65536, -1])
        port = {"containerPort": number} | self.members(
            0.15,
            protocol=lambda: self.mostly("TCP", "UDP", bad=["tcp"]),
            hostIP=lambda: "127.0.0.1",
            name=lambda: self.mostly("http", "a-1", bad=["1", "a--b", "-a", "A", "x" * 16]),
        )
        if not self.restrained and self.sometimes(0.2):
            port["hostPort"] = number
        return port | self.members(self.bad_share, hostPort=lambda: self.choice((80, 81)))

    def variable(self) -> Json:
        name = self.mostly("A", "b.c-d", "1", bad=["", "a=b", "é", "\t"])
        if self.sometimes(0.4):
            return {"name": name, "value": "v"}
        paths = ("metadata.name", "metadata.labels['a/b']", "metadata.annotations['A']")
        bad_paths = ["metadata.labels", "x", "metadata.labels['']", "metadata.name['a']"]
        resource = {
            "resource": self.mostly("limits.cpu", "requests.memory", bad=["cpu", "limits.gpu"]),
            "divisor": self.mostly("1", 0, bad=["2", "1m", "1Ki", "1k"]),
        }
        secret = {
            "name": self.mostly("a.b", bad=["A", ""]),
            "key": self.mostly("a_B", bad=["..a", "a/b", "."]),
        }
        file = {
            "volumeName": self.mostly("a", bad=["c", "d"]),
            "key": "K",
            "path": self.mostly("f", bad=["../f", ""]),
        }
        sources: list[Json] = [
            {"fieldRef": {"fieldPath": self.mostly(*paths, bad=bad_paths)}},
            {"resourceFieldRef": resource},
            {"secretKeyRef": secret},
            {"fileKeyRef": file},
        ]
        source = self.mostly(*sources, bad=[{}, sources[0] | sources[2]])
        return {
            "name": name,
            "valueFrom": source,
            **self.members(self.bad_share, value=lambda: "v"),
        }

    def variables(self) -> Json:
        name = self.mostly("a", "a-", bad=["A", ""])
        config_map, secret = {"configMapRef": {"name": name}}, {"secretRef": {"name": name}}
        prefix = self.members(0.3, prefix=lambda: self.mostly("P", "1", bad=["="]))
        return {**self.mostly(config_map, secret, bad=[{}, config_map | secret]), **prefix}

    def mount(self, path: str) -> Json:
        mount = {"name": self.mostly("a", "b", bad=["d"]), "mountPath": path}
        return (
            mount
            | self.members(
                0.15,
                subPath=lambda: self.mostly("s", "s/t", bad=["/s", "s/..", ".."]),
                readOnly=lambda: True,
                mountPropagation=lambda: self.mostly(
                    "None", "HostToContainer", bad=["Bidirectional"]
                ),
                recursiveReadOnly=lambda: self.mostly(
                    "Disabled", bad=["Enabled", "IfPossible", "x"]
                ),
            )
            | self.members(self.bad_share, subPathExpr=lambda: self.choice(["$(A)", "/"]))
        )

    def resources(self) -> Json:
        rest = self.members(
            self.bad_share, **{"example.com/gpu": lambda: self.mostly(2, bad=["500m"])}
        )
        rest |= self.members(
            self.bad_share, **{"hugepages-2Mi": lambda: self.choice(["2Mi", "3Mi"])}
        )
        requests = self.members(
            0.6,
            cpu=lambda: self.mostly("100m", 0.1, bad=["600m", 3, "x", "-1"]),
            memory=lambda: self.mostly("1G", "1e6", bad=["2Gi"]),
        )
        limits = self.members(
            0.4, cpu=lambda: self.mostly("500m", bad=["1500m", "50m"]), memory=lambda: "1Gi"
        )
        bad = [{"gpu": 1}, {"requests.a/b": 1}, {"a b": 1}]
        resources: Json = {
            "requests": requests | rest,
            "limits": limits | rest | self.mostly({}, bad=bad),
        }
        if rest and self.sometimes(self.bad_share * 2):
            self.choice(list(resources.values())).update(dict.fromkeys(rest, 4))
        names = self.mostly([], ["gpu"], bad=[["gpu", "gpu"], ["tpu"]])
        claims = [{"name": name} for name in names]
        return resources | self.members(self.bad_share, claims=lambda: claims)

    def security(self) -> Json:
        kind = self.mostly("RuntimeDefault", "Localhost", bad=["Unconfined", ""])
        named = (kind == "Localhost") != self.sometimes(self.bad_share)
        profile = {"type": kind, **({"localhostProfile": "p"} if named else {})}
        context = self.members(
            0.15,
            runAsUser=lambda: self.mostly(1000, bad=[0, -1, 2**31]),
            runAsGroup=lambda: self.mostly(0, bad=[-1]),
            runAsNonRoot=lambda: self.sometimes(0.7),
            allowPrivilegeEscalation=lambda: self.sometimes(0.3),
            readOnlyRootFilesystem=lambda: True,
            procMount=lambda: self.mostly("Default", bad=["Unmasked", "x"]),
            capabilities=self.capabilities,
            seccompProfile=lambda: profile,
            appArmorProfile=lambda: profile,
            seLinuxOptions=lambda: self.members(
                0.5,
                type=lambda: self.mostly("container_t", "", bad=["spc_t"]),
                user=lambda: self.mostly("", bad=["u"]),
                role=lambda: self.mostly("", bad=["r"]),
            ),
        )
        process = {"hostProcess": self.sometimes()}
        rare = self.members(
            self.bad_share / 2, privileged=lambda: True, windowsOptions=lambda: process
        )
        return context | rare

    def capabilities(self) -> Json:
        add = ("NET_BIND_SERVICE", "CHOWN", "NET_ADMIN", "CAP_SYS_ADMIN")
        return {
            "add": self.some(add[: 4 if self.bad_share else 1], most=1),
            "drop": self.some(["ALL", "CHOWN"]),
        }

    def resize(self) -> Json:
        return {
            "resourceName": self.mostly("cpu", "memory", bad=["gpu"]),
            "restartPolicy": self.mostly("NotRequired", bad=["RestartContainer", "Never"]),
        }

    def restart_rules(self) -> list[Json]:
        codes = {"operator": self.mostly("In", bad=["in"]), "values": [1]}
        return [{"action": self.mostly("Restart", bad=["Stop"]), "exitCodes": codes}]

    def probe(self, field: str) -> Json:
        threshold = (1, 3) if field == "readinessProbe" else (1,)
        return {
            **self.handler(("exec", "httpGet", "tcpSocket", "grpc")),
            **self.members(
                0.15,
                successThreshold=lambda: self.mostly(*threshold, bad=[2, -1]),
                periodSeconds=lambda: self.mostly(0, 5, bad=[-1]),
            ),
            **self.members(
                self.bad_share, terminationGracePeriodSeconds=lambda: self.choice([0, 5])
            ),
        }

    def lifecycle(self) -> Json:
        kinds = ("exec", "httpGet", "tcpSocket", "sleep")
        return self.members(
            0.6, preStop=lambda: self.handler(kinds), postStart=lambda: self.handler(kinds)
        )

    def handler(self, kinds: Sequence[str]) -> Json:
        where = {"port": self.mostly(80, "http", bad=[0, "HTTP", "80"])}
        where |= self.members(self.bad_share, host=lambda: self.choice(["", "example.com"]))
        header = {"name": self.mostly("A-b", bad=["a b", ""]), "value": ""}
        makers: dict[str, Json] = {
            "exec": {"command": self.mostly(["a"], bad=[[]])},
            "httpGet": where
            | self.members(
                0.3,
                scheme=lambda: self.mostly("HTTPS", "", bad=["http"]),
                httpHeaders=lambda: [header],
            ),
            "tcpSocket": where,
            "grpc": {"port": self.mostly(80, bad=[0])},
            "sleep": {"seconds": self.mostly(0, 5, bad=[-1, 31, 10])},
        }
        count = self.mostly(1, bad=[0, 2])
        return {kind: makers[kind] for kind in self.some(kinds, least=count, most=count)}
