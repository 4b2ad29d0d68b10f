"""The servers under test: two API servers on one etcd, three replicas, one balancer."""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Self

from cryptography import x509

from sidecar_injector import names, settings
from sidecar_injector.kube import api
from sidecar_injector.pki import secret_data
from tools.chaos import history, late, load, samples
from tools.controlplane import (
    binaries,
    client,
    cluster,
    errors,
    operators,
    release,
    waiting,
    webhook,
)

REPLICAS: Final = 3
CHART_SETTINGS: Final = (
    # The balancer looks every 0.25 s and gives up after 1 s.
    "settings.drainSeconds=2",
    # Every second call to the webhook is the first one of its connection.
    "settings.maxRequestsPerConnection=2",
)
NAMESPACE: Final = "chaos"
PASSING: Final = "chaos-passing"
"""Injections of this namespace come and go; the one of the load stays as it is."""
READY_SECONDS: Final = 60
CHANGE_SECONDS: Final = 30
Json = dict[str, Any]


class Cluster:
    """A context manager; when it has been entered, every server is ready and pods are injected."""

    def __init__(self, programs: binaries.Binaries, *, folder: pathlib.Path) -> None:
        self.plane = cluster.ControlPlane(programs, folder=folder)
        self._exits = contextlib.ExitStack()
        self._settings: Mapping[str, str] | None = None
        self.last_repair = float("-inf")

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as exits:
            self._start(exits)
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._exits.close()

    def _start(self, exits: contextlib.ExitStack) -> None:
        plane = exits.enter_context(self.plane)
        release.install(plane, *CHART_SETTINGS)
        for namespace in (NAMESPACE, PASSING):
            plane.create_namespace(namespace, labels=release.ENABLED)
        self.create_injection(NAMESPACE, "always")
        # No row needs a controller, and they would watch every pod.
        plane.controller_manager.kill()
        self.second = exits.enter_context(late.LateServer(plane))
        self.servers = (plane.client, self.second.client)
        self.operators = exits.enter_context(operators.Operators(plane, replicas=REPLICAS))
        self.replicas, self.balancer = self.operators.replicas, self.operators.balancer
        self._environments = [dict(replica.environment or {}) for replica in self.replicas]
        port = int(plane.client.server.rpartition(":")[2])
        self.late_replica = exits.enter_context(late.Delay(port))
        self._redirect_last_replica()
        watch = functools.partial(history.History, plane.kubeconfig)
        self.secret = exits.enter_context(
            watch(api.SECRETS, name=names.secret_name(names.PRODUCT), namespace=names.PRODUCT)
        )
        self.configuration = exits.enter_context(watch(api.MUTATING, name=names.PRODUCT))
        self.second.wait_ready()
        self.prepare({})

    @property
    def api_logs(self) -> tuple[pathlib.Path, ...]:
        """Of both API servers."""
        return self.plane.apiserver.log, self.second.process.log

    def prepare(self, wanted: Mapping[str, str]) -> None:
        """Start new replicas without certificates, unless good ones run with these settings."""
        if wanted == self._settings:
            return
        self._settings = dict(wanted)
        self.second.late.seconds = self.late_replica.seconds = 0
        self.stop()
        with contextlib.suppress(errors.ApiError):  # it may not exist yet
            self.damage(None)
        for number in range(REPLICAS):
            self.start(number)
        self.wait_ready()
        for server in self.servers:
            _wait_injecting(server)

    def spoil(self) -> None:
        """The next row needs new replicas."""
        self._settings = None

    def stop(self) -> None:
        """End all replicas at once."""
        for replica in self.replicas:
            replica.kill()

    def start(self, number: int, **environment: str) -> None:
        """Start a replica that has ended, with more environment variables."""
        chosen = {settings.variable(key): text for key, text in (self._settings or {}).items()}
        process = self.replicas[number]
        process.environment = {**self._environments[number], **chosen, **environment}
        process.start()

    def wait_ready(self) -> None:
        """Until all replicas are ready, also for the balancer."""
        self.operators.wait_ready(seconds=READY_SECONDS)

    def wait_unready(self, number: int) -> float:
        """The moment at which the balancer knows that a replica is not ready."""
        backend = self.replicas[number].backend
        waiting.until(
            lambda: backend not in self.balancer.ready,
            what=f"the balancer has seen that {self.replicas[number].name} is not ready",
            pause=0.005,
        )
        return time.monotonic()

    def stored(self) -> secret_data.CertificateSet:
        """The certificates in the Secret."""
        return secret_data.decode(self.plane.client.get(release.SECRET)["data"])

    def wait_stored(
        self,
        what: str,
        wanted: Callable[[secret_data.CertificateSet], bool],
        *,
        since: float,
        seconds: float = CHANGE_SECONDS,
    ) -> tuple[float, secret_data.CertificateSet]:
        """The first valid content of the Secret that is as wanted and not to be rotated."""

        def is_wanted(secret: Json | None) -> bool:
            stored = _decoded(secret)
            return stored is not None and wanted(stored)

        secret = self.secret.wait(what, is_wanted, since=since, seconds=seconds)
        assert secret.thing is not None
        return secret.at, secret_data.decode(secret.thing["data"])

    def rotate(self, what: str) -> float:
        """Request a new leaf or CA; the moment of the request."""
        moment = time.monotonic()
        body = {"metadata": {"annotations": {names.ROTATE_ANNOTATION: what}}}
        self.plane.client.request("PATCH", release.SECRET, body, content=client.MERGE_PATCH)
        return moment

    def damage(self, data: Mapping[str, str] | None) -> float:
        """Give the Secret this data, or delete it for None; the moment of the request."""
        if data is None:
            moment = time.monotonic()
            self.plane.client.request("DELETE", release.SECRET)
        else:
            # A merge patch would keep the keys that are not in it.
            secret = self.plane.client.get(release.SECRET)
            moment = time.monotonic()
            self.plane.client.request("PUT", release.SECRET, {**secret, "data": dict(data)})
        return moment

    def bundle(self) -> str:
        """The CAs that the API servers trust, as PEM."""
        return release.ca_bundle(self.configuration.latest())

    def wait_bundle(
        self, what: str, wanted: Callable[[str], bool], *, since: float, seconds: float
    ) -> float:
        """The moment at which the caBundle is as wanted."""
        return self.configuration.wait(
            what, lambda thing: wanted(release.ca_bundle(thing)), since=since, seconds=seconds
        ).at

    def write_bundle(self, bundle: bytes, *, manager: str = "chaos") -> None:
        """Write this into the webhook's caBundle."""
        config = {"caBundle": base64.b64encode(bundle).decode()}
        self.plane.client.request(
            "PATCH",
            f"{release.CONFIGURATION}?fieldManager={manager}",
            {"webhooks": [{"name": names.MUTATE_WEBHOOK, "clientConfig": config}]},
            content=api.STRATEGIC_PATCH,
        )

    def certificate(self, replica: operators.Replica) -> x509.Certificate:
        """What a replica serves. Raises OSError if the API servers would not trust it."""
        with webhook.Connection(replica.backend.port, authorities=self.bundle()) as connection:
            return connection.certificate()

    def wait_served(self, leaf: x509.Certificate) -> float:
        """The moment at which every replica serves this certificate."""
        what = f"serves serial {leaf.serial_number:x}"
        return self._wait_all(what, lambda replica: self.certificate(replica) == leaf)

    def create_injection(self, namespace: str, name: str) -> None:
        """One that adds the container which the load looks for."""
        path = release.injections(namespace)
        self.plane.client.request("POST", path, release.injection(name))

    def wait_known(self, name: str, *, known: bool) -> float:
        """The moment at which every replica knows an injection, or knows that it is deleted."""
        pod = release.pod(name="app", annotations={names.INJECT_ANNOTATION: name})
        body = json.dumps(webhook.review(pod, namespace=PASSING)).encode()

        def answers(replica: operators.Replica) -> bool:
            port, authorities = replica.backend.port, self.bundle()
            with webhook.Connection(port, authorities=authorities) as connection:
                response = connection.post(body)["response"]
            return known is ("UnknownInjection" not in str(response.get("warnings")))

        return self._wait_all(f"knows {'' if known else 'the end of '}{name}", answers)

    def _wait_all(self, what: str, probe: Callable[[operators.Replica], bool]) -> float:
        for replica in self.replicas:
            waiting.until(
                functools.partial(probe, replica),
                what=f"{replica.name} {what}", seconds=READY_SECONDS, pause=0.01,
            )  # fmt: skip
        return time.monotonic()

    def _redirect_last_replica(self) -> None:
        """From now on it reaches the API server through the proxy that can delay answers."""
        environment = self._environments[-1]
        direct = pathlib.Path(environment["KUBECONFIG"])
        server = self.plane.client.server
        through = f"{server.rpartition(':')[0]}:{self.late_replica.port}"
        path = direct.with_name("kubeconfig-late")
        path.touch(mode=0o600)
        path.write_text(direct.read_text("utf-8").replace(server, through), "utf-8")
        environment["KUBECONFIG"] = str(path)


def _decoded(secret: Json | None) -> secret_data.CertificateSet | None:
    """None for a Secret that is missing, not valid, or to be rotated."""
    if secret is None or names.ROTATE_ANNOTATION in secret["metadata"].get("annotations", {}):
        return None
    try:
        return secret_data.decode(secret.get("data") or {})
    except secret_data.Corrupt:
        return None


def _wait_injecting(server: client.Client) -> None:
    with contextlib.closing(load.Creator(server, f"{release.pods(NAMESPACE)}?dryRun=All")) as pods:
        waiting.until(
            lambda: pods.create(load.pod()).outcome is samples.Outcome.INJECTED,
            what=f"{server.server} injects pods", seconds=READY_SECONDS,
        )  # fmt: skip
