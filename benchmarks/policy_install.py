"""Policies of injections on a control plane of their own: compile, put in force, take away."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import yaml

from benchmarks import errors, product
from sidecar_injector import crds, names
from sidecar_injector.core.injections import model
from sidecar_injector.core.policies import chain
from tools.controlplane import cluster, release

FILE: Final = pathlib.Path(__file__).with_name("policies.yaml")
OF_CLUSTER: Final = ("namespaceSelector", "optOut")
"""Fields that an injection of a namespace has not."""
Json = dict[str, Any]


def realistic(namespace: str) -> list[Json]:
    """Those of the file, all as injections of this namespace."""
    found = []
    for resource in yaml.safe_load_all(FILE.read_text("utf-8")):
        metadata = {"name": resource["metadata"]["name"], "namespace": namespace}
        spec = {key: value for key, value in resource["spec"].items() if key not in OF_CLUSTER}
        found.append({**resource, "kind": names.KIND, "metadata": metadata, "spec": spec})
    return found


def simple(count: int) -> list[Json]:
    """Of the cluster, each with a selector of its own: `app-0` and so on."""
    found = []
    for number in range(count):
        one = product.injection(f"nginx-{number}", app=f"app-{number}", sidecar=f"sidecar-{number}")
        metadata = {"name": f"nginx-{number}", "generation": 1}
        found.append({**one, "kind": names.CLUSTER_KIND, "metadata": metadata})
    return found


def compiled(resources: Iterable[Json]) -> chain.Chain:
    """As `sidecar-injector compile` does it."""
    return chain.compile_chain(
        [model.read(one, spec_schema=crds.spec_schema(one["kind"])) for one in resources],
        chain.Place(),
    )


def manifests(made: chain.Chain, name: str, namespaces: Sequence[str] = ()) -> list[Json]:
    """Policy and binding; the binding is for these namespaces, or for all."""
    found = chain.manifests(made, name=name, guarded=False)
    if namespaces:
        chosen = {
            "key": names.NAMESPACE_NAME_LABEL, "operator": "In", "values": [*namespaces],
        }  # fmt: skip
        selector = {"matchExpressions": [chosen]}
        found[1]["spec"]["matchResources"] = {"namespaceSelector": selector}
    return found


def applied(pod: Mapping[str, Any]) -> bool:
    """Whether a pod carries our record."""
    return names.STATUS_ANNOTATION in (pod["metadata"].get("annotations") or {})


def wait_in_force(
    plane: cluster.ControlPlane, namespace: str, pod: Json, *, wanted: bool = True
) -> None:
    """Until a pod that a policy changes is changed, or no longer."""
    path = f"{release.pods(namespace)}?dryRun=All"
    what = f"pods of {namespace} are {'changed' if wanted else 'left alone'}"
    plane.wait(what, lambda: applied(plane.client.request("POST", path, pod)) is wanted)


def require_compiled(made: chain.Chain) -> None:
    """Raises WrongAnswerError if an injection was left to the webhook."""
    if made.left:
        left = [f"{one.injection.name}: {one.path} {one.why}" for one in made.left]
        raise errors.WrongAnswerError(server="the compiler", seen=left, wanted="all compiled")
