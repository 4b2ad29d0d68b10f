"""The names that others rely on: a change of one breaks installations and pods."""

from __future__ import annotations

import pathlib

import yaml

from sidecar_injector import names

ROOT = pathlib.Path(__file__).parents[2]


def test_the_literals_that_pods_namespaces_and_clusters_carry_are_pinned():
    assert (names.GROUP, names.API_VERSION) == (
        "sidecar-injector.dev", "sidecar-injector.dev/v1alpha1",
    )  # fmt: skip
    assert names.INJECTION_LABEL == "sidecar-injection"
    assert (names.ENABLED, names.DISABLED) == ("enabled", "disabled")
    assert names.INJECT_ANNOTATION == "sidecar-injector.dev/inject"
    assert names.STATUS_ANNOTATION == "sidecar-injector.dev/status"
    assert names.TUTORIAL_INJECT_ANNOTATION == "sidecar-injector-webhook.morven.me/inject"
    assert names.TUTORIAL_STATUS_ANNOTATION == "sidecar-injector-webhook.morven.me/status"
    assert (names.MUTATE_WEBHOOK, names.MUTATE_PATH) == ("pods.sidecar-injector.dev", "/mutate")
    assert names.OPTED_OUT_WEBHOOK == "opted-out.pods.sidecar-injector.dev"
    assert (names.VALIDATE_WEBHOOK, names.VALIDATE_PATH) == (
        "injections.sidecar-injector.dev", "/validate",
    )  # fmt: skip
    assert (names.WORKLOADS_WEBHOOK, names.WORKLOADS_PATH) == (
        "workloads.sidecar-injector.dev", "/workloads",
    )  # fmt: skip


def test_the_crds_have_the_kinds_and_plurals_that_we_watch():
    kinds = {}
    for file in (ROOT / "crds").glob("*.yaml"):
        spec = yaml.safe_load(file.read_text())["spec"]
        kinds[spec["names"]["kind"]] = (spec["names"]["plural"], spec["scope"], spec["group"])
    assert kinds == {
        names.KIND: (names.PLURAL, "Namespaced", names.GROUP),
        names.CLUSTER_KIND: (names.CLUSTER_PLURAL, "Cluster", names.GROUP),
    }


def test_objects_of_a_release_are_named_after_it():
    assert names.secret_name("full") == "full-tls"
    assert names.lease_name("full") == "full-audit"


def test_the_api_server_verifies_the_third_name_of_the_certificate():
    dns_names = names.service_dns_names(service="s", namespace="n", cluster_domain="c.d")
    assert dns_names == ("s", "s.n", "s.n.svc", "s.n.svc.c.d")
