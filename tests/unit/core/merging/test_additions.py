"""The fields of a pod's spec beside containers and volumes."""

from __future__ import annotations

import copy
import json

import jsonpatch
import pytest

from sidecar_injector import names
from sidecar_injector.core.merging import uninject
from tests.kits.samples import decided, injection, meaningful, pod, reasons


def adding(name="log", *, cluster=False, priority=0, **spec):
    return injection(name, cluster=cluster, priority=priority, template={"spec": spec})


def after(subject, *injections):
    """The decision; patch, second pass and the way back are as they must be."""
    made = decided(subject, *injections)
    assert jsonpatch.apply_patch(copy.deepcopy(subject), made.operations) == made.pod
    assert decided(made.pod, *injections).operations == []
    assert meaningful(uninject.uninject(made.pod)) == meaningful(subject)
    return made


def spec(subject, *injections):
    return after(subject, *injections).pod["spec"]


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
    made = spec(pod(**own), adding(serviceAccountName="robot"))
    assert {key: made[key] for key in made if key.startswith("serviceAccount")} == result


@pytest.mark.parametrize("own", [{"serviceAccountName": "web"}, {"serviceAccount": "web"}])
def test_a_service_account_of_the_authors_is_kept_and_reported(own):
    made = after(pod(**own), adding(serviceAccountName="robot", tolerations=[{"key": "a"}]))
    assert own.items() <= made.pod["spec"].items()
    assert made.lines[0].details == {"kept": ["/spec/serviceAccountName"]}


def test_process_namespaces_are_shared_where_the_pod_does_not_say():
    assert spec(pod(), adding(shareProcessNamespace=True))["shareProcessNamespace"] is True
    made = after(pod(shareProcessNamespace=False), adding(shareProcessNamespace=True))
    assert reasons(made) == {"log": "AlreadyInjected"}
    assert made.lines[0].details == {"kept": ["/spec/shareProcessNamespace"]}


@pytest.mark.parametrize("field", ["hostNetwork", "hostPID"])
@pytest.mark.parametrize("own", [{}, {"value": False}])
def test_host_namespaces_are_the_cluster_kinds(field, own):
    subject = pod(**({field: own["value"]} if own else {}))
    assert spec(subject, adding(cluster=True, **{field: True}))[field] is True
    assert adding(**{field: True}).errors[0][0] == f"spec.template.spec.{field}"


def test_an_injection_that_sets_the_host_network_still_matches_on_the_second_call():
    one = adding(cluster=True, hostNetwork=True)
    once = after(pod(), one)
    assert reasons(decided(once.pod, one)) == {"cluster/log": "AlreadyInjected"}


def test_pull_secrets_are_united_by_name():
    own, ours = [{"name": "own"}, {"name": "both"}], [{"name": "both"}, {"name": "ours"}]
    made = spec(pod(imagePullSecrets=own), adding(imagePullSecrets=ours))
    assert made["imagePullSecrets"] == [*own, {"name": "ours"}]


def test_host_names_of_one_address_are_united():
    own = [{"ip": "10.0.0.1", "hostnames": ["a"]}]
    ours = [
        {"ip": "10.0.0.1", "hostnames": ["a", "b"]},
        {"ip": "10.0.0.2", "hostnames": ["c"]},
    ]
    made = spec(pod(hostAliases=own), adding(hostAliases=ours))
    assert made["hostAliases"] == [
        {"ip": "10.0.0.1", "hostnames": ["a", "b"]},
        {"ip": "10.0.0.2", "hostnames": ["c"]},
    ]


def test_tolerations_are_compared_as_a_whole_and_keep_their_order():
    own = [{"key": "a", "operator": "Exists"}]
    ours = [{"key": "b", "operator": "Exists"}, *own, {"key": "a", "operator": "Equal"}]
    made = spec(pod(tolerations=own), adding(tolerations=ours))
    assert made["tolerations"] == [*own, ours[0], ours[2]]


def constraint(skew, *, when="ScheduleAnyway", key="zone"):
    return {"topologyKey": key, "whenUnsatisfiable": when, "maxSkew": skew}


def test_spread_constraints_are_known_by_key_and_manner():
    own = [constraint(1)]
    ours = [constraint(2), constraint(2, when="DoNotSchedule"), constraint(2, key="host")]
    made = after(pod(topologySpreadConstraints=own), adding(topologySpreadConstraints=ours))
    assert made.pod["spec"]["topologySpreadConstraints"] == [*own, *ours[1:]]
    assert made.lines[0].details == {"kept": ["/spec/topologySpreadConstraints"]}


def test_dns_lists_are_filled_up_to_what_the_api_server_takes():
    own = {"nameservers": ["10.0.0.1", "10.0.0.2"], "options": [{"name": "ndots", "value": "2"}]}
    ours = {
        "nameservers": ["10.0.0.2", "10.0.0.3", "10.0.0.4"],
        "searches": [f"d{number}.example" for number in range(32)],
        "options": [{"name": "ndots", "value": "5"}, {"name": "edns0"}],
    }
    made = after(pod(dnsConfig=own), adding(dnsConfig=ours))
    assert made.pod["spec"]["dnsConfig"] == {
        "nameservers": ["10.0.0.1", "10.0.0.2", "10.0.0.3"],
        "searches": ours["searches"],
        "options": [*own["options"], {"name": "edns0"}],
    }
    assert "/spec/dnsConfig/options" in made.lines[0].details["kept"]


def test_search_domains_stop_at_thirty_two():
    own = {"searches": [f"own{number}.example" for number in range(31)]}
    ours = {"searches": ["a.example", "b.example"]}
    made = spec(pod(dnsConfig=own), adding(dnsConfig=ours))
    assert made["dnsConfig"]["searches"] == [*own["searches"], "a.example"]


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
    made = decided(pod(**{field: own}), adding(**{field: [values[field]]}))
    assert made.pod["spec"][field] == [values[field]]
    assert jsonpatch.apply_patch(pod(**{field: own}), made.operations) == made.pod


def test_of_two_injections_that_want_a_scalar_the_later_one_yields():
    first = adding("a", priority=1, serviceAccountName="a")
    second = adding("b", serviceAccountName="b")
    made = after(pod(), second, first)
    assert reasons(made) == {"a": "Injected", "b": "InjectionConflict"}
    assert made.pod["spec"]["serviceAccountName"] == "a"
    assert "spec.serviceAccountName belongs to a" in made.lines[1].message


def test_two_injections_that_want_the_same_scalar_share_it():
    made = after(pod(), adding("a", hostAliases=[], shareProcessNamespace=True),
                 adding("b", shareProcessNamespace=True))  # fmt: skip
    assert reasons(made) == {"a": "Injected", "b": "AlreadyInjected"}


def test_what_was_patched_is_written_down_with_what_undoes_it():
    made = after(pod(serviceAccountName="default"), adding(serviceAccountName="robot"))
    said = json.loads(made.pod["metadata"]["annotations"][names.STATUS_ANNOTATION])
    assert said["injections"][0]["patched"] == [
        {"op": "set", "path": "/spec/serviceAccountName", "previous": "default", "value": "robot"}
    ]
