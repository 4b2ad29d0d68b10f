"""`python -m tools.fuzz [COUNT] [--seed N]`: attack a replica on a control plane of its own."""

from __future__ import annotations

import argparse
import sys
from typing import Final

from tools.controlplane import binaries, cluster, errors, operators, release
from tools.fuzz import campaign

NAMESPACE: Final = "fuzz"
INJECTIONS: Final = release.injections(NAMESPACE)
PROXY: Final = f"{INJECTIONS}/proxy"


def main() -> int:
    """0 if the replica survives, 1 with what is wrong otherwise."""
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=100_000, help="inputs (100000)")
    parser.add_argument("--seed", type=int, default=0, help="where the random inputs begin (0)")
    arguments = parser.parse_args()
    try:
        outcome = _attack(count=arguments.count, seed=arguments.seed)
    except errors.ControlPlaneError as error:
        print(f"the attack could not begin: {error}", file=sys.stderr)
        return 1
    print("\n".join(outcome.lines()))
    for complaint in outcome.complaints():
        print(f"FAILED: {complaint}", file=sys.stderr)
    return 1 if outcome.complaints() else 0


def _attack(*, count: int, seed: int) -> campaign.Outcome:
    with cluster.ControlPlane(binaries.ensure()) as plane:
        release.install(plane)
        with operators.Operators(plane, replicas=1) as running:
            running.wait_ready()
            plane.create_namespace(NAMESPACE, labels=release.ENABLED)
            plane.client.request("POST", INJECTIONS, release.injection("proxy"))
            plane.wait(
                "the injection is in force",
                lambda: release.conditions(plane.client.get(PROXY)).get("Ready") == "True",
            )
            (replica,) = running.replicas
            return campaign.run(replica, namespace=NAMESPACE, count=count, seed=seed)


if __name__ == "__main__":
    sys.exit(main())
