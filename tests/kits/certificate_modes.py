"""A product whose certificates come from a Secret that the tests write."""

from __future__ import annotations

import base64
import contextlib
import datetime
import json
import threading
from collections.abc import Callable, Iterator

from sidecar_injector import names
from sidecar_injector.pki import issue, keys
from tests.kits import installation as installing
from tests.kits import product as kit
from tools.controlplane import cluster

NAMESPACE = names.PRODUCT
NAME = "own-tls"
SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"
EVENTS = f"/api/v1/namespaces/{NAMESPACE}/events"
HOUR = 3600
SERVED = names.verified_dns_name(service=names.PRODUCT, namespace=NAMESPACE)
BUNDLE = "/webhooks/{}/clientConfig/caBundle"
PROBLEM = "sidecar_injector_certificate_problem"
NOT_LOADED = "CertificateNotLoaded"
ROLL_WAIT = 2


def new_ca() -> issue.Pair:
    now = datetime.datetime.now(datetime.UTC)
    return issue.ca(fresh=keys.generate(), generation=1, now=now, seconds=24 * HOUR)


def leaf(ca: issue.Pair, *, name: str = SERVED, seconds: int = HOUR) -> issue.Pair:
    now = datetime.datetime.now(datetime.UTC)
    return issue.leaf(fresh=keys.generate(), issuer=ca, dns_names=[name], now=now, seconds=seconds)


def put(plane: cluster.ControlPlane, pair: issue.Pair, cas: bytes) -> None:
    """Have the Secret hold this."""
    data = {
        names.TLS_CERT: pair.certificate,
        names.TLS_KEY: pair.key,
        names.CA_CERT: cas,
    }
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "data": encoded,
    }
    plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(body))


def events(product: kit.Product) -> list[str]:
    """The messages of the Events on the Secret."""
    items = product.plane.client.get(EVENTS)["items"]
    return [event["message"] for event in items if event["reason"] == NOT_LOADED]


def bundle(product: kit.Product) -> bytes:
    return product.ca_bundle().encode()


def all_show(product: kit.Product, pair: issue.Pair) -> bool:
    served = {kit.shown_certificate(product, replica) for replica in product.replicas}
    return served == {pair.parsed()}


class Mode:
    """A product, a namespace that it injects, and the CA in the Secret if that is ours to write."""

    def __init__(self, product: kit.Product, ca: issue.Pair | None = None) -> None:
        self.product, self.plane, self.ca = product, product.plane, ca or new_ca()
        self.namespace = installing.unused_name()
        self.plane.create_namespace(self.namespace, labels={names.INJECTION_LABEL: names.ENABLED})
        product.create_injection(self.namespace, kit.injection())

    def give(self, pair: issue.Pair, cas: bytes | None = None) -> None:
        put(self.plane, pair, cas or self.ca.certificate)

    def injects(self) -> bool:
        pod = self.product.create_pod(self.namespace, kit.pod(), dry_run=True)
        return kit.containers(pod) == kit.BOTH

    def wait(self, what: str, probe: Callable[[], bool]) -> None:
        """Wait until `probe` is true; every pod meanwhile is injected."""

        def checked_probe() -> bool:
            assert self.injects(), what
            return probe()

        self.plane.wait(what, checked_probe)

    def wait_shown(self, pair: issue.Pair) -> None:
        self.wait("every replica shows it", lambda: all_show(self.product, pair))

    def problems(self) -> float:
        return self.product.counted(PROBLEM, problem=NOT_LOADED)


def install(plane: cluster.ControlPlane, *values: str) -> contextlib.AbstractContextManager[Mode]:
    """Install with a Secret that exists before."""
    plane.create_namespace(NAMESPACE)
    ca = new_ca()
    put(plane, leaf(ca), ca.certificate)
    more = (f"certificates.secretName={NAME}", f"settings.caRollWaitSeconds={ROLL_WAIT}")
    return installation(plane, ca, *more, installing.DRAIN, *values)


@contextlib.contextmanager
def installation(plane: cluster.ControlPlane, ca: issue.Pair, *values: str) -> Iterator[Mode]:
    with installing.installation(plane, *values) as product:
        yield Mode(product, ca)


class Injector(threading.Thread):
    """What cert-manager's cainjector does: the Secret's `ca.crt` becomes the caBundle."""

    def __init__(self, plane: cluster.ControlPlane) -> None:
        super().__init__()
        self._plane, self._over = plane, threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.05):
            self._inject()

    def _inject(self) -> None:
        wanted = self._plane.client.get(f"{SECRETS}/{NAME}")["data"][names.CA_CERT]
        for path in (kit.MUTATING, kit.VALIDATING):
            items = self._plane.client.get(path.rpartition("/")[0])["items"]
            entries = (pair for item in items for pair in enumerate(item["webhooks"]))
            for index, entry in entries:
                if entry["clientConfig"].get("caBundle") != wanted:
                    value = {"op": "add", "path": BUNDLE.format(index), "value": wanted}
                    self._plane.client.request(
                        "PATCH", path, [value], content="application/json-patch+json"
                    )

    def __enter__(self) -> Injector:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


@contextlib.contextmanager
def installed_with_cert_manager(plane: cluster.ControlPlane, *values: str) -> Iterator[Mode]:
    """Install with the definition of Certificates, and with a running cainjector."""
    plane.kubectl("create", "-f", "-", stdin=json.dumps(CERTIFICATES))
    plane.wait_for_definitions(f"crd/{CERTIFICATES_NAME}")
    # Only this writes the Secret, which the Injector reads.
    installed = install(plane, *values)
    with Injector(plane), installed as mode:
        yield mode


CERTIFICATES_NAME = "certificates.cert-manager.io"
CERTIFICATES = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": CERTIFICATES_NAME},
    "spec": {
        "group": "cert-manager.io",
        "scope": "Namespaced",
        "names": {"kind": "Certificate", "plural": "certificates", "singular": "certificate"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "x-kubernetes-preserve-unknown-fields": True,
                    }
                },
            }
        ],
    },
}
"""The part of cert-manager that the chart's Certificate needs; the tests do its work."""
