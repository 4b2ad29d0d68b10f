"""Certificates that we do not make: loaded, loaded again, and refused, on a real API server.

On control planes of their own, since the mode is chosen at installation.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import pytest

from sidecar_injector.pki import issue
from tests.kits import certificate_modes as modes
from tests.kits import controlplane_cli as cli
from tools.controlplane import binaries, cluster


def is_trusted(mode: modes.Mode, kind: str) -> bool:
    """Whether every replica says that the API server trusts it."""
    gauge = "sidecar_injector_ca_bundle_in_sync"
    return mode.product.counted(gauge, configuration=kind) == len(mode.product.replicas)


@pytest.fixture(scope="module")
def provided(programs: binaries.Binaries, request: pytest.FixtureRequest) -> Iterator[modes.Mode]:
    with cluster.ControlPlane(programs) as plane:
        with modes.install(plane, "certificates.mode=provided") as mode:
            yield mode
        plane.keep_logs = request.session.testsfailed > 0


def test_a_given_pair_is_served_and_its_ca_is_what_the_api_server_trusts(
    provided: modes.Mode,
) -> None:
    provided.give(first := modes.leaf(provided.ca))
    provided.wait_shown(first)
    assert modes.bundle(provided.product) == provided.ca.certificate


def test_a_renewed_pair_is_loaded_while_pods_are_injected(provided: modes.Mode) -> None:
    for _ in range(3):
        provided.give(renewed := modes.leaf(provided.ca))
        provided.wait_shown(renewed)


def key_of_another(ca: issue.Pair) -> tuple[issue.Pair, bytes]:
    return issue.Pair(modes.leaf(ca).certificate, modes.leaf(ca).key), ca.certificate


def expired(ca: issue.Pair) -> tuple[issue.Pair, bytes]:
    return modes.leaf(ca, seconds=-1), ca.certificate


def wrong_name(ca: issue.Pair) -> tuple[issue.Pair, bytes]:
    return modes.leaf(ca, name="elsewhere.svc"), ca.certificate


def leaf_for_a_ca(ca: issue.Pair) -> tuple[issue.Pair, bytes]:
    pair = modes.leaf(ca)
    return pair, pair.certificate


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (key_of_another, "tls.key does not belong to its certificate"),
        (expired, "tls.crt has expired (at "),
        (wrong_name, f"tls.crt lacks DNS names ({modes.SERVED})"),
        (leaf_for_a_ca, "ca.crt is not a CA certificate"),
    ],
)
def test_a_bad_pair_is_named_and_never_loaded(
    provided: modes.Mode, bad: Callable[[issue.Pair], tuple[issue.Pair, bytes]], message: str
) -> None:
    product = provided.product
    provided.give(good := modes.leaf(provided.ca))
    provided.wait_shown(good)
    assert provided.problems() == 0

    provided.give(*bad(provided.ca))
    provided.wait("both replicas complain", lambda: provided.problems() == 2)
    provided.wait(
        "an Event says why", lambda: any(message in event for event in modes.events(product))
    )
    assert len([event for event in modes.events(product) if message in event]) == 1
    for replica in product.replicas:
        status, text = replica.get("/readyz")
        assert status == 200
        assert message in text
    assert modes.all_show(product, good)
    assert modes.bundle(product) == provided.ca.certificate

    provided.give(good)
    provided.wait("nobody complains any more", lambda: provided.problems() == 0)


def test_a_change_of_the_ca_in_the_right_order_costs_no_pod(provided: modes.Mode) -> None:
    product, old, new = provided.product, provided.ca, modes.new_ca()
    both = new.certificate + old.certificate
    provided.give(first := modes.leaf(old))
    provided.wait_shown(first)
    provided.give(first, both)
    provided.wait("both are trusted", lambda: modes.bundle(product) == both)
    provided.give(second := modes.leaf(new), both)
    provided.wait_shown(second)
    provided.give(second, new.certificate)
    provided.wait("the new one alone is trusted", lambda: modes.bundle(product) == new.certificate)
    assert provided.injects()
    provided.ca = new


def shown(mode: modes.Mode, *, status: int = 0) -> cli.Json:
    """By `certificates show`, of which no problem is expected unless its exit status is given."""
    answer = cli.read(mode.plane.kubeconfig, "certificates", "show", status=status)
    assert answer["generation"] is None, "that is a count of our own"
    assert bool(answer["problems"]) is bool(status)
    return answer


def test_the_certificates_of_an_administrator_are_shown_and_their_flaws_named(
    provided: modes.Mode,
) -> None:
    provided.give(good := modes.leaf(provided.ca))
    provided.wait_shown(good)
    answer = shown(provided)
    assert (answer["mode"], answer["phase"]) == ("provided", "made by the administrator")
    assert {bundle["state"] for bundle in answer["bundles"]} == {"in sync"}
    certificates = answer["certificates"]
    assert [(item["role"], item["replacedAt"]) for item in certificates] == [
        ("leaf", None), ("CA", None),
    ]  # fmt: skip
    assert f"{good.parsed().serial_number:040x}" == certificates[0]["serial"]

    provided.give(modes.leaf(provided.ca, seconds=-1))
    (problem,) = shown(provided, status=1)["problems"]
    assert "tls.crt has expired" in problem
    provided.give(good)
    provided.wait("nobody complains any more", lambda: provided.problems() == 0)


def test_a_rotation_of_what_is_not_ours_is_refused_with_whose_it_is(provided: modes.Mode) -> None:
    result = cli.run(provided.plane.kubeconfig, "certificates", "rotate")
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"the Secret {modes.NAMESPACE}/{modes.NAME} is managed by cert-manager" in result.stderr


def test_with_cert_manager_we_load_and_cainjector_writes_the_bundle(
    programs: binaries.Binaries, request: pytest.FixtureRequest
) -> None:
    values = ("certificates.mode=certManager", "certificates.issuerRef.name=own")
    with cluster.ControlPlane(programs) as plane:
        with modes.installed_with_cert_manager(plane, *values) as mode:
            for _ in range(2):
                mode.give(renewed := modes.leaf(mode.ca))
                mode.wait_shown(renewed)
            assert shown(mode)["phase"] == "made by cert-manager"
            writes = "sidecar_injector_writes_total"
            for kind in ("mutatingwebhookconfigurations", "validatingwebhookconfigurations"):
                assert mode.product.counted(writes, object=kind) == 0
                plane.wait(f"{kind} trust us", functools.partial(is_trusted, mode, kind))
            new = modes.new_ca()
            modes.put(plane, second := modes.leaf(new), new.certificate)
            plane.wait("it is shown", lambda: modes.all_show(mode.product, second))
            plane.wait("pods are injected", mode.injects)
        plane.keep_logs = request.session.testsfailed > 0
