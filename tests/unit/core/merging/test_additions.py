"""The fields of a pod's spec beside containers and volumes."""

from __future__ import annotations

import json

import jsonpatch
import pytest

from sidecar_injector import names
from tests.kits.samples import decided, injection, pod, reasons, round_trip


def adding(name="log", *, cluster=False, priority=0, **spec):
    return injection(name, cluster=cluster, priority=priority, template={"spec": spec})


def spec(subject, *injections):
    return round_trip(subject, *injections).pod["spec"]


@pytest.mark.parametrize(
    ("own", "result"),
    [
        ({}, {"serviceAccountName": "robot"}),
        ({"serviceAccountName": ""}, {"serviceAccountName": "robot"}),
        ({"serviceAccountName": "default"}, {"serviceAccountName": "robot"}),
        ({"serviceAccountName": "default", "serviceAccount": "default"},
         {"serviceAccountName": "robot", "serviceAccount": "robot"}),
        ({"serviceAccount": "default"},
         {"serviceAccountName": "robot", "serviceAccount": "robot"}),
    ],
    ids=str,
)  # fmt: skip
def test_a_service_account_is_set_where_there_is_none_or_only_the_default(own, result):
    after_spec = spec(pod(**own), adding(serviceAccountName="robot"))
    assert {
        key: after_spec[key] for key in after_spec if key.startswith("serviceAccount")
    } == result


@pytest.mark.parametrize("own", [{"serviceAccountName": "web"}, {"serviceAccount": "web"}])
def test_a_service_account_of_the_authors_is_kept_and_reported(own):
    decision = round_trip(
        pod(**own), adding(serviceAccountName="robot", tolerations=[{"key": "a"}])
    )
    assert own.items() <= decision.pod["spec"].items()
    assert decision.lines[0].details == {"kept": ["/spec/serviceAccountName"]}


def test_process_namespaces_are_shared_where_the_pod_does_not_say():
    assert spec(pod(), adding(shareProcessNamespace=True))["shareProcessNamespace"] is True
    decision = round_trip(pod(shareProcessNamespace=False), adding(shareProcessNamespace=True))
    assert reasons(decision) == {"log": "AlreadyInjected"}
    assert decision.lines[0].details == {"kept": ["/spec/shareProcessNamespace"]}


@pytest.mark.parametrize("field", ["hostNetwork", "hostPID"])
@pytest.mark.parametrize("own", [{}, {"value": False}])
def test_host_namespaces_are_the_cluster_kinds(field, own):
    subject = pod(**({field: own["value"]} if own else {}))
    assert spec(subject, adding(cluster=True, **{field: True}))[field] is True
    assert adding(**{field: True}).errors[0].path == f"spec.template.spec.{field}"


def test_an_injection_that_sets_the_host_network_still_matches_on_the_second_call():
    log_injection = adding(cluster=True, hostNetwork=True)
    once = round_trip(pod(), log_injection)
    assert reasons(decided(once.pod, log_injection)) == {"cluster/log": "AlreadyInjected"}


def test_pull_secrets_are_united_by_name():
    own, wanted = [{"name": "own"}, {"name": "both"}], [{"name": "both"}, {"name": "ours"}]
    result = spec(pod(imagePullSecrets=own), adding(imagePullSecrets=wanted))
    assert result["imagePullSecrets"] == [*own, {"name": "ours"}]


def test_host_names_of_one_address_are_united():
    own = [{"ip": "10.0.0.1", "hostnames": ["a"]}]
    wanted = [{"ip": "10.0.0.1", "hostnames": ["a", "b"]}, {"ip": "10.0.0.2", "hostnames": ["c"]}]
    result = spec(pod(hostAliases=own), adding(hostAliases=wanted))
    assert result["hostAliases"] == [
        {"ip": "10.0.0.1", "hostnames": ["a", "b"]},
        {"ip": "10.0.0.2", "hostnames": ["c"]},
    ]


def test_tolerations_are_compared_as_a_whole_and_keep_their_order():
    own = [{"key": "a", "operator": "Exists"}]
    wanted = [{"key": "b", "operator": "Exists"}, *own, {"key": "a", "operator": "Equal"}]
    result = spec(pod(tolerations=own), adding(tolerations=wanted))
    assert result["tolerations"] == [*own, wanted[0], wanted[2]]


def constraint(skew, *, when="ScheduleAnyway", key="zone"):
    return {"topologyKey": key, "whenUnsatisfiable": when, "maxSkew": skew}


def test_spread_constraints_are_known_by_key_and_manner():
    own = [constraint(1)]
    wanted = [constraint(2), constraint(2, when="DoNotSchedule"), constraint(2, key="host")]
    decision = round_trip(
        pod(topologySpreadConstraints=own), adding(topologySpreadConstraints=wanted)
    )
    assert decision.pod["spec"]["topologySpreadConstraints"] == [*own, *wanted[1:]]
    assert decision.lines[0].details == {"kept": ["/spec/topologySpreadConstraints"]}


def test_dns_lists_are_filled_up_to_what_the_api_server_takes():
    own = {"nameservers": ["10.0.0.1", "10.0.0.2"], "options": [{"name": "ndots", "value": "2"}]}
    wanted = {
        "nameservers": ["10.0.0.2", "10.0.0.3", "10.0.0.4"],
        "searches": [f"d{number}.example" for number in range(32)],
        "options": [{"name": "ndots", "value": "5"}, {"name": "edns0"}],
    }
    decision = round_trip(pod(dnsConfig=own), adding(dnsConfig=wanted))
    assert decision.pod["spec"]["dnsConfig"] == {
        "nameservers": ["10.0.0.1", "10.0.0.2", "10.0.0.3"],
        "searches": wanted["searches"],
        "options": [*own["options"], {"name": "edns0"}],
    }
    assert "/spec/dnsConfig/options" in decision.lines[0].details["kept"]


def test_search_domains_stop_at_thirty_two():
    own = {"searches": [f"own{number}.example" for number in range(31)]}
    wanted = {"searches": ["a.example", "b.example"]}
    result = spec(pod(dnsConfig=own), adding(dnsConfig=wanted))
    assert result["dnsConfig"]["searches"] == [*own["searches"], "a.example"]


@pytest.mark.parametrize(
    "field", ["imagePullSecrets", "hostAliases", "tolerations", "topologySpreadConstraints"]
)
@pytest.mark.parametrize("own", [None, []])
def test_lists_that_are_null_or_empty_count_as_absent(field, own):
    values = {
        "imagePullSecrets": {"name": "a"},
        "hostAliases": {"ip": "10.0.0.1", "hostnames": ["a"]},
        "tolerations": {"key": "a"},
        "topologySpreadConstraints": constraint(1),
    }
    decision = decided(pod(**{field: own}), adding(**{field: [values[field]]}))
    assert decision.pod["spec"][field] == [values[field]]
    assert jsonpatch.apply_patch(pod(**{field: own}), decision.operations) == decision.pod


def test_of_two_injections_that_set_a_scalar_the_later_one_is_skipped():
    first = adding("a", priority=1, serviceAccountName="a")
    second = adding("b", serviceAccountName="b")
    decision = round_trip(pod(), second, first)
    assert reasons(decision) == {"a": "Injected", "b": "InjectionConflict"}
    assert decision.pod["spec"]["serviceAccountName"] == "a"
    assert "spec.serviceAccountName is of a" in decision.lines[1].message


def test_two_injections_that_want_the_same_scalar_share_it():
    decision = round_trip(pod(), adding("a", hostAliases=[], shareProcessNamespace=True),
                 adding("b", shareProcessNamespace=True))  # fmt: skip
    assert reasons(decision) == {"a": "Injected", "b": "AlreadyInjected"}


def test_what_was_patched_is_written_down_with_what_undoes_it():
    decision = round_trip(pod(serviceAccountName="default"), adding(serviceAccountName="robot"))
    recorded = json.loads(decision.pod["metadata"]["annotations"][names.STATUS_ANNOTATION])
    assert recorded["injections"][0]["patched"] == [
        {"op": "set", "path": "/spec/serviceAccountName", "previous": "default", "value": "robot"}
    ]
