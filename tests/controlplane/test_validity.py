"""What the API server refuses, and what we say: the same, on a real one, by dry runs."""

from __future__ import annotations

import collections
import http.client
import json
import ssl
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest

from sidecar_injector.core.linting import trial
from sidecar_injector.core.validity import pod_security, releases
from tests.kits import broken_pods, needs, samples, validity, versions
from tests.kits.random_pods import SEED
from tools.controlplane import client, cluster

LEVELS = (pod_security.PRIVILEGED, pod_security.BASELINE, "restricted")
POLICIES = tuple(map(pod_security.Policy, LEVELS))
PAIRS = 500
FOUND, ALONE = "refused and found", "accepted and left alone"
FLAG_OF_THE_CLUSTER = "disallowed by cluster policy"
"""Privileged containers are refused by an API server without --allow-privileged, whatever else is
in the pod; no pod tells whether it has the flag."""


class Judge:
    """The API server's word on pods; one connection for all of them."""

    def __init__(self, controlplane: cluster.ControlPlane) -> None:
        caller = controlplane.client
        address = urllib.parse.urlsplit(caller.server)
        context = ssl.create_default_context(cafile=str(caller.certificate_authority))
        self._connection = http.client.HTTPSConnection(
            address.hostname or "", address.port, timeout=client.TIMEOUT_SECONDS, context=context
        )
        self._headers = {
            "Authorization": f"Bearer {caller.token}",
            "Content-Type": "application/json",
        }
        self._controlplane = controlplane
        self._namespaces: dict[pod_security.Policy, str] = {}

    def refusal(
        self, pod: dict[str, Any], *, policy: pod_security.Policy = validity.ANYTHING
    ) -> str | None:
        """Why it would not be created where this is enforced; None if it would."""
        path = f"/api/v1/namespaces/{self._namespace(policy)}/pods?dryRun=All"
        self._connection.request("POST", path, body=json.dumps(pod), headers=self._headers)
        answer = self._connection.getresponse()
        status = json.loads(answer.read())
        return None if answer.status == http.client.CREATED else str(status["message"])

    def _namespace(self, policy: pod_security.Policy) -> str:
        if policy not in self._namespaces:
            name = f"validity-{policy.level}-{policy.minor}"
            labels = validity.labels(policy.level, f"v1.{policy.minor}")
            self._controlplane.create_namespace(name, labels=labels)
            self._namespaces[policy] = name
        return self._namespaces[policy]

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(scope="module")
def judge(controlplane: cluster.ControlPlane) -> Iterator[Judge]:
    """With a namespace for each Pod Security level and version that is asked for."""
    judge = Judge(controlplane)
    yield judge
    judge.close()


@pytest.mark.parametrize("case", validity.cases("refused"), ids=lambda case: case.name)
def test_what_the_api_server_refuses_because_of_us_is_found(
    judge: Judge, case: validity.Case
) -> None:
    assert judge.refusal(case.before, policy=case.policy) is None
    assert judge.refusal(case.after, policy=case.policy) is not None
    sentence = validity.verdict(case.before, case.after, policy=case.policy)
    assert sentence is not None
    assert case.says in sentence


@pytest.mark.parametrize("case", validity.cases("accepted"), ids=lambda case: case.name)
def test_what_the_api_server_accepts_is_left_alone(judge: Judge, case: validity.Case) -> None:
    assert judge.refusal(case.before, policy=case.policy) is None
    sentence = validity.verdict(case.before, case.after, policy=case.policy, minor=versions.minor())
    assert (judge.refusal(case.after, policy=case.policy) is None) == (sentence is None)
    assert sentence is None or versions.minor() < releases.NEWEST


@pytest.mark.parametrize(("spec", "texts"), needs.CASES, ids=needs.IDS)
def test_what_only_some_pods_can_take_has_a_pod_that_the_api_server_accepts(
    judge: Judge, spec: dict[str, Any], texts: list[str]
) -> None:
    for result in trial.outcomes(samples.injection(**spec), minor=versions.minor()):
        assert list(result.needs) == texts
        for pod in (result.before, result.after):
            metadata = {key: value for key, value in pod["metadata"].items() if key != "namespace"}
            refusal = judge.refusal({**pod, "metadata": metadata})
            assert refusal is None or FLAG_OF_THE_CLUSTER in refusal


def test_annotations_may_be_256_kib_together_and_not_a_byte_more(judge: Judge) -> None:
    before = validity.pod({})
    fitting = validity.with_added(before, {"annotations": {"key": "é" * (128 * 1024 - 2) + "x"}})
    too_many = validity.with_added(fitting, {"annotations": {"a": "b"}})
    assert judge.refusal(fitting) is None
    assert judge.refusal(too_many) is not None
    assert validity.verdict(before, fitting) is None
    assert "262144 bytes" in str(validity.verdict(before, too_many))


@pytest.mark.parametrize("length", [251, 252])
def test_the_claim_of_an_ephemeral_volume_is_named_after_the_pod(judge: Judge, length: int) -> None:
    before, after = validity.with_ephemeral_volume("a" * length)
    assert judge.refusal(before) is None
    assert (judge.refusal(after) is None) is (validity.verdict(before, after) is None)


def test_two_spellings_of_one_mount_path_are_more_than_the_api_server_asks(judge: Judge) -> None:
    """The one false alarm on purpose among mounts: the runtime would put one over the other."""
    before = validity.pod({"volumes": [{"name": "v", "emptyDir": {}}]})
    mounts = [{"name": "v", "mountPath": path} for path in ("/a", "/a/")]
    sidecar = {"name": "s", "image": "x", "volumeMounts": mounts}
    after = validity.with_added(before, {"containers": [sidecar]})
    assert judge.refusal(after) is None
    assert "/a/" in str(validity.verdict(before, after))


def test_a_stop_signal_needs_a_system_where_the_api_server_reads_it(judge: Judge) -> None:
    """It drops the field without the feature gate, which no pod tells: the other false alarm."""
    before = validity.pod({})
    sidecar = {"name": "s", "image": "x", "lifecycle": {"stopSignal": "SIGINT"}}
    after = validity.with_added(before, {"containers": [sidecar]})
    assert judge.refusal(after) is None
    assert "stopSignal" in str(validity.verdict(before, after))


def test_random_pods_and_parts_are_judged_as_the_api_server_judges_them(judge: Judge) -> None:
    """Nothing is missed and nothing is invented, over parts that are biased towards trouble.

    An older release drops some parts that the newest one refuses; these we refuse everywhere.
    """
    mistakes = {"missed", "false alarm"} if versions.minor() == releases.NEWEST else {"missed"}
    random_pods = broken_pods.Draw(SEED)
    hits: collections.Counter[str] = collections.Counter()
    wrong = []
    for _ in range(PAIRS):
        before, after, traits = random_pods.pair()
        hits.update(f"part: {trait}" for trait in traits)
        for policy in POLICIES:
            verdict, detail = _compare(judge, before, after, policy=policy)
            hits[f"{policy.level}: {verdict}"] += 1
            if verdict in mistakes:
                wrong.append((verdict, policy.level, detail, before, after))
    print(f"seed {SEED}:", dict(sorted(hits.items())))  # noqa: T201 - the figures are owed
    assert not wrong, json.dumps(wrong[:5])
    for level, share in (
        (pod_security.PRIVILEGED, 3),
        (pod_security.BASELINE, 5),
        ("restricted", 8),
    ):
        assert hits[f"{level}: {FOUND}"] >= PAIRS // share
        assert hits[f"{level}: {ALONE}"] >= PAIRS // share


def _compare(
    judge: Judge, before: dict[str, Any], after: dict[str, Any], *, policy: pod_security.Policy
) -> tuple[str, str]:
    if refusal := judge.refusal(before, policy=policy):
        return "refused without us", refusal
    refusal = judge.refusal(after, policy=policy)
    sentence = validity.verdict(before, after, policy=policy, minor=versions.minor())
    if refusal and FLAG_OF_THE_CLUSTER in refusal:
        return "refused by a flag of the cluster", refusal
    if refusal:
        return (FOUND if sentence else "missed"), refusal
    return ("false alarm" if sentence else ALONE), sentence or ""
