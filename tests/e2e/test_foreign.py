"""Images that a cluster cannot run are found before the product is installed there."""

import pytest

from tools.controlplane import foreign, preflight
from tools.node import node, product

pytestmark = pytest.mark.own_node("uses images that only our own node has, and has not")
ABSENT = "127.0.0.1:1/absent:1"
"""Nobody listens there, which a node knows at once; a name would have to be looked up first."""


def namespaces(cluster: node.Node) -> set[str]:
    return set(cluster.kubectl("get", "namespaces", "--output=name").stdout.split())


@pytest.mark.parametrize(
    ("references", "problem"),
    [
        ((ABSENT,), rf"the image {ABSENT} cannot be run: \w+: .*; push it"),
        ((product.OWN_IMAGES.operator, ABSENT), rf"the image {ABSENT} cannot be run"),
        ((product.OWN_IMAGES.alpine,), r"version: exit status 128"),
    ],
)
def test_an_image_that_cannot_be_run_is_refused_and_nothing_is_left(
    own_node: node.Node, references: tuple[str, ...], problem: str
) -> None:
    before = namespaces(own_node)
    with (
        foreign.Foreign(own_node.kubeconfig) as reached,
        pytest.raises(foreign.ForeignError, match=problem) as seen,
    ):
        preflight.Preflight(reached).require_images(*references)
    assert "\n" not in str(seen.value)
    # One of another test may go meanwhile.
    assert namespaces(own_node) <= before


def test_images_that_the_cluster_has_pass(own_node: node.Node) -> None:
    images = product.OWN_IMAGES
    with foreign.Foreign(own_node.kubeconfig) as reached:
        preflight.Preflight(reached).require_images(images.operator, images.alpine, images.nginx)
