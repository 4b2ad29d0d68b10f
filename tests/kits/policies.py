"""Policies alone on the real API server, against `decide`: the whole pod, byte for byte."""

from __future__ import annotations

import collections
import copy
import dataclasses
import http.client
import json
import pathlib
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import yaml

from sidecar_injector import crds, names
from sidecar_injector.core import decide, decision
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.policies import chain, doubts
from sidecar_injector.core.reasons import PodVerdict
from tests.kits import random_pods
from tools.controlplane import cluster, policies
from tools.fuzz.pods import drawing

Json = dict[str, Any]
FILE: Final = pathlib.Path(__file__).parent / "data" / "policies" / "injections.yaml"
_OF_THE_SERVER: Final = ("uid", "creationTimestamp", "managedFields", "resourceVersion",
                         "generation", "namespace", "selfLink")  # fmt: skip
_RANDOM: Final = re.compile(r"kube-api-access-[a-z0-9]{5}")
_MATCH_KEYS: Final = "exists in both matchLabelKeys and labelSelector"


def injections(namespace: str) -> list[model.Injection]:
    """Those of the file; the namespaced ones are in this namespace."""
    found = []
    for resource in yaml.safe_load_all(FILE.read_text("utf-8")):
        if resource["kind"] == names.KIND:
            resource["metadata"]["namespace"] = namespace
        found.append(model.read(resource, spec_schema=crds.spec_schema(resource["kind"])))
    return found


def cleaned(pod: Mapping[str, Any]) -> Json:
    """A pod of the API server without what it draws by chance or writes for itself."""
    result: Json = json.loads(_RANDOM.sub("kube-api-access-00000", json.dumps(pod)))
    for key in _OF_THE_SERVER:
        result["metadata"].pop(key, None)
    if result["metadata"].get("generateName"):
        result["metadata"].pop("name", None)
    result.pop("status", None)
    return result


class Caller:
    """Sends pods as dry runs; threads may share it."""

    def __init__(self, plane: cluster.ControlPlane) -> None:
        self._client = plane.client
        self._of_thread = threading.local()
        self._connections: list[http.client.HTTPConnection] = []

    def pod(self, namespace: str, pod: Json) -> tuple[int, Json]:
        """The status and the answer of the API server."""
        connection = getattr(self._of_thread, "connection", None)
        if connection is None:
            connection = self._of_thread.connection = self._client.connect()
            self._connections.append(connection)
        path = f"/api/v1/namespaces/{namespace}/pods?dryRun=All"
        try:
            status, text = self._client.send(connection, "POST", path, cleaned(pod))
        except (http.client.HTTPException, OSError):
            # The API server closes connections that are idle for a while.
            connection.close()
            status, text = self._client.send(connection, "POST", path, cleaned(pod))
        return status, json.loads(text)

    def close(self) -> None:
        """Close the connections of all threads."""
        for connection in self._connections:
            connection.close()


@dataclasses.dataclass(kw_only=True)
class Situation:
    """A namespace in which policies work, its twin in which nothing does, and what is known."""

    plain: str
    enabled: str
    namespace: namespace_view.Namespace
    wanted: Sequence[model.Injection]
    chain: chain.Chain

    @classmethod
    def create(
        cls,
        plane: cluster.ControlPlane,
        name: str,
        wanted: Sequence[model.Injection],
        *,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        place: chain.Place | None = None,
    ) -> Situation:
        """Create both namespaces, compile the injections and put them in force."""
        plain, enabled = f"plain-{name}", f"enabled-{name}"
        own = {**(labels or {}), names.INJECTION_LABEL: names.ENABLED}
        for each, of_namespace in ((plain, labels or {}), (enabled, own)):
            metadata = {"name": each, "labels": of_namespace, "annotations": annotations or {}}
            plane.client.request("POST", "/api/v1/namespaces", {"metadata": metadata})
            plane.wait_for_service_account(each)
        namespace = namespace_view.Namespace(
            enabled, {**own, names.NAMESPACE_NAME_LABEL: enabled}, annotations or {}
        )
        compiled = chain.compile_chain(wanted, place or chain.Place())
        situation = cls(
            plain=plain, enabled=enabled, namespace=namespace, wanted=wanted, chain=compiled
        )
        install(plane, chain.manifests(compiled, name=f"test-{name}", guarded=False), enabled)
        return situation

    def decide(self, pod: Json, injections: Iterable[model.Injection] = ()) -> decision.Decision:
        """What the webhook would do with these injections, or with the compiled ones."""
        view = namespace_view.NamespaceView.of(self.namespace, injections or self.chain.compiled)
        pod = {**pod, "metadata": {**pod["metadata"], "namespace": self.enabled}}
        return decide.decide(namespace_view.PodRequest(namespace=self.enabled, pod=pod), view)

    def doubts(self, pod: Json) -> list[str]:
        """Why the policies leave the pod to the webhook, as `explain` says it."""
        if self.enabled in self.chain.apart:
            return ["an injection of the namespace comes first and shares a part"]
        return list(dict.fromkeys(
            doubt for one in self.chain.compiled
            for doubt in doubts.of(one, pod, self.namespace)
        ))  # fmt: skip


def install(plane: cluster.ControlPlane, manifests: Iterable[Json], enabled: str = "") -> None:
    """Put policies in force; with `enabled`, for this namespace only, and wait for it."""
    for manifest in manifests:
        if enabled and manifest["kind"].endswith("Binding"):
            selector = {"matchLabels": {names.NAMESPACE_NAME_LABEL: enabled}}
            manifest["spec"]["matchResources"] = {"namespaceSelector": selector}
        policies.create(plane.client, [manifest])


def wait_in_force(plane: cluster.ControlPlane, caller: Caller, namespace: str, pod: Json) -> None:
    """Wait until a pod that policies must change is changed."""

    def is_in_force() -> bool:
        _, answer = caller.pod(namespace, pod)
        return names.STATUS_ANNOTATION in (answer.get("metadata", {}).get("annotations") or {})

    plane.wait("the policy is in force", is_in_force)


@dataclasses.dataclass(kw_only=True)
class Tally:
    """What came of many pods."""

    counts: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    causes: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    failures: list[tuple[str, Json, list[str]]] = dataclasses.field(default_factory=list)

    def lines(self) -> list[str]:
        """For people."""
        counts = (f"{count:6} {what}" for what, count in self.counts.most_common())
        causes = (f"{count:6} deferred: {what}" for what, count in self.causes.most_common())
        return [*counts, *causes]


def compare(caller: Caller, situation: Situation, pod: Json, tally: Tally) -> None:
    """Count what policy and decision make of one pod."""
    status, bare = caller.pod(situation.plain, pod)
    if status != http.client.CREATED:
        tally.counts["not accepted without us"] += 1
        return
    made = situation.decide(cleaned(bare))
    # The API server drops fields of features that are off, but only after policies and webhooks.
    status, answer = caller.pod(situation.enabled, stored(pod, bare))
    if status != http.client.CREATED:
        _fail(tally, "refused with a policy", pod, [answer["message"][:600]])
        return
    got, unchanged = cleaned(answer), cleaned(bare)
    if made.verdict is PodVerdict.REFUSED:
        _count_refused(tally, pod, got == unchanged)
        return
    status, wanted = caller.pod(situation.plain, dict(made.pod))
    if status != http.client.CREATED:
        # The API server writes the keys into the selector, and takes that from nobody else.
        is_known = _MATCH_KEYS in wanted["message"]
        what = "not comparable: matchLabelKeys" if is_known else "refused of decide"
        tally.counts[what] += 1
        if not is_known:
            tally.failures.append((what, pod, [wanted["message"][:600]]))
        return
    _count(tally, situation, pod, (got, unchanged, cleaned(wanted)))
    again = situation.decide(got)
    if got == cleaned(wanted) and again.operations:
        _fail(tally, "the webhook would patch again", pod, [json.dumps(again.operations)[:600]])


def stored(sent: Any, answer: Any) -> Any:
    """What was sent without the fields that the API server has not kept."""
    if isinstance(sent, dict) and isinstance(answer, dict):
        return {key: stored(sent[key], answer[key]) for key in sent if key in answer}
    if isinstance(sent, list) and isinstance(answer, list) and len(sent) <= len(answer):
        return [stored(*pair) for pair in zip(sent, answer, strict=False)]
    return sent


def _count_refused(tally: Tally, pod: Json, is_left: bool) -> None:
    if is_left:
        tally.counts["left, as the webhook refuses it"] += 1
    else:
        _fail(tally, "changed, though the webhook refuses it", pod, [])


def _count(tally: Tally, situation: Situation, pod: Json, pods: tuple[Json, Json, Json]) -> None:
    got, unchanged, wanted = pods
    if got == wanted:
        tally.counts["equal, unchanged" if wanted == unchanged else "equal, changed"] += 1
    elif got == unchanged:
        tally.counts["deferred"] += 1
        cause = next(iter(situation.doubts(unchanged)), "unknown")
        tally.causes[cause] += 1
        if cause == "unknown":
            tally.failures.append(("deferred, nobody knows why", pod, []))
    else:
        _fail(tally, "different", pod, [*differences(wanted, got)][:8])


def _fail(tally: Tally, what: str, pod: Json, details: list[str]) -> None:
    tally.counts[what] += 1
    tally.failures.append((what, pod, details))


def differences(wanted: Any, got: Any, path: str = "") -> Iterator[str]:
    """Where two values differ, for people."""
    if isinstance(wanted, dict) and isinstance(got, dict):
        for key in sorted(wanted.keys() | got.keys()):
            yield from differences(wanted.get(key), got.get(key), f"{path}/{key}")
    elif isinstance(wanted, list) and isinstance(got, list) and len(wanted) == len(got):
        for index, (first, second) in enumerate(zip(wanted, got, strict=True)):
            yield from differences(first, second, f"{path}/{index}")
    elif wanted != got:
        yield f"{path}: wanted {wanted!r}, got {got!r}"[:900]


class Pods(random_pods.Choices):
    """Random pods that meet the injections of the file in all kinds of trouble."""

    WORDS: Final = (
        "yes", "no", "Yes ", "on", "0", "", "?", "\tnginx", "\u00a0yes\u00a0", "\x1fyes",
        "yes, nginx", "nginx", "nginx,log-shipper",
        "cluster/debug-tools", " debug-tools , nginx,", ",,", "Nginx", "cluster/java-agent,otel",
        "only: nginx", "Only : cluster/ca-bundle,otel", "only:", "unknown", "NO",
        "debug-tools,log-shipper,vault-agent,nginx,scratch,otel,java-agent,mesh-proxy", "a..b",
    )  # fmt: skip
    NAMES: Final = ("app", "app-x1", "web", "other", "wxyb")
    OURS: Final = ("mesh-proxy", "otel", "sidecar-nginx", "debug", "java-agent", "mkdirs",
                   "vault-agent", "sql-proxy", "log-shipper")  # fmt: skip
    IMAGES: Final = ("app:1", "app:1", "busybox:1.36", "vault:1.15", "mesh/proxy:1.9", "nginx:1.12")
    VOLUMES: Final[Sequence[Json]] = (
        {"name": "logs", "emptyDir": {}}, {"name": "own", "secret": {"secretName": "s"}},
        {"name": "logs", "persistentVolumeClaim": {"claimName": "c"}},
        {"name": "mesh-data", "emptyDir": {}}, {"name": "java-agent", "emptyDir": {}},
        {"name": "java-agent", "emptyDir": {"medium": "Memory"}},
        {"name": "ca-bundle", "configMap": {"name": "ca-bundle"}},
        {"name": "ca-bundle", "configMap": {"name": "other"}},
        {"name": "nginx-conf", "configMap": {"name": "nginx-configmap", "defaultMode": 420}},
        {"name": "scratch-c", "secret": {"secretName": "s"}},
        {"name": "shipper-conf", "configMap": {"name": "fluent-bit", "defaultMode": 292}},
        {"name": "unused", "emptyDir": {}},
    )  # fmt: skip
    INCOMPARABLE: Final[Sequence[Json]] = (
        {"name": "scratch-b", "emptyDir": {"sizeLimit": "1Gi"}},
        {"name": "host-log", "hostPath": {"path": "/var/log"}},
    )
    VARIABLES: Final[Sequence[Json]] = (
        {"name": "A", "value": "1"}, {"name": "B"}, {"name": "AGENT_LEVEL", "value": "own"},
        {"name": "OTEL_ENDPOINT", "value": "x"}, {"name": "SSL_CERT_FILE"},
        {"name": "JAVA_TOOL_OPTIONS", "value": "-Xmx1g"}, {"name": "JAVA_TOOL_OPTIONS"},
        {"name": "JAVA_TOOL_OPTIONS", "value": "-Xms1g -javaagent:/java-agent/agent.jar"},
        {"name": "JAVA_TOOL_OPTIONS", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
        {"name": "U", "value": 'é"\\\n$(A)'},
    )  # fmt: skip
    PATHS: Final = ("/a", "/data", "/x.y", "/b/", "/logs", "/c", "/d", "/java-agent",
                    "/java-agent/", "/etc/ssl/bundle", "/etc/ssl/one.crt", "/")  # fmt: skip
    ODD_PATHS: Final = ("/a/../b", "//q", "/a/./b")
    SOURCES: Final[Sequence[Json]] = (
        {"configMapRef": {"name": "otel"}}, {"configMapRef": {"name": "own"}},
        {"prefix": "S_", "secretRef": {"name": "otel", "optional": True}},
        {"prefix": "OTEL", "secretRef": {"name": "own"}},
    )  # fmt: skip
    SECURE: Final[Json] = {
        "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip

    def container(self, name: str, volumes: Sequence[str]) -> Json:
        """One of the pod's own, or one that is in our way."""
        port = "mesh-prom" if self.sometimes(0.1) else "web"
        mounts = [
            {"name": self.choice(volumes),
             "mountPath": self.choice(self.ODD_PATHS) if self.sometimes(0.01) else path,
             **self.members(0.2, subPath=lambda: "s", readOnly=lambda: True)}
            for path in self.some(self.PATHS, most=3) if volumes
        ]  # fmt: skip
        return {
            "name": name,
            "image": self.choice(self.IMAGES),
            **self.members(
                0.4,
                env=lambda: self.some(self.VARIABLES, most=4),
                volumeMounts=lambda: mounts,
                resources=lambda: {"limits": {"cpu": "1", "memory": "1Gi"}},
            ),
            **self.members(
                0.15,
                envFrom=lambda: self.some(self.SOURCES, most=2),
                ports=lambda: [{"containerPort": self.choice([80, 4317]), "name": port}],
            ),
            **self.members(0.6, securityContext=lambda: dict(self.SECURE)),
        }  # fmt: skip

    def spec(self) -> Json:
        """With one to three containers and up to two init containers."""
        pool = [*self.VOLUMES, *(self.INCOMPARABLE if self.sometimes(0.1) else ())]
        volumes = {one["name"]: copy.deepcopy(one) for one in self.some(pool, most=4)}
        mine = self.some(self.NAMES, most=3, least=1)
        others = [*self.NAMES, *self.OURS]
        taken = [*mine, *(self.some(self.OURS, least=1) if self.sometimes(0.12) else [])]
        inits = [name for name in self.some(others, most=2) if name not in taken]
        if not self.sometimes(0.5):
            inits = [name for name in inits if name not in self.OURS]
        spec: Json = {"containers": [self.container(name, [*volumes]) for name in taken]}
        if inits:
            spec["initContainers"] = [
                {**self.container(name, [*volumes]),
                 **self.members(0.3, restartPolicy=lambda: "Always")}
                for name in inits
            ]  # fmt: skip
        if volumes:
            spec["volumes"] = [*volumes.values()]
        return spec | self.rest()

    def rest(self) -> Json:
        """The other fields of a spec."""
        contexts = ({"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
                    {"runAsNonRoot": True}, {"fsGroup": 1000})  # fmt: skip
        tolerations = [
            {"key": "telemetry", "operator": "Exists"}, {"key": "x", "operator": "Exists"},
            {"key": "dedicated", "operator": "Equal", "value": "apps", "effect": "NoExecute",
             "tolerationSeconds": 30},
            {"key": "dedicated", "operator": "Equal", "value": "apps", "effect": "NoExecute"},
        ]  # fmt: skip
        spread = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
        term = {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}
        zone = {"key": "zone", "operator": "Exists"}
        needed = "requiredDuringSchedulingIgnoredDuringExecution"
        return {
            **self.members(
                0.3, restartPolicy=lambda: self.choice(["Always", "Never", "OnFailure"]),
                securityContext=lambda: self.choice(contexts),
                tolerations=lambda: self.some(tolerations),
                imagePullSecrets=lambda: [{"name": self.choice(["own", "otel-pull", "z"])}],
            ),
            **self.members(
                0.05, hostNetwork=lambda: True, hostUsers=lambda: False,
                nodeSelector=lambda: {"kubernetes.io/os": self.choice(["linux", "windows"])},
                affinity=lambda: {"nodeAffinity": {needed: {"nodeSelectorTerms": [
                    {"matchExpressions": [self.choice([term, zone])]}]}}},
                topologySpreadConstraints=lambda: [
                    {**spread, **self.members(0.4, matchLabelKeys=lambda: ["team"])}],
            ),
            **self.members(
                0.02, os=lambda: {"name": self.choice(["linux", "windows"])},
                resources=lambda: {"limits": {"cpu": "8", "memory": "8Gi"}},
            ),
        }  # fmt: skip

    def metadata(self) -> Json:
        """Labels and annotations that the injections look at."""
        labels = {
            **self.members(0.6, runtime=lambda: self.choice(["java", "java", "go"])),
            **self.members(0.4, vault=lambda: "1", scratch=lambda: "yes"),
            **self.members(0.2, mesh=lambda: self.choice(["on", "off"]), team=lambda: "own",
                           ttl=lambda: self.choice(["60", "300", "061", "x"])),
        }  # fmt: skip
        wishes: Mapping[str, tuple[float, Sequence[str]]] = {
            names.INJECT_ANNOTATION: (0.5, self.WORDS),
            names.TUTORIAL_INJECT_ANNOTATION: (0.15, ("yes", " On", "no", "nginx", "", "\tyes")),
            names.TUTORIAL_STATUS_ANNOTATION: (0.03, ("injected", "x")),
            names.SKIPPED_ANNOTATION: (0.01, ("x",)),
            names.STATUS_ANNOTATION: (0.01, ("", '{"version":1}')),
            names.MIRROR_ANNOTATION: (0.01, ("x",)),
            names.SAFE_TO_EVICT_ANNOTATION: (
                0.2, ("own", "", "own,java-agent", "scratch-a,mesh-data", ",")),
            names.DEFAULT_CONTAINER_ANNOTATION: (0.1, ("app",)),
            "vault.example.com/role": (0.7, (
                "web", "x", 'a$b "q" \\', "", "y" * 200, "$(params.role)", "z", "v", "u",
                self.choice(["é", "x" * 300, "a\nb"]))),
            "sql.example.com/instance": (0.4, ("eu:main-1", "eu", "EU:x", "x", "eu:main-1\n", "é")),
            "example.com/agent-level": (0.3, ("debug", "loud", "", "info")),
            "vault.example.com/memory": (0.2, ("0.5Gi", " 64Mi", "134217728", "x")),
            "prometheus.io/scrape": (0.1, ("false",)),
            "container.apparmor.security.beta.kubernetes.io/app": (0.02, ("runtime/default",)),
            "big": (0.02, ("x" * 20_000, "x" * 250_000)),
        }  # fmt: skip
        annotations = {
            key: self.choice(values)
            for key, (chance, values) in wishes.items()
            if self.sometimes(chance)
        }
        if self.sometimes(0.02):
            labels[names.INJECTION_LABEL] = self.choice([names.DISABLED, "enabled"])
        name = {"generateName": "p-"} if self.sometimes(0.5) else {"name": "p"}
        return {**name, "labels": labels, "annotations": annotations}

    def pod(self) -> Json:
        """A pod as an author writes it; the API server does not accept all."""
        return {"apiVersion": "v1", "kind": "Pod", "metadata": self.metadata(), "spec": self.spec()}


def drawn(openapi: Mapping[str, Any], seed: str) -> Json:
    """A pod with any field of the API server's schema, which meets the injections, too."""
    pod = drawing.Draw(openapi, seed).pod()
    ours = Pods(seed).metadata()
    for field in ("labels", "annotations"):
        pod["metadata"][field] = {**(pod["metadata"].get(field) or {}), **ours[field]}
    return pod
