"""A pod that was asked about before gets the same answer, and nobody else does."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
import trouble
from admission_kit import Server, review
from samples import NAMESPACE, container, pod, resource

from sidecar_injector.core import decide, world
from sidecar_injector.server import answers, memory

TOKEN = "kube-api-access-abcde"
OTHER = "kube-api-access-x9z8y"
ODD = [None, "", "x", 0, 7, True, [], {}]


def with_token(thing: dict[str, Any], name: str = TOKEN) -> dict[str, Any]:
    """As the API server hands it on: with the volume of the token, mounted in every container."""
    made = copy.deepcopy(thing)
    spec = made["spec"]
    volume = {"name": name, "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
    spec["volumes"] = [*(spec.get("volumes") or ()), volume]
    for one in (*spec["containers"], *(spec.get("initContainers") or ())):
        mount = {"name": name, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
        one["volumeMounts"] = [*(one.get("volumeMounts") or ()), {**mount, "readOnly": True}]
    return made


def troubled(draw: trouble.Draw) -> Server:
    """One whose injections are random."""
    server = Server()
    for one in draw.injections():
        group = server.known._namespaced.setdefault(NAMESPACE, {})
        (server.known._cluster if one.is_cluster else group)[one.name] = one
    return server


def remembered(server: Server, thing: dict[str, Any]) -> answers.Answer:
    asked = review(thing)["request"]
    return server.admission._answer(asked, server.known.known(NAMESPACE))


def decided(server: Server, thing: dict[str, Any]) -> answers.Answer:
    question = world.Request(namespace=NAMESPACE, pod=thing)
    return answers.of(decide.decide(question, server.known.known(NAMESPACE).world))


def said(answer: answers.Answer) -> tuple[Any, ...]:
    lines = [(one.injection.name, one.reason, one.message) for one in answer.decision.skipped]
    return answer.response, answer.verdict, answer.reasons, answer.message, answer.patch, lines


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in it, containers included."""
    if path:
        yield path
    members: Any = value.items() if isinstance(value, dict) else ()
    for key, below in enumerate(value) if isinstance(value, list) else members:
        yield from leaves(below, (*path, key))


def changed(thing: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    made = copy.deepcopy(thing)
    holder = made
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    return made


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often it was decided."""
    times = [0]
    original = decide.decide

    def decide_and_count(*arguments: Any) -> Any:
        times[0] += 1
        return original(*arguments)

    monkeypatch.setattr(decide, "decide", decide_and_count)
    return times


def test_pods_of_one_template_are_decided_about_once(counting: list[int]) -> None:
    server = Server(resource())
    for number, name in enumerate((TOKEN, OTHER, TOKEN)):
        thing = with_token(pod(), name)
        thing["metadata"] |= {
            "generateName": "web-1-",
            "managedFields": [{"time": f"2026-01-01T00:00:0{number}Z"}],
            "ownerReferences": [{"apiVersion": "v1", "kind": "X", "name": "x", "uid": str(number)}],
        }
        assert "patch" in server.response(thing, uid=str(number))
    assert counting == [1]
    assert server.count("admission_requests_total", result="Injected") == 3
    assert server.count("decisions_total", reason="Injected") == 3


def test_every_answer_has_the_uid_of_its_own_question() -> None:
    server = Server(resource())
    given = [server.response(pod(), uid=uid) for uid in ("a", 'b"\\', "é")]
    assert [one.pop("uid") for one in given] == ["a", 'b"\\', "é"]
    assert given[0] == given[1] == given[2]


def test_a_change_of_what_is_known_is_in_force_at_once() -> None:
    server = Server(resource())
    assert "patch" in server.response(pod())
    server.known.injection_changed((NAMESPACE, "log"), None, None)
    assert "patch" not in server.response(pod())


@pytest.mark.parametrize("number", range(60))
def test_no_change_of_a_pod_gets_the_answer_of_another_one(number: int) -> None:
    """For every value in a random pod, changed to something else and taken out."""
    draw = trouble.Draw(trouble.SEED + number)
    server = troubled(draw)
    first = with_token(draw.pod())
    assert said(remembered(server, first)) == said(decided(server, first))
    for path in leaves(first):
        other = changed(first, path, draw.choice(ODD))
        try:
            expected = said(decided(server, other))
        except (TypeError, AttributeError, KeyError):
            # Of a shape that no API server sends: what counts is that it is not remembered.
            continue
        assert said(remembered(server, other)) == expected, path


@pytest.mark.parametrize("number", range(300))
def test_the_name_of_the_token_volume_makes_no_difference(number: int) -> None:
    draw = trouble.Draw(trouble.SEED + number)
    server = troubled(draw)
    thing = draw.pod()
    one, other = with_token(thing), with_token(thing, OTHER)
    remembered(server, one)
    assert said(remembered(server, other)) == said(decided(server, other))


@pytest.mark.parametrize(
    "spec",
    [
        {"template": {"spec": {"containers": [container("s")],
                               "volumes": [{"name": TOKEN, "emptyDir": {}}]}},
         "applicationContainers": {"volumeMounts": [{"name": TOKEN, "mountPath": "/x"}]}},
        {"template": {"spec": {"containers": [container("s")]}},
         "inherit": {"volumeMounts": {"exclude": ["*-abcde"]}}},
    ],
)  # fmt: skip
def test_an_injection_that_minds_the_name_is_decided_anew(
    spec: dict[str, Any], counting: list[int]
) -> None:
    server = Server(resource(**spec))
    for name in (TOKEN, OTHER):
        thing = with_token(pod(), name)
        thing["spec"]["containers"][0]["volumeMounts"].append({"name": name, "mountPath": "/own"})
        assert said(remembered(server, thing)) == said(decided(server, thing))
    assert counting == [4]


def test_an_answer_that_names_the_volume_is_not_kept(counting: list[int]) -> None:
    server = Server(resource(inherit={"volumeMounts": {}}))
    for name in (TOKEN, OTHER):
        thing = with_token(pod(), name)
        thing["spec"]["containers"][0]["volumeMounts"].append({"name": name, "mountPath": "/own"})
        patch = json.loads(remembered(server, thing).patch)
        assert name in json.dumps(patch)
    assert counting == [2]


def test_only_so_many_answers_are_kept_and_the_latest_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MOST", 3)
    server = Server(resource())
    one = remembered(server, pod())
    for number in range(20):
        remembered(server, pod(labels={"number": str(number)}))
        assert remembered(server, pod()) is one
    kept = server.admission._memory
    assert len(kept._young) <= 3
    assert len(kept._old) <= 3


def test_a_pod_that_nests_too_deep_for_a_key_is_decided_about() -> None:
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    thing = {**pod(), "extra": deep}
    assert remembered(Server(resource()), thing).verdict == "Injected"
