"""What happens to a cluster's operator, while pods are created at a steady rate all the time.

Nothing is ever refused. Bare are at most the pods that were asked of a replica which died or froze,
until it had left the endpoints.
"""

import contextlib

import pytest

from sidecar_injector import names
from tests.kits import e2e as kit
from tests.kits import e2e_load as steady
from tests.kits import e2e_replicas as replicas
from tools.controlplane import errors, waiting
from tools.image import build
from tools.node import node, product

RESTARTS = 10
PROXY_RESTARTS = 3
HOG = """
import itertools
open("/proc/self/oom_score_adj", "w").write("0")
held = [bytearray(1 << 20) for _ in itertools.count()]
"""
"""Python: uses memory until the kernel kills a process, and is not the one that it kills first."""
KINDS = "sidecarinjections", "clustersidecarinjections"


def test_an_upgrade_and_its_rollback(installed: product.Product, under_load: steady.Steady) -> None:
    with under_load.running():
        installed.helm("upgrade", *installed.chart, "--set=replicas=3,settings.logLevel=debug")
        installed.settle(count=3)
        installed.helm("rollback")
        installed.settle()
    under_load.judge("helm upgrade to 3 replicas, rollback to 2")


def test_ten_restarts_of_the_deployment(
    installed: product.Product, under_load: steady.Steady
) -> None:
    with under_load.running():
        for _ in range(RESTARTS):
            installed.kubectl("rollout", "restart", f"deployment/{installed.name}")
            installed.wait_ready()
        installed.settle()
    under_load.judge(f"kubectl rollout restart, {RESTARTS} times")


@pytest.mark.own_node("counts a replica's connections inside its pod")
def test_a_replica_deleted_without_grace(
    own_node: node.Node, installed: product.Product, under_load: steady.Steady
) -> None:
    replica = installed.pods()[0]
    with under_load.running():
        with under_load.fault(replicas.process_of(own_node, replica)):
            installed.kubectl(
                "delete", "pod", replicas.name_of(replica), "--grace-period=0", "--force"
            )
            replicas.wait_left(installed, replica)
        installed.settle()
    under_load.judge("a replica deleted by force")


@pytest.mark.own_node("changes a process's score on the node")
def test_a_replica_killed_for_its_memory(
    own_node: node.Node, installed: product.Product, under_load: steady.Steady
) -> None:
    replica = installed.pods()[0]
    process = replicas.process_of(own_node, replica)
    # A share of the limit is added to this; the process that eats has a lower one.
    steady.score(process).write_text("1000", "ascii")
    where = (replicas.name_of(replica), "--namespace", installed.namespace)
    eat = ("exec", *where, "--", "python3", "-c", HOG)
    with under_load.running():
        with under_load.fault(process):
            assert installed.cluster.kubectl(*eat, check=False).returncode != 0
            status = replicas.restarts(installed, replica)
        installed.settle()
    assert status["lastState"]["terminated"]["reason"] == "OOMKilled"
    under_load.judge("a replica killed by the kernel for its memory")


@pytest.mark.own_node("kills kube-proxy")
def test_restarts_of_the_nodes_kube_proxy(own_node: node.Node, under_load: steady.Steady) -> None:
    with under_load.running():
        for _ in range(PROXY_RESTARTS):
            own_node.proxy.kill()
            own_node.proxy.start()
            own_node.wait("kube-proxy is healthy", own_node.proxy_is_healthy, seconds=kit.SECONDS)
    under_load.judge(f"kube-proxy killed and started, {PROXY_RESTARTS} times")


@pytest.mark.own_node("reads control groups on the node")
def test_what_the_replicas_cost(
    own_node: node.Node, installed: product.Product, under_load: steady.Steady, table: kit.Table
) -> None:
    installed.settle()
    rest = installed.costs(own_node, seconds=10)
    with under_load.running():
        load = installed.costs(own_node, seconds=10)
    under_load.judge("nothing, for comparison")
    for when, costs in (("at rest", rest), (f"at {steady.PER_SECOND} pods a second", load)):
        for name, cost in costs.items():
            table.facts.append(f"{name} {when}: {cost}")
    started = [product.start_seconds(replica) for replica in installed.pods()]
    table.facts.append(
        f"container start to Ready: {', '.join(f'{seconds:.0f} s' for seconds in started)}"
    )
    archive = build.cached().stat().st_size
    table.facts.append(f"the image: {archive / 1024**2:.0f} MiB")
    assert max(cost.mebibytes for cost in (*rest.values(), *load.values())) < 256
    assert max(started) < kit.SECONDS


def superfluous(release: product.Product) -> set[str]:
    """What is left beside the definitions, and what the tests themselves have made."""
    kept = {
        *(f"customresourcedefinition.apiextensions.k8s.io/{kind}.{names.GROUP}" for kind in KINDS),
        f"apiservice.apiregistration.k8s.io/{names.VERSION}.{names.GROUP}",
        f"namespace/{release.namespace}",
    }
    names_left = {line for line in release.left() if not line.startswith("sidecarinjection.")}
    assert kept <= names_left
    return names_left - kept


def test_an_uninstall_leaves_nothing_but_the_definitions(
    installed: product.Product, under_load: steady.Steady
) -> None:
    try:
        with under_load.running():
            installed.helm("uninstall", "--wait")
            waiting.until(lambda: not installed.pods(), what="no replica", seconds=kit.SECONDS)
            with contextlib.suppress(errors.WaitError):  # the next line says more
                waiting.until(lambda: not superfluous(installed), what="nothing", seconds=30)
            assert superfluous(installed) == set()
        under_load.judge("helm uninstall", bare=True)
    finally:
        installed.install_again()
