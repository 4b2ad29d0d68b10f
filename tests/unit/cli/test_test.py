"""`test`: expectations about pods in files, for people, for CI and for programs."""

from __future__ import annotations

import json
import pathlib
from xml.etree import ElementTree

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as some

from sidecar_injector import names
from sidecar_injector.cli.input import case_files
from sidecar_injector.cli.output import junit, projection
from tests.kits.cli import check_refused, placed, run, write
from tests.kits.samples import container, resource

APP, SIDECAR = container("app"), container("sidecar")


@pytest.fixture
def tests(tmp_path):
    """A folder in which a function writes a test file about a pod and an injection."""
    write(tmp_path, "pod.yaml", placed())
    write(tmp_path, "log.yaml", resource())

    def add(*cases, folder="", **fields):
        place = tmp_path / folder
        place.mkdir(exist_ok=True, parents=True)
        up = "../" if folder else ""
        content = {"objects": [f"{up}pod.yaml"], "injections": [f"{up}log.yaml"], **fields}
        return write(place, case_files.NAME, {**content, "cases": list(cases)})

    add.folder = str(tmp_path)
    return add


def now(file):
    return case_files.read(pathlib.Path(file)).cases


def test_a_case_that_is_as_expected_is_one_line(tests):
    tests({"object": "Pod/web", "verdict": "Injected", "pod": {"spec": {"containers": [SIDECAR]}}})
    result = run("test", tests.folder)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "1 case in 1 file: all as expected\n"


def test_a_case_that_fails_shows_the_expected_part_and_what_there_is(tests):
    part = {"spec": {"containers": [{**SIDECAR, "image": "example/sidecar:2"}]}}
    file = tests({"name": "gets it", "object": "Pod/web", "verdict": "Injected", "pod": part})
    result = run("test", tests.folder)
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"FAILED {file}: gets it",
        "--- expected", "+++ now", "@@ -3,4 +3,4 @@",
        "   spec:", "     containers:", "     - name: sidecar",
        "-      image: example/sidecar:2", "+      image: example/sidecar:1",
        "1 case in 1 file: 1 failed",
    ]  # fmt: skip


def test_reasons_and_messages_of_injections_are_expected_by_their_names(tests, tmp_path):
    write(tmp_path, "log.yaml", [resource("log"), resource("off", suspend=True)])
    lines = [{"name": "off", "reason": "Suspended"}, {"name": "log", "message": "added: nothing"}]
    tests({"injections": lines[:1]})
    assert run("test", tests.folder).exit_code == 0
    tests({"injections": lines})
    result = run("test", tests.folder)
    assert result.exit_code == 1
    assert "+  message: 'added: container sidecar'" in result.stdout


def test_what_is_in_result_is_the_whole_pod_but_for_our_marks(tests):
    whole = {
        "metadata": {"name": "web", "namespace": "demo"},
        "spec": {"containers": [APP, SIDECAR]},
    }
    tests({"result": whole})
    assert run("test", tests.folder).exit_code == 0
    tests({"result": {**whole, "spec": {"containers": [SIDECAR]}}})
    result = run("test", tests.folder)
    assert result.exit_code == 1
    assert "+    - name: app" in result.stdout


def test_null_means_that_a_field_is_not_there(tests):
    tests({"pod": {"spec": {"volumes": None}}})
    assert run("test", tests.folder).exit_code == 0
    tests({"pod": {"spec": {"containers": None}}})
    assert run("test", tests.folder).exit_code == 1


def test_workloads_namespaces_and_objects_within_the_file_count(tests):
    spec = {"containers": [APP]}
    deployment = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"template": {"spec": spec}},
    }  # fmt: skip
    closed = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "closed"}}
    pods = [{"metadata": {"name": name, "namespace": "closed"}, "spec": spec} for name in "ab"]
    inline = {
        "metadata": {"name": "inline"},
        "spec": {"template": {"spec": {"containers": [SIDECAR]}}},
    }
    tests(
        {"object": "Deployment/web", "result": {"spec": {"containers": [APP, SIDECAR]}}},
        {"object": "closed/Pod/a", "verdict": "OutOfScope", "reason": "NamespaceNotEnabled"},
        {"object": "Pod/b", "verdict": "OutOfScope", "injections": []},
        objects=[deployment, closed, *pods], injections=[inline],
    )  # fmt: skip
    assert run("test", tests.folder).stdout == "3 cases in 1 file: all as expected\n"


def test_the_pods_of_one_object_are_told_apart_by_their_templates(tests):
    template = {"template": {"spec": {"containers": [APP]}}}
    training = {
        "apiVersion": "example.com/v1", "kind": "Training", "metadata": {"name": "model"},
        "spec": {"roles": [template, template]},
    }  # fmt: skip
    references = [f"Training/model/spec.roles[{index}].template" for index in range(2)]
    cases = [{"object": reference, "verdict": "Injected"} for reference in references]
    tests(*cases, objects=[training], namespace="demo")
    assert run("test", tests.folder).exit_code == 0
    tests({"object": "Training/model", "verdict": "Injected"}, objects=[training], namespace="demo")
    check_refused(
        run("test", tests.folder),
        "field cases[0].object: 'Training/model' may be demo/Training/model/spec.roles[0].template,"
        " demo/Training/model/spec.roles[1].template; write one of them",
    )


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ({"injections": [{"name": "log", "reason": "PortConflct"}]},
         "injections[0].reason: 'PortConflct' is no reason; did you mean 'PortConflict'?"),
        ({"words": [{"reason": "Nothing"}]}, "words[0].reason: 'Nothing' is no reason; there are "),
        ({"reason": "Nothing"}, "reason: 'Nothing' is no reason; there are AlreadyInjected, "),
        ({"verdict": "injected"}, "verdict: 'injected' must be one of OutOfScope, Unchanged"),
        ({"verdct": "Injected"}, "verdct: unknown field; did you mean verdict?"),
        ({"object": "Pod/wab", "verdict": "Injected"},
         "object: 'Pod/wab' is none of the objects; did you mean 'Pod/web'?"),
        ({"injections": [{"name": "lag", "reason": "Injected"}]},
         "injections[0].name: 'lag' is none of the injections; did you mean 'log'?"),
    ],
)  # fmt: skip
def test_a_case_that_cannot_be_meant_is_refused(tests, case, sentence):
    file = tests(case)
    check_refused(run("test", tests.folder), f"{file}: field cases[0].{sentence}")


def test_a_case_that_expects_nothing_is_refused(tests):
    tests({"object": "Pod/web"})
    check_refused(
        run("test", tests.folder),
        "; write verdict, reason, injections, words, pod or result, or run it with --update",
    )


def test_a_file_without_cases_is_refused(tests):
    tests()
    sentence = "field cases: contains no case; --update writes one for each pod"
    check_refused(run("test", tests.folder), sentence)


def test_two_cases_of_one_name_are_refused(tests):
    file = tests({"verdict": "Injected"}, {"object": "demo/Pod/web", "reason": "Injected"})
    sentence = "'demo/Pod/web' is given twice; give each case a name of its own"
    check_refused(run("test", tests.folder), f"{file}: field cases[1].name: {sentence}")


def test_a_case_names_its_object_where_there_are_several(tests):
    pods = [{"metadata": {"name": name}, "spec": {"containers": [APP]}} for name in "ab"]
    file = tests({"verdict": "Injected"}, objects=pods)
    sentence = "is missing; there are default/Pod/a, default/Pod/b"
    check_refused(run("test", tests.folder), f"{file}: field cases[0].object: {sentence}")


def test_no_words_may_be_expected(tests):
    tests({"words": []})
    assert run("test", tests.folder).exit_code == 0


def test_the_files_that_are_written_are_listed_for_programs_and_people(tests):
    file = tests({"verdict": "Refused"}, folder="\x1b[31m")
    result = run("test", "--update", tests.folder, "-o", "json")
    assert (result.exit_code, json.loads(result.stdout)["written"]) == (0, [file])
    tests({"verdict": "Refused"}, folder="\x1b[31m")
    result = run("test", "--update", tests.folder)
    assert "\\x1b[31m" in result.stdout
    assert "\x1b" not in result.stdout


def test_a_file_is_run_once_in_whatever_way_it_is_named(tests):
    file = tests({"verdict": "Injected"})
    for words in ((file,), (tests.folder, tests.folder), (file, tests.folder)):
        assert run("test", *words).stdout == "1 case in 1 file: all as expected\n"


def test_update_keeps_what_is_behind_the_cases(tests):
    file = tests()
    rest = yaml.safe_load(pathlib.Path(file).read_text().partition("cases:")[0])
    content = {"cases": [{"verdict": "Refused"}], **rest}
    pathlib.Path(file).write_text(yaml.safe_dump(content, sort_keys=False))
    assert run("test", "--update", tests.folder).exit_code == 0
    expected = {**content, "cases": [{"verdict": "Injected"}]}
    assert yaml.safe_load(pathlib.Path(file).read_text()) == expected


def test_a_case_has_another_name_than_the_manifests(tests):
    file = tests({"name": "out.yaml", "verdict": "Injected"}, manifests="out.yaml")
    check_refused(run("test", "--update", tests.folder), f"{file}: field cases[0].name: 'out.yaml'")


def test_what_is_as_expected_is_not_written_in_another_style(tests, tmp_path):
    file = tests(manifests="out.yaml")
    text = pathlib.Path(file).read_text().partition("cases:")[0]
    text += 'cases: [{"verdict": Injected}]  # As it should be.\n'
    pathlib.Path(file).write_text(text)
    counts = [run("test", "--update", tests.folder).stdout.splitlines()[-1] for _ in range(2)]
    assert counts == ["2 cases in 1 file: 1 written", "2 cases in 1 file: 0 written"]
    assert pathlib.Path(file).read_text() == text


def test_marks_that_the_author_has_written_are_in_the_result(tests):
    labels = {names.INJECTED_LABEL: "true"}
    pod = placed()
    pod = {**pod, "metadata": {**pod["metadata"], "labels": labels}}
    whole = {**pod["metadata"], "labels": labels}
    tests({"result": {"metadata": whole, "spec": {"containers": [APP, SIDECAR]}}}, objects=[pod])
    result = run("test", tests.folder)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"objects": ["pot.yaml"]}, "field objects[0]: {folder}/pot.yaml: No such file"),
        ({"objects": [7]}, "field objects[0]: 7 must be the name of a file, or an object"),
        ({"objects": [{"kind": "Deployment"}]},
         "field objects[0]: field apiVersion must be a text"),
        ({"objects": ["log.yaml"]}, "field objects: there is no pod in them"),
        ({"injections": ["pod.yaml"]},
         "field injections: there is no SidecarInjection or ClusterSidecarInjection in it"),
        ({"objects": ["a\0b"]}, "field objects[0]: {folder}/a\\x00b: embedded null byte"),
        ({"objects": [f"{case_files.NAME}"]}, "field objects[0]: {folder}/" + case_files.NAME),
        ({"objects": ["pod.yaml", "pod.yaml"]}, "field objects: 'demo/Pod/web' is there twice"),
        ({"objects": [{"spec": {"containers": 7}}]},
         "field objects[0]: field spec.containers: must be a list"),
        ({"manifests": "out.yaml"},
         "field manifests: there is no file {folder}/out.yaml; --update writes it"),
        ({"manifests": "."}, "field manifests: {folder}: Is a directory"),
        ({"subject": "x"}, "field subject: unknown field; it belongs to cases[].words[]"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_refused(tests, fields, sentence):
    file = tests({"verdict": "Injected"}, **fields)
    check_refused(run("test", tests.folder), f"{file}: {sentence.format(folder=tests.folder)}")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty; write fields injections, objects and cases"),
        ("a: [", "is not valid YAML"),
        ("- a", "a list must be an object"),
        ("a: 1\n---\nb: 1\n", "contains 2 documents; write each into a file of its own"),
        ("objects: []\n", "field injections: is required"),
        (b"\xff", "is not UTF-8 text (byte 0)"),
    ],
)
def test_a_file_of_another_shape_is_refused(tmp_path, text, sentence):
    file = write(tmp_path, case_files.NAME, text)
    result = run("test", str(tmp_path))
    check_refused(result, file)
    assert sentence in result.stderr


def test_a_folder_without_tests_is_refused(tmp_path):
    check_refused(
        run("test", str(tmp_path)), f"{tmp_path}: contains no file {case_files.NAME}, which lists"
    )
    result = run("test", str(tmp_path / "x"))
    check_refused(result, "x: there is no such folder")
    assert "of that name" not in result.stderr


def test_aliases_that_make_too_much_are_refused(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 7)]
    write(tmp_path, case_files.NAME, "\n".join(lines))
    check_refused(run("test", str(tmp_path)), "aliases make more than 1000000 values of it")


@pytest.mark.parametrize("name", ["out.yaml", "no/out.yaml"])
def test_manifests_that_cannot_be_written_are_one_line(tests, tmp_path, name):
    (tmp_path / "out.yaml").mkdir()
    tests({"verdict": "Injected"}, manifests=name)
    check_refused(run("test", "--update", tests.folder), f"{tmp_path}/{name}: ")


def test_a_pod_that_cannot_be_read_is_not_updated(tests):
    file = tests({"verdict": "Injected"}, objects=[{"spec": {"containers": 7}}])
    before = pathlib.Path(file).read_text()
    check_refused(run("test", "--update", tests.folder), "spec.containers: must be a list")
    assert pathlib.Path(file).read_text() == before


def test_what_commands_a_terminal_is_shown_as_text(tests, tmp_path):
    (tmp_path / "out.yaml").write_text("\x1b[31m\n")
    tests({"name": "\x1b[2J", "verdict": "Refused"}, manifests="out.yaml")
    result = run("test", tests.folder)
    assert "\x1b" not in result.stdout
    assert f"{case_files.NAME}: \\x1b[2J\n" in result.stdout
    assert "\n-\\x1b[31m\n" in result.stdout


def test_nothing_is_written_if_a_later_file_is_refused(tests, tmp_path):
    file = tests({"verdict": "Refused"}, folder="a")
    tests({"verdict": "wrong"}, folder="b")
    before = pathlib.Path(file).read_text()
    check_refused(run("test", "--update", tests.folder), "field cases[0].verdict")
    assert pathlib.Path(file).read_text() == before


def test_update_writes_what_is_so_now_and_keeps_the_rest(tests):
    file = tests()
    head = pathlib.Path(file).read_text().partition("cases:")[0]
    text = (
        f"# About the sidecar.\n{head}\n# Below are cases.\ncases:\n"
        "- name: 'gets it'\n  object: Pod/web\n  verdict: Refused\n"
        '  pod: {spec: {containers: [{name: sidecar, image: "old"}]}}\n'
    )
    pathlib.Path(file).write_text(text)
    result = run("test", "--update", tests.folder)
    assert (result.exit_code, result.stdout) == (
        0,
        f"{file} written\n1 case in 1 file: 1 file written\n",
    )
    assert pathlib.Path(file).read_text() == text.replace("Refused", "Injected").replace(
        '"old"', "'example/sidecar:1'"
    )
    assert run("test", tests.folder).exit_code == 0
    assert run("test", "--update", tests.folder).stdout == "1 case in 1 file: nothing to write\n"


def test_update_fills_in_a_file_without_cases_and_the_manifests(tests, tmp_path):
    file = tests(manifests="out.yaml")
    assert run("test", "--update", tests.folder).stdout.splitlines() == [
        f"{tmp_path}/out.yaml written", f"{file} written", "2 cases in 1 file: 2 files written",
    ]  # fmt: skip
    assert now(file) == [
        {"object": "demo/Pod/web", "verdict": "Injected",
         "injections": [{"name": "log", "reason": "Injected"}]}
    ]  # fmt: skip
    assert "name: sidecar" in (tmp_path / "out.yaml").read_text()
    assert run("test", tests.folder).exit_code == 0

    labels = {"sidecar-injection": "disabled"}
    pod = {"metadata": {"name": "off", "labels": labels}, "spec": {"containers": [APP]}}
    tests(objects=[pod], manifests="out.yaml")
    assert run("test", "--update", tests.folder).exit_code == 0
    (case,) = now(file)
    assert (case["verdict"], case["reason"]) == ("OutOfScope", "PodLabelDisabled")

    (tmp_path / "out.yaml").write_text("stale\n")
    result = run("test", tests.folder)
    assert result.exit_code == 1
    assert f"FAILED {file}: out.yaml\n--- expected\n+++ now\n" in result.stdout


def test_junit_has_a_suite_for_each_file_and_the_difference(tests, tmp_path):
    passing = tests({"verdict": "Injected"}, folder="a")
    failing = tests({"name": "<b>", "verdict": "Refused"}, folder="b")
    report = tmp_path / "report.xml"
    assert run("test", tests.folder, "--junit", str(report)).exit_code == 1
    root = ElementTree.fromstring(report.read_bytes())
    assert (root.attrib["tests"], root.attrib["failures"]) == ("2", "1")
    suites = [suite.attrib for suite in root]
    assert suites == [
        {"name": passing, "tests": "1", "failures": "0"},
        {"name": failing, "tests": "1", "failures": "1"},
    ]
    (failed,) = root.findall(".//testcase[failure]")
    assert failed.attrib == {"classname": failing, "name": "<b>"}
    assert "-verdict: Refused\n+verdict: Injected" in failed.findtext("failure")


def test_a_report_that_cannot_be_written_is_one_line(tests, tmp_path):
    tests({"verdict": "Injected"})
    check_refused(
        run("test", tests.folder, "--junit", str(tmp_path / "no" / "x.xml")),
        "x.xml: No such file or directory",
    )


@given(some.text())
def test_any_text_is_xml(text):
    root = ElementTree.fromstring(junit.text({text: {text: f"-{text}"}}, name="x"))
    assert len(root.findall(".//failure")) == 1


def test_programs_get_every_case(tests):
    file = tests({"name": "a", "verdict": "Injected"}, {"name": "b", "verdict": "Refused"})
    result = run("test", tests.folder, "-o", "json")
    assert result.exit_code == 1
    content = json.loads(result.stdout)
    assert content["written"] == []
    assert content["cases"][0] == {
        "file": file, "name": "a", "object": "demo/Pod/web", "passed": True, "difference": [],
    }  # fmt: skip
    assert content["cases"][1]["passed"] is False
    assert "-verdict: Refused" in content["cases"][1]["difference"]


def test_notes_are_about_files_that_fail(tests):
    tests({"verdict": "Injected"}, folder="a")
    assert run("test", tests.folder).stderr == ""
    tests({"verdict": "Refused"}, folder="b")
    (note,) = run("test", tests.folder).stderr.splitlines()
    assert note.startswith("note: namespace demo is assumed to have the label")


json_values = some.recursive(
    some.none() | some.booleans() | some.integers(0, 2) | some.sampled_from(["a", "b"]),
    lambda inner: (
        some.lists(inner, max_size=3)
        | some.dictionaries(some.sampled_from(["name", "x", "y"]), inner, max_size=3)
    ),
    max_leaves=8,
)


def holds(expected, actual):
    """What the documents say, in the plainest words."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return all(
            value is None if key not in actual else holds(value, actual[key])
            for key, value in expected.items()
        )
    if isinstance(expected, list) and isinstance(actual, list):
        if not expected:
            return True
        return any(
            holds(expected[0], item) and holds(expected[1:], actual[index + 1 :])
            for index, item in enumerate(actual)
        )
    return json.dumps(expected, sort_keys=True) == json.dumps(actual, sort_keys=True)


def parts(draw, value):
    """A value with members and items left out."""
    if isinstance(value, dict):
        return {key: parts(draw, each) for key, each in value.items() if draw(some.booleans())}
    if isinstance(value, list):
        return [parts(draw, each) for each in value if draw(some.booleans())]
    return value


@given(json_values, json_values, some.data())
def test_a_projection_is_the_expected_value_exactly_where_the_expectation_holds(a, b, data):
    for expected in (b, parts(data.draw, a)):
        projected = projection.of(a, expected)
        assert (json.dumps(projected) == json.dumps(expected)) is holds(expected, a)
        assert projection.of(a, projected) == projected  # So an update is as expected.
    assert holds(parts(data.draw, a), a)


@given(json_values, json_values)
def test_a_whole_value_leaves_nothing_out(a, b):
    projected = projection.of(a, b, whole=True)
    is_same = json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)
    assert (json.dumps(projected) == json.dumps(b)) is is_same


@pytest.mark.parametrize(("actual", "expected"), [(True, 1), (1, True), (1, 1.0), ("1", 1)])
def test_values_of_other_types_are_different(actual, expected):
    assert json.dumps(projection.of([actual], [expected])) == json.dumps([actual])


def test_an_item_that_is_there_twice_is_found_behind_the_one_before_it():
    assert projection.of(["y", "x", "y"], ["x", "y"]) == ["x", "y"]
    assert projection.of(["y", "x"], ["x", "y"]) == ["y", "x"]
