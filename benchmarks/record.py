"""`python -m benchmarks.record`: what a real API server sends for a Deployment's pod.

Every measurement replays the file. Record it again when Kubernetes changes.
"""

from __future__ import annotations

import base64
import http.server
import json
import pathlib
import ssl
import sys
import tempfile
import threading
from typing import Any

from benchmarks import product, reviews, servers
from tools.controlplane import binaries, cluster, ports, release


class Recorder(http.server.BaseHTTPRequestHandler):
    """Allows everything and keeps the last body."""

    body = b""

    def do_POST(self) -> None:
        Recorder.body = self.rfile.read(int(self.headers["Content-Length"]))
        uid = json.loads(Recorder.body)["request"]["uid"]
        kind = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
        answer = reviews.dump({**kind, "response": {"uid": uid, "allowed": True}})
        self.send_response(http.HTTPStatus.OK)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as above
        """Silence."""


def configuration(name: str, url: str, *, authority: bytes, selector: dict[str, str]) -> Any:
    """A webhook for the creation of pods, as ours but for where it is."""
    webhook = {
        "name": f"{name}.sidecar-injector.dev",
        "clientConfig": {"url": url, "caBundle": base64.b64encode(authority).decode()},
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Fail",
        "matchPolicy": "Equivalent",
        "reinvocationPolicy": "IfNeeded",
        "timeoutSeconds": 5,
        "namespaceSelector": {"matchLabels": selector},
        "rules": [
            {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
             "resources": ["pods"], "scope": "Namespaced"}
        ],
    }  # fmt: skip
    return {"metadata": {"name": name}, "webhooks": [webhook]}


def main() -> int:
    """Write the file and say how large it is."""
    with tempfile.TemporaryDirectory() as folder, cluster.ControlPlane(binaries.cached()) as plane:
        files = servers.certificate(pathlib.Path(folder))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(files.certificate, files.key)
        server = http.server.HTTPServer((ports.LOOPBACK, 0), Recorder)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()

        url = f"https://localhost:{server.server_port}/mutate"
        labels = {"record": "yes"}
        plane.client.request(
            "POST",
            release.CONFIGURATIONS,
            configuration("record", url, authority=files.authority, selector=labels),
        )
        plane.create_namespace(product.NAMESPACE, labels=labels)
        path = f"/apis/apps/v1/namespaces/{product.NAMESPACE}/deployments"
        plane.client.request("POST", path, reviews.deployment())
        plane.wait("the review of a pod", lambda: Recorder.body)
        server.shutdown()
    reviews.RECORDED.write_bytes(Recorder.body)
    print(f"{reviews.RECORDED}: {len(Recorder.body)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
