"""What the end-to-end tests share: pods and injections of a few lines, waiting, the table."""

import itertools
import json
import pathlib
import shutil
from typing import Any

from sidecar_injector import names
from tools.controlplane import access, release
from tools.image import recipe
from tools.node import product

FOLDER = recipe.ROOT / ".run" / "e2e"
NODE_FOLDER = FOLDER / "node"
TABLE = FOLDER / "table.txt"
PAGE = recipe.ROOT / "docs" / "node.md"
SECONDS = 120
"""Until something on the node has happened; most of it takes 3 when the machine is idle."""
PORT = 8081
SIDECAR = "sidecar"
PYTHON = ("python3", "-I", "-S", "-c")
SERVE = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = sys.argv[2].encode() + b"\\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Handler).serve_forever()
"""
FETCH = """
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=5)
connection.request("GET", "/")
response = connection.getresponse()
assert response.status == 200
sys.stdout.write(response.read().decode())
"""
WAIT = "import signal; signal.sigwait({signal.SIGTERM})"
Json = dict[str, Any]
_numbers = itertools.count(1)


def fresh_folder() -> pathlib.Path:
    shutil.rmtree(NODE_FOLDER, ignore_errors=True)
    return NODE_FOLDER


def unused_name(release: product.Product) -> str:
    """Unlike the release's: what that leaves is looked for by its name."""
    return f"test-{release.name.rpartition('-')[2]}-{next(_numbers)}"


def enabled_namespace(cluster: access.Access, release: product.Product, **labels: str) -> str:
    name = unused_name(release)
    cluster.create_namespace(name, labels={names.INJECTION_LABEL: names.ENABLED, **labels})
    return name


def pod(name: str, *, containers: list[Json], **spec: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": containers, **spec},
    }


class Scene:
    """One namespace of a test: apply, wait, look."""

    def __init__(self, release: product.Product, namespace: str) -> None:
        self.cluster, self.namespace, self.images = release.cluster, namespace, release.images

    def serving(self, name: str, *, port: int, text: str, **more: Any) -> Json:
        """A container that answers HTTP; it runs under every Pod Security level."""
        return {
            "name": name,
            **self._python(SERVE, str(port), text),
            "readinessProbe": {"httpGet": {"path": "/", "port": port}, "periodSeconds": 1},
            **more,
        }

    def waiting(self, name: str = "app", **more: Any) -> Json:
        """A container that does nothing until it is ended."""
        return {"name": name, **self._python(WAIT), **more}

    def fetching(self, name: str, *, port: int, **more: Any) -> Json:
        """A container that asks once on loopback, and fails unless it is answered."""
        return {"name": name, **self._python(FETCH, str(port)), **more}

    def injection(
        self, name: str = "one", *, containers: list[Json] | None = None, **spec: Any
    ) -> Json:
        """One that adds a server on PORT, by default."""
        sidecars = [self.serving(SIDECAR, port=PORT, text="from the sidecar")]
        template = {"spec": {"containers": sidecars if containers is None else containers}}
        return release.injection(name, template=template, **spec)

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
        answer = self.cluster.kubectl(*arguments, "--namespace", self.namespace, stdin=stdin)
        return answer.stdout

    def pod(self, name: str) -> Json:
        return self.cluster.client.get(f"/api/v1/namespaces/{self.namespace}/pods/{name}")

    def pods(self, app: str) -> list[Json]:
        path = f"/api/v1/namespaces/{self.namespace}/pods?labelSelector=app%3D{app}"
        items: list[Json] = self.cluster.client.get(path)["items"]
        return items

    def wait_for(self, what: str, condition: str = "condition=Ready") -> None:
        self.kubectl("wait", what, f"--for={condition}", f"--timeout={SECONDS}s")

    def shown(self, name: str) -> str:
        """The columns READY and STATUS of `kubectl get pod NAME`."""
        return " ".join(self.kubectl("get", "pod", name, "--no-headers").split()[1:3])

    def fetch(self, pod: str, *, container: str, port: int) -> str:
        """What answers on loopback inside a container of ours."""
        return self.execute(pod, *PYTHON, FETCH, str(port), container=container)

    def execute(self, pod: str, *command: str, container: str) -> str:
        return self.cluster.execute(pod, *command, namespace=self.namespace, container=container)

    def _python(self, program: str, *arguments: str) -> Json:
        """Every cluster under test can run the operator's image, which has an interpreter."""
        return {"image": self.images.operator, "command": [*PYTHON, program, *arguments]}


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
