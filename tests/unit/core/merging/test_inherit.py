"""What injected containers take from the pod's own, and what they never take."""

from __future__ import annotations

import copy

import pytest

from sidecar_injector import names
from sidecar_injector.core import decision
from sidecar_injector.core.merging import part_names
from tests.kits.samples import applied, container, decided, injection, pod, reasons

TOKEN = {"name": "kube-api-access-x", "mountPath": names.TOKEN_PATH, "readOnly": True}
DATA = {"name": "data", "mountPath": "/data"}
LOGS = {"name": "logs", "mountPath": "/var/log"}
VOLUMES = [{"name": mount["name"], "emptyDir": {}} for mount in (TOKEN, DATA, LOGS)]


def taking(*, sidecar=None, template=None, **inherited):
    spec = template or {"containers": [sidecar or container()]}
    return injection(template={"spec": spec}, inherit=inherited)


def subject(*mounts, **fields):
    return pod(containers=[container("app", volumeMounts=list(mounts), **fields)], volumes=VOLUMES)


def sidecar(decision):
    assert reasons(decision) == {"log": "Injected"}, decision.lines[0].message
    return decision.pod["spec"]["containers"][-1]


def test_mounts_are_taken_but_never_that_of_a_service_account_token():
    decision = decided(subject(DATA, TOKEN, LOGS), taking(volumeMounts={}))
    assert sidecar(decision)["volumeMounts"] == [DATA, LOGS]
    assert decided(decision.pod, taking(volumeMounts={})).operations == []


def test_without_a_word_about_mounts_none_are_taken():
    assert "volumeMounts" not in sidecar(decided(subject(DATA), taking(env=[])))


@pytest.mark.parametrize(
    ("exclude", "expected"),
    [
        (["logs"], [DATA]),
        (["l*"], [DATA]),
        (["/var/*"], [DATA]),
        (["/data"], [LOGS]),
        (["/logs"], [DATA, LOGS]),
    ],
)
def test_a_glob_that_begins_with_a_slash_means_the_path_and_any_other_the_volume(exclude, expected):
    result = decided(subject(DATA, LOGS), taking(volumeMounts={"exclude": exclude}))
    assert sidecar(result)["volumeMounts"] == expected


def test_a_path_is_inherited_from_the_first_named_container_that_has_it():
    other = {"name": "logs", "mountPath": "/data/"}
    two = pod(
        containers=[container("app", volumeMounts=[DATA]), container("db", volumeMounts=[other])],
        volumes=VOLUMES,
    )
    assert sidecar(decided(two, taking(volumeMounts={})))["volumeMounts"] == [DATA]
    result = decided(two, taking(volumeMounts={"fromContainers": ["d*"]}))
    assert sidecar(result)["volumeMounts"] == [other]


def test_what_the_template_mounts_itself_stays_as_it_is():
    own = {"name": "logs", "mountPath": "/data", "readOnly": True}
    result = decided(subject(DATA), taking(sidecar=container(volumeMounts=[own]), volumeMounts={}))
    assert sidecar(result)["volumeMounts"] == [own]


def test_init_containers_of_the_template_take_too():
    template = {"initContainers": [container()]}
    decision = decided(subject(DATA), taking(template=template, volumeMounts={}))
    assert decision.pod["spec"]["initContainers"][0]["volumeMounts"] == [DATA]


def test_what_another_injection_mounted_is_not_taken():
    earlier = injection(
        "a",
        template={"spec": {"volumes": [{"name": "agent", "emptyDir": {}}]}},
        applicationContainers={"volumeMounts": [{"name": "agent", "mountPath": "/agent"}]},
    )
    later = taking(volumeMounts={})
    decision = decided(subject(DATA), earlier, later)
    assert decision.pod["spec"]["containers"][-1]["volumeMounts"] == [DATA]
    assert decided(decision.pod, earlier, later).operations == []


def test_a_variable_is_inherited_unchanged():
    source = {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    wanted = [{"name": "PASSWORD", "fromContainer": "app"}]
    result = decided(subject(env=[{"name": "A", "value": "1"}, source]), taking(env=wanted))
    assert sidecar(result)["env"] == [source]


def test_a_variable_that_the_template_sets_is_not_taken():
    own = [{"name": "A", "value": "template"}]
    wanted = [{"name": "A", "fromContainer": "app"}]
    result = decided(
        subject(env=[{"name": "A", "value": "pod"}]), taking(sidecar=container(env=own), env=wanted)
    )
    assert sidecar(result)["env"] == own


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"name": "A", "fromContainer": "db"}, "there is no container 'db'"),
        ({"name": "B", "fromContainer": "app"}, "container 'app' has no variable B"),
    ],
)
def test_a_missing_source_is_a_missing_value(wanted, says):
    before = subject(env=[{"name": "A", "value": "1"}])
    decision = decided(before, taking(env=[wanted]))
    assert reasons(decision) == {"log": "MissingValue"}
    assert says in decision.lines[0].message
    assert decision.pod["spec"] == before["spec"]


def test_a_variable_that_an_injection_added_is_no_source():
    wanted = [{"name": "A", "fromContainer": "app"}]
    adding = injection(
        "a", template={}, applicationContainers={"env": [{"name": "A", "value": "1"}]}
    )
    decision = decided(pod(), adding, taking(env=wanted))
    assert reasons(decision) == {"a": "Injected", "log": "MissingValue"}


def test_a_mount_that_the_api_server_adds_between_two_calls_changes_nothing():
    log_injection = taking(volumeMounts={})
    once = decided(subject(DATA), log_injection)
    between = copy.deepcopy(once.pod)
    for each in between["spec"]["containers"]:
        each["volumeMounts"].append(TOKEN)
    assert decided(between, log_injection).operations == []


def secret_pod(volume, path="/x"):
    """A pod that mounts this volume and one with data."""
    mounts = [{"name": "x", "mountPath": path}, DATA]
    volumes = [{"name": "x", **volume}, {"name": "data", "emptyDir": {}}]
    return pod(containers=[container("app", volumeMounts=mounts)], volumes=volumes)


def projected(**source):
    return {"projected": {"sources": [{"configMap": {"name": "c"}}, source]}}


CREDENTIALS = [
    (projected(serviceAccountToken={"audience": "sts.amazonaws.com", "path": "token"}), "/x"),
    (projected(serviceAccountToken={"path": "token"}), "/var/log"),
    (projected(clusterTrustBundle={"name": "b", "path": "ca"}), "/x"),
    (projected(podCertificate={"signerName": "a.b/c", "keyType": "ED25519"}), "/x"),
    (projected(secret={"name": "s"}), "/x"),
    ({"secret": {"secretName": "s"}}, "/x"),
    ({"csi": {"driver": "secrets-store.csi.k8s.io"}}, "/x"),
    ({"csi": {"driver": "csi.spiffe.io"}}, "/x"),
    ({"csi": {"driver": "csi.cert-manager.io"}}, "/x"),
    ({"emptyDir": {}}, "/run/secrets"),
    ({"emptyDir": {}}, "/run/secrets/"),
    ({"emptyDir": {}}, "/var/run/secrets/tokens"),
    ({"emptyDir": {"medium": "Memory"}}, "/vault/secrets"),
    ({"hostPath": {"path": "/run/spire/sockets"}}, "/run/spire/sockets"),
    ({"emptyDir": {}}, "C:\\var\\run\\secrets\\tokens"),
]


@pytest.mark.parametrize(("volume", "path"), CREDENTIALS, ids=str)
def test_a_mount_that_may_hold_credentials_is_taken_only_by_name(volume, path):
    before = secret_pod(volume, path)
    result = applied(before, taking(volumeMounts={}))
    assert sidecar(result)["volumeMounts"] == [DATA]
    (left,) = result.lines[0].details["credentials"]
    assert left.startswith("/spec/containers/app/volumeMounts/")
    for glob in ("x", "*", *([path.rstrip("/")] if path.startswith("/") else [])):
        result = applied(before, taking(volumeMounts={"credentials": [glob]}))
        assert sidecar(result)["volumeMounts"] == [{"name": "x", "mountPath": path}, DATA]
        assert "credentials" not in result.lines[0].details
    both = {"credentials": ["*"], "exclude": ["x"]}
    assert sidecar(applied(before, taking(volumeMounts=both)))["volumeMounts"] == [DATA]


@pytest.mark.parametrize(
    ("volume", "path"),
    [
        ({"emptyDir": {}}, "/x"),
        ({"configMap": {"name": "secrets"}}, "/etc/secretary"),
        ({"persistentVolumeClaim": {"claimName": "c"}}, "/x"),
        ({"csi": {"driver": "gcsfuse.csi.storage.gke.io"}}, "/x"),
        (projected(downwardAPI={"items": []}), "/x"),
        ({"projected": None}, "/x"),
    ],
    ids=str,
)
def test_other_mounts_are_taken(volume, path):
    result = applied(secret_pod(volume, path), taking(volumeMounts={}))
    assert [mount["name"] for mount in sidecar(result)["volumeMounts"]] == ["x", "data"]
    assert result.lines[0].details == {}


def test_the_token_of_the_pod_is_not_taken_by_any_name():
    wanted = {"credentials": ["*", "/*"]}
    result = decided(subject(TOKEN, DATA), taking(volumeMounts=wanted))
    assert sidecar(result)["volumeMounts"] == [DATA]


NAME = {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
KEY = {"name": "s", "key": "k"}


def by_expression(expression="$(POD_NAME)", **fields):
    return {"name": "data", "mountPath": "/data", "subPathExpr": expression, **fields}


@pytest.mark.parametrize(
    ("expression", "env", "names"),
    [
        ("$(POD_NAME)", [NAME], ["POD_NAME"]),
        ("a/$(POD_NAME)-$(A)", [NAME, {"name": "A", "value": "a"}], ["POD_NAME", "A"]),
        ("$(A)", [NAME, {"name": "A", "value": "$(POD_NAME)/x"}], ["POD_NAME", "A"]),
        ("$(A)", [{"name": "A", "value": "$$(POD_NAME) $(GONE)"}], ["A"]),
        ("$$(POD_NAME)", [], []),
        ("$(A)", [{"name": "A", "valueFrom": {"configMapKeyRef": KEY}}], ["A"]),
        ("$(A)", [{"name": "A", "value": "old"}, {"name": "A", "value": "new"}], ["A"]),
        ("plain", [NAME], []),
    ],
    ids=str,
)
def test_the_variables_of_an_expression_come_with_the_mount(expression, env, names):
    mount = by_expression(expression)
    result = applied(subject(mount, env=env), taking(volumeMounts={}))
    injected = sidecar(result)
    assert injected["volumeMounts"] == [mount]
    assert [variable["name"] for variable in injected.get("env", ())] == names
    assert [variable for variable in env if variable in injected.get("env", ())][-1:] == (
        injected.get("env", [])[-1:]
    )


@pytest.mark.parametrize(
    ("mount", "env", "own"),
    [
        (by_expression(), [], {}),
        (by_expression("$(A)"), [{"name": "A", "valueFrom": {"secretKeyRef": KEY}}], {}),
        (by_expression("$(B)"), [{"name": "A", "valueFrom": {"secretKeyRef": KEY}},
                                 {"name": "B", "value": "$(A)"}], {}),
        (by_expression(), [NAME], {"env": [{"name": "POD_NAME", "value": "x"}]}),
        (by_expression("$(A)"), [{"name": "A", "value": "$(A1)"}, *(
            {"name": f"A{n}", "value": f"$(A{n + 1})"} for n in range(1, 40))], {}),
        ({**DATA, "mountPropagation": "Bidirectional"}, [], {}),
    ],
    ids=str,
)  # fmt: skip
def test_a_mount_that_would_break_is_left_out_and_reported(mount, env, own):
    before = subject(mount, LOGS, env=env)
    result = applied(before, taking(sidecar=container(**own), volumeMounts={}))
    assert sidecar(result)["volumeMounts"] == [LOGS]
    assert sidecar(result).get("env", []) == own.get("env", [])
    path = "/spec/containers/sidecar/volumeMounts/~1data"
    (line,) = result.lines
    assert line.details == {decision.LEFT_OUT: [path]}
    assert part_names.of_path(path) in line.message
    (again,) = decided(result.pod, taking(sidecar=container(**own), volumeMounts={})).lines
    assert again.details == line.details
    assert path in result.pod["metadata"]["annotations"]["sidecar-injector.dev/status"]


def test_a_variable_that_the_template_sets_in_the_same_way_serves_the_mount():
    defaulted = copy.deepcopy(NAME)
    defaulted["valueFrom"]["fieldRef"]["apiVersion"] = "v1"
    result = applied(
        subject(by_expression(), env=[defaulted]),
        taking(sidecar=container(env=[NAME]), volumeMounts={}),
    )
    assert sidecar(result)["env"] == [NAME]
    assert sidecar(result)["volumeMounts"] == [by_expression()]


def test_of_two_containers_that_set_a_variable_differently_the_first_serves_its_mounts():
    def own(name, path, value):
        mount = {"name": "data", "mountPath": path, "subPathExpr": "$(A)"}
        return container(name, volumeMounts=[mount], env=[{"name": "A", "value": value}])

    two = pod(containers=[own("app", "/a", "1"), own("db", "/b", "2")], volumes=VOLUMES)
    result = applied(two, taking(volumeMounts={}))
    assert [mount["mountPath"] for mount in sidecar(result)["volumeMounts"]] == ["/a"]
    assert list(result.lines[0].details) == [decision.LEFT_OUT]


def test_a_privileged_container_takes_a_mount_in_both_directions():
    both = {**DATA, "mountPropagation": "Bidirectional"}
    privileged = container(securityContext={"privileged": True})
    result = decided(subject(both), taking(sidecar=privileged, volumeMounts={}))
    assert sidecar(result)["volumeMounts"] == [both]


def test_a_path_of_a_device_is_taken_already():
    own = container(volumeDevices=[{"name": "block", "devicePath": "/data"}])
    result = decided(
        pod(
            containers=[container("app", volumeMounts=[DATA, LOGS])],
            volumes=[*VOLUMES, {"name": "block", "persistentVolumeClaim": {"claimName": "b"}}],
        ),
        taking(sidecar=own, volumeMounts={}),
    )
    assert sidecar(result)["volumeMounts"] == [LOGS]


def test_a_mount_of_a_volume_that_the_container_has_as_a_device_is_left_out():
    own = container(volumeDevices=[{"name": "data", "devicePath": "/dev/x"}])
    claim = {"name": "data", "persistentVolumeClaim": {"claimName": "c"}}
    before = pod(
        containers=[container("app", volumeMounts=[DATA, LOGS])], volumes=[claim, VOLUMES[2]]
    )
    result = applied(before, taking(sidecar=own, volumeMounts={}))
    assert sidecar(result)["volumeMounts"] == [LOGS]
    path = "/spec/containers/sidecar/volumeMounts/~1data"
    assert result.lines[0].details == {decision.LEFT_OUT: [path]}


def test_devices_are_not_taken():
    block = [{"name": "block", "devicePath": "/dev/block"}]
    volumes = [{"name": "block", "persistentVolumeClaim": {"claimName": "b"}}]
    before = pod(containers=[container("app", volumeDevices=block)], volumes=volumes)
    assert "volumeDevices" not in sidecar(applied(before, taking(volumeMounts={})))


def test_an_inherited_variable_brings_those_that_it_refers_to():
    env = [{"name": "HOST", "value": "db"}, {"name": "URL", "value": "http://$(HOST)"}]
    wanted = [{"name": "URL", "fromContainer": "app"}]
    result = applied(subject(env=[*env, {"name": "B", "value": "b"}]), taking(env=wanted))
    assert sidecar(result)["env"] == env


def test_an_inherited_amount_is_that_of_the_container_that_sets_it():
    reference = {"resource": "limits.memory"}
    env = [{"name": "LIMIT", "valueFrom": {"resourceFieldRef": reference}}]
    wanted = [{"name": "LIMIT", "fromContainer": "app"}]
    result = applied(subject(env=env), taking(env=wanted))
    (variable,) = sidecar(result)["env"]
    assert variable["valueFrom"]["resourceFieldRef"] == {**reference, "containerName": "app"}


def test_variables_that_need_one_name_with_two_values_are_not_inherited():
    def own(name, value):
        url = {"name": f"URL_{name}", "value": "http://$(HOST)"}
        return container(name, env=[{"name": "HOST", "value": value}, url])

    two = pod(containers=[own("app", "a"), own("db", "b")])
    wanted = [{"name": f"URL_{name}", "fromContainer": name} for name in ("app", "db")]
    result = decided(two, taking(env=wanted))
    assert reasons(result) == {"log": "MissingValue"}
    assert "URL_db" in result.lines[0].message
