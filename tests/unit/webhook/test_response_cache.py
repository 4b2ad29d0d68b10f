"""A review that came before gets the same outcome, and no other one does."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import orjson
import pytest

from sidecar_injector.core import decide
from sidecar_injector.webhook import decision_log, response_cache
from tests.kits import random_pods as trouble
from tests.kits.admission import Server, review
from tests.kits.samples import NAMESPACE, container, pod, resource

TOKEN = "kube-api-access-abcde"
OTHER = "kube-api-access-x9z8y"
ODD = [None, "", "x", 0, 7, True, [], {}]
MOUNT = {"readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}


def with_token(thing: dict[str, Any], name: str = TOKEN) -> dict[str, Any]:
    """As the API server hands it on: with the volume of the token, mounted in every container."""
    made = copy.deepcopy(thing)
    spec = made["spec"]
    volume = {"name": name, "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
    volumes = [*(spec.pop("volumes", None) or ()), volume]
    for one in (*spec["containers"], *(spec.get("initContainers") or ())):
        one["volumeMounts"] = [*(one.get("volumeMounts") or ()), {"name": name, **MOUNT}]
    # The API server writes the volumes first.
    return {**made, "spec": {"volumes": volumes, **spec}}


def managed(second: str) -> list[dict[str, Any]]:
    """What the API server notes about who made a pod, and when."""
    noted = {"manager": "m", "operation": "Update", "apiVersion": "v1", "time": second}
    return [{**noted, "fieldsType": "FieldsV1", "fieldsV1": {}}]


class Kept(NamedTuple):
    """Stands for an outcome."""

    name: str
    size: int = 10


class Subject:
    """A server whose every word is kept."""

    def __init__(self, *resources: Any) -> None:
        self.lines: list[decision_log.LogLine] = []
        self.server = Server(*resources, report=lambda line, _: self.lines.append(line))

    def said(self, thing: dict[str, Any], **changes: Any) -> tuple[Any, ...]:
        """All that is said about a pod."""
        response = self.server.response(thing, **changes)
        told = self.server.told[-1]
        skipped = [(one.injection.name, one.reason, one.message) for one in told.decision.skipped]
        line = self.lines[-1]
        return response, line.message, line.fields, line.members, told.owner, told.dry_run, skipped

    def decided(self, thing: dict[str, Any], **changes: Any) -> tuple[Any, ...]:
        """The same from one that knows as much and remembers nothing."""
        fresh = Subject()
        fresh.server.admission._known = self.server.known
        return fresh.said(thing, **changes)


def troubled(draw: trouble.Draw) -> Subject:
    """One whose injections are random."""
    subject = Subject()
    known = subject.server.known
    for one in draw.injections():
        group = known._namespaced.setdefault(NAMESPACE, {})
        (known._cluster if one.is_cluster else group)[one.name] = one
    return subject


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
    subject = Subject(resource())
    for number, name in enumerate((TOKEN, OTHER, TOKEN)):
        thing = with_token(pod(), name)
        thing["metadata"] = {"generateName": "web-1-"}
        thing["metadata"]["managedFields"] = managed(f"2026-01-01T00:00:0{number}Z")
        assert "patch" in subject.server.response(thing, uid=str(number))
    assert counting == [1]
    assert subject.server.count("admission_requests_total", result="Injected") == 3
    assert subject.server.count("decisions_total", reason="Injected") == 3
    assert subject.server.count("patch_bytes_count") == 3
    assert len(subject.lines) == len(subject.server.told) == 3


def test_a_known_review_is_not_even_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(resource())
    first = server.post(review(pod()))
    body = body_of(pod(), uid="0-0-0")
    monkeypatch.delattr(orjson, "loads")
    assert server.post(body).body == first.body.replace(b'"6-7-8"', b'"0-0-0"')


def test_every_answer_has_the_uid_of_its_own_question() -> None:
    server = Server(resource())
    given = [server.response(pod(), uid=uid) for uid in ("a", 'b"\\', "é", "b")]
    assert [one.pop("uid") for one in given] == ["a", 'b"\\', "é", "b"]
    assert given[0] == given[1] == given[2] == given[3]


def test_a_change_of_what_is_known_is_in_force_at_once() -> None:
    server = Server(resource())
    assert "patch" in server.response(pod())
    server.known.injection_changed((NAMESPACE, "log"), None, None)
    assert "patch" not in server.response(pod())


@pytest.mark.parametrize("number", range(60))
def test_no_change_of_a_review_gets_the_outcome_of_another_one(number: int) -> None:
    """For every value in a random pod, changed to something else."""
    draw = trouble.Draw(trouble.SEED + number)
    subject = troubled(draw)
    first = with_token(draw.pod())
    first["metadata"]["managedFields"] = managed("2026-01-01T00:00:00Z")
    assert subject.said(first) == subject.decided(first)
    for path in leaves(first):
        other = changed(first, path, draw.choice(ODD))
        try:
            expected = subject.decided(other)
        except IndexError:
            # Of a shape that no API server sends: nothing is said about it.
            continue
        assert subject.said(other) == expected, path


@pytest.mark.parametrize(
    "change", [{"dryRun": True}, {"operation": "UPDATE"}, {"subResource": "status"}]
)
def test_what_is_asked_about_a_pod_is_told_apart(change: dict[str, Any]) -> None:
    subject = Subject(resource())
    assert subject.said(pod()) != subject.said(pod(), **change) == subject.decided(pod(), **change)


@pytest.mark.parametrize("number", range(300))
def test_the_name_of_the_token_volume_makes_no_difference(number: int) -> None:
    draw = trouble.Draw(trouble.SEED + number)
    subject = troubled(draw)
    thing = draw.pod()
    subject.said(with_token(thing))
    other = with_token(thing, OTHER)
    assert subject.said(other) == subject.decided(other)


def body_of(thing: dict[str, Any], **changes: Any) -> bytes:
    return orjson.dumps(review(thing, **changes))


def alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether the second is taken for the first."""
    kept: response_cache.ResponseCache[Kept] = response_cache.ResponseCache()
    if (layout := response_cache.layout_of(body_of(one))) is None:
        return False
    kept.learn(body_of(one), Kept("it"), layout=layout)
    assert kept.recall(body_of(one)) == (Kept("it"), b'"6-7-8"')
    return kept.recall(body_of(other)) is not None


def dated(thing: dict[str, Any], second: str = "2026-01-01T00:00:00Z") -> dict[str, Any]:
    return {**thing, "metadata": {**thing["metadata"], "managedFields": managed(second)}}


def test_what_makes_no_difference_is_passed_over() -> None:
    one = dated(with_token(pod(initContainers=[container("i")])))
    other = dated(with_token(pod(initContainers=[container("i")]), OTHER), "2031-12-31T23:59:59Z")
    assert alike(one, other)
    assert alike(one, one)


PLACES: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "label": lambda name, _: pod(labels={"a": name}),
    "label-beside": lambda name, _: with_token(pod(labels={"a": name}), name),
    "annotation": lambda _, second: pod(annotations={"time": second, "fieldsType": "FieldsV1"}),
    "quoted": lambda _, second: pod(annotations={"a": orjson.dumps(managed(second)).decode()}),
    "no-time": lambda _, second: dated(pod(), f"x{second}"),
    "no-date": lambda _, second: dated(pod(), second.replace("-01-", "-xx-")),
    "container": lambda name, _: {**pod(), "spec": {"containers": [container(name)]}},
    "configmap": lambda name, _: pod(volumes=[{"name": name, "configMap": {"name": "c"}}]),
    "longer": lambda name, _: with_token(pod(), f"{name}x"),
    "upper-case": lambda name, _: with_token(pod(), name.upper()),
    "mounted-elsewhere": lambda name, _: with_token(
        pod(initContainers=[container("i", volumeMounts=[{"name": name, "mountPath": "/x"}])]), name
    ),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_what_is_passed_over_is_not_passed_over_elsewhere(
    place: Callable[[str, str], dict[str, Any]],
) -> None:
    one = place(TOKEN, "2026-01-01T00:00:00Z")
    assert not alike(one, place(OTHER, "2026-01-01T00:00:01Z"))


@pytest.mark.parametrize(
    ("spoilt", "by"),
    [
        (b'"6-7-8"', b'"6-7"8"'),
        (b'"6-7-8"', b'"6-7-g"'),
        (b"kube-api-access-abcde", b'kube-api-access-ab"de'),
        (b'abcde","projected"', b'abcdf","projected"'),
        (b"2026-01-01T00", b"2026-01-01 00"),
        (b'"image":"example/app:1"', b'"image":"example/app:2"'),
    ],
)  # fmt: skip
def test_a_review_of_the_same_length_is_looked_at_everywhere(spoilt: bytes, by: bytes) -> None:
    kept: response_cache.ResponseCache[Kept] = response_cache.ResponseCache()
    body = body_of(dated(with_token(pod())))
    layout = response_cache.layout_of(body)
    assert layout is not None
    kept.learn(body, Kept("it"), layout=layout)
    other = body.replace(spoilt, by, 1)
    assert other != body
    assert kept.recall(body)
    assert kept.recall(other) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        body_of(pod(), version="v1beta1"),
        body_of(pod(), uid="no number"),
        body_of(pod(), uid=7),
        body_of(pod(annotations={"a": "x" * response_cache.LARGEST})),
        b" " + body_of(pod()),
    ],
)
def test_what_is_no_usual_review_has_no_layout(body: bytes) -> None:
    assert response_cache.layout_of(body) is None
    assert response_cache.layout_of(body_of(pod())) is not None


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
    subject = Subject(resource(**spec))
    for name in (TOKEN, OTHER):
        thing = with_token(pod(), name)
        assert subject.said(thing) == subject.decided(thing)
    assert counting == [4]


def test_an_answer_that_names_the_volume_is_not_kept(counting: list[int]) -> None:
    subject = Subject(resource(inherit={"volumeMounts": {}}))
    for name in (TOKEN, OTHER):
        thing = with_token(pod(), name)
        # A mount that is inherited, as it is not where the API server mounts the token.
        mount = {"name": name, "readOnly": True, "mountPath": f"{MOUNT['mountPath']}/more"}
        thing["spec"]["containers"][0]["volumeMounts"].append(mount)
        response, *_ = subject.said(thing)
        assert name in base64.b64decode(response["patch"]).decode()
    assert counting == [2]


def test_only_so_much_is_kept_and_the_latest_stays(
    monkeypatch: pytest.MonkeyPatch, counting: list[int]
) -> None:
    monkeypatch.setattr(response_cache, "MOST_BYTES", 3 * 4096)
    subject = Subject(resource())
    subject.said(pod())
    for number in range(20):
        subject.said(pod(labels={"number": str(number)}))
        subject.said(pod())
    assert counting == [21]
    kept = subject.server.admission._memory
    assert len(kept._young.outcomes) <= 4
    assert len(kept._old.outcomes) <= 4


def test_only_so_many_layouts_of_one_length_are_tried() -> None:
    kept: response_cache.ResponseCache[Kept] = response_cache.ResponseCache()
    # The name of the volume stands at another place in each.
    bodies = [
        body_of(with_token({**pod(labels={"a": "x" * n}), "status": {"message": "x" * (20 - n)}}))
        for n in range(20)
    ]
    assert len({len(body) for body in bodies}) == 1
    for number, body in enumerate(bodies):
        layout = response_cache.layout_of(body)
        assert layout is not None
        kept.learn(body, Kept(str(number)), layout=layout)
    assert len(kept._young.layouts[len(bodies[0])]) == response_cache.MOST_LAYOUTS
    assert kept.recall(bodies[-1]) == (Kept("19"), b'"6-7-8"')
    assert kept.recall(bodies[0]) is None
