"""Pods of a namespace whose quota fills up, through the real webhook: in turn, and all at once."""

from __future__ import annotations

import collections
import concurrent.futures
import decimal
import http.client
import json
import re

import pytest

from sidecar_injector import names
from sidecar_injector.core.pods import quantity
from tests.kits import product as kit

HARD, APP, SIDECAR = (decimal.Decimal(text) for text in ("4.15", "0.1", "0.3"))
"""Room for ten pods with their sidecar and one without."""
PODS, THREADS = 30, 12
REFUSAL = re.compile(r"requested: requests\.cpu=(\w+), used: requests\.cpu=(\w+),")
KNOWN = re.compile(r"requests\.cpu: (\w+) of")
INJECTED, BARE, FULL, OURS = "injected", "without it", "refused, full", "refused because of us"


def cpu(amount: decimal.Decimal) -> kit.Json:
    return {"requests": {"cpu": str(amount)}}


def pod(name: str, needed: decimal.Decimal = APP) -> kit.Json:
    body = kit.pod(containers=[{"name": "app", "image": "app:1", "resources": cpu(needed)}])
    return kit.with_metadata(body, name=name)


class Namespace:
    """A namespace with a quota, and two injections of which one never has room."""

    def __init__(self, product: kit.Product, name: str) -> None:
        self.product, self._name = product, name
        self._path = f"/api/v1/namespaces/{name}"
        quota = {"metadata": {"name": "q"}, "spec": {"hard": {"requests.cpu": str(HARD)}}}
        product.plane.client.request("POST", f"{self._path}/resourcequotas", quota)
        for injection, amount, more in (
            ("log", SIDECAR, {}),
            ("large", decimal.Decimal(1000), {"activation": "OnRequest"}),
        ):
            container = {"name": injection, "image": "x:1", "resources": cpu(amount)}
            template = {"spec": {"containers": [container]}}
            resource = kit.injection(injection, template=template, **more)
            product.create_injection(name, resource)
        self.wait_known()

    @property
    def used(self) -> decimal.Decimal:
        quota = self.product.plane.client.get(f"{self._path}/resourcequotas/q")
        return amount((quota.get("status") or {}).get("used", {}).get("requests.cpu", "-1"))

    def wait_known(self) -> None:
        """Until each replica has the quota's present use, which the sentence of `large` tells."""
        probe = pod("probe", decimal.Decimal(0))
        asking = kit.with_metadata(probe, annotations={names.INJECT_ANNOTATION: "large"})

        def agree() -> bool:
            used = self.used
            return all(
                amount(known[1]) == used
                for replica in self.product.replicas
                for warnings in [self.product.ask(replica, self._name, asking).get("warnings", [])]
                for known in [KNOWN.search(" ".join(warnings)) or ("", "-2")]
            )

        self.product.plane.wait("the replicas know what is used", agree)

    def create(self, name: str) -> str:
        """What becomes of a pod."""
        client = self.product.plane.client
        status, text = client.text("POST", f"{self._path}/pods", pod(name))
        if status == http.client.CREATED:
            return INJECTED if len(json.loads(text)["spec"]["containers"]) > 1 else BARE
        refusal = REFUSAL.search(text)
        assert refusal, text
        has_room = amount(refusal[2]) + APP <= HARD
        return OURS if has_room and amount(refusal[1]) > APP else FULL


def amount(text: str) -> decimal.Decimal:
    number = quantity.parse(text)
    assert number is not None
    return number


@pytest.fixture
def limited(product: kit.Product, enabled_namespace: str) -> Namespace:
    return Namespace(product, enabled_namespace)


def test_no_pod_is_refused_because_of_a_sidecar_one_after_the_other(limited: Namespace) -> None:
    became = []
    for number in range(14):
        limited.wait_known()
        became.append(limited.create(f"pod-{number}"))
    assert became == [*[INJECTED] * 10, BARE, *[FULL] * 3]


def test_of_a_burst_those_that_were_refused_because_of_us_come_when_they_are_tried_again(
    limited: Namespace,
) -> None:
    pods = [f"pod-{number}" for number in range(PODS)]
    rounds = []
    with concurrent.futures.ThreadPoolExecutor(THREADS) as threads:
        while not rounds or rounds[-1][OURS]:
            outcomes = dict(zip(pods, threads.map(limited.create, pods), strict=True))
            rounds.append(collections.Counter(outcomes.values()))
            pods = [name for name, outcome in outcomes.items() if outcome in (OURS, FULL)]
            limited.wait_known()
    print("rounds:", [dict(each) for each in rounds])  # noqa: T201 - the figures are owed
    total = sum(rounds, collections.Counter())
    assert total[INJECTED] * (APP + SIDECAR) + total[BARE] * APP == limited.used
    assert limited.used + APP > HARD
