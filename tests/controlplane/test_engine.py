"""Random pods and injections on the real API server: what it accepts without us it accepts with us.

Pods are dry runs, so thousands are cheap and none stays. Each one is sent twice: to a namespace
that has no injections, and to its twin that has three.
"""

from __future__ import annotations

import collections
import contextlib
import copy
import dataclasses
import http.client
import json
import ssl
import urllib.parse

import pytest

from sidecar_injector import names
from sidecar_injector.core import decide
from sidecar_injector.core.injections import namespace_view
from sidecar_injector.core.merging import status_annotation
from sidecar_injector.core.reasons import PodVerdict
from tests.kits import product as kit
from tests.kits import random_pods, samples

PODS = 2000
NAMESPACES = 24
SEED = random_pods.SEED
LEVELS = (None, None, "baseline", "restricted")
ACCOUNTS = ("default", "a")


class Api:
    """One kept-alive connection to the API server."""

    def __init__(self, product: kit.Product) -> None:
        client = product.plane.client
        address = urllib.parse.urlsplit(client.server)
        context = ssl.create_default_context(cafile=str(client.certificate_authority))
        self._connection = http.client.HTTPSConnection(
            address.hostname, address.port, timeout=30, context=context
        )
        self._headers = {
            "Authorization": f"Bearer {client.token}", "Content-Type": "application/json",
        }  # fmt: skip

    def close(self) -> None:
        self._connection.close()

    def post(self, path: str, body: kit.Json) -> tuple[int, kit.Json]:
        self._connection.request("POST", path, body=json.dumps(body), headers=self._headers)
        answer = self._connection.getresponse()
        return answer.status, json.loads(answer.read())

    def try_pod(self, namespace: str, pod: kit.Json) -> tuple[int, kit.Json]:
        return self.post(f"{kit.pods_path(namespace)}?dryRun=All", pod)


@dataclasses.dataclass(frozen=True)
class Twin:
    """Two namespaces that differ in our label only, and what we know of the enabled one."""

    plain: str
    enabled: str
    known: namespace_view.NamespaceView


@pytest.fixture(scope="module")
def api(product):
    with contextlib.closing(Api(product)) as connection:
        yield connection


@pytest.fixture(scope="module")
def twins(product, api):
    pairs = [make_twin(product, api, index) for index in range(NAMESPACES)]
    for twin in pairs:
        for item in twin.known.injections:
            if not item.is_cluster:
                product.wait_known(twin.enabled, item.name)
    yield pairs
    # Other files' pods would be judged against those of the cluster too.
    for twin in pairs:
        for item in twin.known.injections:
            if item.is_cluster:
                path = f"/apis/{names.API_VERSION}/{names.CLUSTER_PLURAL}/{item.name}"
                product.plane.client.request("DELETE", path)
    for twin in pairs:
        for item in twin.known.injections:
            if item.is_cluster:
                product.wait_known(twin.enabled, item.reference, known=False)


def make_twin(product, api, index):
    draw = random_pods.Draw(SEED + index)
    level = LEVELS[index % len(LEVELS)]
    labels = {names.POD_SECURITY_ENFORCE_LABEL: level} if level else {}
    plain, enabled = f"plain-{SEED}-{index}", f"enabled-{SEED}-{index}"
    product.plane.create_namespace(plain, labels=labels)
    labels[names.INJECTION_LABEL] = names.ENABLED
    product.plane.create_namespace(enabled, labels=labels)
    for namespace in (plain, enabled):
        product.plane.client.request(
            "POST",
            f"/api/v1/namespaces/{namespace}/serviceaccounts",
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a"}},
        )
        product.plane.wait_for_service_account(namespace)

    injections = [create(api, draw, name, enabled) for name in ("one", "two", "three")]
    labels[names.NAMESPACE_NAME_LABEL] = enabled
    return Twin(
        plain,
        enabled,
        namespace_view.NamespaceView.of(
            namespace_view.Namespace(enabled, labels),
            injections,
            service_accounts=ACCOUNTS,
        ),
    )


def create(api, draw, name, namespace):
    """Draw injections until the API server takes one; it must refuse what we would."""
    while True:
        drawn = draw.injection(name)
        spec, unique = dict(drawn.spec), name
        if draw.sometimes(0.1):
            spec["failurePolicy"] = "Fail"
        if drawn.is_cluster:
            # It would see the pods of every other twin.
            unique = f"{name}-{namespace}"
            spec["namespaceSelector"] = {"matchLabels": {names.NAMESPACE_NAME_LABEL: namespace}}
        path = f"/apis/{names.API_VERSION}/{names.CLUSTER_PLURAL}"
        if not drawn.is_cluster:
            path = kit.injections_path(namespace)
        body = {
            "apiVersion": names.API_VERSION,
            "kind": drawn.kind,
            "metadata": {"name": unique},
            "spec": spec,
        }
        status, answer = api.post(path, body)
        # What the rules refuse is refused; the probe of `validate` may refuse more.
        assert status == 201 or drawn.errors or names.VALIDATE_WEBHOOK in answer["message"], answer
        assert status != 201 or not drawn.errors, drawn.errors
        if status == 201:
            read = samples.model.read(
                {**answer, "kind": drawn.kind},
                spec_schema=samples.crds.spec_schema(drawn.kind),
            )
            # The API server stores what we would: the hash offline and in the cluster is one.
            assert read.hash == samples.model.template_hash(spec)
            return read


def draw_pod(draw):
    """A pod that has a chance: mounts resolve mostly, and some pass the restricted level."""
    pod = draw.pod()
    pod["metadata"]["generateName"] = "random-"
    spec = pod["spec"]
    defined = {volume["name"] for volume in spec.get("volumes") or ()}
    for field in ("containers", "initContainers"):
        for container in spec.get(field) or ():
            if draw.sometimes(0.95):
                mounts = container.get("volumeMounts") or ()
                container["volumeMounts"] = [mount for mount in mounts if mount["name"] in defined]
    if draw.sometimes(0.5):
        spec["securityContext"] = {
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        for field in ("containers", "initContainers"):
            for container in spec.get(field) or ():
                container["securityContext"] = {
                    "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]},
                }  # fmt: skip
    return pod


def decided(twin, pod):
    return decide.decide(namespace_view.PodRequest(namespace=twin.enabled, pod=pod), twin.known)


@pytest.mark.timeout(600)
def test_what_the_api_server_accepts_without_us_it_accepts_with_us(api, twins):
    draw = random_pods.Draw(SEED)
    tried, accepted, refused = 0, 0, 0
    reasons, verdicts = collections.Counter(), collections.Counter()
    while accepted < PODS:
        twin, pod = twins[tried % len(twins)], draw_pod(draw)
        tried += 1
        status, _ = api.try_pod(twin.plain, pod)
        if status != 201:
            continue
        accepted += 1
        offline = decided(twin, copy.deepcopy(pod))
        reasons.update(line.reason.value for line in offline.lines)
        verdicts[offline.verdict.value] += 1

        status, answer = api.try_pod(twin.enabled, pod)
        where = (SEED, tried, twin.enabled, json.dumps(pod), answer)
        if offline.verdict is PodVerdict.REFUSED:
            refused += 1
            assert status == 422, where
            assert offline.message in answer["message"], where
            continue
        assert status == 201, where
        # The same pod, defaulted by the API server, came to the same decision there.
        assert said(answer) == said(offline.pod), where
        check_added(pod, offline.pod, answer, where)
        assert not decided(twin, answer).operations, where
    print(f"seed {SEED}: {tried} tried, {accepted} accepted without us, {refused} refused by Fail")  # noqa: T201 - the figures are owed
    print(dict(verdicts), dict(reasons.most_common()))  # noqa: T201
    for reason in ("Injected", "ContainerConflict", "VolumeConflict", "PodSecurity", "HostNetwork"):
        assert reasons[reason] >= 20, reasons


def said(pod):
    """What the annotation says, without what the API server set before it asked: the name of the
    default ServiceAccount, in both fields."""
    read = status_annotation.read(pod["metadata"].get("annotations") or {})
    entries = []
    for entry in read.entries:
        records = [
            {key: value for key, value in record.items() if key != "previous"}
            for record in entry.patched
            if record["path"] != "/spec/serviceAccount"
        ]
        entries.append((entry.identity, entry.hash, entry.mode, entry.added, records))
    return entries, read.skipped


def check_added(before, offline, online, where):
    """The webhook added what the command line adds, in the same order."""
    for field in ("containers", "initContainers"):
        assert kit.containers(online, field) == kit.containers(offline, field), where
    assert set(volumes(offline)) <= set(volumes(online)), where
    assert set(volumes(before)) <= set(volumes(online)), where
    for field in ("shareProcessNamespace", "hostNetwork", "hostPID", "hostAliases", "dnsConfig"):
        wanted = samples.meaningful(offline["spec"].get(field))
        value = samples.meaningful(online["spec"].get(field))
        assert wanted in (None, False, [], {}) or value == wanted, where


def volumes(pod):
    return [volume["name"] for volume in pod["spec"].get("volumes") or ()]
