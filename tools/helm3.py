"""`python -m tools.helm3`: Helm 3 renders, installs, upgrades and uninstalls the chart once.

Tests and demo use Helm 4; this is for a release. What both render and what their installations have
in the cluster is compared, so whatever is tested with one holds for the other.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Final

import yaml

from sidecar_injector import names
from tools import thirdparty
from tools.controlplane import binaries, cluster, errors, operators, ports

ROOT: Final = pathlib.Path(__file__).parents[1]
CHART: Final = ROOT / "charts" / names.PRODUCT
VALUES: Final = ROOT / "tools" / "controlplane" / "values.yaml"
RELEASE: Final = (names.PRODUCT, "-n", names.PRODUCT)
_OF_EACH_RUN: Final = frozenset(
    {"uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"}
)
"""Metadata that the API server gives each object anew."""

Objects = dict[tuple[str, str], dict[str, Any]]


def main() -> int:
    """0 if both made the same; 1 and a line for each difference otherwise."""
    try:
        programs = binaries.ensure()
        helm3 = dataclasses.replace(programs, helm=thirdparty.helm3())
        versions = [_version(one) for one in (programs, helm3)]
        print(f"comparing {' and '.join(versions)}")
        rendered = [_rendered(one) for one in (programs, helm3)]
        installed = [_installed(one) for one in (programs, helm3)]
    except errors.ControlPlaneError as error:
        print(error, file=sys.stderr)
        return 1
    found = [f"rendered: {line}" for line in differences(*rendered)]
    found += [f"installed: {line}" for line in differences(*installed)]
    for line in found:
        print(line, file=sys.stderr)
    if not found:
        print(f"{len(rendered[0])} objects rendered, {len(installed[0])} installed, all the same;")
        print(
            "the operator became ready, an upgrade passed, and the uninstall left the definitions"
        )
    return 1 if found else 0


def differences(first: Objects, second: Objects) -> Iterator[str]:
    """A line for each object that is in one only, or not the same in both."""
    for key in sorted(first.keys() | second.keys()):
        name = " ".join(key)
        if key not in second or key not in first:
            yield f"{name} is in the {'first' if key in first else 'second'} only"
        elif first[key] != second[key]:
            fields = first[key].keys() | second[key].keys()
            unlike = [one for one in sorted(fields) if first[key].get(one) != second[key].get(one)]
            yield f"{name} differs in {', '.join(unlike)}"


def _version(programs: binaries.Binaries) -> str:
    answer = subprocess.run(
        [programs.helm, "version", "--template", "{{.Version}}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return f"Helm {answer.stdout.strip()}"


def _rendered(programs: binaries.Binaries) -> Objects:
    answer = subprocess.run(
        [programs.helm, "template", *RELEASE, str(CHART), "--kube-version=1.37.0"],
        capture_output=True, text=True, check=False, env={**os.environ, "KUBECONFIG": "/dev/null"},
    )  # fmt: skip
    if answer.returncode != 0:
        raise errors.CommandError(
            command=("helm", "template"), status=answer.returncode, stderr=answer.stderr
        )
    return _by_name(one for one in yaml.safe_load_all(answer.stdout) if one)


def _installed(programs: binaries.Binaries) -> Objects:
    """What a release has in the cluster; it is upgraded and uninstalled, too."""
    with cluster.ControlPlane(programs) as plane:
        values = ("-f", str(VALUES), "--set", f"service.port={ports.free()}")
        plane.helm("install", *RELEASE, str(CHART), "--create-namespace", *values)
        found = _live(plane)
        with operators.Operators(plane, replicas=1) as running:
            running.wait_ready()
            plane.helm("upgrade", *RELEASE, str(CHART), "--reuse-values", "--set", "replicas=3")
            plane.helm("uninstall", *RELEASE, "--wait")
        for plural in (names.PLURAL, names.CLUSTER_PLURAL):
            plane.kubectl("get", "crd", f"{plural}.{names.GROUP}")
        left = plane.kubectl(
            "get", "all,roles,rolebindings", "-n", names.PRODUCT, "-o", "name"
        ).stdout.split()
        if left:
            raise errors.CommandError(
                command=("helm", "uninstall"), status=0, stderr=f"left behind: {', '.join(left)}"
            )
        return found


def _live(plane: cluster.ControlPlane) -> Objects:
    manifest = plane.helm("get", "manifest", *RELEASE).stdout
    answer = plane.kubectl("get", "-f", "-", "-o", "json", stdin=manifest)
    return _by_name(map(_lasting, json.loads(answer.stdout)["items"]))


def _lasting(thing: dict[str, Any]) -> dict[str, Any]:
    """Without what another installation would have otherwise, the port of this one among it."""
    metadata = {key: value for key, value in thing["metadata"].items() if key not in _OF_EACH_RUN}
    spec = thing.get("spec")
    if thing["kind"] == "Service":
        spec = {key: value for key, value in thing["spec"].items() if key != "ports"}
    for webhook in thing.get("webhooks", ()):
        webhook["clientConfig"]["service"]["port"] = 0
    kept = {key: value for key, value in thing.items() if key not in {"status", "spec"}}
    return {**kept, "metadata": metadata, "spec": spec}


def _by_name(objects: Iterator[dict[str, Any]]) -> Objects:
    return {(one["kind"], one["metadata"]["name"]): one for one in objects}


if __name__ == "__main__":
    sys.exit(main())
