"""Comparing in the API server's eyes: defaults, quantities, and lists with keys."""

from __future__ import annotations

import pytest

from sidecar_injector.core.merging import defaults
from sidecar_injector.core.pods import quantity


@pytest.mark.parametrize(
    ("actual", "wanted", "there"),
    [
        ({"image": "a", "terminationMessagePolicy": "File"}, {"image": "a"}, True),
        ({"image": "a"}, {"image": "a", "terminationMessagePolicy": "File"}, True),
        ({"image": "a"}, {"image": "b"}, False),
        ({"image": "a:1"}, {"imagePullPolicy": "IfNotPresent"}, True),
        ({"image": "h:5000/a"}, {"imagePullPolicy": "Always"}, True),
        ({"image": "a@sha256:0"}, {"imagePullPolicy": "IfNotPresent"}, True),
        ({"resources": {"limits": {"cpu": "500m"}}}, {"resources": {"limits": {"cpu": 0.5}}}, True),
        (
            {"resources": {"limits": {"cpu": "500m"}}},
            {"resources": {"limits": {"cpu": "1"}}},
            False,
        ),
        ({"resources": {}}, {"resources": {"limits": {"cpu": "1"}}}, False),
        (
            {"ports": [{"containerPort": 80, "protocol": "TCP"}]},
            {"ports": [{"containerPort": 80}]},
            True,
        ),
        (
            {"ports": [{"containerPort": 80}]},
            {"ports": [{"containerPort": 80, "protocol": "UDP"}]},
            False,
        ),
        (
            {"env": [{"name": "A"}, {"name": "B", "value": "1"}]},
            {"env": [{"name": "A", "value": ""}]},
            True,
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]},
            {"env": [{"name": "A", "value": ""}]},
            False,
        ),
        (
            {"volumeMounts": [{"name": "t", "mountPath": "/t"}, {"name": "v", "mountPath": "/v"}]},
            {"volumeMounts": [{"name": "v", "mountPath": "/v", "readOnly": False}]},
            True,
        ),
        ({"args": ["a", "b"]}, {"args": ["a"]}, False),
        (
            {"livenessProbe": {"httpGet": {"port": 1}}},
            {"livenessProbe": {"periodSeconds": 10, "httpGet": {"port": 1, "scheme": "HTTP"}}},
            True,
        ),
        ({}, {"livenessProbe": {"periodSeconds": 10}}, False),
        ({"tty": 1}, {"tty": True}, False),
        ({"args": None}, {"args": []}, True),
        ({}, {"tty": False, "workingDir": ""}, True),
        ({"tty": True}, {"tty": False}, False),
        ({"tty": True}, {"tty": None}, True),
        ({"tty": True, "args": ["a"]}, {"env": [], "securityContext": {}}, True),
        ({}, {"securityContext": {"privileged": False}}, False),
        ({"securityContext": {}}, {"securityContext": {"runAsUser": 0}}, False),
        ({}, {"resources": {"limits": {}}}, True),
        ({"resources": {"limits": {}}}, {"resources": {"limits": {"cpu": "0"}}}, False),
        ({"resources": {"limits": {"cpu": "1m"}}}, {"resources": {"limits": {"cpu": "1u"}}}, True),
        ({"image": "a"}, {"imagePullPolicy": "IfNotPresent"}, False),
        ({"imagePullPolicy": "Always", "image": "a:1"}, {"imagePullPolicy": ""}, True),
        (
            {"ports": [{"containerPort": 80, "hostPort": 80}]},
            {"ports": [{"containerPort": 80, "hostPort": 0}]},
            True,
        ),
        (
            {"resizePolicy": [{"resourceName": "cpu"}, {"resourceName": "memory"}]},
            {"resizePolicy": [{"resourceName": "memory"}]},
            True,
        ),
    ],
)
def test_a_container_is_there_if_it_has_every_field_that_is_wanted(actual, wanted, there):
    assert defaults.contains(actual, wanted, defaults.CONTAINER) is there


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (
            {"secret": {"secretName": "s"}},
            {"secret": {"secretName": "s", "defaultMode": 420}},
            True,
        ),
        (
            {"secret": {"secretName": "s"}},
            {"secret": {"secretName": "s", "defaultMode": 256}},
            False,
        ),
        ({}, {"emptyDir": {}}, True),
        ({"configMap": {}}, {"emptyDir": {}}, False),
        ({"emptyDir": {"sizeLimit": "1Gi"}}, {"emptyDir": {"sizeLimit": "1024Mi"}}, True),
        ({"hostPath": {"path": "/a"}}, {"hostPath": {"path": "/a", "type": ""}}, True),
        ({"emptyDir": {"sizeLimit": "0"}}, {"emptyDir": {}}, False),
        ({"emptyDir": {"sizeLimit": 0}}, {"emptyDir": {"sizeLimit": "0"}}, True),
        (
            {"image": {"reference": "a"}},
            {"image": {"reference": "a", "pullPolicy": "Always"}},
            True,
        ),
        (
            {"image": {"reference": "a:1"}},
            {"image": {"reference": "a:1", "pullPolicy": "Always"}},
            False,
        ),
        (
            {"csi": {"driver": "d", "volumeAttributes": {"a": ""}}},
            {"csi": {"driver": "d", "volumeAttributes": {}}},
            False,
        ),
        (
            {"projected": {"sources": [{"clusterTrustBundle": {"path": "a"}}]}},
            {
                "projected": {
                    "sources": [{"clusterTrustBundle": {"path": "a", "labelSelector": {}}}]
                }
            },
            False,
        ),
    ],
)
def test_volumes_are_compared_after_defaulting_in_both_directions(first, second, same):
    assert defaults.same_volume({"name": "v", **first}, {"name": "v", **second}) is same
    assert defaults.same_volume({"name": "v", **second}, {"name": "v", **first}) is same


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1),
        ("500m", "0.5"),
        ("1Ki", 1024),
        ("1e3", 1000),
        ("1.5Gi", 1610612736),
        (".5", "0.5"),
        (0.5, "0.5"),
        (2, 2),
        ("1E", 10**18),
        ("-1n", "-1e-9"),
    ],
)
def test_quantities_are_numbers(text, number):
    assert quantity.parse(text) == quantity.parse(str(number)) is not None


@pytest.mark.parametrize(
    ("text", "digits", "number"),
    [
        ("1500u", 3, "2m"),
        ("1500u", 9, "1500u"),
        ("-1500u", 3, "-2m"),
        ("1e-10", 9, "1n"),
        (0.0001, 3, "1m"),
        ("0", 3, "0"),
        (" 1Gi ", 3, "1Gi"),
        ("8Ei", 9, 2**63 - 1),
        ("1" * 250, 3, "1" * 250),
    ],
)
def test_a_quantity_is_rounded_up_and_bounded(text, digits, number):
    assert quantity.stored(text, digits=digits) == quantity.parse(number)


@pytest.mark.parametrize(
    "text", ["", "a", "1 Gi", "1GiB", "--1", "\x1c1", True, None, "1" * 257, "1e999"]
)
def test_what_is_no_quantity_is_none(text):
    assert quantity.parse(text) is None
