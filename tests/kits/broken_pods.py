"""Random pods, and parts that are added to them, biased towards what an API server refuses.

Few names, paths and ports, and for every field values on both sides of its border. Drawn with
`random.Random(seed)`, so that a failure names its seed.
"""

from __future__ import annotations

from typing import Any

from tests.kits import broken_volumes, validity
from tests.kits.broken_containers import Json, Maker

LONG = "x" * 64
BAD_SHARE = 0.05
"""So that of what is added, with some dozen values each, about half is refused."""


class Draw(broken_volumes.Draw):
    """One pair of pods after another, the same for the same seed."""

    def pair(self) -> tuple[Json, Json, list[str]]:
        """A pod of an author, the same with something added, and the names of what was."""
        self.bad_share, self.restrained = 0.0, self.sometimes(0.6)
        before = validity.pod(self.author())
        self.bad_share, self.restrained = BAD_SHARE, self.restrained and self.sometimes(0.5)
        parts: dict[str, Maker] = {
            "containers": lambda: [self.container(name) for name in self.some("st", least=1)],
            "initContainers": lambda: [self.init_container(name) for name in self.some("ij")],
            "volumes": lambda: [self.volume(name) for name in self.some("uv", least=1)],
            "labels": self.labels,
            "annotations": self.annotations,
            "dnsConfig": self.dns,
            "tolerations": lambda: [self.toleration()],
            "topologySpreadConstraints": lambda: [self.spread()],
            "hostAliases": lambda: [{"ip": self.ip(), "hostnames": [self.mostly("h", bad=["H"])]}],
            "serviceAccountName": lambda: "default",
            "shareProcessNamespace": lambda: True,
            "hostNetwork": lambda: True,
            "hostPID": lambda: True,
        }
        # Containers and volumes are what injections mostly add.
        weights = [8, 6, 6, *(1 for _ in range(len(parts) - 3))]
        traits = set(self.choices(list(parts), weights=weights, k=self.choice([1, 2, 3])))
        added = {trait: parts[trait]() for trait in sorted(traits)}
        return before, validity.with_added(before, added), sorted(traits)

    def author(self) -> Json:
        """Mostly what an API server accepts, and in a namespace of the restricted level too."""
        context = {key: validity.HARMLESS[key] for key in ("runAsNonRoot", "seccompProfile")}
        fields: Json = {
            "containers": [self.container(name) for name in self.some(["app", "b"], least=1)],
            "volumes": [
                {"name": "a", "emptyDir": {}},
                {"name": "b"},
                {"name": "c", "persistentVolumeClaim": {"claimName": "c"}},
            ],
            "securityContext": context if self.restrained else {},
            **self.members(
                0.12,
                initContainers=lambda: [self.init_container("init")],
                restartPolicy=lambda: self.choice(["Never", "OnFailure"]),
                terminationGracePeriodSeconds=lambda: 7,
                resources=self.pod_resources,
                resourceClaims=lambda: [{"name": "gpu", "resourceClaimName": "gpu"}],
                labels=lambda: {"l": "m"},
                topologySpreadConstraints=lambda: [self.spread()],
                affinity=self.affinity,
                hostnameOverride=lambda: "h",
                dnsConfig=self.dns,
            ),
        }
        if self.sometimes(0.25):
            fields |= self.choice([
                {"hostUsers": False}, {"shareProcessNamespace": True}, {"os": {"name": "linux"}},
            ])  # fmt: skip
        if not self.restrained and self.sometimes(0.4):
            fields |= self.unusual()
        return fields

    def unusual(self) -> Json:
        """What the baseline forbids, or Windows."""
        windows = {"runAsUserName": "a", **self.members(0.5, hostProcess=self.sometimes)}
        sysctls = [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]
        plain = {"containers": [{"name": "app", "image": "x"}]}
        process = {"securityContext": {"windowsOptions": {"hostProcess": True}}}
        choices: list[Json] = [
            {"hostNetwork": True},
            {"hostPID": True},
            {"hostNetwork": True, "hostPID": True},
            {"securityContext": {"sysctls": sysctls}},
            {"os": {"name": "windows"}, **plain},
            {"os": {"name": "windows"}, **plain, "securityContext": {"windowsOptions": windows}},
            {"hostNetwork": True, **plain, **process},
            {"hostNetwork": True, "containers": [{"name": "app", "image": "x", **process}]},
        ]
        return dict(self.choice(choices))

    def affinity(self) -> Json:
        term = {"topologyKey": "k", "matchLabelKeys": ["l"], "labelSelector": self.selector()}
        preferred = {"weight": 1, "podAffinityTerm": term}
        rules: list[Json] = [
            {"requiredDuringSchedulingIgnoredDuringExecution": [term]},
            {"preferredDuringSchedulingIgnoredDuringExecution": [preferred]},
        ]
        return {self.choice(["podAffinity", "podAntiAffinity"]): self.choice(rules)}

    def selector(self) -> Any:
        expression = {"key": "l", "operator": "In", "values": ["m"]}
        selectors = {"matchLabels": {"l": "m"}}, {"matchExpressions": [expression]}
        return self.choice([*selectors, {"matchLabels": {"o": "p"}}, {}])

    def pod_resources(self) -> Json:
        limits = {"cpu": self.choice([1, "500m"])}
        return self.members(0.7, requests=lambda: {"cpu": "500m"}, limits=lambda: limits)

    def volume(self, name: str) -> Json:
        path = self.mostly("p", "p/q", bad=["/p", "..p", "", "p/../q"])
        item = {"key": self.mostly("k", bad=[""]), "path": path}
        mode = self.members(0.3, defaultMode=lambda: self.mostly(0, 511, bad=[512, -1]))
        field = {"fieldPath": self.mostly("metadata.labels", bad=["spec.nodeName"])}
        projections: list[Json] = [
            {"serviceAccountToken": {"path": "t", "expirationSeconds": self.choice([599, 600])}},
            {"configMap": {"name": "c", "items": [item]}},
            {"secret": {"name": "s", "items": [{"key": "k", "path": "p"}]}},
        ]
        pull = self.mostly("", "Never", bad=["x"])
        sources: list[Json] = [
            {"emptyDir": self.members(0.4, sizeLimit=lambda: self.mostly("1Gi", bad=["-1", "x"]))},
            {"configMap": {"name": self.mostly("c", "C", bad=[""]), "items": [item], **mode}},
            {"secret": {"secretName": self.mostly("s", bad=[""]), **mode}},
            {"hostPath": {"path": self.mostly("/a", "a", bad=["/..", ""])}},
            {"hostPath": {"path": "/a", "type": self.mostly("", "Socket", bad=["socket"])}},
            {"nfs": {"server": "s", "path": self.mostly("/a", bad=["a", ""])}},
            {"csi": {"driver": self.mostly("a.b", "A.b", bad=["a_b", LONG, ""])}},
            {"persistentVolumeClaim": {"claimName": self.mostly("c", bad=[""])}},
            {"image": {"reference": self.mostly("r", bad=[""]), "pullPolicy": pull}},
            {"downwardAPI": {"items": [{"path": path, "fieldRef": field}]}},
            {"projected": {"sources": self.some(projections)}},
            {"projected": {"sources": [self.projection() for _ in range(self.randint(1, 3))]}},
            {"ephemeral": self.claim()},
            self.storage(),
            self.storage(),
            {},
        ]
        source = self.mostly(*sources, bad=[sources[0] | sources[1]])
        return {"name": self.mostly(name, bad=["A", "a.b", "a", LONG]), **source}

    def labels(self) -> Json:
        key = self.choice(["l", "a.b/C_d", "a b", "/a", "a/", "A.b/c", LONG])
        return {key: self.choice(["m", "", "A.b-c_d", "a b", "-a", "é", LONG, "a\n"])}

    def annotations(self) -> Json:
        keys = (
            "a",
            "A.b/C",
            "container.apparmor.security.beta.kubernetes.io/app",
            "container.apparmor.security.beta.kubernetes.io/z",
            "container.seccomp.security.alpha.kubernetes.io/app",
            "seccomp.security.alpha.kubernetes.io/pod",
            "controller.kubernetes.io/pod-deletion-cost",
            "scheduler.alpha.kubernetes.io/tolerations",
            "a b",
            LONG,
        )
        values = (
            "runtime/default",
            "unconfined",
            "localhost/p",
            "localhost//p",
            "-7",
            "07",
            "",
            "[]",
            "[{}]",
        )
        return {self.choice(keys): self.choice(values)}

    def ip(self) -> Any:
        return self.mostly(
            "1.1.1.4", "::1", bad=["1.1.1", "::ffff:1.1.1.1", "fe80::1%e", "01.1.1.1"]
        )

    def dns(self) -> Json:
        return self.members(
            0.6,
            nameservers=lambda: [self.ip() for _ in range(self.randint(1, 3))],
            searches=lambda: [self.mostly("a_b.c", "d.", bad=["a b", "-a", "", ".a"])],
            options=lambda: [{"name": self.mostly("ndots", bad=[""])}],
        )

    def toleration(self) -> Json:
        return self.members(
            0.6,
            key=lambda: self.mostly("a", "a.b/c", bad=["a b", ""]),
            operator=lambda: self.mostly("Equal", "Exists", "", bad=["Lt", "In"]),
            value=lambda: self.mostly("", "v", bad=["v w"]),
            effect=lambda: self.mostly("", "NoExecute", bad=["noexecute"]),
            tolerationSeconds=lambda: self.choice([0, -1, 5]),
        )

    def spread(self) -> Json:
        kind = self.mostly("DoNotSchedule", "ScheduleAnyway", bad=["x"])
        constraint = {
            "topologyKey": self.mostly("k", "l", bad=[""]),
            "maxSkew": self.mostly(1, bad=[0]),
            "whenUnsatisfiable": kind,
            "labelSelector": self.mostly(self.selector(), bad=[None]),
        }
        domains = 2 if kind == "DoNotSchedule" else self.mostly(None, bad=[2])
        return constraint | self.members(
            0.3,
            matchLabelKeys=lambda: ["l"],
            minDomains=lambda: domains,
            nodeTaintsPolicy=lambda: self.mostly("Honor", bad=["honor"]),
        )
