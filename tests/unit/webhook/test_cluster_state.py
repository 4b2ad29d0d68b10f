"""What admission knows about the cluster, as the caches report changes."""

from __future__ import annotations

import copy

import pytest

from sidecar_injector import names
from sidecar_injector.webhook import cluster_state
from tests.kits.samples import NAMESPACE, container, injection, resource


@pytest.fixture
def state():
    return cluster_state.ClusterState(release_namespace="ours")


def namespace(name=NAMESPACE, **labels):
    return {"metadata": {"name": name, "labels": labels, "annotations": {"a": "b"}}}


ENABLED = {names.INJECTION_LABEL: names.ENABLED}


def change(state, old, new, *, cluster=False):
    """An informer reports a change of an injection."""
    metadata = (new or old)["metadata"]
    key = metadata.get("namespace", ""), metadata["name"]
    changed = state.cluster_injection_changed if cluster else state.injection_changed
    changed(key, old, new)


def add(state, *resources):
    for raw in resources:
        change(state, None, raw, cluster=raw["kind"] == names.CLUSTER_KIND)


def injections(state, where=NAMESPACE):
    return state.of_namespace(where).view.injections


def references(state, where=NAMESPACE):
    return [injection.reference for injection in injections(state, where)]


def test_a_known_and_enabled_namespace_is_taken_as_the_cache_has_it(state):
    state.namespace_changed(("", NAMESPACE), None, namespace(**ENABLED, tier="gold"))
    compiled = state.of_namespace(NAMESPACE)
    view = compiled.view
    assert not compiled.cache_is_behind
    assert view.namespace.labels == {**ENABLED, "tier": "gold"}
    assert view.namespace.annotations == {"a": "b"}
    assert view.release_namespace == "ours"


@pytest.mark.parametrize("labels", [None, {}, {names.INJECTION_LABEL: "disabled", "tier": "x"}])
def test_a_call_proves_that_its_namespace_is_enabled_and_nothing_else(state, labels):
    if labels is not None:
        state.namespace_changed(("", NAMESPACE), None, namespace(**labels))
    compiled = state.of_namespace(NAMESPACE)
    view = compiled.view
    assert compiled.cache_is_behind
    assert view.namespace.labels == {**ENABLED, names.NAMESPACE_NAME_LABEL: NAMESPACE}


def test_a_namespace_may_lose_its_metadata_and_itself(state):
    state.namespace_changed(("", NAMESPACE), None, namespace(**ENABLED))
    bare = {"metadata": {"name": NAMESPACE, "labels": None}}
    state.namespace_changed(("", NAMESPACE), namespace(**ENABLED), bare)
    assert state.namespace(NAMESPACE).labels == {}
    state.namespace_changed(("", NAMESPACE), bare, None)
    assert state.namespace(NAMESPACE) is None
    state.namespace_changed(("", NAMESPACE), None, None)


def test_injections_are_those_of_the_namespace_and_of_the_cluster_in_order(state):
    add(state, resource("b"), resource("a"), resource("c", cluster=True), resource("p", priority=1))
    other = resource("x")
    other["metadata"]["namespace"] = "other"
    add(state, other)
    assert references(state) == ["p", "cluster/c", "a", "b"]
    assert references(state, "other") == ["cluster/c", "x"]
    assert references(state, "empty") == ["cluster/c"]


def test_a_change_is_seen_by_the_next_call(state):
    injection = resource("a")
    add(state, injection)
    before = injections(state)[0]
    changed = resource("a", template={"spec": {"containers": [container("other")]}})
    change(state, injection, changed)
    after = injections(state)[0]
    assert after.template_spec["containers"][0]["name"] == "other"
    assert before.hash != after.hash


@pytest.mark.parametrize("cluster", [False, True])
def test_a_deleted_injection_is_gone_with_the_next_call(state, cluster):
    injection = resource("a", cluster=cluster)
    add(state, injection)
    assert len(injections(state)) == 1
    change(state, injection, None, cluster=cluster)
    assert injections(state) == ()


def test_a_new_cluster_injection_reaches_every_namespace_at_once(state):
    for where in ("one", "two"):
        assert references(state, where) == []
    add(state, resource("c", cluster=True))
    for where in ("one", "two"):
        assert references(state, where) == ["cluster/c"]


def test_our_own_write_to_status_compiles_nothing_again(state):
    injection = resource("a")
    add(state, injection)
    state.namespace_changed(("", NAMESPACE), None, namespace(**ENABLED))
    before = state.of_namespace(NAMESPACE)
    written = copy.deepcopy(injection) | {"status": {"observedGeneration": 1}}
    change(state, injection, written)
    assert state.of_namespace(NAMESPACE) is before


def test_a_recreated_injection_is_known_by_its_new_identity(state):
    injection = resource("a")
    injection["metadata"]["uid"] = "first"
    add(state, injection)
    again = copy.deepcopy(injection)
    again["metadata"] |= {"uid": "second", "generation": 7}
    change(state, injection, again)
    (compiled,) = injections(state)
    assert (compiled.uid, compiled.generation) == ("second", 7)


def test_an_item_of_a_list_comes_without_its_kind(state):
    for cluster in (False, True):
        injection = resource("a", cluster=cluster)
        bare = {key: value for key, value in injection.items() if key not in ("kind", "apiVersion")}
        change(state, None, bare, cluster=cluster)
    assert [injection.kind for injection in injections(state)] == [
        names.CLUSTER_KIND,
        names.KIND,
    ]


def test_an_injection_that_is_broken_does_not_hide_the_others(state):
    broken = resource("broken")
    broken["spec"] = [1]
    add(state, broken, resource("a"))
    errors = {injection.name: bool(injection.errors) for injection in injections(state)}
    assert errors == {"a": False, "broken": True}


@pytest.mark.parametrize("cluster", [False, True])
def test_whatever_changes_makes_another_world_where_it_counts(state, cluster):
    state.namespace_changed(("", NAMESPACE), None, namespace(**ENABLED))
    state.namespace_changed(("", "other"), None, namespace("other", **ENABLED))
    before, elsewhere = state.of_namespace(NAMESPACE), state.of_namespace("other")
    assert state.of_namespace(NAMESPACE) is before
    add(state, resource("a", cluster=cluster))
    after = state.of_namespace(NAMESPACE)
    assert after.serial != before.serial
    assert (state.of_namespace("other") is elsewhere) is not cluster
    state.service_accounts.changed((NAMESPACE, "robot"), None, {})
    assert state.of_namespace(NAMESPACE) is not after
    last = state.of_namespace(NAMESPACE)
    state.namespace_changed(("", NAMESPACE), None, namespace(**ENABLED))
    assert state.of_namespace(NAMESPACE) is last
    state.namespace_changed(("", NAMESPACE), None, namespace(**ENABLED, tier="gold"))
    assert state.of_namespace(NAMESPACE) is not last


def test_a_namespace_of_which_only_a_request_knows_is_never_kept(state):
    add(state, resource("c", cluster=True))
    first = state.of_namespace("made-up")
    assert not first.is_kept
    assert references(state, "made-up") == ["cluster/c"]
    assert state.of_namespace("made-up") is not first
    assert state.of_namespace("made-up").serial != first.serial

    state.namespace_changed(("", "made-up"), None, namespace("made-up", **ENABLED))
    kept = state.of_namespace("made-up")
    assert kept.is_kept
    assert state.of_namespace("made-up") is kept


def test_all_namespaces_share_the_index_of_the_cluster(state):
    """A thousand injections in a thousand namespaces take the memory of a thousand."""
    gold = {"namespaceSelector": {"matchLabels": {"tier": "gold"}}}
    for number in range(100):
        add(state, resource(f"c{number}", cluster=True, **(gold if number % 2 else {})))
    for number in range(300):
        labels = {**ENABLED, "tier": "gold" if number % 3 else "iron"}
        state.namespace_changed(("", f"n{number}"), None, namespace(f"n{number}", **labels))
    views = [state.of_namespace(f"n{number}").view for number in range(300)]
    assert len({id(view.cluster) for view in views}) == 1
    assert len({id(view.in_cluster) for view in views}) == 2, "equal sets are one object"
    assert {len(list(view.candidates({}))) for view in views} == {50, 100}

    add(state, resource("more", cluster=True))
    assert state.of_namespace("n0").view.cluster is not views[0].cluster
    assert len(list(state.of_namespace("n1").view.candidates({}))) == 101


def test_while_service_accounts_are_being_listed_nothing_is_kept(state):
    template = {"spec": {"containers": [container("a")], "serviceAccountName": "robot"}}
    state.namespace_changed(("", NAMESPACE), None, namespace(**ENABLED))
    add(state, resource("a", template=template))
    assert not state.of_namespace(NAMESPACE).is_kept
    assert state.of_namespace(NAMESPACE) is not state.of_namespace(NAMESPACE)


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        (NAMESPACE, {**ENABLED, "team": "a"}, True),
        (NAMESPACE, {**ENABLED, "team": "b"}, False),
        (NAMESPACE, {"team": "a"}, False),
        ("kube-system", {**ENABLED, "team": "a"}, False),
        ("ours", {**ENABLED, "team": "a"}, False),
    ],
)
def test_an_injection_of_the_cluster_has_a_namespace_or_not(state, name, labels, expected):
    selecting = injection(cluster=True, namespaceSelector={"matchLabels": {"team": "a"}})
    assert not state.has_namespace(selecting)
    state.namespace_changed(("", name), None, namespace(name, **labels))
    assert state.has_namespace(selecting) is expected
