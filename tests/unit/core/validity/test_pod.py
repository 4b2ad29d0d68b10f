"""Would the API server refuse the pod because of us? The tables are tried on a real one too."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest

from sidecar_injector.core.pods import shapes
from sidecar_injector.core.validity import pod as pod_rules
from sidecar_injector.core.validity.pod_security import Policy
from tests.kits import broken_pods, validity

SEED = 7
UNUSUAL = (None, [], {}, "", -1, 1.5, True, "x", ["x"], {"x": 1}, [[]], [{"x": []}])
REFUSED = validity.cases("refused")
RULES = [case for case in REFUSED if case.policy == validity.ANYTHING]
SIDECAR = {"name": "harmless", "image": "example/harmless:1"}


def by_name(case: validity.Case) -> str:
    return case.name


@pytest.mark.parametrize("case", REFUSED, ids=by_name)
def test_what_would_be_refused_because_of_us_is_said_in_a_sentence(case: validity.Case) -> None:
    sentence = validity.verdict(case.before, case.after, policy=case.policy)
    assert sentence
    assert case.says in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize("case", validity.cases("accepted"), ids=by_name)
def test_what_would_be_accepted_is_left_alone(case: validity.Case) -> None:
    assert validity.verdict(case.before, case.after, policy=case.policy) is None


@pytest.mark.parametrize("case", RULES, ids=by_name)
def test_what_the_author_did_wrong_is_not_held_against_what_is_added(case: validity.Case) -> None:
    author = copy.deepcopy(case.after)
    if "windows" in case.says or "grace" in case.says:
        assert pod_rules.problem(before=author, after=author) is None
    after = validity.with_added(author, {"containers": [SIDECAR]})
    first = copy.deepcopy(after)
    first["spec"]["containers"].insert(0, first["spec"]["containers"].pop())
    assert pod_rules.problem(before=author, after=after) is None
    assert pod_rules.problem(before=author, after=first) is None


def test_a_wrong_part_of_the_author_does_not_hide_one_of_ours() -> None:
    author = validity.pod({"labels": {"a": "b c"}, "hostPID": True})
    after = validity.with_added(author, {"shareProcessNamespace": True, "labels": {"d": "e f"}})
    assert "label 'd'" in str(pod_rules.problem(before=author, after=after))


def test_sharing_objects_with_the_authors_pod_saves_time_and_changes_nothing() -> None:
    draw = broken_pods.Draw(SEED)
    verdicts = set()
    for _ in range(150):
        before, after, _ = draw.pair()
        verdict = pod_rules.problem(before=before, after=after)
        assert pod_rules.problem(before=before, after=copy.deepcopy(after)) == verdict
        verdicts.add(verdict is None)
    assert verdicts == {True, False}


class Untouchable(dict[str, Any]):
    """A variable that must not be looked at."""

    def get(self, *_: Any) -> NoReturn:
        raise AssertionError("looked at a variable of the author's")

    __getitem__ = get  # type: ignore[assignment]


def test_the_authors_thousands_of_variables_are_not_looked_at_unless_something_is_wrong() -> None:
    variables = [Untouchable(name=f"V{number}") for number in range(2000)]
    app = {"name": "app", "image": "x", "env": variables}
    before = validity.pod({"containers": [app]})
    beside = validity.with_added(before, {"containers": [SIDECAR]})
    assert pod_rules.problem(before=before, after=beside) is None
    good = {"name": "a", "value": "c"}
    for env in ([good, *variables], [*variables[:1000], good, *variables[1000:]]):
        after = {**before, "spec": {"containers": [{**app, "env": env}]}}
        assert pod_rules.problem(before=before, after=after) is None


def test_one_wrong_variable_among_thousands_is_found() -> None:
    variables = [{"name": f"V{number}"} for number in range(2000)]
    app = {"name": "app", "image": "x", "env": variables}
    before = validity.pod({"containers": [app]})
    bad = {"name": "a=b", "value": "c"}
    for env in ([bad, *variables], [*variables, bad], [*variables[:1000], bad, *variables[1000:]]):
        after = {**before, "spec": {"containers": [{**app, "env": env}]}}
        assert "'a=b'" in str(pod_rules.problem(before=before, after=after))


def test_the_authors_containers_are_looked_at_again_once_what_they_depend_on_changes() -> None:
    device = {"name": "v", "devicePath": "/dev/v"}
    before = validity.pod({
        "containers": [{"name": "app", "image": "x", "volumeDevices": [device]}],
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}],
    })  # fmt: skip
    in_user_namespace = validity.with_added(before, {"hostUsers": False})
    assert "volumeDevices" in str(pod_rules.problem(before=before, after=in_user_namespace))
    spec = {**before["spec"], "volumes": []}
    without_volume = {**before, "spec": spec}
    assert "is not there" in str(pod_rules.problem(before=before, after=without_volume))


def test_a_container_that_moves_to_the_other_list_is_judged_again() -> None:
    app = {"name": "app", "image": "x"}
    probed = {"name": "p", "image": "x", "livenessProbe": {"tcpSocket": {"port": 80}}}
    before = validity.pod({"containers": [app, probed]})
    after = validity.pod({"containers": [app], "initContainers": [probed]})
    assert "livenessProbe is not for" in str(pod_rules.problem(before=before, after=after))


def test_no_json_of_the_known_shape_makes_it_fail() -> None:
    """What is of another type inside of it counts as absent or is named, and never raises."""
    tried = 0
    for case in validity.cases("accepted"):
        for path in _paths(case.after["spec"]):
            for value in UNUSUAL:
                spoilt = _spoilt(case.after, path, value)
                if not any(shapes.problems(shapes.POD, spoilt)):
                    tried += 1
                    validity.verdict(case.before, spoilt, policy=Policy("restricted"))
                    validity.verdict(spoilt, case.before, policy=Policy("baseline"))
    assert tried > 1000


def _paths(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Of everything inside of an object or a list."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in inside:
        yield (*above, key)
        if isinstance(item, dict | list):
            yield from _paths(item, (*above, key))


def _spoilt(pod: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """A copy of the pod with something else at a path of its spec."""
    copied = copy.deepcopy(pod)
    parent = copied["spec"]
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = copy.deepcopy(value)
    return copied


@pytest.mark.parametrize(("length", "is_valid"), [(251, True), (252, False)])
def test_the_claim_of_an_ephemeral_volume_is_named_after_the_pod(
    length: int, is_valid: bool
) -> None:
    before, after = validity.with_ephemeral_volume("a" * length)
    assert (validity.verdict(before, after) is None) is is_valid
