"""What an injection added is recognised after the API server has written the pod again."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar_injector.core.merging import uninject
from tests.kits.samples import Json, container, decided, injection, meaningful, pod, reasons
from tests.kits.written import written

PROBE = {"httpGet": {"port": 80, "host": "", "path": "", "httpHeaders": []}}
EMPTY_VALUES: list[Json] = [
    {"tty": False},
    {"stdin": False, "stdinOnce": False},
    {"workingDir": ""},
    {"terminationMessagePath": ""},
    {"imagePullPolicy": "IfNotPresent"},
    {"command": [], "args": [], "env": [], "envFrom": []},
    {"ports": [{"containerPort": 80, "name": "", "hostPort": 0, "hostIP": ""}]},
    {"livenessProbe": {**PROBE, "initialDelaySeconds": 0, "periodSeconds": 0}},
    {"readinessProbe": {**PROBE, "timeoutSeconds": 0, "failureThreshold": 0}},
    {"startupProbe": {"tcpSocket": {"port": 80, "host": ""}, "successThreshold": 0}},
    {"livenessProbe": {"grpc": {"port": 80, "service": ""}}},
    {"lifecycle": {"preStop": PROBE, "postStart": {"sleep": {"seconds": 0}}}},
    {"securityContext": {"seLinuxOptions": {"level": "", "role": "", "type": "a", "user": ""}}},
    {"securityContext": {"capabilities": {"add": [], "drop": []}}},
    {"securityContext": {"privileged": False, "runAsUser": 0}},
    {"env": [{"name": "A", "value": ""}]},
    {"env": [{"name": "A", "valueFrom": {
        "fieldRef": {"apiVersion": "", "fieldPath": "spec.nodeName"}}}]},
    {"env": [{"name": "A", "valueFrom": {
        "configMapKeyRef": {"name": "c", "key": "k", "optional": False}}}]},
    {"envFrom": [{"prefix": "", "configMapRef": {"name": "c"}}]},
    {"resources": {"limits": {}, "requests": {}}},
    {"resources": {"limits": {"cpu": "0"}}},
]  # fmt: skip
VOLUMES: list[Json] = [
    {"persistentVolumeClaim": {"claimName": "c", "readOnly": False}},
    {"nfs": {"server": "s", "path": "/", "readOnly": False}},
    {"hostPath": {"path": "/", "type": ""}},
    {"emptyDir": {"medium": ""}},
    {"emptyDir": {"sizeLimit": "1e-10"}},
    {},
    {"csi": {"driver": "d", "readOnly": False, "volumeAttributes": {"a": ""}}},
    {"fc": {"wwids": ["a"], "lun": 0, "fsType": ""}},
    {"azureDisk": {"diskName": "a", "diskURI": "https://a.example.com/a", "fsType": "",
                   "readOnly": False}},
    {"rbd": {"monitors": ["a"], "image": "a", "pool": "", "user": "", "keyring": ""}},
    {"configMap": {"name": "c", "optional": False, "defaultMode": 0, "items": []}},
    {"projected": {"sources": [{"serviceAccountToken": {"path": "t", "audience": ""}}]}},
    {"downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.name"}}]}},
    {"image": {"reference": "registry.example.com/a:1"}},
    {"image": {"reference": "registry.example.com/a", "pullPolicy": "Always"}},
    {"ephemeral": {"volumeClaimTemplate": {"metadata": {"labels": {}}, "spec": {
        "accessModes": ["ReadWriteOnce"], "volumeName": "", "storageClassName": "",
        "resources": {"requests": {"storage": "1500u"}}}}}},
]  # fmt: skip
POD_PARTS: list[Json] = [
    {"tolerations": [{"key": "a", "operator": "Exists", "value": ""}]},
    {"tolerations": [{"operator": "Exists", "tolerationSeconds": 0, "effect": "NoExecute"}]},
    {"topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "a", "whenUnsatisfiable": "DoNotSchedule",
         "matchLabelKeys": []}
    ]},
    {"dnsConfig": {"options": [{"name": "a", "value": ""}]}},
    {"serviceAccountName": ""},
    {"shareProcessNamespace": False},
    {"hostNetwork": False, "hostPID": False},
]  # fmt: skip
APPLIED: list[Json] = [
    {"envFrom": [{"prefix": "", "configMapRef": {"name": "c"}}]},
    {"envFrom": [{"secretRef": {"name": "c", "optional": False}}]},
    {"env": [{"name": "A", "value": ""}]},
    {"volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "", "readOnly": False}]},
]


def changes_nothing_again(spec: Json, subject: Json | None = None) -> None:
    subject = subject or pod()
    rule = injection(cluster=True, **spec)
    first = decided(subject, rule)
    second = decided(written(first.pod), rule)
    assert second.operations == []
    assert set(reasons(second).values()) == {"AlreadyInjected"}
    # From the cluster, too, all of it is taken out again.
    left = uninject.uninject(written(first.pod))
    assert meaningful(left) == meaningful(written(subject))


@pytest.mark.parametrize("fields", EMPTY_VALUES)
def test_a_container_with_empty_values_is_recognised(fields: Json) -> None:
    changes_nothing_again({"template": {"spec": {"containers": [container(**fields)]}}})
    native = container(restartPolicy="Always", **fields)
    changes_nothing_again({"template": {"spec": {"initContainers": [native]}}})


@pytest.mark.parametrize("fields", EMPTY_VALUES)
def test_a_container_of_the_author_is_the_wanted_one_before_and_after(fields: Json) -> None:
    rule = injection(cluster=True, template={"spec": {"containers": [container(**fields)]}})
    subject = pod(containers=[container("app"), container(**fields)])
    assert reasons(decided(subject, rule)) == reasons(decided(written(subject), rule))
    assert decided(subject, rule).operations == []


@pytest.mark.parametrize("source", VOLUMES)
def test_a_volume_is_recognised(source: Json) -> None:
    mounting = container(volumeMounts=[{"name": "v", "mountPath": "/v"}])
    template = {"spec": {"containers": [mounting], "volumes": [{"name": "v", **source}]}}
    changes_nothing_again({"template": template})
    changes_nothing_again({"template": template}, pod(volumes=[{"name": "v", **source}]))
    # The pod's own volume is shared whoever has written the pod.
    changes_nothing_again({"template": template}, written(pod(volumes=[{"name": "v", **source}])))


@pytest.mark.parametrize("fields", POD_PARTS)
def test_parts_of_the_pod_are_recognised(fields: Json) -> None:
    changes_nothing_again({"template": {"spec": {"containers": [container()], **fields}}})


@pytest.mark.parametrize("fields", APPLIED)
def test_what_the_authors_containers_receive_is_recognised(fields: Json) -> None:
    volumes = [{"name": "v", "emptyDir": {}}]
    spec = {"applicationContainers": fields, "template": {"spec": {"volumes": volumes}}}
    changes_nothing_again(spec, pod(volumes=volumes))


@pytest.mark.parametrize(
    ("own", "wanted", "result"),
    [
        ({"tty": False}, {"tty": True}, {"tty": True}),
        ({"workingDir": ""}, {"workingDir": "/w"}, {"workingDir": "/w"}),
        ({"args": []}, {"args": ["a"]}, {"args": ["a"]}),
        # A pointer in Go: the API server keeps what the author wrote, and so do we.
        (
            {"securityContext": {"privileged": False, "runAsUser": 0}},
            {"securityContext": {"privileged": True, "runAsUser": 5}},
            {"securityContext": {"privileged": False, "runAsUser": 0}},
        ),
        ({}, {"tty": False, "workingDir": ""}, {}),
    ],
)
def test_a_union_is_the_same_before_and_after_the_api_server_wrote_the_pod(
    own: Json, wanted: Json, result: Json
) -> None:
    rule = injection(onConflict="Merge", template={"spec": {"containers": [container(**wanted)]}})
    subject = pod(containers=[container(**own)])
    before, after = decided(subject, rule), decided(written(subject), rule)
    assert reasons(before) == reasons(after)
    assert written(before.pod)["spec"] == written(after.pod)["spec"]
    assert before.pod["spec"]["containers"] == [container(**result)]
    assert decided(written(before.pod), rule).operations == []
    assert written(uninject.uninject(before.pod)) == written(subject)


def test_ports_that_a_union_added_are_taken_out_of_a_pod_of_the_cluster() -> None:
    wanted = container(ports=[{"containerPort": 80, "name": ""}])
    rule = injection(onConflict="Merge", template={"spec": {"containers": [wanted]}})
    subject = pod(containers=[container()])
    injected = written(decided(subject, rule).pod)
    assert meaningful(uninject.uninject(injected)) == meaningful(written(subject))


def test_an_empty_value_that_the_api_server_keeps_makes_another_item() -> None:
    forever: Json = {"operator": "Exists", "effect": "NoExecute"}
    wanted = {**forever, "tolerationSeconds": 0}
    rule = injection(template={"spec": {"tolerations": [wanted]}})
    result = decided(pod(tolerations=[forever]), rule)
    assert result.pod["spec"]["tolerations"] == [forever, wanted]


def test_a_selector_of_everything_is_not_that_of_nothing() -> None:
    nothing: Json = {"maxSkew": 1, "topologyKey": "a", "whenUnsatisfiable": "DoNotSchedule"}
    everything = {**nothing, "labelSelector": {}}
    rules = (
        injection(name, template={"spec": {"topologySpreadConstraints": [constraint]}})
        for name, constraint in (("a", nothing), ("b", everything))
    )
    assert list(reasons(decided(pod(), *rules)).values()) == ["Injected", "InjectionConflict"]
    template = {"spec": {"topologySpreadConstraints": [everything]}}
    rule = injection(template=template)
    kept = decided(pod(topologySpreadConstraints=[nothing]), rule).lines[0].details["kept"]
    assert kept == ["/spec/topologySpreadConstraints"]


def test_sources_of_a_later_injection_come_behind_those_of_an_earlier_call() -> None:
    first, second = (
        injection(
            name,
            applicationContainers={"envFrom": [{"prefix": "", "configMapRef": {"name": name}}]},
        )
        for name in ("a", "b")
    )
    subject = pod(containers=[container("app", envFrom=[{"secretRef": {"name": "own"}}])])
    injected = decided(written(decided(subject, first).pod), first, second).pod
    sources = injected["spec"]["containers"][0]["envFrom"]
    assert [source.get("configMapRef", {}).get("name") for source in sources] == ["a", "b", None]


def test_on_the_host_network_a_port_of_the_author_is_that_of_the_host() -> None:
    wanted = container(ports=[{"containerPort": 80, "hostPort": 80}])
    rule = injection(hostNetworkPods="Inject", template={"spec": {"containers": [wanted]}})
    own = container(ports=[{"containerPort": 80}])
    subject = pod(hostNetwork=True, containers=[container("app"), own])
    after = pod(hostNetwork=True, containers=[container("app"), wanted])
    assert reasons(decided(subject, rule)) == reasons(decided(after, rule))
    assert set(reasons(decided(subject, rule)).values()) == {"AlreadyInjected"}
    elsewhere = pod(containers=[container("app"), own])
    assert set(reasons(decided(elsewhere, rule)).values()) == {"ContainerConflict"}


def of_requests(field: str, **resources: Any) -> Json:
    return container(resources={field: resources})


def test_requests_that_come_from_limits_are_there_before_the_api_server_copies_them() -> None:
    rule = injection(template={"spec": {"containers": [of_requests("requests", cpu="500m")]}})
    subject = pod(containers=[container("app"), of_requests("limits", cpu=0.5)])
    assert reasons(decided(subject, rule)) == reasons(decided(written(subject), rule))
    assert set(reasons(decided(subject, rule)).values()) == {"AlreadyInjected"}
