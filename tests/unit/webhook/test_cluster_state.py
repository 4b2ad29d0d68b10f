"""What admission knows about the cluster, as the caches report changes."""

from __future__ import annotations

import copy

import pytest

from sidecar_injector import names
from sidecar_injector.webhook import cluster_state
from tests.kits.samples import NAMESPACE, container, resource


@pytest.fixture
def known():
    return cluster_state.ClusterState(release_namespace="ours")


def namespace(name=NAMESPACE, **labels):
    return {"metadata": {"name": name, "labels": labels, "annotations": {"a": "b"}}}


ENABLED = {names.INJECTION_LABEL: names.ENABLED}


def add(known, *resources):
    for one in resources:
        name = one["metadata"]["name"]
        if one["kind"] == names.CLUSTER_KIND:
            known.cluster_injection_changed(("", name), None, one)
        else:
            known.injection_changed((one["metadata"]["namespace"], name), None, one)


def references(known, where=NAMESPACE):
    return [one.reference for one in known.injections(where)]


def test_a_known_and_enabled_namespace_is_taken_as_the_cache_has_it(known):
    known.namespace_changed(("", NAMESPACE), None, namespace(**ENABLED, tier="gold"))
    found = known.known(NAMESPACE)
    world, behind = found.world, found.behind
    assert not behind
    assert world.namespace.labels == {**ENABLED, "tier": "gold"}
    assert world.namespace.annotations == {"a": "b"}
    assert world.release_namespace == "ours"


@pytest.mark.parametrize("labels", [None, {}, {names.INJECTION_LABEL: "disabled", "tier": "x"}])
def test_a_call_proves_that_its_namespace_is_enabled_and_nothing_else(known, labels):
    if labels is not None:
        known.namespace_changed(("", NAMESPACE), None, namespace(**labels))
    found = known.known(NAMESPACE)
    world, behind = found.world, found.behind
    assert behind
    assert world.namespace.labels == {**ENABLED, names.NAMESPACE_NAME_LABEL: NAMESPACE}


def test_a_namespace_may_lose_its_metadata_and_itself(known):
    known.namespace_changed(("", NAMESPACE), None, namespace(**ENABLED))
    bare = {"metadata": {"name": NAMESPACE, "labels": None}}
    known.namespace_changed(("", NAMESPACE), namespace(**ENABLED), bare)
    assert known.namespace(NAMESPACE).labels == {}
    known.namespace_changed(("", NAMESPACE), bare, None)
    assert known.namespace(NAMESPACE) is None
    known.namespace_changed(("", NAMESPACE), None, None)


def test_injections_are_those_of_the_namespace_and_of_the_cluster_in_order(known):
    add(known, resource("b"), resource("a"), resource("c", cluster=True), resource("p", priority=1))
    other = resource("x")
    other["metadata"]["namespace"] = "other"
    add(known, other)
    assert references(known) == ["p", "cluster/c", "a", "b"]
    assert references(known, "other") == ["cluster/c", "x"]
    assert references(known, "empty") == ["cluster/c"]


def test_a_change_is_seen_by_the_next_call(known):
    one = resource("a")
    add(known, one)
    before = known.injections(NAMESPACE)[0]
    changed = resource("a", template={"spec": {"containers": [container("other")]}})
    known.injection_changed((NAMESPACE, "a"), one, changed)
    after = known.injections(NAMESPACE)[0]
    assert after.template_spec["containers"][0]["name"] == "other"
    assert before.hash != after.hash


@pytest.mark.parametrize("cluster", [False, True])
def test_a_deleted_injection_is_gone_with_the_next_call(known, cluster):
    one = resource("a", cluster=cluster)
    add(known, one)
    assert len(known.injections(NAMESPACE)) == 1
    if cluster:
        known.cluster_injection_changed(("", "a"), one, None)
    else:
        known.injection_changed((NAMESPACE, "a"), one, None)
    assert known.injections(NAMESPACE) == ()


def test_a_new_cluster_injection_reaches_every_namespace_at_once(known):
    for where in ("one", "two"):
        assert references(known, where) == []
    add(known, resource("c", cluster=True))
    for where in ("one", "two"):
        assert references(known, where) == ["cluster/c"]


def test_our_own_write_to_status_compiles_nothing_anew(known):
    one = resource("a")
    add(known, one)
    before = known.known(NAMESPACE)
    written = copy.deepcopy(one) | {"status": {"observedGeneration": 1}}
    known.injection_changed((NAMESPACE, "a"), one, written)
    assert known.known(NAMESPACE) is before


def test_one_that_was_made_anew_under_its_name_is_known_by_its_new_identity(known):
    one = resource("a")
    one["metadata"]["uid"] = "first"
    add(known, one)
    again = copy.deepcopy(one)
    again["metadata"] |= {"uid": "second", "generation": 7}
    known.injection_changed((NAMESPACE, "a"), one, again)
    (found,) = known.injections(NAMESPACE)
    assert (found.uid, found.generation) == ("second", 7)


def test_an_item_of_a_list_comes_without_its_kind(known):
    for cluster in (False, True):
        one = resource("a", cluster=cluster)
        bare = {key: value for key, value in one.items() if key not in ("kind", "apiVersion")}
        if cluster:
            known.cluster_injection_changed(("", "a"), None, bare)
        else:
            known.injection_changed((NAMESPACE, "a"), None, bare)
    assert [one.kind for one in known.injections(NAMESPACE)] == [names.CLUSTER_KIND, names.KIND]


def test_an_injection_that_is_broken_does_not_hide_the_others(known):
    broken = resource("broken")
    broken["spec"] = [1]
    add(known, broken, resource("a"))
    errors = {one.name: bool(one.errors) for one in known.injections(NAMESPACE)}
    assert errors == {"a": False, "broken": True}


@pytest.mark.parametrize("cluster", [False, True])
def test_whatever_changes_makes_another_world_where_it_counts(known, cluster):
    known.namespace_changed(("", NAMESPACE), None, namespace(**ENABLED))
    known.namespace_changed(("", "other"), None, namespace("other", **ENABLED))
    before, elsewhere = known.known(NAMESPACE), known.known("other")
    assert known.known(NAMESPACE) is before
    add(known, resource("a", cluster=cluster))
    after = known.known(NAMESPACE)
    assert after.serial != before.serial
    assert (known.known("other") is elsewhere) is not cluster
    known.accounts.changed((NAMESPACE, "robot"), None, {})
    assert known.known(NAMESPACE) is not after
    last = known.known(NAMESPACE)
    known.namespace_changed(("", NAMESPACE), None, namespace(**ENABLED))
    assert known.known(NAMESPACE) is last
    known.namespace_changed(("", NAMESPACE), None, namespace(**ENABLED, tier="gold"))
    assert known.known(NAMESPACE) is not last


def test_only_so_many_namespaces_are_kept_compiled(known, monkeypatch):
    monkeypatch.setattr(cluster_state, "MOST_KNOWN", 3)
    first = known.known("n0")
    for number in range(1, 4):
        known.known(f"n{number}")
    assert known.known("n0") is not first
    assert known.known("n0") is known.known("n0")


def test_while_service_accounts_are_being_listed_nothing_is_kept(known):
    template = {"spec": {"containers": [container("a")], "serviceAccountName": "robot"}}
    add(known, resource("a", template=template))
    assert known.known(NAMESPACE) is not known.known(NAMESPACE)
