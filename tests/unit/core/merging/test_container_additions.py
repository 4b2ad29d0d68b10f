"""What the pod's own containers receive, and what they keep."""

from __future__ import annotations

import copy

import pytest

from sidecar_injector.core.merging import part_names
from tests.kits import samples
from tests.kits.samples import container, decided, injection, pod, reasons

CONFIG = {"name": "conf", "configMap": {"name": "conf"}}
MOUNT = {"name": "conf", "mountPath": "/conf"}


def applied(name="log", *, template=None, priority=0, **fields):
    return injection(name, template=template or {}, priority=priority, applicationContainers=fields)


def after(subject, *injections):
    return samples.applied(subject, *injections).pod


def app(subject, field="containers"):
    return subject["spec"][field][0]


def env(*pairs):
    return [{"name": name, "value": value} for name, value in pairs]


@pytest.mark.parametrize(
    ("globs", "expected"),
    [
        ({}, ["app", "app-2", "db"]),
        ({"include": ["app"]}, ["app"]),
        ({"include": ["app*"]}, ["app", "app-2"]),
        ({"include": ["app-?"]}, ["app-2"]),
        ({"exclude": ["app*"]}, ["db"]),
        ({"include": ["app*", "db"], "exclude": ["*-2"]}, ["app", "db"]),
        ({"include": []}, []),
    ],
    ids=str,
)
def test_containers_are_chosen_by_globs(globs, expected):
    subject = pod(containers=[container("app"), container("app-2"), container("db")])
    result = after(subject, applied(names=globs, env=env(("A", "1"))))
    assert [
        container["name"] for container in result["spec"]["containers"] if "env" in container
    ] == expected


def test_init_containers_receive_only_where_they_are_included():
    subject = pod(initContainers=[container("setup")])
    result = after(subject, applied(env=env(("A", "1"))))
    assert "env" not in app(result, "initContainers")
    result = after(subject, applied(env=env(("A", "1")), initContainers="Include"))
    assert app(result, "initContainers")["env"] == env(("A", "1"))


def test_injected_containers_receive_nothing_from_any_injection():
    first = injection("a")
    result = after(pod(), first, applied("b", env=env(("A", "1"))))
    assert [("env" in container) for container in result["spec"]["containers"]] == [True, False]


def test_variables_are_added_in_front_so_that_the_authors_may_use_them():
    subject = pod(containers=[container("app", env=env(("URL", "http://$(HOST)")))])
    result = after(subject, applied(env=env(("HOST", "h"), ("PORT", "1"))))
    assert [variable["name"] for variable in app(result)["env"]] == ["HOST", "PORT", "URL"]


def test_variables_of_several_injections_keep_the_order_of_decision():
    low = applied("a", env=env(("A", "1")))
    high = applied("b", priority=1, env=env(("B", "1")))
    subject = pod(containers=[container("app", env=env(("OWN", "1")))])
    result = after(subject, low, high)
    assert [variable["name"] for variable in app(result)["env"]] == ["B", "A", "OWN"]


def test_a_variable_that_the_container_has_keeps_its_value_and_is_reported():
    subject = pod(containers=[container("app", env=env(("A", "own")))])
    log_injection = applied(env=env(("A", "ours"), ("B", "ours")))
    decision = decided(subject, log_injection)
    assert app(decision.pod)["env"] == env(("B", "ours"), ("A", "own"))
    assert decision.lines[0].details == {"kept": ["/spec/containers/app/env/A"]}


def test_a_source_of_variables_is_added_in_front_because_the_last_one_wins():
    own = [{"secretRef": {"name": "own"}}]
    wanted = [{"configMapRef": {"name": "a"}}, {"configMapRef": {"name": "b"}, "prefix": "B_"}]
    result = after(pod(containers=[container("app", envFrom=own)]), applied(envFrom=wanted))
    assert app(result)["envFrom"] == [*wanted, *own]


def test_a_source_that_is_there_is_not_added_again():
    own = [{"configMapRef": {"name": "a"}}]
    subject = pod(containers=[container("app", envFrom=own)])
    decision = decided(subject, applied(envFrom=own))
    assert reasons(decision) == {"log": "AlreadyInjected"}


def test_a_mount_brings_its_volume():
    result = after(pod(), applied(template={"spec": {"volumes": [CONFIG]}}, volumeMounts=[MOUNT]))
    assert app(result)["volumeMounts"] == [MOUNT]
    assert result["spec"]["volumes"] == [CONFIG]


def test_a_mount_of_the_pods_own_volume_is_allowed_and_of_none_is_not():
    subject = pod(volumes=[{"name": "conf", "emptyDir": {}}])
    assert app(after(subject, applied(volumeMounts=[MOUNT])))["volumeMounts"] == [MOUNT]
    assert reasons(decided(pod(), applied(volumeMounts=[MOUNT]))) == {"log": "MissingVolume"}


@pytest.mark.parametrize("path", ["/conf", "/conf/", "//conf/."])
def test_a_path_at_which_the_author_mounts_something_else_is_a_conflict(path):
    own = {"name": "own", "mountPath": path}
    volumes = [{"name": "own", "emptyDir": {}}]
    subject = pod(containers=[container("app", volumeMounts=[own])], volumes=volumes)
    log_injection = applied(template={"spec": {"volumes": [CONFIG]}}, volumeMounts=[MOUNT])
    decision = decided(subject, log_injection)
    # POSIX gives two leading slashes a meaning of their own, and so does Python.
    expected = "Injected" if path.startswith("//") else "MountPathConflict"
    assert reasons(decision) == {"log": expected}
    assert expected == "Injected" or decision.pod["spec"] == subject["spec"]


def appended(name="JAVA_TOOL_OPTIONS", value="-javaagent:/a.jar", **fields):
    return applied(appendEnv=[{"name": name, "value": value, **fields}])


@pytest.mark.parametrize(
    ("before", "result"),
    [
        (None, "-javaagent:/a.jar"),
        ("", "-javaagent:/a.jar"),
        ("-Xmx1g", "-Xmx1g -javaagent:/a.jar"),
        ("-javaagent:/a.jar", "-javaagent:/a.jar"),
        ("-x -javaagent:/a.jar -y", "-x -javaagent:/a.jar -y"),
        ("-javaagent:/a.jar.old", "-javaagent:/a.jar.old -javaagent:/a.jar"),
    ],
)
def test_text_is_appended_once(before, result):
    own = [] if before is None else env(("JAVA_TOOL_OPTIONS", before))
    subject = pod(containers=[container("app", env=own)])
    assert app(after(subject, appended()))["env"] == env(("JAVA_TOOL_OPTIONS", result))


def test_the_separator_is_the_injections():
    subject = pod(containers=[container("app", env=env(("PATH", "/bin")))])
    result = after(subject, appended("PATH", "/opt/bin", separator=":"))
    assert app(result)["env"] == env(("PATH", "/bin:/opt/bin"))


def test_text_cannot_be_appended_to_a_value_from_elsewhere():
    source = {"configMapKeyRef": {"name": "c", "key": "k"}}
    own = [{"name": "JAVA_TOOL_OPTIONS", "valueFrom": source}]
    decision = decided(pod(containers=[container("app", env=own)]), appended())
    assert reasons(decision) == {"log": "EnvConflict"}
    assert "JAVA_TOOL_OPTIONS of container 'app' has valueFrom" in decision.lines[0].message


def test_two_injections_append_to_one_variable():
    first = applied("a", appendEnv=[{"name": "O", "value": "1"}])
    second = applied("b", appendEnv=[{"name": "O", "value": "2"}])
    assert app(after(pod(), second, first))["env"] == env(("O", "1 2"))


def test_a_container_that_another_injector_adds_in_between_receives_on_the_second_call():
    log_injection = applied(env=env(("A", "1")), appendEnv=[{"name": "O", "value": "x"}])
    once = after(pod(), log_injection)
    between = copy.deepcopy(once)
    between["spec"]["containers"].insert(0, container("other", env=env(("O", "own"))))
    between["spec"]["containers"][1]["volumeMounts"] = [{"name": "t", "mountPath": "/t"}]
    twice = after(between, log_injection)
    assert app(twice)["env"] == env(("A", "1"), ("O", "own x"))
    assert twice["spec"]["containers"][1] == between["spec"]["containers"][1]
    assert twice["spec"]["containers"][1]["env"] == once["spec"]["containers"][0]["env"]


def from_env(*sources):
    return [{"configMapRef": {"name": "own"}, **source} for source in sources or ({},)]


def test_a_variable_that_may_come_from_the_authors_sources_is_left_out():
    subject = pod(
        containers=[
            container("app", envFrom=from_env()),
            container("listed", envFrom=from_env(), env=env(("B", "own"))),
            container("free"),
        ]
    )
    both = applied(env=env(("A", "1")), appendEnv=[{"name": "B", "value": "text"}])
    result = samples.round_trip(subject, both)
    app, listed, free = result.pod["spec"]["containers"]
    assert app == subject["spec"]["containers"][0]
    assert listed["env"] == env(("B", "own text"))
    assert free["env"] == env(("A", "1"), ("B", "text"))
    left_out = [
        "/spec/containers/app/env/A", "/spec/containers/app/env/B",
        "/spec/containers/listed/env/A",
    ]  # fmt: skip
    assert result.lines[0].details == {"leftOut": left_out}
    assert all(part_names.of_path(path) in result.lines[0].message for path in left_out)
    assert decided(result.pod, both).lines[0].details == {"leftOut": left_out}


@pytest.mark.parametrize(
    ("prefixes", "receives"),
    [
        (["X_"], True),
        (["A"], False),
        (["A_B", "A_BC"], False),
        (["A_B", "A_BX", "A", "A_"], False),
        (["A_BC_", "B", "0"], True),
        ([""], False),
        (["X_", ""], False),
        (["X_", None], False),
    ],
)
def test_a_prefix_says_which_variables_a_source_can_have(prefixes, receives):
    sources = from_env(*({"prefix": prefix} for prefix in prefixes))
    subject = pod(containers=[container("app", envFrom=sources), container("free")])
    result = after(subject, applied(env=env(("A_BC", "1"))))
    assert ("env" in app(result)) is receives


@pytest.mark.parametrize(
    "fields", [{"env": env(("A", "1"))}, {"appendEnv": [{"name": "A", "value": "1"}]}], ids=str
)
def test_where_nothing_else_is_wanted_that_is_a_conflict(fields):
    subject = pod(containers=[container("app", envFrom=from_env())])
    decision = decided(subject, applied(**fields))
    assert reasons(decision) == {"log": "EnvConflict"}
    assert "/spec/containers/app/env/A may come from envFrom" in decision.lines[0].message
    assert reasons(decided(decision.pod, applied(**fields))) == {"log": "EnvConflict"}
    overriding = applied(onEnvFrom="Override", **fields)
    assert app(after(subject, overriding))["env"] == env(("A", "1"))


def test_sources_that_injections_added_are_not_the_authors():
    sources = applied("a", priority=1, envFrom=[{"configMapRef": {"name": "ours"}}])
    variables = applied("b", env=env(("A", "1")), envFrom=[{"secretRef": {"name": "ours"}}])
    assert app(after(pod(), sources, variables))["env"] == env(("A", "1"))


EXPRESSION = {"name": "conf", "mountPath": "/conf", "subPathExpr": "$(A)"}


@pytest.mark.parametrize(
    ("own", "fields", "reason"),
    [
        ({}, {"volumeMounts": [EXPRESSION]}, "MissingValue"),
        ({"env": env(("A", "1"))}, {"volumeMounts": [EXPRESSION]}, "Injected"),
        ({}, {"volumeMounts": [EXPRESSION], "env": env(("A", "1"))}, "Injected"),
        ({}, {"volumeMounts": [EXPRESSION], "appendEnv": env(("A", "1"))}, "Injected"),
        ({"envFrom": from_env()}, {"volumeMounts": [EXPRESSION], "env": env(("A", "1"))},
         "MissingValue"),
        ({"envFrom": from_env({"prefix": "A"})}, {"env": env(("A", "1"), ("B", "$(A)"))},
         "MissingValue"),
        ({"envFrom": from_env({"prefix": "A"})}, {"env": env(("A", "1"), ("B", "$$(A)"))},
         "Injected"),
    ],
)  # fmt: skip
def test_what_is_added_finds_the_variables_that_it_refers_to(own, fields, reason):
    template = {"spec": {"volumes": [CONFIG]}}
    subject = pod(containers=[container("app", **own)])
    result = samples.applied(subject, applied(template=template, **fields))
    assert reasons(result) == {"log": reason}
