"""The operator under test, run as the installed chart says.

Command, arguments and environment come from the Deployment in the API server, the identity is a
token of its ServiceAccount: a wrong variable or a missing permission of the chart fails here as it
would in a pod. Only what two replicas on one machine cannot share is replaced.
"""

from __future__ import annotations

import http.client
import pathlib
import sys
from typing import Final, Protocol, Self

from sidecar_injector import names, settings
from tools.controlplane import (
    balancer,
    client,
    deployment,
    guard,
    metrics,
    ports,
    processes,
    waiting,
)

TOKEN_SECONDS: Final = 86_400
READY_SECONDS: Final = 30
PROGRAMS: Final = pathlib.Path(sys.executable).parent
"""Where pip put the command that the image has: beside the interpreter that runs this."""


class Replica(processes.Process):
    """One operator process; what it logs is in `log`."""

    backend: balancer.Backend

    def get(self, path: str) -> tuple[int, str]:
        """Status code and body from the admin port. Raises OSError while it is not open."""
        connection = http.client.HTTPConnection(ports.LOOPBACK, self.backend.admin_port, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error) or repr(error)) from error
        finally:
            connection.close()

    def ready(self) -> bool:
        """Whether /readyz answers 200; raises as `get` does."""
        return self.get("/readyz")[0] == 200

    def wait_ready(
        self, *, seconds: float = READY_SECONDS, pause: float = waiting.PAUSE_SECONDS
    ) -> None:
        """Raises ProcessDiedError if it ends instead, WaitError if it takes too long."""

        def probe() -> bool:
            self.require_running()
            return self.ready()

        what = f"{self.name} is ready ({self.log})"
        waiting.until(probe, what=what, seconds=seconds, pause=pause)

    def exposition(self) -> str:
        """What Prometheus would scrape, which may be a second old. Raises OSError as `get` does."""
        return self.get("/metrics")[1]

    def metrics(self, *, newer_than: str | None = None) -> metrics.Metrics:
        """What is counted by now, or after an exposition that was read before.

        Every text is another one, as the event loop's lag is measured all the time. Raises OSError
        as `get` does.
        """
        older = self.exposition() if newer_than is None else newer_than

        def newer() -> str | None:
            text = self.exposition()
            return text if text != older else None

        return metrics.read(waiting.until(newer, what=f"{self.name} counts") or "")


class Cluster(Protocol):
    """What replicas need of a cluster. Its API server reaches loopback of this machine."""

    folder: pathlib.Path
    guard: guard.Guard

    @property
    def client(self) -> client.Client:
        """It may create tokens of ServiceAccounts."""

    def write_kubeconfig(self, path: pathlib.Path, *, token: str) -> None:
        """For the user of a token."""


class Operators:
    """A context manager: the Deployment's replicas and the balancer at its Service's port."""

    def __init__(
        self,
        plane: Cluster,
        *,
        namespace: str = names.PRODUCT,
        name: str = names.PRODUCT,
        replicas: int | None = None,
    ) -> None:
        """`name` is the chart's fullname; `replicas` overrides how many the Deployment wants."""
        self._plane, self._namespace, self._name = plane, namespace, name
        self.workload = self._read_workload()
        self.count = self.workload.replicas if replicas is None else replicas
        self.replicas: list[Replica] = []
        self.balancer = balancer.Balancer(self._service_port())

    def __enter__(self) -> Self:
        self.balancer.__enter__()
        for _ in range(self.count):
            self.add()
        return self

    def __exit__(self, *exception: object) -> None:
        self.balancer.__exit__(*exception)
        for replica in self.replicas:
            replica.kill()

    def add(self) -> Replica:
        """Start one more, with the Deployment as it is now (it may have been upgraded)."""
        self.workload = self._read_workload()
        number = len(self.replicas)
        backend = balancer.Backend(port=ports.free(), admin_port=ports.free())
        replica = self._replica(number, backend)
        replica.start()
        self.replicas.append(replica)
        self.balancer.add(backend)
        return replica

    def wait_ready(self, *, seconds: float = READY_SECONDS) -> None:
        """Until all are ready, also for the balancer: a pod created now is injected."""
        for replica in self.replicas:
            replica.wait_ready(seconds=seconds)
        wanted = {replica.backend for replica in self.replicas}
        waiting.until(
            lambda: set(self.balancer.ready) == wanted,
            what="the balancer has seen it", seconds=READY_SECONDS,
        )  # fmt: skip

    def logs(self) -> dict[str, str]:
        """The whole log of each replica by its name."""
        return {replica.name: replica.log.read_text("utf-8") for replica in self.replicas}

    def _replica(self, number: int, backend: balancer.Backend) -> Replica:
        pod_name = f"{self._name}-{number}"
        scratch = self._plane.folder / f"{self._namespace}-{pod_name}"
        scratch.mkdir(exist_ok=True)
        kubeconfig = scratch / "kubeconfig"
        self._plane.write_kubeconfig(kubeconfig, token=self._token())
        launch = self.workload.launch(
            pod_name=pod_name,
            programs=PROGRAMS,
            overrides={
                settings.variable("webhook_port"): str(backend.port),
                settings.variable("admin_port"): str(backend.admin_port),
                settings.variable("scratch_folder"): str(scratch),
                "KUBECONFIG": str(kubeconfig),
                "HOME": str(scratch),
            },
        )
        replica = Replica(
            name=pod_name,
            command=launch.command,
            log=self._plane.folder / f"{self._namespace}-{pod_name}.log",
            guard=self._plane.guard,
            environment=launch.environment,
            folder=scratch,
        )
        replica.backend = backend
        return replica

    def _token(self) -> str:
        path = f"/api/v1/namespaces/{self._namespace}/serviceaccounts"
        answer = self._plane.client.request(
            "POST",
            f"{path}/{self.workload.service_account}/token",
            {"spec": {"expirationSeconds": TOKEN_SECONDS}},
        )
        return str(answer["status"]["token"])

    def _read_workload(self) -> deployment.Workload:
        path = f"/apis/apps/v1/namespaces/{self._namespace}/deployments/{self._name}"
        return deployment.Workload(manifest=self._plane.client.get(path))

    def _service_port(self) -> int:
        path = f"/api/v1/namespaces/{self._namespace}/services/{self._name}"
        return int(self._plane.client.get(path)["spec"]["ports"][0]["port"])
