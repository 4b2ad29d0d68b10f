"""Whether the product can be installed on a foreign cluster, found out before that is tried.

Nothing is created but a namespace with one pod for the images, at the end, and it is deleted again.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import re
import secrets
import urllib.parse
from typing import Any, Final

import yaml

import sidecar_injector
from sidecar_injector import names
from tools.controlplane import errors, foreign, ports, release, waiting

PROBE_SECONDS: Final = 300
"""For images that a node of the cluster has to pull."""
RIGHTS: Final = (
    ("create", "", "namespaces"),
    ("delete", "", "namespaces"),
    ("create", "", "pods"),
    ("create", "", "pods/exec"),
    ("get", "", "pods/log"),
    ("get", "", "pods/proxy"),
    ("create", "apps", "deployments"),
    ("create", "rbac.authorization.k8s.io", "clusterrolebindings"),
    ("delete", "rbac.authorization.k8s.io", "clusterroles"),
    ("delete", "apiextensions.k8s.io", "customresourcedefinitions"),
    ("delete", "admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
)
"""Verb, group and resource. Rights to create what is tried by a dry run are not repeated here."""
TRIED: Final = frozenset(
    {
        "ClusterRole",
        "CustomResourceDefinition",
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
    }
)
"""Kinds without a namespace: the API server judges them in full without storing them."""
DEFINITIONS: Final = tuple(
    f"{plural}.{names.GROUP}" for plural in (names.PLURAL, names.CLUSTER_PLURAL)
)
ADVERTISED: Final = ("get", "endpointslices", "kubernetes", "--namespace=default")
_POD: Final = "give the operator's image, and it runs in pods there: IMAGE=NAME:TAG"
_PUSH: Final = "push it to a registry that its nodes can reach, or load it into them"
_BROKEN: Final = re.compile(r"Err|BackOff|Invalid|CreateContainer|RunContainer")
_REFERENCE: Final = re.compile(
    r"(?P<repository>(?:[A-Za-z0-9][\w.-]*(?::\d+)?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
"""https://github.com/distribution/reference/blob/main/reference.go"""
Json = dict[str, Any]


def image_settings(reference: str) -> tuple[str, ...]:
    """The chart's values for an image, as options of helm. Raises ForeignError."""
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise foreign.ForeignError(
            f"{reference!r} is not a reference of an image",
            remedy="write it as REGISTRY/NAME:TAG or REGISTRY/NAME@sha256:DIGEST",
        )
    tag = match["tag"] or ("" if match["digest"] else "latest")
    values = {"repository": match["repository"], "tag": tag, "digest": match["digest"] or ""}
    return tuple(f"--set-string=image.{key}={text}" for key, text in values.items())


@dataclasses.dataclass(frozen=True, slots=True)
class Preflight:
    """Each method raises ForeignError for the first thing that is wrong."""

    cluster: foreign.Foreign
    settings: tuple[str, ...] = ()
    """Options of helm."""
    chart: str = str(release.CHART)

    def require(self) -> None:
        """All that can be known without an object of our own."""
        self.require_nothing_of_ours()
        self.require_rights()
        self.require_objects()

    def require_nothing_of_ours(self) -> None:
        """Another release must keep what it has, so its cluster is not the place for tests."""
        kinds = "customresourcedefinitions,mutatingwebhookconfigurations"
        lines = ("{.metadata.name}", "{.webhooks[*].name}")
        listed = self.cluster.kubectl(
            "get", kinds, f"--output=jsonpath={{range .items[*]}}{' '.join(lines)}{{'\\n'}}{{end}}",
            check=False,
        )  # fmt: skip
        if listed.returncode != 0:
            raise foreign.ForeignError(
                f"its definitions and webhooks cannot be listed: {_last(listed.stderr)}",
                remedy="use the kubeconfig of an administrator",
            )
        ours = {*DEFINITIONS, names.MUTATE_WEBHOOK}
        for line in listed.stdout.splitlines():
            if ours.intersection(words := line.split()):
                raise foreign.ForeignError(
                    f"{words[0]} of another installation is there already",
                    remedy="use another cluster; if it is a leftover that nobody needs, delete it"
                    " (a definition takes its injections along)",
                )

    def require_no_namespaces(self, *wanted: str) -> None:
        """Those that are created here are deleted at the end."""
        listed = self.cluster.kubectl(
            "get", "namespaces", *wanted, "--ignore-not-found", "--output=name"
        )
        for line in listed.stdout.splitlines():
            raise foreign.ForeignError(
                f"{line} is there already, and would be deleted at the end",
                remedy="use another cluster, or delete it yourself if nobody needs it",
            )

    def require_loopback(self) -> None:
        """The kubeconfig leads to this machine. The server is not asked."""
        server = self.cluster.server()
        host = urllib.parse.urlsplit(server).hostname or ""
        try:
            loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            raise foreign.ForeignError(
                f"its API server, {server}, does not reach a process of this machine",
                remedy=_POD,
            )

    def require_local(self) -> None:
        """Its localhost is ours. In a container, as with kind, it is not, and pods know where.

        No address is advertised where there are no nodes.
        """
        path = "--output=jsonpath={.endpoints[*].addresses[*]}"
        advertised = self.cluster.kubectl(*ADVERTISED, "--ignore-not-found", path).stdout.split()
        for address in advertised:
            if not ports.is_local(address):
                raise foreign.ForeignError(
                    f"its API server runs at {address}, in a container or a virtual machine, so it"
                    " does not reach a process of this machine",
                    remedy=_POD,
                )

    def require_rights(self) -> None:
        """Tests create and delete objects of many kinds in every namespace of theirs."""
        for verb, group, resource in RIGHTS:
            name, _, subresource = resource.partition("/")
            attributes = {"verb": verb, "group": group, "resource": name}
            review = {"spec": {"resourceAttributes": {**attributes, "subresource": subresource}}}
            path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
            if not self.cluster.client.request("POST", path, review)["status"].get("allowed"):
                raise foreign.ForeignError(
                    f"its user may not {verb} {resource}{'.' if group else ''}{group}",
                    remedy="use the kubeconfig of an administrator",
                )

    def require_objects(self) -> None:
        """The chart takes this version, and the API server takes the chart's objects."""
        version = self.cluster.client.get("/version")["gitVersion"]
        name = f"{names.PRODUCT}-{secrets.token_hex(4)}"
        rendered = self.cluster.helm(
            "template", name, self.chart, f"--kube-version={version}", *self.settings, check=False
        )
        if rendered.returncode != 0:
            raise foreign.ForeignError(
                f"the chart cannot be rendered for Kubernetes {version}: {_last(rendered.stderr)}",
                remedy="use a cluster of a release that docs/compatibility.md lists",
            )
        objects = [entry for entry in yaml.safe_load_all(rendered.stdout) if entry]
        items = [entry for entry in objects if entry["kind"] in TRIED]
        manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        tried = self.cluster.kubectl(
            "create", "--dry-run=server", "--filename=-", stdin=manifest, check=False
        )
        if tried.returncode != 0:
            raise foreign.ForeignError(
                f"its API server refuses objects of the chart: {_last(tried.stderr)}",
                remedy="nothing was created; mend that, or use another cluster",
            )

    def require_images(self, operator: str, *others: str) -> None:
        """A node can run the operator's image, which is of this checkout, and pull the others."""
        namespace = f"{names.PRODUCT}-probe-{secrets.token_hex(4)}"
        self.cluster.create_namespace(namespace)
        try:
            self.cluster.client.request("POST", release.pods(namespace), _probe(operator, *others))
            path = f"{release.pods(namespace)}/probe"

            def seen() -> tuple[str] | None:
                found = problem(self.cluster.client.get(path))
                return None if found is None else (found,)

            what = f"a node has pulled {' '.join((operator, *others))}"
            (reason,) = waiting.until(seen, what=what, seconds=PROBE_SECONDS, pause=0.5) or ("",)
            if reason:
                raise foreign.ForeignError(reason, remedy=_PUSH)
            self._require_version(namespace, operator)
        except errors.WaitError as error:
            raise foreign.ForeignError(str(error), remedy=_PUSH) from error
        finally:
            # A node that pulls an image for minutes ends no pod; the end waits for it once.
            self.cluster.delete_namespace(namespace, wait=False)

    def _require_version(self, namespace: str, operator: str) -> None:
        printed = self.cluster.kubectl("logs", "probe", "-n", namespace, "-c", "image-0").stdout
        if printed.split()[:2] != [names.PRODUCT, sidecar_injector.__version__]:
            raise foreign.ForeignError(
                f"{operator} says {printed.strip()!r}, and this checkout is of"
                f" {names.PRODUCT} {sidecar_injector.__version__}",
                remedy="give the image of this checkout: `make image`, and push it",
            )


def _probe(operator: str, *others: str) -> Json:
    """Its first container is the operator's and prints its version; the others only start."""
    containers: list[Json] = [
        {"name": f"image-{number}", "image": image}
        for number, image in enumerate((operator, *others))
    ]
    containers[0]["args"] = ["version", "--client"]
    spec = {"restartPolicy": "Never", "containers": containers}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe"}, "spec": spec}


def problem(pod: Json) -> str | None:
    """Why a container of the probe will never run; empty when all did, None while that is open.

    The first has to end well, the others have to start.
    """
    count = 0
    for status in pod["status"].get("containerStatuses", ()):
        state, operator = status["state"], status["name"] == "image-0"
        pending, terminated = state.get("waiting", {}), state.get("terminated")
        reason = pending.get("reason", "")
        if _BROKEN.search(reason):
            detail = f"{reason}: {' '.join(pending.get('message', 'no message').split())}"
            return f"the image {status['image']} cannot be run: {detail}"
        if operator and terminated and terminated["exitCode"] != 0:
            return f"{status['image']} version: exit status {terminated['exitCode']}"
        count += bool(terminated or ("running" in state and not operator))
    return "" if count == len(pod["spec"]["containers"]) else None


def _last(text: str) -> str:
    """The reason in what kubectl or helm printed; helm adds advice in a line of its own."""
    lines = text.strip().splitlines() or ["no reason given"]
    errors_of_helm = [line for line in lines if line.startswith("Error: ")]
    return (errors_of_helm or lines)[-1]
