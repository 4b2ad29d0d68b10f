"""`python -m tools.crds`: writes the CRDs, the chart's copies and the schemas that the CLI reads.

Without arguments the schema of pods comes from a local control plane that is started for this. For
another API server: `kubectl get --raw /openapi/v3/api/v1 | python -m tools.crds --openapi -`.
"""

from __future__ import annotations

import argparse
import functools
import json
import pathlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from tools import pages
from tools.controlplane import binaries, cluster
from tools.crds import definition, structural

ROOT = pathlib.Path(__file__).resolve().parents[2]
OPENAPI = "/openapi/v3/api/v1"


def files(openapi: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The path, from the top of the repository, and the text of every generated file."""
    embed = functools.partial(structural.schema_of, openapi)
    for kind in definition.KINDS:
        crd = definition.definition(kind, embed=embed)
        text = definition.yaml_text(crd)
        yield f"crds/{kind.plural}.yaml", text
        yield f"charts/sidecar-injector/files/crds/{kind.plural}.yaml", text
        yield f"operator/sidecar_injector/crds/{kind.plural}.json", definition.json_text(crd)


def main(arguments: list[str]) -> int:
    """Writes what differs and prints its path; 2 where the OpenAPI document cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m tools.crds", description=__doc__)
    parser.add_argument("--openapi", metavar="FILE", help=f"answer of {OPENAPI}; - is stdin")
    source = parser.parse_args(arguments).openapi
    try:
        openapi = json.loads(_read(source) if source else _ask_control_plane())
        generated = list(files(openapi))
    except (OSError, ValueError, KeyError) as error:
        print(f"{source or OPENAPI}: no OpenAPI document of the core API: {error}", file=sys.stderr)
        return 2

    for name, text in generated:
        pages.write(ROOT / name, text, name=name)
    return 0


def _read(name: str) -> str:
    return sys.stdin.read() if name == "-" else pathlib.Path(name).read_text(encoding="utf-8")


def _ask_control_plane() -> str:
    with cluster.ControlPlane(binaries.ensure()) as controlplane:
        return str(controlplane.kubectl("get", "--raw", OPENAPI).stdout)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
