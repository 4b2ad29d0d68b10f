"""What a single replica shows and says, verified as the API server does it."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from typing import Any, Final

from cryptography import x509

from sidecar_injector import names
from tools.controlplane import operators, ports

SERVER_NAME: Final = names.verified_dns_name(service=names.PRODUCT, namespace=names.PRODUCT)
TIMEOUT_SECONDS: Final = 10
Json = dict[str, Any]


def shown(replica: operators.Replica, authorities: str) -> x509.Certificate:
    """The certificate that it serves. Raises OSError if these CAs did not sign it."""
    with _connect(replica, authorities) as connection:
        content = connection.getpeercert(binary_form=True)
    if content is None:
        raise ConnectionError(f"{replica.name} showed no certificate")
    return x509.load_der_x509_certificate(content)


def knows(replica: operators.Replica, authorities: str, *, namespace: str, name: str) -> bool:
    """Whether it has heard of this injection: it is asked about a pod that wants it by name."""
    metadata = {"name": "app", "annotations": {names.INJECT_ANNOTATION: name}}
    pod = {"metadata": metadata, "spec": {"containers": [{"name": "app", "image": "app:1"}]}}
    answer = _ask(replica, authorities, namespace=namespace, pod=pod)
    return "UnknownInjection" not in str(answer["response"].get("warnings"))


def _ask(replica: operators.Replica, authorities: str, *, namespace: str, pod: Json) -> Json:
    asked = {
        "uid": "6e9d9bd4-0000-4000-8000-000000000001",
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": namespace,
        "operation": "CREATE",
        "object": pod,
        "dryRun": True,
    }
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": asked}
    connection = http.client.HTTPConnection(SERVER_NAME)
    connection.sock = _connect(replica, authorities)
    try:
        connection.request("POST", names.MUTATE_PATH, json.dumps(review))
        answer = connection.getresponse()
        text = answer.read().decode()
    except http.client.HTTPException as error:
        raise ConnectionError(str(error) or repr(error)) from error
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise ConnectionError(f"{replica.name}: {answer.status}: {text}")
    reviewed: Json = json.loads(text)
    return reviewed


def _connect(replica: operators.Replica, authorities: str) -> ssl.SSLSocket:
    context = ssl.create_default_context(cadata=authorities)
    plain = socket.create_connection((ports.LOOPBACK, replica.backend.port), TIMEOUT_SECONDS)
    try:
        return context.wrap_socket(plain, server_hostname=SERVER_NAME)
    except OSError:
        plain.close()
        raise
