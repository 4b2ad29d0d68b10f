"""`python -m tools.fuzz [COUNT] [--seed N]`: attack a replica on a control plane of its own.

First, reviews that are nearly equal are compared in this process, one for each twenty inputs.
"""

from __future__ import annotations

import argparse
import logging
import sys
from typing import Final

from tools.controlplane import binaries, cluster, errors, operators, release
from tools.fuzz import campaign, twins

NAMESPACE: Final = "fuzz"
INJECTIONS: Final = release.injections(NAMESPACE)
PROXY: Final = f"{INJECTIONS}/proxy"


def main() -> int:
    """0 if the replica survives, 1 with what is wrong otherwise."""
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=100_000, help="inputs (100000)")
    parser.add_argument("--seed", type=int, default=0, help="where the random inputs begin (0)")
    arguments = parser.parse_args()
    if not _compare(count=arguments.count // 20, seed=arguments.seed):
        return 1
    try:
        outcome = _attack(count=arguments.count, seed=arguments.seed)
    except errors.ControlPlaneError as error:
        print(f"the attack could not begin: {error}", file=sys.stderr)
        return 1
    print("\n".join(outcome.lines()))
    for complaint in outcome.complaints():
        print(f"FAILED: {complaint}", file=sys.stderr)
    return 1 if outcome.complaints() else 0


def _compare(*, count: int, seed: int) -> bool:
    """Whether the response cache gives no review the response to another one."""
    logging.disable()
    result = twins.run(count=count, seed=seed)
    logging.disable(logging.NOTSET)
    print(f"reviews compared: {result.compared}, {result.cached} with a response from the cache")
    for body in result.differences:
        print(f"FAILED: the response to another review: {body!r}", file=sys.stderr)
    return not result.differences


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
