"""Reviews that are nearly equal: whether one of them gets the response to another one.

Each review is answered twice by one webhook: as it is, so that the response cache can have it, and
behind a blank. No API server begins a review with a blank, so the cache never has that one. Answer,
line of the log and Events must be the same.
"""

from __future__ import annotations

import dataclasses
import json
import random
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from sidecar_injector import names
from sidecar_injector.httpserver import messages
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.webhook import cluster_state, decision_log, mutate, response

Json = dict[str, Any]

NAMESPACE: Final = "demo"
RESTARTED: Final = "kubectl.kubernetes.io/restartedAt"
POOL: Final = 200
"""Reviews from which others are derived."""
TOKEN: Final = "kube-api-access-abcde"  # noqa: S105 - a name, no token
TIME: Final = "2026-11-20T10:00:00"
MANAGED: Final = '{"manager":"m","time":"%sZ","fieldsType":"FieldsV1","fieldsV1":{}}'
_ENDS: Final = ("abcde", "x9z8y", "00000", "upper", "ABCDE", "ab-de")
_WORDS: Final = (
    *_ENDS, TOKEN, f"{TIME}Z", f"2031{TIME[4:]}Z", "kube-api-access-",
    r"kube\u002dapi-access-abcde", r"kube\\u002dapi-access-abcde", r"\u0061bcde", r"\\u0061bcde",
    r"\u005cu0061bcde", r"\u0000", r"\\u006\u0041",
    r"\u0026\u0026 \u003cb\u003e", "\0", "\1", "\\", '"', "x", "small",
)  # fmt: skip
_MEMBERS: Final = (
    '"uid":"9-9"', '"request":{}', '"metadata":{}', '"spec":{}', '"volumes":[]',
    f'"name":"{TOKEN}"', f'"name":"{TOKEN}","projected":{{}}',
    f'"time":"{TIME}Z","fieldsType":"FieldsV1","fieldsV1":{{}}',
    f'"managedFields":[{MANAGED % TIME}]', f'"labels":{{"region":{MANAGED % TIME}}}', '"x":1',
)  # fmt: skip
_PART: Final = re.compile(rb"(?<=kube-api-access-)[a-z0-9]{5}|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
_STRING: Final = re.compile(rb'(?<=[:\[,{]")[^"\\]*')
_OBJECT: Final = re.compile(rb'\{(?=")')


@dataclasses.dataclass
class Result:
    """What was compared."""

    compared: int = 0
    cached: int = 0
    """How many had a response from the cache."""
    differences: list[bytes] = dataclasses.field(default_factory=list)
    """The reviews that had another answer than a decision about them."""


class _Log(decision_log.DecisionLog):
    """Keeps the last line."""

    def __init__(self) -> None:
        super().__init__()
        self.line: Any = None

    def write(self, line: bytes, *, uid: bytes, milliseconds: float, trace: str) -> None:
        self.line = line, uid


class Twins:
    """A webhook, and what it says about a review with and without its cache."""

    def __init__(self) -> None:
        self._log = _Log()
        self._response: response.PodResponse | None = None
        self._seen: dict[int, response.PodResponse] = {}
        state = cluster_state.ClusterState(release_namespace=names.PRODUCT)
        labels = {names.INJECTION_LABEL: names.ENABLED}
        state.namespace_changed(
            ("", NAMESPACE), None, {"metadata": {"name": NAMESPACE, "labels": labels}}
        )
        for injection in _injections():
            key = NAMESPACE, injection["metadata"]["name"]
            state.injection_changed(key, None, injection)
        self._webhook = mutate.PodWebhook(
            state=state, metrics=Metrics(), record_events=self._record, log=self._log
        )
        self.result = Result()

    def compare(self, body: bytes) -> None:
        """Answer a review both ways."""
        result = self.result
        answer = self._answer(body)
        if (cached := self._response) is not None:
            result.cached += id(cached) in self._seen
            if len(self._seen) > 10_000:
                self._seen.clear()
            self._seen[id(cached)] = cached
        result.compared += 1
        if answer != self._answer(b" " + body):
            result.differences.append(body)

    def _record(self, pod_response: response.PodResponse) -> None:
        self._response = pod_response

    def _answer(self, body: bytes) -> tuple[Any, ...]:
        """Everything that is said, except for how it came about."""
        self._response = self._log.line = None
        request = messages.Request(method="POST", path=names.MUTATE_PATH, headers={})
        request.body = body
        answer = self._webhook.mutate(request)
        assert isinstance(answer, messages.Response), "the reviews are small"
        return answer.status, answer.body, self._log.line, self._told()

    def _told(self) -> response.PodResponse | None:
        """What Events are made from."""
        told = self._response
        return dataclasses.replace(told, is_cacheable=True, serial=0) if told is not None else None


def run(*, count: int, seed: int) -> Result:
    """Compare so many reviews."""
    draw = random.Random(seed)  # noqa: S311 - the same reviews again is what is wanted
    twins = Twins()
    for body in reviews(draw, count=count):
        twins.compare(body)
    return twins.result


def reviews(draw: random.Random, *, count: int) -> Iterator[bytes]:
    """Each is derived from an earlier one, most of them with the same length."""
    pool = [_review(draw) for _ in range(8)]
    for _ in range(count // 3):
        body = draw.choice(pool)
        for _ in range(draw.choice((1, 1, 1, 2, 3))):
            body = draw.choice(_CHANGES)(draw, body)
        yield from (body, *_with_holes_moved(draw, draw.choice(pool)))
        if not _is_json(body):
            continue
        if len(pool) < POOL:
            pool.append(body)
        else:
            pool[draw.randrange(POOL)] = body if draw.random() < 0.5 else _review(draw)


def _with_holes_moved(draw: random.Random, body: bytes) -> Iterator[bytes]:
    """Two reviews that are equal without a part, and first one that has a part in its place."""
    parts = list(_PART.finditer(body))
    if not parts:
        return
    start, end = draw.choice(parts).span()
    rest = body[:start] + body[end:]
    place = _place(draw, rest)
    part = body[start:end]
    other = rest[:place] + draw.choice((part, b"upper" if len(part) == 5 else part)) + rest[place:]
    yield _planted(part, place=place, length=len(other))
    yield body
    yield other


def _planted(part: bytes, *, place: int, length: int) -> bytes:
    """A review of this length with a name or a time at this place, if there is room for it."""

    def planting(before: int, behind: int) -> bytes:
        metadata: Json = {"annotations": {"pad": "x" * before}}
        spec: Json = {"containers": [{"name": "app", "image": "i"}]}
        if len(part) == len(TIME):
            metadata["managedFields"] = [json.loads(MANAGED % part.decode())]
        else:
            name = f"kube-api-access-{part.decode()}"
            spec = {"volumes": [{"name": name, "projected": {}}], **spec}
        subject = {"metadata": metadata, "spec": spec, "status": {"message": "x" * behind}}
        return _review_of(subject)

    before = max(0, place - planting(0, 0).index(part))
    return planting(before, max(0, length - len(planting(before, 0))))


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return False
    return True


def _review(draw: random.Random) -> bytes:
    """As an API server writes it."""
    volume = draw.choice((TOKEN, "kube-api-access-x9z8y", "kube-api-access-", "data"))
    mount = {"name": volume, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    spec: Json = {
        "volumes": [{"name": volume, "projected": {"sources": []}}],
        "containers": [
            {"name": name, "image": "i", "env": [{"name": "A", "value": "1"}],
             "volumeMounts": [mount]}
            for name in ("app", "b")[: draw.choice((1, 2))]
        ],
    }  # fmt: skip
    claim = {"kind": names.KIND, "name": "fail", "added": {"volumes": [draw.choice((TOKEN, "v"))]}}
    status = json.dumps({"injections": [claim], "version": 1}, separators=(",", ":"))
    metadata = {
        "name": "web",
        "labels": {
            "app": draw.choice(("shop", "smallshop")),
            "region": draw.choice(("north", "uppernorth")),
        },
        "annotations": {RESTARTED: draw.choice((f"{TIME}Z", "Z"))}
        | ({names.STATUS_ANNOTATION: status} if draw.random() < 0.3 else {}),
        "managedFields": [json.loads(MANAGED % TIME) for _ in range(draw.choice((0, 1, 2)))],
    }  # fmt: skip
    return _review_of({"metadata": metadata, "spec": spec})


def _review_of(subject: Json) -> bytes:
    request = {
        "uid": "1-2-3",
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": NAMESPACE,
        "operation": "CREATE",
        "object": subject,
    }
    review = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}
    return json.dumps(review, separators=(",", ":")).encode()


def _injections() -> Iterator[Json]:
    """Those that read what the reviews differ in."""

    def injection(name: str, **spec: Any) -> Json:
        env = [{"name": f"P{index}", "value": f"$(params.p{index})"} for index in range(2)]
        sidecar = {"name": name, "image": "i", "env": env if "parameters" in spec else []}
        metadata = {"name": name, "namespace": NAMESPACE, "generation": 1}
        template = {"spec": {"containers": [sidecar]}}
        return {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": metadata,
                "spec": {"template": template, **spec}}  # fmt: skip

    sources = {"podLabel": "region"}, {"podAnnotation": RESTARTED}
    yield injection("parameters", parameters=[
        {"name": f"p{index}", "from": source, "default": "none"}
        for index, source in enumerate(sources)
    ])  # fmt: skip
    yield injection("fail", failurePolicy="Fail", selector={"matchLabels": {"app": "shop"}})
    yield injection("inherit", inherit={"volumeMounts": {}, "env": [
        {"name": "A", "fromContainer": "app"}
    ]})  # fmt: skip


def _renamed(draw: random.Random, body: bytes) -> bytes:
    """What pods of one template differ in: another uid, another name, another time."""
    body = re.sub(rb'(?<="request":{"uid":")[^"]*', b"%d-2-3" % draw.randrange(10), body, count=1)
    end = draw.choice(_ENDS[:4]).encode()
    body = re.sub(rb"(?<=kube-api-access-)[a-z0-9]{5}", end, body)
    return re.sub(rb"T10:00:\d\dZ", b"T10:00:%02dZ" % draw.randrange(60), body)


def _moved(draw: random.Random, body: bytes) -> bytes:
    """A part of a name, or a time, is at another place: the length stays."""
    parts = list(_PART.finditer(body))
    if not parts:
        return body
    start, end = draw.choice(parts).span()
    part = body[start:end]
    body = body[:start] + body[end:]
    place = _place(draw, body)
    return body[:place] + draw.choice((part, part, b"x" * len(part))) + body[place:]


def _swapped(draw: random.Random, body: bytes) -> bytes:
    """Another part of the same length, in one place."""
    parts = list(_PART.finditer(body))
    if not parts:
        return body
    start, end = draw.choice(parts).span()
    other = draw.choice([word for word in (*_ENDS, f"2031{TIME[4:]}") if len(word) == end - start])
    return body[:start] + other.encode() + body[end:]


def _worded(draw: random.Random, body: bytes) -> bytes:
    """A word more, in a string."""
    place = _place(draw, body)
    return body[:place] + draw.choice(_WORDS).encode() + body[place:]


def _doubled(draw: random.Random, body: bytes) -> bytes:
    """A member more, as the first or the last one of an object."""
    member = draw.choice(_MEMBERS).encode()
    if draw.random() < 0.2:
        return (
            body[:-1] + b"," + member + b"}"
            if draw.random() < 0.5
            else body[:-2] + b"," + member + b"}}"
        )
    place = draw.choice([match.end() for match in _OBJECT.finditer(body)] or [0])
    return body[:place] + member + b"," + body[place:]


def _reordered(draw: random.Random, body: bytes) -> bytes:
    """The same JSON in another layout, where it is JSON."""
    try:
        review = json.loads(body)
    except ValueError:
        return body
    text = json.dumps(
        review, sort_keys=draw.random() < 0.3, separators=draw.choice(((",", ":"), (", ", ":")))
    )
    return text.encode()


def _place(draw: random.Random, body: bytes) -> int:
    match = draw.choice(list(_STRING.finditer(body)) or [re.search(rb"", body)])
    assert match is not None
    return draw.randint(*match.span())


_CHANGES: Final[tuple[Callable[[random.Random, bytes], bytes], ...]] = (
    _renamed, _renamed, _renamed, _moved, _moved, _swapped, _worded, _doubled, _reordered,
)  # fmt: skip
