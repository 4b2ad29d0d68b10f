"""`check` of the policy: is it there, is it that of the injections, and what is left out of it."""

from __future__ import annotations

import json

import pytest
import yaml

from sidecar_injector.kube import api
from tests.kits import cluster as kit
from tests.kits.cli import run
from tests.kits.samples import container, resource

ACCOUNT = {"spec": {"serviceAccountName": "proxy", "containers": [container("proxy")]}}
RESOURCES = api.by_kind(api.POLICIES, api.POLICY_BINDINGS, api.GUARDS, api.GUARD_BINDINGS)
NAME = "sidecar-injector"
POLICY = f"MutatingAdmissionPolicy {NAME}"


def injection(name="mesh", *, condition=None, **spec):
    """A cluster injection that asks for the policy."""
    parts = {"spec": {"containers": [container(name)]}}
    item = resource(name, cluster=True, **{"engine": "Policy", "template": parts, **spec})
    if condition:
        item["status"] = {"conditions": [{"type": "Compiled", **condition}]}
    return item


@pytest.fixture
def fake():
    fake = kit.installed()
    fake.seed(api.CLUSTER_INJECTIONS, injection())
    return fake


@pytest.fixture
def applied(monkeypatch, fake):
    """What `compile` prints is in the cluster."""

    def apply(*arguments):
        with kit.served(monkeypatch, fake):
            text = run("compile", *arguments).stdout
        for item in yaml.safe_load_all(text):
            fake.seed(RESOURCES[item["kind"]], item)

    return apply


@pytest.fixture
def found(monkeypatch, fake):
    """The findings about policies: level, message, remedy."""

    def check():
        with kit.served(monkeypatch, fake):
            result = run("check", "-o", "json")
        return [
            (each["level"], each["message"], each["remedy"])
            for each in json.loads(result.stdout)["findings"]
            if each["check"] == "policies"
        ]

    return check


def test_nothing_is_said_where_nothing_asks_for_a_policy_even_to_who_may_not_look(fake, found):
    fake.take(api.CLUSTER_INJECTIONS, name="mesh")
    assert found() == []
    fake.failures["get", api.POLICIES.plural] = [kit.forbidden(api.POLICIES)]
    assert found() == []


def test_a_policy_in_order_is_a_line(found, applied):
    applied()
    assert found() == [("ok", f"{POLICY} is that of the injections: 1", "")]
    applied("--guard")
    assert found() == [("ok", f"{POLICY} is that of the injections: 1", "")]


def test_nobody_has_to_have_a_guard(fake, found, applied):
    fake.seed(api.CLUSTER_INJECTIONS, injection(failurePolicy="Fail"))
    applied()
    assert [level for level, _, _ in found()] == ["ok"]


def test_a_policy_that_is_not_there_is_a_warning_with_the_command(found):
    remedy = "sidecar-injector compile | kubectl apply -f -"
    assert found() == [
        ("warning", f"{POLICY} is not there", remedy),
        ("warning", f"MutatingAdmissionPolicyBinding {NAME} is not there", remedy),
    ]


def test_a_stale_policy_and_a_stale_guard_fail(fake, found, applied):
    fake.seed(api.CLUSTER_INJECTIONS, injection(failurePolicy="Fail"))
    applied("--guard")
    fake.seed(api.CLUSTER_INJECTIONS, injection("new", failurePolicy="Fail"))
    remedy = "sidecar-injector compile --guard | kubectl apply -f -"
    why = "is stale: compiled from other injections: cluster/new"
    assert found() == [
        ("failed", f"{POLICY} {why}", remedy),
        ("failed", f"ValidatingAdmissionPolicy {NAME}-guard {why}", remedy),
    ]


def test_a_policy_of_no_injection_is_to_be_deleted(fake, found, applied):
    applied()
    fake.take(api.CLUSTER_INJECTIONS, name="mesh")
    ((level, message, remedy), _) = found()
    assert (level, message) == ("failed", f"{POLICY} is not needed: no injection is compiled to it")
    assert f"kubectl delete mutatingadmissionpolicies {NAME}" in remedy


def test_a_release_of_another_name_has_a_policy_of_this_name(fake, found):
    fake.take(api.DEPLOYMENTS, name=NAME, namespace=NAME)
    fake.seed(api.DEPLOYMENTS, kit.deployment(name="blue", FULLNAME="blue"))
    assert found()[0][1:] == (
        "MutatingAdmissionPolicy blue is not there",
        "sidecar-injector compile --name blue | kubectl apply -f -",
    )


def test_an_older_cluster_is_a_warning(fake, found):
    fake.version = "v1.35.0"
    ((level, message, remedy),) = found()
    assert level == "warning"
    assert message.startswith("Kubernetes 1.35.0 does not serve")
    assert "kubectl patch clustersidecarinjection mesh " in remedy


def test_what_is_left_to_the_webhook_is_named_as_compiled_here_or_as_the_operator_says(
    fake, found, applied
):
    fake.seed(api.CLUSTER_INJECTIONS, injection("account", template=ACCOUNT))
    applied()
    ((level, message, remedy), _) = found()
    assert level == "warning"
    assert message.startswith(
        "cluster/account is left to the webhook: spec.template.spec.serviceAccountName: "
    )
    assert "kubectl patch clustersidecarinjection account " in remedy
    unsupported = {"status": "False", "reason": "Unsupported", "message": "no policy can do it"}
    item = injection("account", template=ACCOUNT, condition=unsupported)
    fake.seed(api.CLUSTER_INJECTIONS, item)
    assert found()[0][1].endswith("webhook: Unsupported: no policy can do it")
    unmanaged = {"status": "False", "reason": "NotManaged", "message": "may not write"}
    item = injection("account", template=ACCOUNT, condition=unmanaged)
    fake.seed(api.CLUSTER_INJECTIONS, item)
    assert "serviceAccountName" in found()[0][1]


def test_what_nobody_shall_add_is_not_left_to_the_webhook(fake, found, applied):
    applied()
    suspended = {"status": "False", "reason": "Suspended", "message": "spec.suspend is true"}
    fake.seed(api.CLUSTER_INJECTIONS, injection("off", suspend=True, condition=suspended))
    assert [level for level, _, _ in found()] == ["ok"]


def test_a_policy_that_the_operator_keeps_is_its_task(fake, found):
    fake.seed(api.DEPLOYMENTS, kit.deployment(POLICIES="Managed"))
    assert found()[0] == (
        "warning", f"{POLICY} is not there",
        f"the operator writes it within seconds; if not: kubectl -n {NAME} logs deployment/{NAME}",
    )  # fmt: skip


def test_where_an_injection_asks_who_may_not_look_is_told(fake, found):
    fake.failures["get", api.POLICIES.plural] = [kit.forbidden(api.POLICIES)]
    assert found()[0][:2] == ("unknown", "mutatingadmissionpolicies is forbidden")


def test_without_a_look_at_limits_nothing_is_called_stale(fake, found, applied):
    applied()
    fake.failures["list", api.LIMITS["LimitRange"].plural] = [
        kit.forbidden(api.LIMITS["LimitRange"])
    ]
    ((level, message, _),) = found()
    assert level == "unknown"
    assert message.startswith("not compared with the injections: ")
