"""What LimitRanges and ResourceQuotas refuse, and what we say: the same, on a real API server."""

from __future__ import annotations

import collections
import http.client
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.kits import limits, validity
from tests.kits.random_pods import SEED
from tools.controlplane import cluster

Json = dict[str, Any]
NAMESPACES, PAIRS = 40, 25
"""A thousand pairs of pods."""
CASES = {
    table: {f"{table}-{number}": case for number, case in enumerate(limits.cases(table))}
    for table in ("refused", "accepted")
}
PARAMETERS = [
    pytest.param(table, key, id=f"{table}: {case.name}")
    for table, cases in CASES.items()
    for key, case in cases.items()
]
SENTINEL = "sentinel"
"""A namespace whose limits change last: when the API server obeys these, it obeys all."""


LOOSE, TIGHT = (
    limits.Setting(
        limits=[{"type": "Container", "max": {"cpu": cpu}, "defaultRequest": {"cpu": "1m"}}],
        quota={"hard": {"pods": pods}},
    )
    for cpu, pods in (("4", "100"), ("1", "0"))
)
"""Before and after. Of the latter, 3 CPUs break the LimitRange, and any pod breaks the quota."""


class Namespaces:
    """Namespaces with limits that the API server obeys; one connection for all requests."""

    def __init__(
        self, controlplane: cluster.ControlPlane, prefix: str, settings: dict[str, limits.Setting]
    ) -> None:
        self._plane, self._prefix, self._settings = controlplane, prefix, settings
        self._connection = controlplane.client.connect()

    def __enter__(self) -> Namespaces:
        self._create({SENTINEL: LOOSE})
        self._create(self._settings)
        for key, setting in self._settings.items():
            if setting.quota:
                self._plane.wait(
                    f"the quota of {key} has a status", lambda key=key: self._hard(key)
                )
            if setting.holder:
                self._sent("POST", self._path(key, "pods"), setting.holder)
        for plural, body in TIGHT.objects:
            self._sent("PUT", f"{self._path(SENTINEL, plural)}/{limits.NAME}", body)
        for cpu, word in (("3", "maximum cpu"), ("1m", "exceeded quota")):
            container = {"name": "app", "image": "x", "resources": {"limits": {"cpu": cpu}}}
            pod = {"metadata": {"name": "p"}, "spec": {"containers": [container]}}
            self._plane.wait(
                f"the API server says {word}",
                lambda pod=pod, word=word: word in (self.refusal(SENTINEL, pod) or ""),
            )
        return self

    def __exit__(self, *_: object) -> None:
        for key in (SENTINEL, *self._settings):
            self._sent("DELETE", f"/api/v1/namespaces/{self._name(key)}")
        self._connection.close()

    def live(self, key: str) -> list[Json]:
        """The LimitRanges and ResourceQuotas as the API server has them now."""
        objects: list[Json] = []
        for plural, kind in (("limitranges", "LimitRange"), ("resourcequotas", "ResourceQuota")):
            items = self._sent("GET", self._path(key, plural))["items"]
            objects += ({**item, "kind": kind} for item in items)
        return objects

    def refusal(self, key: str, pod: Json) -> str | None:
        """Why the API server would not create the pod; None if it would."""
        status, answer = self._send("POST", self._path(key, "pods") + "?dryRun=All", pod)
        return None if status == http.client.CREATED else str(answer["message"])

    def _create(self, settings: dict[str, limits.Setting]) -> None:
        for key, setting in settings.items():
            self._sent("POST", "/api/v1/namespaces", {"metadata": {"name": self._name(key)}})
            for plural, body in setting.objects:
                self._sent("POST", self._path(key, plural), body)
        for key in settings:
            self._plane.wait_for_service_account(self._name(key))

    def _hard(self, key: str) -> bool:
        (found,) = [each for each in self.live(key) if each["kind"] == "ResourceQuota"]
        hard = (found.get("status") or {}).get("hard") or {}
        return set(hard) == set(self._settings[key].quota["hard"])

    def _name(self, key: str) -> str:
        return f"{self._prefix}-{key}"

    def _path(self, key: str, plural: str) -> str:
        return f"/api/v1/namespaces/{self._name(key)}/{plural}"

    def _sent(self, method: str, path: str, body: Json | None = None) -> Json:
        status, answer = self._send(method, path, body)
        assert status < http.client.BAD_REQUEST, (method, path, answer.get("message"))
        return answer

    def _send(self, method: str, path: str, body: Json | None = None) -> tuple[int, Json]:
        status, text = self._plane.client.send(self._connection, method, path, body)
        return status, json.loads(text)


@pytest.fixture(scope="module")
def rows(controlplane: cluster.ControlPlane) -> Iterator[Namespaces]:
    """A namespace for each row of the tables."""
    settings = {key: case.setting for cases in CASES.values() for key, case in cases.items()}
    with Namespaces(controlplane, "limits", settings) as namespaces:
        yield namespaces


@pytest.mark.parametrize(("table", "key"), PARAMETERS)
def test_the_api_server_and_we_agree(rows: Namespaces, table: str, key: str) -> None:
    case = CASES[table][key]
    conflict = limits.conflict(rows.live(key), case.before, case.after)
    assert rows.refusal(key, case.before) is None
    refusal = rows.refusal(key, case.after)
    assert (refusal is None, conflict is None) == (table == "accepted", table == "accepted")
    assert case.says in str(conflict)


def test_the_api_server_accepts_each_name_that_needs_no_remark_and_refuses_others_without_a_slash(
    controlplane: cluster.ControlPlane,
) -> None:
    path = "/api/v1/namespaces/default/resourcequotas?dryRun=All"
    connection = controlplane.client.connect()
    for name in (*limits.NAMES, *limits.NO_NAMES):
        quota = {"metadata": {"name": limits.NAME}, "spec": {"hard": {name: "1"}}}
        status, _ = controlplane.client.send(connection, "POST", path, quota)
        is_accepted = name in limits.NAMES or "/" in name
        assert (name, status == http.client.CREATED) == (name, is_accepted)
    connection.close()


def test_random_pods_are_judged_as_the_api_server_judges_them(
    controlplane: cluster.ControlPlane,
) -> None:
    """Nothing is missed and nothing is invented, one pod after the other."""
    draw = limits.Draw(SEED)
    settings = {f"n{number}": draw.setting() for number in range(NAMESPACES)}
    hits: collections.Counter[str] = collections.Counter()
    wrong = []
    with Namespaces(controlplane, "random", settings) as namespaces:
        for key in settings:
            objects = namespaces.live(key)
            for _ in range(PAIRS):
                before, after = draw.pair()
                verdict, detail = _compare(namespaces, key, objects, (before, after))
                hits[verdict] += 1
                if verdict in ("missed", "false alarm"):
                    wrong.append((verdict, detail, objects, before, after))
    print(f"seed {SEED}:", dict(sorted(hits.items())))  # noqa: T201 - the figures are owed
    assert not wrong, json.dumps(wrong[:3])
    assert hits["refused and found"] >= 150
    assert hits["accepted and left alone"] >= 150


def _compare(
    namespaces: Namespaces, key: str, objects: Sequence[Json], pair: tuple[Json, Json]
) -> tuple[str, str]:
    before, after = pair
    if refusal := namespaces.refusal(key, before):
        return "refused without us", refusal
    refusal = namespaces.refusal(key, after)
    # A pod can be invalid for its own resources, too.
    conflict = limits.conflict([*objects], before, after) or validity.verdict(before, after)
    if refusal:
        return ("refused and found" if conflict else "missed"), refusal
    return ("false alarm" if conflict else "accepted and left alone"), str(conflict)
