"""A review that came before gets the same response, and no other one does."""

from __future__ import annotations

import base64
import copy
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

from sidecar_injector.core import decide
from sidecar_injector.webhook import cluster_state, decision_log, response, response_cache
from tests.kits import random_pods
from tests.kits.admission import Server, review
from tests.kits.samples import NAMESPACE, container, pod, resource

TOKEN = "kube-api-access-abcde"
OTHER = "kube-api-access-x9z8y"
OTHER_VALUES = [None, "", "x", 0, 7, True, [], {}]
MOUNT = {"readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}


def with_token(subject: dict[str, Any], name: str = TOKEN) -> dict[str, Any]:
    """As the API server sends it: with the volume of the token, mounted in every container."""
    result = copy.deepcopy(subject)
    spec = result["spec"]
    volume = {"name": name, "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
    volumes = [*(spec.pop("volumes", None) or ()), volume]
    for entry in (*spec["containers"], *(spec.get("initContainers") or ())):
        entry["volumeMounts"] = [*(entry.get("volumeMounts") or ()), {"name": name, **MOUNT}]
    # The API server writes the volumes first.
    return {**result, "spec": {"volumes": volumes, **spec}}


def managed(second: str) -> list[dict[str, Any]]:
    """What the API server records about who created a pod, and when."""
    entry = {"manager": "m", "operation": "Update", "apiVersion": "v1", "time": second}
    return [{**entry, "fieldsType": "FieldsV1", "fieldsV1": {}}]


def named(name: str) -> response.PodResponse:
    """A response that differs from others."""
    return response.PodResponse(
        version=b"v1", members=b"}", log_line=name.encode(), verdict="", reasons=(), would=(),
        patch_bytes=0, namespace="", owner=None, dry_run=False, pod="", skipped=(),
        corrections=(), serial=0, is_cacheable=True,
    )  # fmt: skip


class Log(decision_log.DecisionLog):
    """Keeps the lines."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[bytes] = []

    def write(self, line: bytes, *, uid: bytes, milliseconds: float, trace: str) -> None:
        self.lines.append(line)


class Subject:
    """A server of which everything that it says about a pod is kept."""

    def __init__(self, *resources: Any, state: cluster_state.ClusterState | None = None) -> None:
        self.log = Log()
        self.server = Server(*resources, log=self.log, state=state)

    def respond(
        self, subject: dict[str, Any], *, blank: bytes = b"", **changes: Any
    ) -> tuple[Any, ...]:
        """All that is said about a pod."""
        answer = self.server.post(blank + orjson.dumps(review(subject, **changes)))
        decided = self.server.decided[-1]
        skipped = [(skip.name, skip.reason, skip.message) for skip in decided.skipped]
        response = orjson.loads(answer.body)["response"]
        return response, self.log.lines[-1], decided.owner, decided.dry_run, skipped

    def respond_without_cache(self, subject: dict[str, Any], **changes: Any) -> tuple[Any, ...]:
        """The same from a server with the same state, which takes nothing out of a review.

        No API server begins a review with a blank.
        """
        return Subject(state=self.server.state).respond(subject, blank=b" ", **changes)


def random_subject(draw: random_pods.Draw) -> Subject:
    """One whose injections are random."""
    by_name = {(injection.is_cluster, injection.name): injection for injection in draw.injections()}
    return Subject(
        *(
            resource(injection.name, cluster=injection.is_cluster, **injection.spec)
            for injection in by_name.values()
        )
    )


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in it, containers included."""
    if path:
        yield path
    members: Any = value.items() if isinstance(value, dict) else ()
    for key, below in enumerate(value) if isinstance(value, list) else members:
        yield from leaves(below, (*path, key))


def changed(pod: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    result = copy.deepcopy(pod)
    holder = result
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    return result


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
        subject_pod = with_token(pod(), name)
        subject_pod["metadata"] = {"generateName": "web-1-"}
        subject_pod["metadata"]["managedFields"] = managed(f"2026-01-01T00:00:0{number}Z")
        assert "patch" in subject.server.response(subject_pod, uid=str(number))
    assert counting == [1]
    assert subject.server.count("admission_requests_total", result="Injected") == 3
    assert subject.server.count("decisions_total", reason="Injected") == 3
    assert subject.server.count("patch_bytes_count") == 3
    assert len(subject.log.lines) == len(subject.server.decided) == 3


def test_a_cached_review_is_not_even_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(resource())
    first = server.post(review(pod()))
    body = body_of(pod(), uid="0-0-0")
    monkeypatch.delattr(orjson, "loads")
    assert server.post(body).body == first.body.replace(b'"6-7-8"', b'"0-0-0"')


def test_every_answer_has_the_uid_of_its_own_question() -> None:
    server = Server(resource())
    responses = [server.response(pod(), uid=uid) for uid in ("a", 'b"\\', "é", "b")]
    assert [answer.pop("uid") for answer in responses] == ["a", 'b"\\', "é", "b"]
    assert responses[0] == responses[1] == responses[2] == responses[3]


def test_a_change_in_the_cluster_is_in_force_at_once() -> None:
    server = Server(resource())
    assert "patch" in server.response(pod())
    server.state.injection_changed((NAMESPACE, "log"), None, None)
    assert "patch" not in server.response(pod())


@pytest.mark.parametrize(
    "number",
    [*range(8), *(pytest.param(number, marks=pytest.mark.long) for number in range(8, 60))],
)
def test_no_change_of_a_review_gets_the_response_to_another_one(number: int) -> None:
    """For every value in a random pod, changed to something else."""
    draw = random_pods.Draw(random_pods.SEED + number)
    subject = random_subject(draw)
    first = with_token(draw.pod())
    first["metadata"]["managedFields"] = managed("2026-01-01T00:00:00Z")
    assert subject.respond(first) == subject.respond_without_cache(first)
    for path in leaves(first):
        other = changed(first, path, draw.choice(OTHER_VALUES))
        try:
            expected = subject.respond_without_cache(other)
        except IndexError:
            # Of a shape that no API server sends: no decision is recorded.
            continue
        assert subject.respond(other) == expected, path


@pytest.mark.parametrize(
    "change", [{"dryRun": True}, {"operation": "UPDATE"}, {"subResource": "status"}]
)
def test_different_requests_about_a_pod_get_different_responses(change: dict[str, Any]) -> None:
    subject = Subject(resource())
    assert (
        subject.respond(pod())
        != subject.respond(pod(), **change)
        == subject.respond_without_cache(pod(), **change)
    )


@pytest.mark.parametrize("number", range(300))
def test_the_name_of_the_token_volume_makes_no_difference(number: int) -> None:
    draw = random_pods.Draw(random_pods.SEED + number)
    subject = random_subject(draw)
    subject_pod = draw.pod()
    subject.respond(with_token(subject_pod))
    other = with_token(subject_pod, OTHER)
    assert subject.respond(other) == subject.respond_without_cache(other)


def body_of(subject: dict[str, Any], **changes: Any) -> bytes:
    return orjson.dumps(review(subject, **changes))


def key_of(body: bytes) -> bytes:
    """The key of a review that is cached."""
    key, uid = response_cache.masked(body) or (b"", b"")
    assert response_cache.canonical_review(key, uid) is not None
    return key


def alike(first: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether the second pod gets the response to the first."""
    found = response_cache.masked(body_of(first))
    if found is None or response_cache.canonical_review(*found) is None:
        return False
    return response_cache.masked(body_of(other)) == found


def dated(subject: dict[str, Any], second: str = "2026-01-01T00:00:00Z") -> dict[str, Any]:
    return {**subject, "metadata": {**subject["metadata"], "managedFields": managed(second)}}


def test_what_makes_no_difference_is_passed_over() -> None:
    first = dated(with_token(pod(initContainers=[container("i")])))
    other = dated(with_token(pod(initContainers=[container("i")]), OTHER), "2031-12-31T23:59:59Z")
    assert alike(first, other)
    assert alike(first, first)


PLACES: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "label": lambda name, _: pod(labels={"a": name}),
    "label-beside": lambda name, _: with_token(pod(labels={"a": name}), name),
    "annotation": lambda _, second: pod(annotations={"time": second, "fieldsType": "FieldsV1"}),
    "quoted": lambda _, second: pod(annotations={"a": orjson.dumps(managed(second)).decode()}),
    "no-time": lambda _, second: dated(pod(), f"x{second}"),
    "no-date": lambda _, second: dated(pod(), second.replace("-01-", "-xx-")),
    "container": lambda name, _: {**pod(), "spec": {"containers": [container(name)]}},
    "longer": lambda name, _: with_token(pod(), f"{name}x"),
    "upper-case": lambda name, _: with_token(pod(), name.upper()),
    "device": lambda name, _: with_token(
        pod(initContainers=[container("i", volumeDevices=[{"name": name, "devicePath": "/x"}])]),
        name,
    ),
    "container-beside": lambda name, _: with_token(pod(initContainers=[container(name)]), name),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_what_is_passed_over_is_not_passed_over_elsewhere(
    place: Callable[[str, str], dict[str, Any]],
) -> None:
    first = place(TOKEN, "2026-01-01T00:00:00Z")
    assert not alike(first, place(OTHER, "2026-01-01T00:00:01Z"))


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
def test_a_review_that_is_equal_but_for_other_bytes_has_another_key(
    spoilt: bytes, by: bytes
) -> None:
    body = body_of(dated(with_token(pod())))
    other = body.replace(spoilt, by, 1)
    assert other != body
    assert (response_cache.masked(other) or (b"", b""))[0] != key_of(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        body_of(pod(), version="v1beta1"),
        body_of(pod(), uid="no number"),
        body_of(pod(), uid=7),
        body_of(pod(annotations={"a": "x" * response_cache.MAX_REVIEW_BYTES})),
        b" " + body_of(pod()),
    ],
)
def test_what_is_no_usual_review_has_no_key(body: bytes) -> None:
    assert response_cache.masked(body) is None
    assert response_cache.masked(body_of(pod())) is not None


@pytest.mark.parametrize(
    "spec",
    [
        {"template": {"spec": {"containers": [container("s")],
                               "volumes": [{"name": TOKEN, "emptyDir": {}}]}},
         "applicationContainers": {"volumeMounts": [{"name": TOKEN, "mountPath": "/x"}]}},
        {"template": {"spec": {"containers": [container("s")]}},
         "inherit": {"volumeMounts": {"exclude": ["*-abcde"]}}},
        {"template": {"spec": {"containers": [container("s")]}},
         "inherit": {"volumeMounts": {"credentials": ["*-abcde"]}}},
    ],
)  # fmt: skip
def test_a_pod_of_an_injection_that_depends_on_the_name_is_decided_again(
    spec: dict[str, Any], counting: list[int]
) -> None:
    subject = Subject(resource(**spec))
    for name in (TOKEN, OTHER):
        subject_pod = with_token(pod(), name)
        assert subject.respond(subject_pod) == subject.respond_without_cache(subject_pod)
    # The first pod twice: about its key, then about itself.
    assert counting == [5]


def test_a_response_that_names_the_volume_is_not_cached(counting: list[int]) -> None:
    subject = Subject(resource(inherit={"volumeMounts": {"credentials": ["/var/*"]}}))
    for name in (TOKEN, OTHER):
        subject_pod = with_token(pod(), name)
        # A mount that is inherited, as it is not where the API server mounts the token.
        mount = {"name": name, "readOnly": True, "mountPath": f"{MOUNT['mountPath']}/more"}
        subject_pod["spec"]["containers"][0]["volumeMounts"].append(mount)
        answer, *_ = subject.respond(subject_pod)
        assert name in base64.b64decode(answer["patch"]).decode()
    # The first pod twice: about its key, then about itself.
    assert counting == [3]


def test_only_so_much_is_cached_and_what_was_used_last_stays(
    monkeypatch: pytest.MonkeyPatch, counting: list[int]
) -> None:
    cached, original = set[int](), response_cache.ResponseCache.put

    def put(cache: response_cache.ResponseCache, *arguments: Any, **named: Any) -> None:
        original(cache, *arguments, **named)
        cached.add(len(cache))

    monkeypatch.setattr(response_cache, "MAX_BYTES", 6 * 1400)
    monkeypatch.setattr(response_cache.ResponseCache, "put", put)
    subject = Subject(resource())
    subject.respond(pod())
    for number in range(20):
        subject.respond(pod(labels={"number": str(number)}))
        subject.respond(pod())
    assert counting == [21]
    assert max(cached) <= 7


def test_what_was_not_used_for_longest_goes_first() -> None:
    cache = response_cache.ResponseCache()
    keys = [key_of(body_of(pod(labels={"number": f"{number:02}"}))) for number in range(20)]
    with pytest.MonkeyPatch.context() as patch:
        size = len(keys[0]) + named("0").size + response_cache.ENTRY_BYTES
        patch.setattr(response_cache, "MAX_BYTES", 10 * size + 20)
        for number, key in enumerate(keys):
            cache.put(key, named(str(number)))
            assert cache.get(keys[0]) == named("0")
    assert [cache.get(key) is not None for key in keys] == [True] + [False] * 10 + [True] * 9


def test_a_response_takes_the_place_of_an_earlier_one() -> None:
    cache = response_cache.ResponseCache()
    key = key_of(body_of(pod()))
    for number in range(20):
        cache.put(key, named(str(number)))
    assert len(cache) == 1
    assert cache.get(key) == named("19")


def test_what_is_cached_is_counted_with_what_python_needs_for_it() -> None:
    """Keys and responses are counted by their own sizes; here they take next to nothing."""
    cache, response_bytes = response_cache.ResponseCache(), named("x")
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(5_000):
            cache.put(b"%d" % number, response_bytes)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / len(cache) < response_cache.ENTRY_BYTES


def test_only_a_response_of_a_namespace_in_the_cluster_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client may make up a name for each review."""
    kept, original = list[str](), response_cache.ResponseCache.put

    def put(
        cache: response_cache.ResponseCache, key: bytes, pod_response: response.PodResponse
    ) -> None:
        kept.append(pod_response.namespace)
        original(cache, key, pod_response)

    monkeypatch.setattr(response_cache.ResponseCache, "put", put)
    server = Server(resource("log", cluster=True))
    for name in (NAMESPACE, "made-up", "made-up", NAMESPACE):
        assert "patch" in server.response(pod(), namespace=name, uid="0-1")
    assert kept == [NAMESPACE]


def test_a_response_of_an_earlier_state_is_not_sent() -> None:
    server = Server(resource())
    first = server.post(body_of(pod()))
    server.state.injection_changed((NAMESPACE, "log"), None, None)
    assert server.post(body_of(pod())).body != first.body
    server.state.injection_changed((NAMESPACE, "log"), None, resource())
    assert server.post(body_of(pod())).body == first.body


def test_a_pod_whose_response_names_the_volume_is_decided_about_once_more_only(
    counting: list[int],
) -> None:
    """The first pod shows that the name counts; the next ones are decided about at once."""
    spec = {"inherit": {"volumeMounts": {"exclude": ["*-abcde"]}}}
    server = Server(resource(**spec))
    for number in range(3):
        server.response(with_token(pod(), f"kube-api-access-{number:05}"))
    assert counting == [4]
