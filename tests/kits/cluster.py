"""A cluster in memory for the command line: an API with a version, a schema and access reviews."""

from __future__ import annotations

import contextlib

from sidecar_injector import __version__, crds, names
from sidecar_injector.cli.cluster import client, release
from sidecar_injector.cli.cluster import injections as cluster_injections
from sidecar_injector.kube import api
from tests.kits.fake_api import FakeApi, refusal
from tests.kits.samples import resource

NOW = "2026-01-01T00:00:00Z"


class FakeCluster(FakeApi):
    """The API of verbs."""

    def __init__(self, *, version="v1.37.2"):
        super().__init__()
        self.warnings = []
        self.version = version
        self.allowed = True
        """The result of access reviews."""
        self.calls_webhook = True
        """Whether a pod's creation calls the webhook."""
        self.pod_refusal = ""
        """Why a pod is refused; empty if it is not."""
        self.lists_all_deployments = True
        """Whether the user may list those of all namespaces at once."""

    async def pages(self, resource, *, scope=api.EVERYTHING, limit=500):
        if resource == api.DEPLOYMENTS and not (self.lists_all_deployments or scope.namespace):
            raise forbidden(resource)
        terms = scope.label_selector.split(",")
        selected = dict(term.partition("=")[::2] for term in terms if term)
        async for page in super().pages(resource, scope=scope, limit=limit):
            items = [
                item for item in page.items
                if all(
                    key in (labels := item["metadata"].get("labels") or {})
                    and (not value or labels[key] == value)
                    for key, value in selected.items()
                )
            ]  # fmt: skip
            yield api.Page(items, page.resource_version)

    async def create(self, resource, body, *, namespace=None, dry_run=False):
        self.warnings = []
        if resource.plural.endswith("subjectaccessreviews"):
            return {**body, "status": {"allowed": self.allowed}}
        if resource == api.PODS and dry_run:
            self.warnings = ["UnknownInjection"] if self.calls_webhook else []
            if self.pod_refusal:
                raise refusal(403, "Forbidden", self.pod_refusal)
            return body
        return await super().create(resource, body, namespace=namespace, dry_run=dry_run)


def namespace(name="demo", **labels):
    enabled = {names.INJECTION_LABEL: names.ENABLED}
    others = {key.replace("_", "-"): value for key, value in labels.items()}
    return {"metadata": {"name": name, "labels": enabled | others}}


def deployment(namespace=names.PRODUCT, name=names.PRODUCT, *, ready=2, **environment):
    """The operator's Deployment, as the chart renders it."""
    labels = dict(part.split("=") for part in release.SELECTOR.split(","))
    env = [
        {"name": f"SIDECAR_INJECTOR_{key}", "value": value} for key, value in environment.items()
    ]
    container = {"name": "operator", "env": env}
    spec = {"serviceAccountName": name, "containers": [container]}
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {**labels, release.VERSION_LABEL: __version__},
        },
        "spec": {"replicas": 2, "template": {"spec": spec}},
        "status": {"readyReplicas": ready},
    }


def definitions():
    for kind, plural in ((names.KIND, names.PLURAL), (names.CLUSTER_KIND, names.CLUSTER_PLURAL)):
        schema = {"openAPIV3Schema": crds.resource_schema(kind)}
        yield {
            "metadata": {"name": f"{plural}.{names.GROUP}"},
            "spec": {"versions": [{"name": names.VERSION, "served": True, "schema": schema}]},
            "status": {"conditions": [{"type": "Established", "status": "True"}]},
        }


def pod(name="web", *, owner=None, **metadata):
    """A running pod in the namespace `demo`."""
    references = [{"kind": owner[0], "name": owner[1], "controller": True}] if owner else []
    return {
        "metadata": {
            "name": name, "namespace": "demo", "creationTimestamp": NOW,
            "ownerReferences": references, **metadata,
        },
        "spec": {"containers": [{"name": "app", "image": "app:1"}]},
        "status": {"phase": "Running"},
    }  # fmt: skip


def seeded(**options):
    """A cluster with the definitions, an enabled namespace and one injection in it."""
    fake = FakeCluster(**options)
    for definition in definitions():
        fake.seed(api.CUSTOM_RESOURCES, definition)
    fake.seed(api.NAMESPACES, namespace())
    fake.seed(api.INJECTIONS, resource())
    return fake


def installed(**options):
    """The same with the operator's Deployment; the options are those of `deployment`."""
    fake = seeded()
    fake.seed(api.DEPLOYMENTS, deployment(**options))
    return fake


@contextlib.contextmanager
def served(monkeypatch, fake):
    """Verbs use this cluster, whatever their options say."""

    async def connected(_, operation):
        return await operation(fake)

    with monkeypatch.context() as patching:
        patching.setattr(client, "connected", connected)
        patching.setattr(client, "context_namespace", lambda _: "demo")
        yield


def forbidden(resource):
    """The refusal of an API server for lack of the right."""
    return refusal(403, "Forbidden", f"{resource.plural} is forbidden")


def read_injections(resources):
    """These injections, read from the cluster."""
    return cluster_injections.ReadInjections(
        injections=[cluster_injections.read_live(injection) for injection in resources]
    )
