"""`python -m tools.helm3`: Helm 3 renders, installs, upgrades and uninstalls the chart once.

Tests and demo use Helm 4; this is for a release. It compares what both render and install, so that
a test with one of them is valid for the other.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Final

import yaml

from sidecar_injector import names
from tools import thirdparty
from tools.controlplane import binaries, cluster, errors, operators, release

_OF_EACH_RUN: Final = frozenset(
    {"uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"}
)
"""Metadata that is different for each installation."""

Objects = dict[tuple[str, str], dict[str, Any]]


def main() -> int:
    """0 if both made the same; 1 and a line for each difference otherwise."""
    try:
        programs = binaries.ensure()
        helm3 = dataclasses.replace(programs, helm=thirdparty.helm3())
        both = (programs, helm3)
        print(f"comparing {' and '.join(map(_version, both))}")
        rendered, installed = [*map(_rendered, both)], [*map(_installed, both)]
    except errors.ControlPlaneError as error:
        print(error, file=sys.stderr)
        return 1
    lines = [f"rendered: {line}" for line in differences(*rendered)]
    lines += [f"installed: {line}" for line in differences(*installed)]
    for line in lines:
        print(line, file=sys.stderr)
    if not lines:
        print(f"{len(rendered[0])} objects rendered, {len(installed[0])} installed, all the same;")
        print(
            "the operator became ready, an upgrade passed, and the uninstall left the definitions"
        )
    return 1 if lines else 0


def differences(first: Objects, second: Objects) -> Iterator[str]:
    """A line for each object that only one of them has, or that differs."""
    for key in sorted(first.keys() | second.keys()):
        name = " ".join(key)
        if key not in second or key not in first:
            yield f"{name} is in the {'first' if key in first else 'second'} only"
        elif first[key] != second[key]:
            fields = first[key].keys() | second[key].keys()
            unequal = [
                field for field in sorted(fields) if first[key].get(field) != second[key].get(field)
            ]
            yield f"{name} differs in {', '.join(unequal)}"


def _version(programs: binaries.Binaries) -> str:
    answer = subprocess.run(
        [programs.helm, "version", "--template", "{{.Version}}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return f"Helm {answer.stdout.strip()}"


def _rendered(programs: binaries.Binaries) -> Objects:
    answer = subprocess.run(
        [
            programs.helm, "template", *release.RELEASE, str(release.CHART),
            "--kube-version=1.37.0", "--set=helmTest.enabled=true",
        ],
        capture_output=True, text=True, check=False, env={**os.environ, "KUBECONFIG": "/dev/null"},
    )  # fmt: skip
    if answer.returncode != 0:
        raise errors.CommandError(
            command=("helm", "template"), status=answer.returncode, stderr=answer.stderr
        )
    return _by_name(manifest for manifest in yaml.safe_load_all(answer.stdout) if manifest)


def _installed(programs: binaries.Binaries) -> Objects:
    """What a release has in the cluster; it is upgraded and uninstalled, too."""
    with cluster.ControlPlane(programs) as plane:
        release.install(plane)
        live = _live(plane)
        with operators.Operators(plane, replicas=1) as running:
            running.wait_ready()
            settings = ("--reuse-values", "--set", "replicas=3")
            plane.helm("upgrade", *release.RELEASE, str(release.CHART), *settings)
            plane.helm("uninstall", *release.RELEASE, "--wait")
        for plural in (names.PLURAL, names.CLUSTER_PLURAL):
            plane.kubectl("get", "crd", f"{plural}.{names.GROUP}")
        objects = plane.kubectl(
            "get", "all,roles,rolebindings", "-n", names.PRODUCT, "-o", "name"
        ).stdout.split()
        if objects:
            raise errors.CommandError(
                command=("helm", "uninstall"), status=0, stderr=f"left behind: {', '.join(objects)}"
            )
        return live


def _live(plane: cluster.ControlPlane) -> Objects:
    manifest = plane.helm("get", "manifest", *release.RELEASE).stdout
    answer = plane.kubectl("get", "-f", "-", "-o", "json", stdin=manifest)
    return _by_name(map(_lasting, json.loads(answer.stdout)["items"]))


def _lasting(thing: dict[str, Any]) -> dict[str, Any]:
    """Without what is different for each installation, its port included."""
    metadata = {key: value for key, value in thing["metadata"].items() if key not in _OF_EACH_RUN}
    spec = thing.get("spec")
    if thing["kind"] == "Service":
        spec = {key: value for key, value in thing["spec"].items() if key != "ports"}
    for webhook in thing.get("webhooks", ()):
        webhook["clientConfig"]["service"]["port"] = 0
    others = {key: value for key, value in thing.items() if key not in {"status", "spec"}}
    return {**others, "metadata": metadata, "spec": spec}


def _by_name(objects: Iterator[dict[str, Any]]) -> Objects:
    return {(thing["kind"], thing["metadata"]["name"]): thing for thing in objects}


if __name__ == "__main__":
    sys.exit(main())
