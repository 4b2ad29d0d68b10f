"""What the tests on the node share: pods and injections of a few lines, waiting, and the table."""

import itertools
import json
import pathlib
import shutil
from typing import Any

from sidecar_injector import names
from tools.controlplane import release
from tools.image import recipe
from tools.node import images, node

FOLDER = recipe.ROOT / ".run" / "e2e"
NODE_FOLDER = FOLDER / "node"
TABLE = FOLDER / "table.txt"
PAGE = recipe.ROOT / "docs" / "node.md"
SECONDS = 120
"""Until something on the node has happened; most of it takes 3 when the machine is idle."""
PORT = 8081
SIDECAR = "sidecar"
Json = dict[str, Any]
_numbers = itertools.count(1)


def fresh_folder() -> pathlib.Path:
    shutil.rmtree(NODE_FOLDER, ignore_errors=True)
    return NODE_FOLDER


def enabled_namespace(cluster: node.Node, **labels: str) -> str:
    name = f"test-{next(_numbers)}"
    cluster.create_namespace(name, labels={names.INJECTION_LABEL: names.ENABLED, **labels})
    return name


def serving(name: str, *, port: int, text: str, **more: Any) -> Json:
    """A container that answers HTTP; it runs under every Pod Security level."""
    return {
        "name": name,
        "image": images.HELPER,
        "args": ["serve", f":{port}", text],
        "readinessProbe": {"httpGet": {"path": "/", "port": port}, "periodSeconds": 1},
        **more,
    }


def waiting(name: str = "app", **more: Any) -> Json:
    """A container that does nothing until it is ended."""
    return {"name": name, "image": images.HELPER, **more}


def fetching(name: str, *, port: int, **more: Any) -> Json:
    """A container that asks once on loopback, and fails unless it is answered."""
    arguments = ["fetch", f"http://127.0.0.1:{port}"]
    return {"name": name, "image": images.HELPER, "args": arguments, **more}


def pod(name: str, *, containers: list[Json], **spec: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": containers, **spec},
    }


def injection(name: str = "one", *, containers: list[Json] | None = None, **spec: Any) -> Json:
    """One that adds a server on PORT, by default."""
    sidecars = [serving(SIDECAR, port=PORT, text="from the sidecar")]
    template = {"spec": {"containers": sidecars if containers is None else containers}}
    return release.injection(name, template=template, **spec)


class Scene:
    """One namespace of a test: apply, wait, look."""

    def __init__(self, cluster: node.Node, namespace: str) -> None:
        self.node, self.namespace = cluster, namespace

    def inject(self, manifest: Json) -> None:
        """Return when the injection is in force."""
        self.apply(manifest)
        self.kubectl(
            *("wait", f"sidecarinjection/{manifest['metadata']['name']}"),
            *("--for=condition=Ready", f"--timeout={SECONDS}s"),
        )

    def apply(self, *manifests: Json) -> None:
        items = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.kubectl("apply", "--filename=-", stdin=json.dumps(items))

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        answer = self.node.kubectl(*arguments, "--namespace", self.namespace, stdin=stdin)
        return answer.stdout

    def pod(self, name: str) -> Json:
        return self.node.client.get(f"/api/v1/namespaces/{self.namespace}/pods/{name}")

    def pods(self, app: str) -> list[Json]:
        path = f"/api/v1/namespaces/{self.namespace}/pods?labelSelector=app%3D{app}"
        items: list[Json] = self.node.client.get(path)["items"]
        return items

    def wait_for(self, what: str, condition: str = "condition=Ready") -> None:
        self.kubectl("wait", what, f"--for={condition}", f"--timeout={SECONDS}s")

    def shown(self, name: str) -> str:
        """The columns READY and STATUS of `kubectl get pod NAME`."""
        return " ".join(self.kubectl("get", "pod", name, "--no-headers").split()[1:3])

    def fetch(self, pod: str, *, container: str, port: int) -> str:
        """What answers on loopback inside a container whose image is the helper's."""
        url = f"http://127.0.0.1:{port}"
        return self.execute(pod, images.PROGRAM, "fetch", url, container=container)

    def execute(self, pod: str, *command: str, container: str) -> str:
        return self.node.execute(pod, *command, namespace=self.namespace, container=container)


def containers(pod: Json) -> list[str]:
    return [container["name"] for container in pod["spec"]["containers"]]


def started(pod: Json, container: str) -> str:
    """When a container of a pod was started for the first time that is still known."""
    statuses = pod["status"].get("initContainerStatuses", []) + pod["status"]["containerStatuses"]
    (state,) = [item["state"] for item in statuses if item["name"] == container]
    (entry,) = state.values()
    return str(entry["startedAt"])


class Table:
    """Rows of the run's summary, each of which is shown in the documents, too."""

    HEAD = ("what happened under load", "tried", "injected", "bare", "allowed", "refused", "lost")

    def __init__(self) -> None:
        self.rows: list[tuple[str, ...]] = []
        self.facts: list[str] = []

    def add(self, name: str, *cells: object) -> None:
        self.rows.append((name, *map(str, cells)))
        quoted = [line.split("  ")[0] for line in PAGE.read_text("utf-8").splitlines()]
        assert name in quoted, f"{PAGE} does not show: {name}"

    def write(self) -> None:
        """Into the run's folder, from where it is printed at the end."""
        rows = [self.HEAD, *self.rows]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(
                cell.rjust(width) if number else cell.ljust(width)
                for number, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        text = "\n".join([*lines, "", *self.facts, ""])
        TABLE.parent.mkdir(parents=True, exist_ok=True)
        TABLE.write_text(text, "utf-8")
