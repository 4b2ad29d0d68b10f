"""The servers that are tormented: two API servers on one etcd, three replicas, one balancer."""

from __future__ import annotations

import base64
import contextlib
import functools
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Self

from cryptography import x509

from sidecar_injector import names, settings
from sidecar_injector.pki import secret_data
from tools.chaos import delay, late, load, replies, samples, watch
from tools.controlplane import binaries, client, cluster, errors, operators, ports, waiting

ROOT: Final = pathlib.Path(__file__).parents[2]
CHART: Final = ROOT / "charts" / "sidecar-injector"
VALUES: Final = ROOT / "tools" / "controlplane" / "values.yaml"
REPLICAS: Final = 3
CHART_SETTINGS: Final = (
    # The balancer looks every 0.25 s and gives up after 1 s.
    "settings.drainSeconds=2",
    # Every second call to the webhook is the first one of its connection.
    "settings.maxRequestsPerConnection=2",
)
NAMESPACE: Final = "chaos"
PASSING: Final = "chaos-passing"
"""Injections come and go here; the one of the load stays as it is."""
SECRETS: Final = f"/api/v1/namespaces/{names.PRODUCT}/secrets"
SECRET: Final = f"{SECRETS}/{names.secret_name(names.PRODUCT)}"
CONFIGURATIONS: Final = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
CONFIGURATION: Final = f"{CONFIGURATIONS}/{names.PRODUCT}"
READY_SECONDS: Final = 60
Json = dict[str, Any]


class Stage:
    """A context manager: everything is up, and pods are injected, when it has been entered."""

    def __init__(self, programs: binaries.Binaries, *, folder: pathlib.Path) -> None:
        self.plane = cluster.ControlPlane(programs, folder=folder)
        self._exits = contextlib.ExitStack()
        self._settings: Mapping[str, str] | None = {}

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as exits:
            self._start(exits)
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._exits.close()

    def _start(self, exits: contextlib.ExitStack) -> None:
        exits.enter_context(self.plane)
        self._install()
        # Nothing here needs a controller any more, and they would look at every pod.
        self.plane.controller_manager.kill()
        self.second = exits.enter_context(late.LateServer(self.plane))
        self.servers = (self.plane.client, self.second.client)
        self.operators = operators.Operators(self.plane, replicas=REPLICAS)
        exits.enter_context(self.operators)
        self._environments = [dict(one.process.environment or {}) for one in self.replicas]
        address = self.plane.client.server.rpartition(":")[2]
        self.late_replica = exits.enter_context(delay.Delay(int(address)))
        self._redirect(len(self.replicas) - 1)
        self.secret = exits.enter_context(
            watch.Watch(self.plane.client, path=SECRETS, name=names.secret_name(names.PRODUCT))
        )
        self.configuration = exits.enter_context(
            watch.Watch(self.plane.client, path=CONFIGURATIONS, name=names.PRODUCT)
        )
        self.second.wait_ready()
        self.fresh({})

    @property
    def replicas(self) -> list[operators.Replica]:
        """The operator's processes."""
        return self.operators.replicas

    @property
    def api_logs(self) -> tuple[pathlib.Path, ...]:
        """Both API servers'."""
        return self.plane.apiserver.log, self.second.process.log

    def prepare(self, wanted: Mapping[str, str]) -> None:
        """Replicas with these settings; those that run will do if nothing was spoilt."""
        if wanted != self._settings:
            self.fresh(wanted)

    def spoil(self) -> None:
        """What runs now will not do for others."""
        self._settings = None

    def fresh(self, wanted: Mapping[str, str]) -> None:
        """New replicas with other settings, which find no certificates of former ones."""
        self.second.late.seconds = self.late_replica.seconds = 0
        self.stop()
        with contextlib.suppress(errors.ApiError):  # there is none yet
            self.damage(None)
        for number in range(REPLICAS):
            self.start(number, wanted)
        self.wait_ready()
        self.wait_injecting()
        self._settings = dict(wanted)

    def stop(self) -> None:
        """End all replicas at once."""
        for replica in self.replicas:
            replica.kill()

    def start(
        self, number: int, wanted: Mapping[str, str] | None = None, **environment: str
    ) -> None:
        """Start a replica that has ended, with settings (or those of before) and variables."""
        given = (self._settings or {}) if wanted is None else wanted
        variables = {settings.variable(field): text for field, text in given.items()}
        process = self.replicas[number].process
        process.environment = {**self._environments[number], **variables, **environment}
        process.start()

    def wait_ready(self) -> None:
        """Until the balancer, too, has found all of them ready."""
        self.operators.wait_ready(seconds=READY_SECONDS)

    def wait_injecting(self) -> None:
        """Until both API servers ask the replicas and are answered."""
        for server in self.servers:
            _wait_injecting(server)

    def wait_noticed(self, number: int) -> float:
        """The moment at which the balancer has found that replica not to be ready."""
        backend = self.replicas[number].backend
        waiting.until(
            lambda: backend not in self.operators.balancer.ready,
            what=f"the balancer has seen that {self.replicas[number].name} is not ready",
            pause=0.005,
        )
        return time.monotonic()

    def stored(self) -> secret_data.Stored:
        """The certificates as the Secret has them."""
        return secret_data.decode(self.plane.client.get(SECRET)["data"])

    def rotate(self, what: str) -> float:
        """Ask for a new leaf or CA; the moment of asking."""
        moment = time.monotonic()
        body = {"metadata": {"annotations": {names.ROTATE_ANNOTATION: what}}}
        self.plane.client.request("PATCH", SECRET, body, content=client.MERGE_PATCH)
        return moment

    def damage(self, data: Mapping[str, str] | None) -> float:
        """Give the Secret this data, or delete it; the moment of doing so."""
        moment = time.monotonic()
        if data is None:
            self.plane.client.request("DELETE", SECRET)
        else:
            # A merge patch would keep the keys that are not in it.
            found = self.plane.client.get(SECRET)
            moment = time.monotonic()
            self.plane.client.request("PUT", SECRET, {**found, "data": dict(data)})
        return moment

    def bundle(self) -> str:
        """The CAs that the API servers have been told to trust, as PEM."""
        latest = self.configuration.latest
        return bundle_of(latest.state if latest else None)

    def wait_shown(self, leaf: x509.Certificate) -> float:
        """The moment at which every replica shows this certificate."""
        what = f"shows serial {leaf.serial_number:x}"
        return self._wait_all(what, lambda one: replies.shown(one, self.bundle()) == leaf)

    def wait_known(self, name: str, *, known: bool) -> float:
        """The moment at which every replica has heard of the injection, or of its end."""

        def told(replica: operators.Replica) -> bool:
            return known is replies.knows(replica, self.bundle(), namespace=PASSING, name=name)

        return self._wait_all(f"has heard {'of' if known else 'the end of'} {name}", told)

    def _wait_all(self, what: str, probe: Callable[[operators.Replica], bool]) -> float:
        for replica in self.replicas:
            waiting.until(
                functools.partial(probe, replica),
                what=f"{replica.name} {what}",
                seconds=READY_SECONDS,
                pause=0.01,
            )
        return time.monotonic()

    def _install(self) -> None:
        values = (f"service.port={ports.free()}", *CHART_SETTINGS)
        words = [word for value in values for word in ("--set", value)]
        where = ("-n", names.PRODUCT, "--create-namespace", "-f", str(VALUES))
        self.plane.helm("install", names.PRODUCT, str(CHART), *where, *words)
        for namespace in (NAMESPACE, PASSING):
            self.plane.create_namespace(namespace, labels={names.INJECTION_LABEL: names.ENABLED})
        create_injection(self.plane.client, NAMESPACE, "always")

    def _redirect(self, number: int) -> None:
        """From now on this replica talks to its API server through the proxy that can delay it."""
        environment = self._environments[number]
        direct = pathlib.Path(environment["KUBECONFIG"])
        text = direct.read_text("utf-8")
        server = self.plane.client.server
        through = f"{server.rpartition(':')[0]}:{self.late_replica.port}"
        path = direct.with_name("kubeconfig-late")
        path.touch(mode=0o600)
        path.write_text(text.replace(server, through), "utf-8")
        environment["KUBECONFIG"] = str(path)


def _wait_injecting(server: client.Client) -> None:
    creator = load.Creator(server, f"/api/v1/namespaces/{NAMESPACE}/pods?dryRun=All")
    waiting.until(
        lambda: creator.create(load.pod()).outcome is samples.Outcome.INJECTED,
        what=f"{server.server} injects pods",
        seconds=READY_SECONDS,
    )
    creator.close()


def bundle_of(configuration: Json | None) -> str:
    """Its caBundle as PEM; empty if it is missing or no text."""
    entries = configuration["webhooks"] if configuration else []
    encoded = entries[0]["clientConfig"].get("caBundle", "") if entries else ""
    return base64.b64decode(encoded).decode(errors="replace")


def create_injection(server: client.Client, namespace: str, name: str) -> None:
    """One that adds the container that the load looks for."""
    container = {"name": load.SIDECAR, "image": "sidecar:1"}
    body = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": name},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }
    server.request("POST", injections_path(namespace), body)


def injections_path(namespace: str) -> str:
    """Of the collection."""
    return f"/apis/{names.API_VERSION}/namespaces/{namespace}/{names.PLURAL}"
