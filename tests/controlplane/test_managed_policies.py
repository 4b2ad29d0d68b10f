"""The operator keeps an admission policy: in force without it, mended, kept by upgrades, and gone.

On a control plane of its own. The tests are one story, in this order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sidecar_injector import names
from sidecar_injector.controllers import policy_objects
from sidecar_injector.kube import api
from tests.kits import controlplane_cli as cli
from tests.kits import installation as installing
from tests.kits import product as kit
from tests.kits.managed_policies import EDITS, OBJECTS, SECONDS, edit_until_mended, path, spec
from tools.controlplane import cluster, release

TEAM = "team"
ENGINE = {"engine": "Policy"}
INJECTION = f"{release.CLUSTER_INJECTIONS}/proxy"
WEBHOOK = api.MUTATING.path(name=names.PRODUCT)
ROLE = f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{names.PRODUCT}"
EVENTS = "/apis/events.k8s.io/v1/namespaces/default/events"
JSON_PATCH = {"content": "application/json-patch+json"}
MANAGED = (installing.DRAIN, "policies.managed=true")


@pytest.fixture(scope="module")
def product(plane: cluster.ControlPlane) -> Iterator[kit.Product]:
    """A replica that may write policies, and an enabled namespace."""
    with installing.installation(plane, *MANAGED, replicas=1) as product:
        plane.create_namespace(TEAM, labels={names.INJECTION_LABEL: names.ENABLED})
        yield product


def does_nothing(product: kit.Product) -> bool:
    conditions = spec(product).get("matchConditions")
    return bool(conditions == policy_objects.CONDITIONS)


def change(product: kit.Product, **fields: Any) -> None:
    product.plane.client.request("PATCH", INJECTION, {"spec": fields}, **kit.PATCH)


def compiled(product: kit.Product, reason: str) -> kit.Json:
    """The condition of this version of the injection, as soon as it has that reason."""

    def found() -> kit.Json:
        thing = product.plane.client.get(INJECTION)
        seen = kit.condition(thing, "Compiled")
        is_new = seen.get("observedGeneration") == thing["metadata"]["generation"]
        return seen if is_new and seen["reason"] == reason else {}

    return product.plane.wait(f"Compiled is {reason}", found, seconds=SECONDS)


def sidecars(product: kit.Product, **labels: str) -> list[str]:
    """The images that a pod gets that is created now."""
    body = kit.with_metadata(kit.pod("now"), labels=labels)
    pod = product.create_pod(TEAM, body, dry_run=True)
    return [each["image"] for each in pod["spec"]["containers"][1:]]


def without_an_operator(product: kit.Product) -> None:
    """The next replica has the name of the one before, so that the Lease is its own."""
    for replica in product.replicas:
        replica.kill()
    product.replicas.clear()


def with_an_operator(product: kit.Product) -> None:
    product.operators.add().wait_ready()


def test_pods_have_their_sidecar_while_no_replica_runs(product: kit.Product) -> None:
    assert does_nothing(product)
    body = kit.injection(kind=names.CLUSTER_KIND, **ENGINE)
    product.plane.client.request("POST", release.CLUSTER_INJECTIONS, body)
    condition = compiled(product, "InForce")
    assert condition["status"] == "True"

    without_an_operator(product)
    assert sidecars(product) == ["sidecar:1"]
    pods = product.plane.client.get(path())
    assert [each["manager"] for each in pods["metadata"]["managedFields"]] == ["helm"]


def test_the_policy_follows_the_injection_and_its_engine(product: kit.Product) -> None:
    with_an_operator(product)
    template = kit.injection(container="other")["spec"]["template"]
    change(product, template=template)
    compiled(product, "InForce")
    change(product, engine="Webhook")
    product.plane.wait("the policy does nothing", lambda: does_nothing(product), seconds=SECONDS)
    product.plane.wait(
        "the condition is gone",
        lambda: not kit.condition(product.plane.client.get(INJECTION), "Compiled"),
        seconds=SECONDS,
    )
    assert sidecars(product) == ["other:1"], "by the webhook"
    change(product, **ENGINE)
    compiled(product, "InForce")


def test_what_the_operator_writes_is_what_the_command_line_makes(product: kit.Product) -> None:
    config = product.plane.kubeconfig
    answer = cli.read(config, "compile", "--check", "--guard")
    assert {each["kind"]: each["state"] for each in answer["objects"]} == {
        api.POLICIES.kind: "same", api.POLICY_BINDINGS.kind: "same",
    }  # fmt: skip
    findings = cli.read(config, "check", "-n", TEAM)["findings"]
    assert [each["level"] for each in findings if each["check"] == "policies"] == ["ok"]
    (shown,) = cli.read(config, "status")["injections"]
    assert shown["engine"] == "Policy"
    change(product, engine="Webhook")
    product.plane.wait("the policy does nothing", lambda: does_nothing(product), seconds=SECONDS)
    assert cli.read(config, "compile", "--check", "--guard")["objects"] == []
    findings = cli.read(config, "check", "-n", TEAM)["findings"]
    assert not [each for each in findings if each["check"] == "policies"]
    change(product, **ENGINE)
    compiled(product, "InForce")


def test_the_policy_means_the_pods_that_the_webhook_is_called_for(product: kit.Product) -> None:
    plane, before = product.plane, spec(product)
    chart = (*release.RELEASE, str(installing.CHART), "--reuse-values")
    narrowed = [f"webhook.{each}" for each in (
        "namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name=team",
        "objectSelector.matchLabels.tier=web", "matchConditions[0].name=not-of-the-ci",
        "matchConditions[0].expression=!('ci' in object.metadata.labels)",
    )]  # fmt: skip
    plane.helm("upgrade", *chart, *(word for each in narrowed for word in ("--set", each)))
    plane.wait("the policy follows", lambda: spec(product) != before, seconds=SECONDS)
    answer = cli.read(plane.kubeconfig, "compile", "--check")
    assert {each["state"] for each in answer["objects"]} == {"same"}

    without_an_operator(product)
    plane.wait("it is in force", lambda: sidecars(product, tier="batch") == [])
    assert sidecars(product, tier="web") == ["other:1"]
    assert sidecars(product, tier="web", ci="yes") == []
    with_an_operator(product)
    plane.helm("rollback", *release.RELEASE)
    plane.wait("the policy follows", lambda: spec(product) == before, seconds=SECONDS)


def test_without_a_webhook_the_policy_is_left_as_it_is(product: kit.Product) -> None:
    """Nobody can say which pods it should mean."""
    plane, before = product.plane, spec(product)
    webhook = plane.client.get(WEBHOOK)["webhooks"]
    plane.client.request("PATCH", WEBHOOK, {"webhooks": None}, **kit.PATCH)
    change(product, template=kit.injection(container="later")["spec"]["template"])
    condition = compiled(product, "NotWritten")
    assert "has no entry pods.sidecar-injector.dev" in condition["message"]
    assert spec(product) == before
    change(product, template=kit.injection(container="other")["spec"]["template"])
    plane.client.request("PATCH", WEBHOOK, {"webhooks": webhook}, **kit.PATCH)
    compiled(product, "InForce")


@pytest.mark.parametrize("resource", EDITS, ids=lambda resource: resource.kind)
def test_a_change_by_hand_is_undone(product: kit.Product, resource: api.Resource) -> None:
    edit_until_mended(product, resource)


def test_an_upgrade_keeps_what_the_operator_wrote(product: kit.Product) -> None:
    """No replica runs, which would put it back."""
    without_an_operator(product)
    plane, before = product.plane, [spec(product, resource) for resource in OBJECTS]
    chart = (*release.RELEASE, str(installing.CHART))
    plane.helm("upgrade", *chart, "--reuse-values", "--set", "settings.logLevel=debug")
    assert [spec(product, resource) for resource in OBJECTS] == before
    assert sidecars(product) == ["other:1"]


def test_a_rollback_is_no_conflict_and_its_policy_is_replaced(product: kit.Product) -> None:
    before = spec(product)
    product.plane.helm("rollback", *release.RELEASE, "1")
    assert does_nothing(product), "that was in the first release"
    with_an_operator(product)
    product.plane.wait("it is back", lambda: spec(product) == before, seconds=SECONDS)


def test_without_the_right_to_update_the_webhook_goes_on(product: kit.Product) -> None:
    plane = product.plane
    change(product, priority=3)
    compiled(product, "InForce")
    rules = plane.client.get(ROLE)["rules"]
    (index,) = [n for n, rule in enumerate(rules) if api.POLICIES.plural in rule["resources"]]
    where = f"/rules/{index}/verbs"
    take = [{"op": "replace", "path": where, "value": ["list", "watch"]}]
    plane.client.request("PATCH", ROLE, take, **JSON_PATCH)
    change(product, template=kit.injection(container="third")["spec"]["template"])
    condition = compiled(product, "NotWritten")
    assert condition["status"] == "False"
    assert "cannot update" in condition["message"]
    change(product, priority=1)
    compiled(product, "NotWritten")
    notes = [event["note"] for event in plane.client.get(EVENTS)["items"]]
    assert [note for note in notes if api.POLICIES.kind in note] == [
        condition["message"].partition(": ")[2]
    ]
    own = kit.injection("own", container="own", selector={"matchLabels": {"own": "yes"}})
    product.create_injection(TEAM, own)
    assert "own:1" in sidecars(product, own="yes"), "by the webhook"

    give = [{"op": "replace", "path": where, "value": rules[index]["verbs"]}]
    plane.client.request("PATCH", ROLE, give, **JSON_PATCH)
    change(product, priority=2)
    compiled(product, "InForce")
    assert sidecars(product) == ["third:1"]


def test_uninstalling_leaves_no_policy(product: kit.Product) -> None:
    """The last test of this file: the replica outlives the release, and writes nothing back."""
    product.plane.helm("uninstall", *release.RELEASE, "--wait")
    kinds = ",".join(resource.plural for resource in OBJECTS)
    text = product.plane.kubectl("get", kinds, "-o", "name").stdout
    assert names.PRODUCT not in text
