"""The command `lint`: what is wrong with injections, for people and for programs."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.kits.cli import ESCAPE, check_refused, process, run, write
from tests.kits.samples import container, resource

TIDY = {"spec": {"containers": [container(
    resources={"limits": {"cpu": "10m", "memory": "16Mi"}},
    securityContext={"allowPrivilegeEscalation": False, "runAsNonRoot": True,
                     "capabilities": {"drop": ["ALL"]},
                     "seccompProfile": {"type": "RuntimeDefault"}},
)]}}  # fmt: skip
MISSPELT = resource("bad", template={"spec": {"containers": [{"name": "s", "imagee": "x"}]}})
FIELD = "spec.template.spec.containers[0].imagee"


def linted(tmp_path, injections, *arguments):
    return run("lint", "-f", write(tmp_path, "in.yaml", injections), *arguments)


def findings(tmp_path, injections):
    """The findings of each injection, by name."""
    printed = json.loads(linted(tmp_path, injections, "-o", "json").stdout)
    return {injection["name"]: injection["findings"] for injection in printed["injections"]}


def tidy(name="log", **spec):
    """An injection without findings."""
    return resource(name, template=TIDY, **spec)


def test_injections_without_fault_are_shown_as_such(tmp_path):
    elsewhere = {"matchLabels": {"app": "x"}}
    here = {"matchLabels": {"app": "y"}}
    result = linted(tmp_path, [tidy(selector=here), tidy("c", cluster=True, selector=elsewhere)])
    assert result.exit_code == 0
    heading, *lines = result.stdout.splitlines()
    assert heading.split() == ["INJECTION", "LEVEL", "FIELD", "MESSAGE"]
    assert [line.split()[:3] for line in lines] == [
        ["demo/SidecarInjection/log", "ok", "-"],
        ["ClusterSidecarInjection/c", "ok", "-"],
    ]


WORKLOAD = {
    "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
    "spec": {"containers": [{"name": "app", "image": "app:1"}]},
}  # fmt: skip


@pytest.mark.parametrize(
    ("objects", "count"),
    [([tidy()], "1 object"), ([WORKLOAD], "1 object"), ([tidy(), WORKLOAD], "2 objects")],
)
def test_without_a_problem_that_is_said_once_and_no_heading_is_alone(tmp_path, objects, count):
    result = linted(tmp_path, objects)
    assert (result.exit_code, result.stderr) == (0, f"no problems in {count}\n")
    assert len(result.stdout.splitlines()) != 1
    assert linted(tmp_path, objects, "-o", "json").stderr == ""


def test_with_a_problem_nothing_says_that_there_is_none(tmp_path):
    assert linted(tmp_path, MISSPELT).stderr == ""
    assert linted(tmp_path, [tidy(), TYPO]).stderr == ""


DEPLOYMENT = {
    "apiVersion": "apps/v1", "kind": "Deployment",
    "metadata": {"name": "web", "annotations": {"sidecar-injector.dev/inject": "log"}},
    "spec": {"template": {
        "metadata": {"annotations": {"sidecar-injector.dev/injekt": "log"}},
        "spec": {"containers": [{"name": "app", "image": "app:1"}]},
    }},
}  # fmt: skip
TYPO = {
    "apiVersion": "v1", "kind": "Namespace",
    "metadata": {"name": "demo", "labels": {"sidecar-injector": "enabled"}},
}  # fmt: skip


def test_labels_and_annotations_that_are_nearly_ours_are_warnings(tmp_path):
    result = linted(tmp_path, [DEPLOYMENT, TYPO], "-o", "json")
    assert result.exit_code == 0
    printed = json.loads(result.stdout)
    assert printed["injections"] == []
    assert [each["reason"] for each in printed["workloads"]] == [
        "UnknownAnnotation", "MisplacedAnnotation", "UnknownLabel",
    ]  # fmt: skip
    command = "kubectl label namespace demo sidecar-injection=enabled sidecar-injector-"
    assert printed["workloads"][-1]["message"].endswith(command)
    assert linted(tmp_path, [DEPLOYMENT, tidy()]).exit_code == 0
    strict = linted(tmp_path, [DEPLOYMENT, tidy()], "--strict")
    assert strict.exit_code == 1
    assert strict.stdout.count(" warning ") == 2


def test_an_error_names_injection_and_field_and_is_exit_status_1(tmp_path):
    result = linted(tmp_path, [tidy(), MISSPELT])
    assert result.exit_code == 1
    _, fine, *bad = result.stdout.splitlines()
    assert fine.split()[:2] == ["demo/SidecarInjection/log", "ok"]
    assert bad[0].split()[:3] == ["demo/SidecarInjection/bad", "error", FIELD]


def test_the_shape_for_programs_is_the_same_as_json_and_yaml(tmp_path):
    result = linted(tmp_path, [MISSPELT, tidy("c", cluster=True)], "-o", "json")
    assert result.exit_code == 1
    bad, fine = json.loads(result.stdout)["injections"]
    assert (bad["kind"], bad["namespace"], bad["name"], bad["valid"]) == (
        "SidecarInjection", "demo", "bad", False,
    )  # fmt: skip
    assert set(bad["findings"][0]) == {"level", "field", "message"}
    assert fine == {
        "kind": "ClusterSidecarInjection", "namespace": "", "name": "c", "valid": True,
        "findings": [],
    }  # fmt: skip
    same = linted(tmp_path, [MISSPELT, tidy("c", cluster=True)], "-o", "yaml")
    assert yaml.safe_load(same.stdout) == json.loads(result.stdout)


@pytest.mark.parametrize(
    ("pattern", "place"),
    [("(?=a)", 1), (r"(a)\1", 4), ("ab(", 3), ("a{1,100000}", 2)],
    ids=["look-ahead", "back-reference", "unclosed", "too-large"],
)
def test_a_pattern_that_re2_refuses_is_refused_with_its_place(tmp_path, pattern, place):
    hole = {"name": "p", "from": {"podLabel": "x"}, "pattern": pattern}
    ((finding,),) = findings(tmp_path, resource(parameters=[hole])).values()
    assert (finding["level"], finding["field"]) == ("error", "spec.parameters[0].pattern")
    assert finding["message"].endswith(f", at character {place} of {pattern!r}")


def test_every_fault_is_listed(tmp_path):
    misspelt = {"spec": {"containers": [container("a", imagee="x", tyt=True)]}}
    listed = findings(tmp_path, resource(template=misspelt, suspend="yes"))["log"]
    assert {finding["field"] for finding in listed if finding["level"] == "error"} == {
        "spec.suspend",
        "spec.template.spec.containers[0].imagee",
        "spec.template.spec.containers[0].tyt",
    }


def test_several_files_and_lists_are_linted_in_their_order(tmp_path):
    group = {"apiVersion": "v1", "kind": "List", "items": [resource("b"), resource("a")]}
    first, second = write(tmp_path, "1.yaml", group), write(tmp_path, "2.yaml", resource("c"))
    result = run("lint", "-f", first, "-f", second, "-o", "json")
    names = [injection["name"] for injection in json.loads(result.stdout)["injections"]]
    assert names == ["b", "a", "c"]


def test_the_namespace_option_is_for_injections_that_carry_none(tmp_path):
    homeless = resource()
    del homeless["metadata"]["namespace"]
    assert "there/SidecarInjection/log" in linted(tmp_path, homeless, "-n", "there").stdout


@pytest.mark.parametrize(("arguments", "status"), [((), 0), (("--strict",), 1)])
def test_warnings_are_fatal_only_if_asked(tmp_path, arguments, status):
    result = linted(tmp_path, resource(), *arguments)
    assert result.exit_code == status
    assert {line.split()[1] for line in result.stdout.splitlines()[1:]} == {"warning"}
    assert linted(tmp_path, tidy(), *arguments).exit_code == 0


def test_injections_of_the_files_that_can_meet_on_a_pod_are_held_against_each_other(tmp_path):
    def levels(*injections):
        return findings(tmp_path, list(injections)).values()

    other = tidy("other")
    other["spec"]["template"] = json.loads(json.dumps(TIDY).replace("sidecar:1", "sidecar:2"))
    assert any(levels(tidy(), other))
    assert any(levels(tidy("c", cluster=True), other))
    other["metadata"]["namespace"] = "elsewhere"
    assert not any(levels(tidy(), other))


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("a: [", "in.yaml, line 2, column 1: is not valid YAML"),
        ("apiVersion: v1\nkind: ConfigMap\n", "in.yaml: contains no SidecarInjection"),
        (resource() | {"kind": "Sidecar"}, "document 1: field kind: 'Sidecar' is unknown"),
        ([resource(), resource()], "document 2: field metadata.name: SidecarInjection 'log' is"),
    ],
)
def test_unreadable_input_is_one_line_and_exit_status_2(tmp_path, content, line):
    check_refused(linted(tmp_path, content), line)


def test_standard_input_without_injections_is_called_that():
    result = run("lint", "-f", "-", stdin="apiVersion: v1\nkind: ConfigMap\n")
    check_refused(result, "Error: standard input: contains no SidecarInjection")


def test_a_file_that_is_not_there_is_named():
    check_refused(run("lint", "-f", "/nowhere/in.yaml"), "/nowhere/in.yaml: No such file")


def test_in_a_pipe_there_is_no_escape_code(tmp_path):
    result = process("lint", "-f", write(tmp_path, "in.yaml", MISSPELT))
    assert result.returncode == 1
    assert FIELD in result.stdout
    assert ESCAPE not in result.stdout + result.stderr


def test_on_a_terminal_errors_are_red(tmp_path):
    file = write(tmp_path, "in.yaml", MISSPELT)
    # TERM, or a runner without one is taken for a terminal that knows no colours.
    result = process("lint", "-f", file, FORCE_COLOR="1", TERM="xterm", NO_COLOR="")
    assert f"{ESCAPE}[31merror" in result.stdout


RESIZED = [{"resourceName": "cpu", "restartPolicy": "NotRequired"}]
SLEEPING = {"preStop": {"sleep": {"seconds": 0}}}


@pytest.mark.parametrize(
    ("added", "version", "level", "message"),
    [
        ({"resizePolicy": RESIZED}, "1.32", "warning",
         "Kubernetes 1.32 drops this field, unless a feature gate is on"),
        ({"resizePolicy": RESIZED}, "v1.37.2", None, None),
        ({"lifecycle": SLEEPING}, "1.32.5-gke.1", "error",
         ("cannot be injected into a pod: PodWouldBeInvalid: the API server would refuse the"
         " resulting pod: container 'sidecar': Kubernetes 1.32 refuses a sleep of 0 seconds")),
        ({"lifecycle": SLEEPING}, "1.40", None, None),
        ({"lifecycle": {**SLEEPING, "stopSignal": "SIGTERM"}}, "1.40", "warning",
         "Kubernetes 1.37 drops this field, unless a feature gate is on"),
    ],
)  # fmt: skip
def test_the_release_of_the_cluster_is_an_option(tmp_path, added, version, level, message):
    (tidy_container,) = TIDY["spec"]["containers"]
    spec = {"spec": {"containers": [{**tidy_container, **added}]}}
    subject = resource("log", template=spec)
    printed = linted(tmp_path, [subject], "--kubernetes-version", version, "-o", "json").stdout
    (injection,) = json.loads(printed)["injections"]
    found = [(finding["level"], finding["message"]) for finding in injection["findings"]]
    assert [item for item in found if "fits only" not in item[1]] == (
        [(level, message)] if level else []
    )


@pytest.mark.parametrize(
    ("version", "refusal"),
    [("newest", "is not a version such as 1.37"), ("1.31", "1.32 is the oldest supported version")],
)
def test_a_release_that_is_not_supported_is_refused(tmp_path, version, refusal):
    result = linted(tmp_path, [tidy()], "--kubernetes-version", version)
    assert result.exit_code == 2
    assert refusal in result.stderr


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"containers": []}, "unknown field; it belongs to spec.template.spec"),
        ({"volumeMounts": []}, "unknown field; it belongs to spec.applicationContainers"),
        ({"hostNetwork": True}, "unknown field; did you mean hostNetworkPods?"),
        ({"template": {"spec": {"priority": 1}}}, "unknown field; it belongs to spec"),
        ({"selector": {"matchLabels": {"x": True}}}, "True must be a string: put it in quotes"),
    ],
    ids=["containers", "volumeMounts", "hostNetwork", "priority", "yes"],
)
def test_a_mistake_says_where_the_field_belongs_or_how_it_is_written(tmp_path, spec, sentence):
    result = run("lint", "-f", write(tmp_path, "in.yaml", resource(**spec)), "-o", "json")
    findings = json.loads(result.stdout)["injections"][0]["findings"]
    assert sentence in [finding["message"] for finding in findings]


def notes(tmp_path, injections, *arguments):
    """Field and message of the notes of each injection, and the exit status of --strict."""
    result = linted(tmp_path, injections, "-o", "json", "--strict", *arguments)
    printed = json.loads(result.stdout)["injections"]
    found = {
        (each["name"], finding["field"]): finding["message"]
        for each in printed
        for finding in each["findings"]
        if finding["level"] == "note"
    }
    return found, result.exit_code


def test_what_asks_for_a_policy_and_cannot_be_compiled_is_noted(tmp_path):
    asking = {"cluster": True, "engine": "Policy"}
    fits = tidy("fits", selector={"matchLabels": {"app": "x"}}, **asking)
    left = tidy("left", selector={"matchLabels": {"app": "y"}}, dryRun=True, **asking)
    webhooks = tidy("webhooks", selector={"matchLabels": {"app": "z"}}, dryRun=True, cluster=True)
    expected = "is decided about by the webhook alone, so the webhook does it"
    found = notes(tmp_path, [fits, left, webhooks])
    assert found == ({("left", "spec.dryRun"): expected}, 0)
    why = "Kubernetes 1.35 does not serve such policies, so the webhook does it"
    found = notes(tmp_path, [fits], "--kubernetes-version", "1.35")
    assert found == ({("fits", "spec.engine"): why}, 0)
    misspelt = resource("bad", template=MISSPELT["spec"]["template"], **asking)
    assert notes(tmp_path, [misspelt]) == ({}, 1)
