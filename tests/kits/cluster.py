"""A cluster in memory for the command line: one API, a version, a schema, and who may do what."""

from __future__ import annotations

import contextlib

from sidecar_injector import __version__, crds, names
from sidecar_injector.cli.cluster import client, release
from sidecar_injector.cli.cluster import injections as cluster_injections
from sidecar_injector.kube import api
from tests.kits.fake_api import FakeApi, refusal
from tests.kits.samples import resource

NOW = "2026-01-01T00:00:00Z"
PROPERTIES = {"name": {}, "image": {}}


class FakeCluster(FakeApi):
    """Implements `cluster.Cluster`; knows only `name` and `image` of containers."""

    def __init__(self, *, version="v1.37.2"):
        super().__init__()
        self.warnings = []
        self.version = version
        self.allowed = True
        """What reviews of rights say."""
        self.asked = True
        """Whether the webhook is asked about pods."""

    async def document(self, path):
        if path == "/version":
            return {"gitVersion": self.version}
        container = {"type": "object", "properties": PROPERTIES}
        containers = {"items": {"allOf": [{"$ref": "#/components/schemas/Container"}]}}
        spec = {"properties": {"containers": containers}}
        name = "io.k8s.api.core.v1.PodSpec"
        return {"components": {"schemas": {name: spec, "Container": container}}}

    async def pages(self, resource, *, scope=api.EVERYTHING, limit=500):
        wanted = dict(part.partition("=")[::2] for part in scope.label_selector.split(",") if part)
        async for page in super().pages(resource, scope=scope, limit=limit):
            items = [
                one for one in page.items
                if all(
                    key in (labels := one["metadata"].get("labels") or {})
                    and (not value or labels[key] == value)
                    for key, value in wanted.items()
                )
            ]  # fmt: skip
            yield api.Page(items, page.resource_version)

    async def create(self, resource, body, *, namespace=None, dry_run=False):
        self.warnings = []
        if resource.plural.endswith("subjectaccessreviews"):
            return {**body, "status": {"allowed": self.allowed}}
        if resource == api.PODS and dry_run:
            self.warnings = ["UnknownInjection"] if self.asked else []
            return body
        return await super().create(resource, body, namespace=namespace, dry_run=dry_run)


def namespace(name="demo", **labels):
    given = {names.INJECTION_LABEL: names.ENABLED} | {
        key.replace("_", "-"): value for key, value in labels.items()
    }
    return {"metadata": {"name": name, "labels": given}}


def deployment(namespace=names.PRODUCT, name=names.PRODUCT, *, ready=2, **environment):
    """The operator's, as the chart makes it."""
    labels = dict(part.split("=") for part in release.SELECTOR.split(","))
    env = [{"name": f"SIDECAR_INJECTOR_{key}", "value": one} for key, one in environment.items()]
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
    """One that runs, in the namespace `demo`."""
    references = [{"kind": owner[0], "name": owner[1], "controller": True}] if owner else []
    return {
        "metadata": {
            "name": name, "namespace": "demo", "creationTimestamp": NOW,
            "ownerReferences": references, **metadata,
        },
        "spec": {"containers": [{"name": "app", "image": "app:1"}]},
        "status": {"phase": "Running"},
    }  # fmt: skip


def seeded(**how):
    """A cluster with the definitions, an enabled namespace and one injection in it."""
    made = FakeCluster(**how)
    for one in definitions():
        made.seed(api.CUSTOM_RESOURCES, one)
    made.seed(api.NAMESPACES, namespace())
    made.seed(api.INJECTIONS, resource())
    return made


@contextlib.contextmanager
def served(monkeypatch, fake):
    """Verbs ask this cluster, whatever their options say."""

    async def asked(_, question):
        return await question(fake)

    with monkeypatch.context() as patching:
        patching.setattr(client, "_asked", asked)
        patching.setattr(client, "context_namespace", lambda _: "demo")
        yield


def forbidden(resource):
    """What an API server says to somebody without the right."""
    return refusal(403, "Forbidden", f"{resource.plural} is forbidden")


def known(fake_injections):
    """These injections as if they had been read."""
    return cluster_injections.ReadInjections(
        injections=[cluster_injections.live(one) for one in fake_injections]
    )
