"""The installed product as tests drive it: objects to apply, replicas to ask, logs to read."""

from __future__ import annotations

import base64
import dataclasses
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jsonpatch
from cryptography import x509

from sidecar_injector import names
from tools.controlplane import client, cluster, operators, release, webhook

Json = dict[str, Any]
ALONE = ["app"]
BOTH = ["app", "sidecar"]
"""The containers of what `pod` makes, and with what `injection` adds."""
REQUESTS = "sidecar_injector_admission_requests_total"
DECISIONS = "sidecar_injector_decisions_total"
PATCH = {"content": client.MERGE_PATCH}
MUTATING = release.CONFIGURATION
VALIDATING = MUTATING.replace("mutating", "validating")


pods_path, injections_path = release.pods, release.injections


def pod(name: str = "app", **spec: Any) -> Json:
    """A pod of one container that is called `app`; `spec` overrides."""
    return release.pod(spec=spec, name=name)


def conflicting(**metadata: Any) -> Json:
    """A pod whose own container has the name of ours."""
    containers = [{"name": "sidecar", "image": "own:1"}]
    return with_metadata(pod(containers=containers), **metadata)


def with_metadata(thing: Json, **metadata: Any) -> Json:
    """The same with these members of its metadata; one that is None is taken out."""
    merged = {**thing["metadata"], **metadata}
    return {**thing, "metadata": {key: value for key, value in merged.items() if value is not None}}


def injection(name: str = "proxy", *, kind: str = names.KIND, **spec: Any) -> Json:
    """One that adds the container `sidecar` to every pod in scope; `spec` overrides."""
    return release.injection(name, kind=kind, **spec)


def workload(kind: str, **spec: Any) -> Json:
    """A workload of that kind called `work`, whose pods are as `pod` makes them."""
    labels = {"app": "work"}
    template = {"metadata": {"labels": labels}, "spec": pod(**spec)["spec"]}
    body: Json = {"template": template}
    if kind != "Job":
        body["selector"] = {"matchLabels": labels}
    version = "batch/v1" if kind == "Job" else "apps/v1"
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "work"}, "spec": body}


def containers(pod: Mapping[str, Any], field: str = "containers") -> list[str]:
    """The names of its containers, in their order."""
    return [container["name"] for container in pod["spec"].get(field) or ()]


def condition(thing: Mapping[str, Any], kind: str) -> Json:
    """Its condition of that type; empty if it has none yet."""
    conditions = (thing.get("status") or {}).get("conditions") or ()
    return next((item for item in conditions if item["type"] == kind), {})


def condition_of(product: Product, namespace: str, kind: str) -> Json:
    """What the injection `proxy` says now."""
    return condition(product.plane.client.get(f"{injections_path(namespace)}/proxy"), kind)


def shown_certificate(product: Product, replica: operators.Replica) -> x509.Certificate:
    """What this replica shows to a client that knows the live caBundle."""
    port, authorities = replica.backend.port, product.ca_bundle()
    with webhook.Connection(port, authorities=authorities) as connection:
        return connection.certificate()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Product:
    """The chart's release, and the operator's replicas."""

    plane: cluster.ControlPlane
    operators: operators.Operators
    port: int

    @property
    def replicas(self) -> list[operators.Replica]:
        return self.operators.replicas

    def create_pod(self, namespace: str, pod: Json, *, dry_run: bool = False) -> Json:
        """The pod as the API server made it."""
        path = pods_path(namespace) + ("?dryRun=All" if dry_run else "")
        return self.plane.client.request("POST", path, pod)

    def pods(self, namespace: str) -> list[Json]:
        items: list[Json] = self.plane.client.get(pods_path(namespace))["items"]
        return items

    def created_by(self, namespace: str, workload: Json) -> Json:
        """The pod that a controller makes of this workload."""
        self.plane.kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps(workload))
        (pod,) = self.plane.wait(f"pod of {workload['kind']}", lambda: self.pods(namespace))
        return pod

    def wait_younger(self, thing: Json) -> None:
        """Until what is created is younger: times of creation have whole seconds."""
        created = thing["metadata"]["creationTimestamp"]
        body = {"metadata": {"generateName": "time-"}}
        path = "/api/v1/namespaces/default/configmaps?dryRun=All"

        def is_younger() -> bool:
            probe = self.plane.client.request("POST", path, body)
            return bool(probe["metadata"]["creationTimestamp"] > created)

        self.plane.wait("a second has passed", is_younger)

    def create_injection(self, namespace: str, injection: Json) -> Json:
        """Return when it is in force on every replica (for pods as `pod` makes them)."""
        created = self.plane.client.request("POST", injections_path(namespace), injection)
        self.wait_known(namespace, injection["metadata"]["name"])
        return created

    def wait_known(self, namespace: str, name: str, *, known: bool = True) -> None:
        """Until every replica has heard of the injection, or of its end.

        The replicas are sent a pod that asks for the injection by name.
        """
        asking = with_metadata(pod(), annotations={names.INJECT_ANNOTATION: name})

        def answers_agree() -> bool:
            answers = [self.ask(replica, namespace, asking) for replica in self.replicas]
            unknown = ["UnknownInjection" in str(answer.get("warnings")) for answer in answers]
            return all(name_is_unknown is not known for name_is_unknown in unknown)

        self.plane.wait(f"{namespace}/{name} is {'known' if known else 'gone'}", answers_agree)

    def condition(self, namespace: str, name: str, kind: str, *, reason: str) -> Json:
        """The condition, as soon as it has that reason."""

        def found() -> Json:
            thing = self.plane.client.get(f"{injections_path(namespace)}/{name}")
            seen = condition(thing, kind)
            return seen if seen.get("reason") == reason else {}

        return self.plane.wait(f"{kind} of {name} is {reason}", found)

    def ask(
        self,
        replica: operators.Replica,
        namespace: str,
        pod: Json,
        *,
        version: str = "v1",
        dry_run: bool = True,
    ) -> Json:
        """What this replica answers to a review, without `apiVersion` and `kind`."""
        review = self.review(replica, namespace, pod, version=version, dry_run=dry_run)
        answer: Json = review["response"]
        return answer

    def review(
        self, replica: operators.Replica, namespace: str, pod: Json, *, version: str, dry_run: bool
    ) -> Json:
        """The answer as it came; the certificate is verified as the API server does it."""
        body = webhook.review(pod, namespace=namespace, number=0)
        body["apiVersion"] = f"admission.k8s.io/{version}"
        body["request"]["dryRun"] = dry_run
        port, authorities = replica.backend.port, self.ca_bundle()
        with webhook.Connection(port, authorities=authorities) as connection:
            return connection.post(json.dumps(body).encode())

    def ca_bundle(self, path: str = MUTATING) -> str:
        """What the API server verifies us by, as PEM; empty if there is none."""
        return release.ca_bundle(self.plane.client.get(path))

    def counted(self, metric: str, **labels: str) -> float:
        """The sum of a metric's samples over all replicas."""
        older = [replica.exposition() for replica in self.replicas]
        newer = (
            replica.metrics(newer_than=text)
            for replica, text in zip(self.replicas, older, strict=True)
        )
        return sum(counts.value(metric, **labels) for counts in newer)

    def flush(self) -> None:
        """Wait until the logs contain all earlier lines, which are written a moment later.

        Lines are written in order: when the last one is there, all are.
        """
        last = f"last-{secrets.token_hex(4)}"
        for replica in self.replicas:
            self.ask(replica, "default", pod(last))
        self.plane.wait(
            "the last line",
            lambda: all(last in text for text in self.operators.logs().values()),
        )

    def log(self) -> Iterator[Json]:
        """Every line of every replica's log."""
        for replica in self.replicas:
            yield from log_lines(replica)


def log_lines(replica: operators.Replica, *, start: int = 0) -> list[Json]:
    """What it has logged from this byte on. A line that is no JSON fails: so does a traceback."""
    text = replica.log.read_bytes()[start:].decode()
    whole = text[: text.rfind("\n") + 1]
    return [json.loads(line) for line in whole.splitlines()]


def patched(pod: Json, answer: Json) -> Json:
    """The pod that an answer makes of this one."""
    operations = json.loads(base64.b64decode(answer["patch"]))
    result: Json = jsonpatch.apply_patch(pod, operations)
    return result


def stays(probe: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Watch for so long that nothing else comes about; not to wait for something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert probe(), what
        time.sleep(0.05)
