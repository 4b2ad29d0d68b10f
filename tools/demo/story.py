"""The six steps. The operator is driven only through the API server, and read on its admin port."""

from __future__ import annotations

import contextlib
import json
import pathlib
import sys
from typing import Final

import yaml

from sidecar_injector import names
from tools.controlplane import binaries, cluster, operators, ports, processes, progress
from tools.demo import narration, probes

HERE: Final = pathlib.Path("tools/demo")
VALUES: Final = pathlib.Path("tools/controlplane/values.yaml")
CHART: Final = pathlib.Path("charts/sidecar-injector")
ALONE: Final = "alpine"
INJECTED: Final = "alpine sidecar-nginx"
LABEL: Final = "{.metadata.labels.sidecar-injection}"
CONFIGURATIONS: Final = "mutatingwebhookconfigurations,validatingwebhookconfigurations"


class Story:
    """One telling. What it starts is put on `stack`, for the caller to end or to keep."""

    def __init__(
        self, *, narrator: narration.Narrator, folder: pathlib.Path, stack: contextlib.ExitStack
    ) -> None:
        self._narrator, self._folder, self._stack = narrator, folder, stack
        self._plane: cluster.ControlPlane
        self._operators: operators.Operators

    def tell(self) -> None:
        """Steps one to five. Raises DemoError or ControlPlaneError at the first that fails."""
        self.offline()
        self.control_plane()
        self.install()
        self.declare()
        self.inject()
        self.explain()

    def offline(self) -> None:
        """Step 1."""
        self._narrator.step(
            1,
            "Offline, from files alone",
            "The function that the webhook asks decides here too; no cluster is needed.",
        )
        output, report = self._cli("pod.yaml")
        self._narrator.show("containers", probes.containers(yaml.safe_load(output)), INJECTED)
        self._show_report(report.strip(), place="demo/Pod/alpine", reason="Injected")

    def control_plane(self) -> None:
        """Step 2."""
        self._narrator.step(
            2,
            "A control plane of its own",
            "etcd, kube-apiserver and kube-controller-manager on loopback: the API is real, but"
            " there are no nodes, so pods are accepted and stay Pending.",
        )
        programs = binaries.ensure(report=progress.Progress(sys.stdout))
        plane = cluster.ControlPlane(programs, folder=self._folder)
        self._plane = self._stack.enter_context(plane)
        ready = self._kubectl("get", "--raw", "/readyz")
        self._narrator.show("the API server's /readyz", ready, "ok")

    def install(self) -> None:
        """Step 3."""
        self._narrator.step(
            3,
            "Installation",
            "One command. Its three values let the API server reach an operator outside of pods,"
            " which is then started as the installed Deployment says, as its ServiceAccount.",
        )
        release = names.PRODUCT
        self._helm_install("-f", str(VALUES), *self._port())
        self._operators = self._stack.enter_context(operators.Operators(self._plane))
        self._operators.wait_ready()
        ready = [replica.name for replica in self._operators.replicas if replica.ready()]
        wanted = [f"{release}-{number}" for number in range(self._operators.workload.replicas)]
        self._narrator.show("replicas that are ready", " ".join(ready), " ".join(wanted))

    def declare(self) -> None:
        """Step 4."""
        self._narrator.step(
            4,
            "A namespace and a SidecarInjection",
            "An administrator labels the namespace; its team says which sidecar pods may ask for.",
        )
        self._apply("namespace.yaml")
        for namespace in ("demo", "elsewhere"):
            self._plane.wait_for_service_account(namespace)
        label = self._field("namespace", "demo", LABEL)
        self._narrator.show("label sidecar-injection of namespace demo", label, names.ENABLED)

        self._apply("configmap.yaml")
        self._apply("injection.yaml")
        self._plane.kubectl(
            "wait", "-n", "demo", "sidecarinjection/nginx", "--for=condition=Ready", "--timeout=30s"
        )
        reason = self._field(
            "sidecarinjection", "nginx", '{.status.conditions[?(@.type=="Ready")].reason}'
        )
        self._narrator.show("condition Ready of SidecarInjection nginx", reason, "Active")

    def inject(self) -> None:
        """Step 5, the pods that ask."""
        self._narrator.step(
            5,
            "Pods",
            "A pod with the tutorial's annotation and a Deployment with ours receive the sidecar;"
            " the status annotation says what was added.",
        )
        self._apply("pod.yaml")
        self._apply("deployment.yaml")
        of_deployment = self._plane.wait(
            "the Deployment's pod",
            lambda: self._kubectl(
                "get",
                "pods",
                "-n",
                "demo",
                "-l",
                "app=web",
                "-o",
                "jsonpath={.items[*].metadata.name}",
            ),
        )
        for name in (ALONE, of_deployment):
            pod = json.loads(self._kubectl("get", "pod", name, "-n", "demo", "-o", "json"))
            self._narrator.show(f"containers of {name}", probes.containers(pod), INJECTED)
            provenance = pod["metadata"]["annotations"][names.STATUS_ANNOTATION]
            added = [
                (entry["name"], entry["added"]["containers"])
                for entry in json.loads(provenance)["injections"]
            ]
            self._narrator.show(
                names.STATUS_ANNOTATION, added, [("nginx", ["sidecar-nginx"])], text=provenance
            )

    def explain(self) -> None:
        """Step 5, the pods that get nothing."""
        self._narrator.tell(
            "Three pods get nothing, each for a reason that the command line tells:"
        )
        for file, pod, namespace, reason in (
            ("silent.yaml", "silent", "demo", "NotRequested"),
            ("opted-out.yaml", "opted-out", "demo", "PodLabelDisabled"),
            ("elsewhere.yaml", "unheard", "elsewhere", "NamespaceNotEnabled"),
        ):
            self._apply(file)
            seen = self._field("pod", pod, "{.spec.containers[*].name}", namespace=namespace)
            self._narrator.show(f"containers of {pod}", seen, ALONE)
            label = self._field("namespace", namespace, LABEL)
            report = self._report(file, "--namespace-labels", f"{names.INJECTION_LABEL}={label}")
            self._show_report(report, place=f"{namespace}/Pod/{pod}", reason=reason)
        # The API server does not call for the other two.
        count = probes.counted(self._metrics(), reason="NotRequested")
        self._narrator.show("pods without a request that the replicas have counted", count, 1)

    def leave(self) -> None:
        """Step 6 with KEEP=1."""
        self._narrator.step(6, "It stays up", "`make down` ends it. To look around:")
        self._narrator.command("export", f"KUBECONFIG={self._plane.kubeconfig}")
        context = self._kubectl("config", "current-context")
        self._narrator.show("its context", context, "local")

    def uninstall(self) -> None:
        """Step 6, through the API server; the caller then ends the processes."""
        self._narrator.step(
            6, "The end", "Uninstalling leaves no webhook behind; then the processes end."
        )
        command = ("uninstall", names.PRODUCT, "-n", names.PRODUCT)
        self._narrator.command("helm", *command)
        self._plane.helm(*command)
        left = self._kubectl("get", CONFIGURATIONS, "-o", "name")
        self._narrator.show("webhook configurations left", left or "none", "none")

    def ended(self) -> None:
        """Step 6, after the stack has been closed."""
        left = [process.name for process in self._started() if process.running]
        self._narrator.show("processes left", " ".join(left) or "none", "none")

    def _helm_install(self, *options: str) -> None:
        release = names.PRODUCT
        command = ["install", release, str(CHART), "-n", release, "--create-namespace", *options]
        self._narrator.command("helm", *command)
        self._plane.helm(*command)
        status = json.loads(self._plane.helm("status", release, "-n", release, "-o", "json").stdout)
        self._narrator.show("release status", status["info"]["status"], "deployed")

    def _metrics(self) -> list[str]:
        return [replica.get("/metrics")[1] for replica in self._operators.replicas]

    def _started(self) -> list[processes.Process]:
        plane = self._plane
        started = [plane.etcd, plane.apiserver, plane.controller_manager]
        return started + [replica.process for replica in self._operators.replicas]

    def _report(self, file: str, *more: str) -> str:
        return self._cli(file, *more)[1].strip()

    def _cli(self, file: str, *more: str) -> tuple[str, str]:
        files = ("-f", str(HERE / file), "-i", str(HERE / "injection.yaml"))
        words = ("inject", *files, *more, "--report")
        self._narrator.command(names.PRODUCT, *words)
        return probes.cli(*words)

    def _show_report(self, line: str, *, place: str, reason: str) -> None:
        self._narrator.show("report", probes.report_columns(line), (place, reason), text=line)

    def _port(self) -> tuple[str, ...]:
        """Another port than the values file's, if somebody listens there."""
        values = yaml.safe_load((probes.ROOT / VALUES).read_text("utf-8"))
        if ports.is_free(values["service"]["port"]):
            return ()
        return ("--set", f"service.port={ports.free()}")

    def _apply(self, file: str) -> None:
        self._narrator.command("kubectl", "apply", "-f", str(HERE / file))
        self._plane.kubectl("apply", "-f", str(probes.ROOT / HERE / file))

    def _field(self, kind: str, name: str, path: str, *, namespace: str = "demo") -> str:
        return self._kubectl("get", kind, name, "-n", namespace, "-o", f"jsonpath={path}")

    def _kubectl(self, *arguments: str) -> str:
        return self._plane.kubectl(*arguments).stdout.strip()
