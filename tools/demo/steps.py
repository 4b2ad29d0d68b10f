"""The six steps of `make demo`. Every printed fact has been compared first.

The operator is driven through the API server only, and read on its admin port.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import subprocess
from typing import Any, Final

import yaml

from sidecar_injector import names
from tools.controlplane import metrics, operators, release
from tools.demo import places, printer

HERE: Final = pathlib.Path("tools/demo")
CHART: Final = release.CHART.relative_to(release.ROOT)
ALONE: Final = "alpine"
INJECTED: Final = "alpine sidecar-nginx"
LABEL: Final = "{.metadata.labels.sidecar-injection}"
CONFIGURATIONS: Final = "mutatingwebhookconfigurations,validatingwebhookconfigurations"
CLI_SECONDS: Final = 60
WAIT: Final = "--timeout=110s"


class Steps:
    """One run. Everything that it starts is on `stack`, for the caller to end or to keep."""

    def __init__(
        self, place: places.Place, *, printer: printer.Printer, stack: contextlib.ExitStack
    ) -> None:
        self._place, self._printer, self._stack = place, printer, stack

    def play(self) -> None:
        """Steps one to five. Raises DemoError or ControlPlaneError at the first that fails."""
        self.offline()
        self.reach()
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

    def reach(self) -> None:
        """Step 2."""
        self._printer.step(2, self._place.title, self._place.announce(self._stack))
        self._printer.show(*self._place.enter(self._stack))

    def install(self) -> None:
        """Step 3."""
        operator = self._place.operator
        self._printer.step(3, "Installation", operator.text)
        self._helm_install(*operator.options())
        self._printer.show(*operator.start(self._stack))

    def declare(self) -> None:
        """Step 4."""
        self._printer.step(
            4,
            "A namespace and a SidecarInjection",
            "An administrator labels the namespace; its team says which sidecar pods may ask for.",
        )
        self._apply("namespace.yaml")
        for namespace in ("demo", "elsewhere"):
            self._place.cluster.wait_for_service_account(namespace)
        label = self._field("namespace", "demo", LABEL)
        self._printer.show("label sidecar-injection of namespace demo", label, names.ENABLED)

        self._apply("configmap.yaml")
        self._apply("injection.yaml")
        self._wait("sidecarinjection/nginx", "Ready")
        reason = self._field(
            "sidecarinjection", "nginx", '{.status.conditions[?(@.type=="Ready")].reason}'
        )
        self._printer.show("condition Ready of SidecarInjection nginx", reason, "Active")

    def inject(self) -> None:
        """Step 5, the pods that ask; containers run where there are nodes."""
        web = "Deployment" if self._place.controllers else "second pod"
        self._printer.step(
            5,
            "Pods",
            f"A pod with the tutorial's annotation and a {web} with ours receive the sidecar;"
            " the status annotation says what was added.",
        )
        self._apply("pod.yaml")
        self._apply("deployment.yaml" if self._place.controllers else "second.yaml")
        asking = self._place.cluster.wait(
            "the pod named web",
            lambda: self._kubectl(
                *("get", "pods", "-n", "demo", "-l", "app=web"),
                *("-o", "jsonpath={.items[*].metadata.name}"),
            ),
        )
        for name in (ALONE, asking):
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
        if self._place.operator.containers_run:
            self._run()

    def _run(self) -> None:
        self._wait("pod/alpine", "Ready")
        self._wait("deployment/web", "Available")
        self._printer.command("kubectl", "get", "pods", "-n", "demo")
        for line in self._kubectl("get", "pods", "-n", "demo", "--no-headers").splitlines():
            name, ready, status = line.split()[:3]
            self._printer.show(name, f"{ready} {status}", "2/2 Running")

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
            for text in self._place.operator.metrics()
        ]
        count = int(sum(decisions))
        self._printer.show("pods without a request that the replicas have counted", count, 1)

    def leave(self) -> None:
        """Step 6 with KEEP=1."""
        self._printer.step(6, "It stays up", "`make down` ends it. To look around:")
        self._printer.command("export", f"KUBECONFIG={self._place.cluster.kubeconfig}")
        context = self._kubectl("config", "current-context")
        self._printer.show("its context", context, self._place.context())

    def uninstall(self) -> None:
        """Step 6, through the API server; the caller then ends and removes what is left."""
        self._printer.step(6, "The end", self._place.ending)
        command = ("uninstall", names.PRODUCT, "-n", names.PRODUCT)
        self._printer.command("helm", *command)
        self._place.cluster.helm(*command)
        webhooks = self._kubectl("get", CONFIGURATIONS, "-o", "name").split()
        left = [name for name in webhooks if names.PRODUCT in name]
        self._printer.show("webhook configurations left", " ".join(left) or "none", "none")

    def ended(self) -> None:
        """Step 6, after the stack has been closed."""
        for kind, left in self._place.left().items():
            self._printer.show(f"{kind} left", " ".join(left) or "none", "none")

    def _helm_install(self, *options: str) -> None:
        name = names.PRODUCT
        command = ["install", name, str(CHART), "-n", name, "--create-namespace", *options]
        self._printer.command("helm", *command)
        helm = self._place.cluster.helm
        helm(*command)
        status = json.loads(helm("status", name, "-n", name, "-o", "json").stdout)
        self._printer.show("release status", status["info"]["status"], "deployed")

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
            raise printer.DemoError(what=what, seen=answer.returncode, wanted=0)
        return answer.stdout, answer.stderr

    def _show_report(self, line: str, *, place: str, reason: str) -> None:
        self._printer.show("report", _columns(line), (place, reason), text=line)

    def _apply(self, file: str) -> None:
        self._printer.command("kubectl", "apply", "-f", str(HERE / file))
        self._place.operator.apply(file)

    def _wait(self, what: str, condition: str) -> None:
        self._kubectl("wait", "-n", "demo", what, f"--for=condition={condition}", WAIT)

    def _field(self, kind: str, name: str, path: str, *, namespace: str = "demo") -> str:
        return self._kubectl("get", kind, name, "-n", namespace, "-o", f"jsonpath={path}")

    def _kubectl(self, *arguments: str) -> str:
        return self._place.cluster.kubectl(*arguments).stdout.strip()


def containers(pod: dict[str, Any]) -> str:
    """The names of a pod's containers in their order."""
    return " ".join(container["name"] for container in pod["spec"]["containers"])


def _columns(report: str) -> tuple[str, str]:
    """Object and reason of a report about one pod, or the text and nothing for something else.

    Its columns are NAMESPACE/KIND/NAME INJECTION VERDICT [REASON] sentence.
    """
    columns = report.split(maxsplit=4)
    if len(columns) <= 4:
        return report, ""
    return columns[0], "Injected" if columns[2] == "Injected" else columns[3]
