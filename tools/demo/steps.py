"""The six steps of `make demo`. Every printed fact has been compared first.

The operator is driven through the API server only, and read on its admin port.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import shlex
import subprocess
import sys
import time
from typing import Any, Final, TextIO

import rich.console
import rich.text
import yaml

from sidecar_injector import names
from tools.controlplane import (
    binaries,
    cluster,
    metrics,
    operators,
    ports,
    processes,
    progress,
    release,
)

HERE: Final = pathlib.Path("tools/demo")
VALUES: Final = release.VALUES.relative_to(release.ROOT)
CHART: Final = release.CHART.relative_to(release.ROOT)
ALONE: Final = "alpine"
INJECTED: Final = "alpine sidecar-nginx"
LABEL: Final = "{.metadata.labels.sidecar-injection}"
CONFIGURATIONS: Final = "mutatingwebhookconfigurations,validatingwebhookconfigurations"
CLI_SECONDS: Final = 60


class DemoError(Exception):
    """Something is not as the demo says: what it is, the seen and the wanted value."""

    def __init__(self, *, what: str, seen: object, wanted: object) -> None:
        super().__init__(f"{what}: seen {seen!r}, wanted {wanted!r}")


class Printer:
    """Prints plain lines into a pipe, with a little colour on a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._console = rich.console.Console(file=stream, highlight=False, soft_wrap=True)
        self._begun = time.monotonic()

    def step(self, number: int, title: str, explanation: str) -> None:
        """Begin a step."""
        seconds = f"{time.monotonic() - self._begun:.0f} s"
        self._line(f"\n{number}. {title}", style="bold", end="")
        self._line(f"  ({seconds})", style="dim")
        self.text(explanation)

    def text(self, text: str) -> None:
        """A sentence that says nothing about what has just happened."""
        self._line(f"   {text}")

    def command(self, *words: str) -> None:
        """The command that is run now, as one would type it."""
        self._line(f"   $ {shlex.join(words)}", style="cyan")

    def show(self, what: str, seen: object, wanted: object, *, text: str | None = None) -> None:
        """Print a fact that is as it should be (or the `text` that it was taken from).

        Raises DemoError otherwise.
        """
        if seen != wanted:
            raise DemoError(what=what, seen=seen, wanted=wanted)
        self._line("   ok  ", style="green", end="")
        self._line(f"{what}: {seen if text is None else text}")

    def _line(self, text: str, *, style: str = "", end: str = "\n") -> None:
        self._console.print(rich.text.Text(text, style=style), end=end)


class Steps:
    """One run. Everything that it starts is on `stack`, for the caller to end or to keep."""

    def __init__(
        self, *, printer: Printer, folder: pathlib.Path, stack: contextlib.ExitStack
    ) -> None:
        self._printer, self._folder, self._stack = printer, folder, stack
        self._plane: cluster.ControlPlane
        self._operators: operators.Operators

    def play(self) -> None:
        """Steps one to five. Raises DemoError or ControlPlaneError at the first that fails."""
        self.offline()
        self.control_plane()
        self.install()
        self.declare()
        self.inject()
        self.explain()

    def offline(self) -> None:
        """Step 1."""
        self._printer.step(
            1,
            "Offline, from files alone",
            "The function that the webhook asks decides here too; no cluster is needed.",
        )
        output, report = self._cli("pod.yaml")
        self._printer.show("containers", containers(yaml.safe_load(output)), INJECTED)
        self._show_report(report.strip(), place="demo/Pod/alpine", reason="Injected")

    def control_plane(self) -> None:
        """Step 2."""
        self._printer.step(
            2,
            "A control plane of its own",
            "etcd, kube-apiserver and kube-controller-manager on loopback: the API is real, but"
            " there are no nodes, so pods are accepted and stay Pending.",
        )
        programs = binaries.ensure(report=progress.Progress(sys.stdout))
        plane = cluster.ControlPlane(programs, folder=self._folder)
        self._plane = self._stack.enter_context(plane)
        ready = self._kubectl("get", "--raw", "/readyz")
        self._printer.show("the API server's /readyz", ready, "ok")

    def install(self) -> None:
        """Step 3."""
        self._printer.step(
            3,
            "Installation",
            "One command. Its three values let the API server reach an operator outside of pods,"
            " which is then started as the installed Deployment says, as its ServiceAccount.",
        )
        self._helm_install("-f", str(VALUES), *self._port())
        self._operators = self._stack.enter_context(operators.Operators(self._plane))
        self._operators.wait_ready()
        ready = [replica.name for replica in self._operators.replicas if replica.ready()]
        wanted = [
            f"{names.PRODUCT}-{number}" for number in range(self._operators.workload.replicas)
        ]
        self._printer.show("replicas that are ready", " ".join(ready), " ".join(wanted))

    def declare(self) -> None:
        """Step 4."""
        self._printer.step(
            4,
            "A namespace and a SidecarInjection",
            "An administrator labels the namespace; its team says which sidecar pods may ask for.",
        )
        self._apply("namespace.yaml")
        for namespace in ("demo", "elsewhere"):
            self._plane.wait_for_service_account(namespace)
        label = self._field("namespace", "demo", LABEL)
        self._printer.show("label sidecar-injection of namespace demo", label, names.ENABLED)

        self._apply("configmap.yaml")
        self._apply("injection.yaml")
        self._plane.kubectl(
            "wait", "-n", "demo", "sidecarinjection/nginx", "--for=condition=Ready", "--timeout=30s"
        )
        reason = self._field(
            "sidecarinjection", "nginx", '{.status.conditions[?(@.type=="Ready")].reason}'
        )
        self._printer.show("condition Ready of SidecarInjection nginx", reason, "Active")

    def inject(self) -> None:
        """Step 5, the pods that ask."""
        self._printer.step(
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
                *("get", "pods", "-n", "demo", "-l", "app=web"),
                *("-o", "jsonpath={.items[*].metadata.name}"),
            ),
        )
        for name in (ALONE, of_deployment):
            pod = json.loads(self._kubectl("get", "pod", name, "-n", "demo", "-o", "json"))
            self._printer.show(f"containers of {name}", containers(pod), INJECTED)
            status = pod["metadata"]["annotations"][names.STATUS_ANNOTATION]
            added = [
                (entry["name"], entry["added"]["containers"])
                for entry in json.loads(status)["injections"]
            ]
            self._printer.show(
                names.STATUS_ANNOTATION, added, [("nginx", ["sidecar-nginx"])], text=status
            )

    def explain(self) -> None:
        """Step 5, the pods that get nothing."""
        self._printer.text("Three pods get nothing, each for a reason that the command line tells:")
        for file, pod, namespace, reason in (
            ("silent.yaml", "silent", "demo", "NotRequested"),
            ("opted-out.yaml", "opted-out", "demo", "PodLabelDisabled"),
            ("elsewhere.yaml", "unheard", "elsewhere", "NamespaceNotEnabled"),
        ):
            self._apply(file)
            seen = self._field("pod", pod, "{.spec.containers[*].name}", namespace=namespace)
            self._printer.show(f"containers of {pod}", seen, ALONE)
            label = self._field("namespace", namespace, LABEL)
            report = self._report(file, "--namespace-labels", f"{names.INJECTION_LABEL}={label}")
            self._show_report(report, place=f"{namespace}/Pod/{pod}", reason=reason)
        # The API server does not call for the other two.
        decisions = [
            metrics.read(text).value("sidecar_injector_decisions_total", reason="NotRequested")
            for text in self._metrics()
        ]
        count = int(sum(decisions))
        self._printer.show("pods without a request that the replicas have counted", count, 1)

    def leave(self) -> None:
        """Step 6 with KEEP=1."""
        self._printer.step(6, "It stays up", "`make down` ends it. To look around:")
        self._printer.command("export", f"KUBECONFIG={self._plane.kubeconfig}")
        context = self._kubectl("config", "current-context")
        self._printer.show("its context", context, "local")

    def uninstall(self) -> None:
        """Step 6, through the API server; the caller then ends the processes."""
        self._printer.step(
            6, "The end", "Uninstalling leaves no webhook behind; then the processes end."
        )
        command = ("uninstall", names.PRODUCT, "-n", names.PRODUCT)
        self._printer.command("helm", *command)
        self._plane.helm(*command)
        left = self._kubectl("get", CONFIGURATIONS, "-o", "name")
        self._printer.show("webhook configurations left", left or "none", "none")

    def ended(self) -> None:
        """Step 6, after the stack has been closed."""
        left = [process.name for process in self._started() if process.running]
        self._printer.show("processes left", " ".join(left) or "none", "none")

    def _helm_install(self, *options: str) -> None:
        name = names.PRODUCT
        command = ["install", name, str(CHART), "-n", name, "--create-namespace", *options]
        self._printer.command("helm", *command)
        self._plane.helm(*command)
        status = json.loads(self._plane.helm("status", name, "-n", name, "-o", "json").stdout)
        self._printer.show("release status", status["info"]["status"], "deployed")

    def _metrics(self) -> list[str]:
        return [replica.get("/metrics")[1] for replica in self._operators.replicas]

    def _started(self) -> list[processes.Process]:
        plane = self._plane
        started = [plane.etcd, plane.apiserver, plane.controller_manager]
        return [*started, *self._operators.replicas]

    def _report(self, file: str, *more: str) -> str:
        return self._cli(file, *more)[1].strip()

    def _cli(self, file: str, *more: str) -> tuple[str, str]:
        files = ("-f", str(HERE / file), "-i", str(HERE / "injection.yaml"))
        words = ("inject", *files, *more, "--report")
        self._printer.command(names.PRODUCT, *words)
        answer = subprocess.run(
            [operators.PROGRAMS / names.PRODUCT, *words],
            cwd=release.ROOT, capture_output=True, text=True, timeout=CLI_SECONDS, check=False,
        )  # fmt: skip
        if answer.returncode != 0:
            what = f"exit status of {names.PRODUCT} {' '.join(words)}, which said {answer.stderr!r}"
            raise DemoError(what=what, seen=answer.returncode, wanted=0)
        return answer.stdout, answer.stderr

    def _show_report(self, line: str, *, place: str, reason: str) -> None:
        self._printer.show("report", _columns(line), (place, reason), text=line)

    def _port(self) -> tuple[str, ...]:
        """Another port than the values file's, if that is not free."""
        values = yaml.safe_load((release.ROOT / VALUES).read_text("utf-8"))
        if ports.is_free(values["service"]["port"]):
            return ()
        return ("--set", f"service.port={ports.free()}")

    def _apply(self, file: str) -> None:
        self._printer.command("kubectl", "apply", "-f", str(HERE / file))
        self._plane.kubectl("apply", "-f", str(release.ROOT / HERE / file))

    def _field(self, kind: str, name: str, path: str, *, namespace: str = "demo") -> str:
        return self._kubectl("get", kind, name, "-n", namespace, "-o", f"jsonpath={path}")

    def _kubectl(self, *arguments: str) -> str:
        return self._plane.kubectl(*arguments).stdout.strip()


def containers(pod: dict[str, Any]) -> str:
    """The names of a pod's containers in their order."""
    return " ".join(container["name"] for container in pod["spec"]["containers"])


def _columns(report: str) -> tuple[str, str]:
    """Object and reason of a report of one line, or the line and nothing for something else.

    Its columns are NAMESPACE/KIND/NAME INJECTION VERDICT REASON sentence.
    """
    columns = report.split(maxsplit=4)
    return (columns[0], columns[3]) if len(columns) > 4 else (report, "")
