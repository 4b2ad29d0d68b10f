"""`python -m tools.fuzz [COUNT] [--seed N]`: attack a replica on a control plane of its own."""

from __future__ import annotations

import argparse
import pathlib
import sys
from typing import Final

from sidecar_injector import names
from tools.controlplane import binaries, cluster, errors, operators, ports
from tools.fuzz import campaign

ROOT: Final = pathlib.Path(__file__).parents[2]
NAMESPACE: Final = "fuzz"
INJECTIONS: Final = f"/apis/{names.API_VERSION}/namespaces/{NAMESPACE}/{names.PLURAL}"


def main() -> int:
    """0 if the replica held out, 1 with what is wrong otherwise."""
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=100_000, help="inputs (100000)")
    parser.add_argument("--seed", type=int, default=0, help="where the random inputs begin (0)")
    arguments = parser.parse_args()
    try:
        found = _found(count=arguments.count, seed=arguments.seed)
    except errors.ControlPlaneError as error:
        print(f"the attack could not begin: {error}", file=sys.stderr)
        return 1
    print("\n".join(found.lines()))
    for complaint in found.complaints():
        print(f"FAILED: {complaint}", file=sys.stderr)
    return 1 if found.complaints() else 0


def _found(*, count: int, seed: int) -> campaign.Found:
    with cluster.ControlPlane(binaries.ensure()) as plane:
        plane.helm(
            "install", names.PRODUCT, str(ROOT / "charts" / names.PRODUCT), "-n", names.PRODUCT,
            "--create-namespace", "-f", str(ROOT / "tools" / "controlplane" / "values.yaml"),
            "--set", f"service.port={ports.free()}",
        )  # fmt: skip
        with operators.Operators(plane, replicas=1) as running:
            running.wait_ready()
            plane.create_namespace(NAMESPACE, labels={names.INJECTION_LABEL: names.ENABLED})
            injection = {
                "metadata": {"name": "proxy"},
                "spec": {"template": {"spec": {"containers": [{"name": "s", "image": "s:1"}]}}},
            }
            kind = {"apiVersion": names.API_VERSION, "kind": names.KIND}
            plane.client.request("POST", INJECTIONS, kind | injection)
            plane.wait("the injection is in force", lambda: _is_ready(plane))
            (replica,) = running.replicas
            return campaign.run(replica, namespace=NAMESPACE, count=count, seed=seed)


def _is_ready(plane: cluster.ControlPlane) -> bool:
    conditions = plane.client.get(f"{INJECTIONS}/proxy").get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


if __name__ == "__main__":
    sys.exit(main())
