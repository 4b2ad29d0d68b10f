"""What must never be in a log, at any level and in either format: canaries to be searched for."""

from __future__ import annotations

import base64
import http.client
import json
import pathlib
import secrets
from collections.abc import Iterator

import pytest
import yaml

from sidecar_injector import names
from tests.kits import installation as installing
from tests.kits import product as kit
from tools.controlplane import binaries, cluster, errors, operators, webhook

SECRET = f"/api/v1/namespaces/{names.PRODUCT}/secrets/{names.secret_name(names.PRODUCT)}"


@pytest.fixture(scope="module")
def talkative(programs: binaries.Binaries, request: pytest.FixtureRequest) -> Iterator[kit.Product]:
    """At the level debug: one replica that logs JSON, and one that logs text."""
    level = ("--set", "settings.logLevel=debug")
    with cluster.ControlPlane(programs) as plane:
        with installing.installation(
            plane, installing.DRAIN, "settings.logLevel=debug", replicas=1
        ) as product:
            chart = (str(installing.CHART), "-n", names.PRODUCT, "-f", str(installing.VALUES))
            port = ("--set", f"service.port={product.port}")
            text = ("--set", "settings.logFormat=text")
            plane.helm("upgrade", names.PRODUCT, *chart, *port, *level, *text)
            product.operators.add()
            product.operators.wait_ready()
            yield product
        plane.keep_logs = request.session.testsfailed > 0


@pytest.fixture
def canary() -> str:
    return f"canary-{secrets.token_hex(8)}"


def test_nothing_of_a_pod_s_body_is_ever_logged(talkative: kit.Product, canary: str) -> None:
    namespace = enabled(talkative)
    parameters = [{"name": "level", "from": {"podAnnotation": "level"}, "enum": ["info"]}]
    template = {"spec": {"containers": [{"name": "sidecar", "image": "$(params.level)"}]}}
    talkative.create_injection(namespace, kit.injection())
    talkative.create_injection(
        namespace, kit.injection("typed", parameters=parameters, template=template)
    )
    fields = {
        "args": [canary], "command": [canary], "workingDir": f"/{canary}",
        "env": [{"name": "A", "value": canary}],
    }  # fmt: skip
    annotations = {"level": canary, "note": canary, names.STATUS_ANNOTATION: canary}
    for name in ("app", "sidecar"):
        containers = [{"name": name, "image": "app:1", **fields}]
        pod = kit.with_metadata(kit.pod(name, containers=containers), annotations=annotations)
        talkative.create_pod(namespace, pod)
        for replica in talkative.replicas:
            talkative.ask(replica, namespace, pod, dry_run=False)
    nowhere(talkative, canary)


def test_nothing_of_what_is_no_review_is_ever_logged(talkative: kit.Product, canary: str) -> None:
    """Broken JSON, a pod that cannot be read, and the content of headers and of the path."""
    bodies = [
        f'{{"kind": "{canary}"',
        json.dumps({"kind": "AdmissionReview", "apiVersion": canary}),
        json.dumps(review({"metadata": canary, "spec": {"containers": canary}})),
        json.dumps(review({"metadata": {"labels": [canary]}, "spec": {"containers": [canary]}})),
    ]
    headers = {"Authorization": f"Bearer {canary}", "Cookie": canary, "traceparent": canary}
    for replica in talkative.replicas:
        for body in bodies:
            for path in (names.MUTATE_PATH, names.VALIDATE_PATH, f"/{canary}"):
                post(talkative, replica, path, body, headers)
    nowhere(talkative, canary)


def test_no_credential_of_the_operator_is_ever_logged(talkative: kit.Product) -> None:
    """Its token, and the keys in the Secret, after a rotation that writes new ones."""
    before = keys(talkative)
    request = {"metadata": {"annotations": {names.ROTATE_ANNOTATION: "leaf"}}}
    talkative.plane.client.request("PATCH", SECRET, request, **kit.PATCH)
    talkative.plane.wait("another key", lambda: keys(talkative) != before)
    for replica in talkative.replicas:
        assert replica.environment is not None
        kubeconfig = pathlib.Path(replica.environment["KUBECONFIG"])
        token = yaml.safe_load(kubeconfig.read_text("utf-8"))["users"][0]["user"]["token"]
        nowhere(talkative, token)
        nowhere(talkative, token.rpartition(".")[2])
    for line in before | keys(talkative):
        nowhere(talkative, line)


def test_the_level_debug_says_more_and_both_formats_are_spoken(talkative: kit.Product) -> None:
    """Otherwise the others of this file would look for canaries where nobody sings."""
    first, second = talkative.operators.logs().values()
    assert '"level":"debug"' in first
    assert " DEBUG " in second
    assert all("pod " in text and "Injected" in text for text in (first, second))


def enabled(product: kit.Product) -> str:
    namespace = installing.unused_name()
    labels = {names.INJECTION_LABEL: names.ENABLED}
    product.plane.create_namespace(namespace, labels=labels)
    return namespace


def review(pod: kit.Json) -> kit.Json:
    admission_request = {
        "uid": "1",
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": "default",
        "operation": "CREATE",
        "object": pod,
    }
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": admission_request,
    }


def post(
    product: kit.Product,
    replica: operators.Replica,
    path: str,
    body: str,
    headers: dict[str, str],
) -> None:
    """Whatever the answer is."""
    port, authorities = replica.backend.port, product.ca_bundle()
    try:
        with webhook.Connection(port, authorities=authorities) as connection:
            connection.request("POST", path, body, headers)
            connection.getresponse().read()
    except (http.client.HTTPException, OSError) as error:
        raise errors.ControlPlaneError(str(error)) from error


def keys(product: kit.Product) -> set[str]:
    """Every line of a private key, as PEM and as the Secret has it."""
    data = product.plane.client.get(SECRET)["data"]
    lines = set()
    for name in (names.TLS_KEY, names.CA_KEY):
        pem = base64.b64decode(data[name]).decode()
        lines |= {line for line in pem.splitlines() if not line.startswith("-----")}
        lines.add(data[name][:64])
    return lines


def nowhere(product: kit.Product, text: str) -> None:
    product.flush()
    for replica, log in product.operators.logs().items():
        assert text not in log, f"in the log of {replica}"
