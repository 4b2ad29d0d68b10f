"""Injections from files are refused for what the CRDs refuse, and with the field's name."""

from __future__ import annotations

import copy
import pathlib

import pytest
import yaml

from sidecar_injector import crds, names
from sidecar_injector.core.injections import model
from tests.kits.samples import container, injection, resource
from tests.kits.validate import sentences, template

TABLES = pathlib.Path(__file__).resolve().parents[3] / "controlplane/crds"
STRICTER = {
    # CEL cannot follow a token to its declaration.
    "a token as an integer": "$(params.period) is unknown",
    "a token as an enum": "$(params.pull) is unknown",
    "a token in a quantity": "$(params.size) is unknown",
    # The embedded schema does not require it; the API server does, of the pod.
    "a native sidecar by hand": "image: is required",
}
"""What only we refuse, of all that the API server accepts; with our sentence."""


def table(name):
    return yaml.safe_load((TABLES / f"{name}.yaml").read_text(encoding="utf-8"))


def read(spec, *, cluster=False, name="example"):
    kind = names.CLUSTER_KIND if cluster else names.KIND
    raw = {"kind": kind, "metadata": {"name": name, "namespace": "demo"}, "spec": spec}
    return model.read(raw, spec_schema=crds.spec_schema(kind))


@pytest.mark.parametrize("case", table("accepted"), ids=lambda case: case["case"])
def test_what_the_api_server_accepts_is_accepted_from_files(case):
    problems = sentences(read(case["spec"]).errors)
    if expected := STRICTER.get(case["case"]):
        assert len(problems) == 1
        assert expected in problems[0]
    else:
        assert problems == []


@pytest.mark.parametrize("case", table("accepted"), ids=lambda case: case["case"])
def test_a_spec_that_lacks_no_default_is_kept_as_it_is_and_no_other_is_changed(case):
    before = copy.deepcopy(case["spec"])
    whole = read(case["spec"]).spec
    assert case["spec"] == before
    assert whole != before, "no case has all defaults"
    assert read(whole).spec is whole


@pytest.mark.parametrize("case", table("refused"), ids=lambda case: case["case"])
def test_what_the_api_server_refuses_is_refused_from_files_and_names_the_field(case):
    path = read(case["spec"]).errors[0].path
    # The API server names the field, or the object around it where CEL cannot name a member.
    named = case["says"][0].split('"')[1] if "unknown field" in case["says"][0] else ""
    expected = named or case["says"][0].split(":")[0]
    stands = path.replace("[cpu]", ".cpu")
    if case["case"] == "one name in both lists":
        assert expected == "spec.template.spec.initContainers"
        assert stands == "spec.template.spec.containers[0].name"
    else:
        assert stands.startswith(expected)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"template": {"spec": {"dnsConfig": {}}}}, None),
        ({"template": {"spec": {"shareProcessNamespace": False}}}, None),
        ({"template": {"spec": {"volumes": []}}}, "spec: has nothing to inject"),
        ({"inherit": {"volumeMounts": {}}}, "spec: has nothing to inject"),
        ({"applicationContainers": {"names": {"include": ["a"]}}}, "spec: has nothing to inject"),
    ],
    ids=str,
)
def test_nothing_to_inject_is_what_the_rule_of_the_crd_calls_so(spec, expected):
    problems = sentences(read(spec).errors)
    assert [problem.startswith(expected) for problem in problems] == ([True] if expected else [])


def test_null_counts_as_absent_and_gives_the_same_hash():
    with_null = read({"template": template(containers=[container(args=None)])})
    other = read({"template": template(containers=[container()])})
    assert with_null.errors == other.errors == ()
    assert with_null.hash == other.hash


def test_an_item_of_a_set_occurs_once():
    volume = {"name": "v", "emptyDir": {}}
    mount = {"name": "v", "mountPath": "/v", "bindMountOptions": ["noexec", "noexec"]}
    (problem,) = read(
        {"template": template(containers=[container(volumeMounts=[mount])], volumes=[volume])}
    ).errors
    assert problem.path.endswith("bindMountOptions[1]")
    assert "'noexec' is a duplicate" in problem.sentence


@pytest.mark.parametrize("name", ["Log", "a_b", "-a", "a" * 64, "yes", "0"])
def test_a_name_that_the_api_server_refuses_is_refused_from_files(name):
    assert read(resource()["spec"], name=name).errors[0].path == "metadata.name"


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("a(?=b)", "invalid perl operator: (?=, at character 2 of"),
        (r"(a)\1", r"invalid escape sequence: \1, at character 4 of"),
        ("[a", "missing ]: [a, at character 1 of"),
        ("ab)c", "unexpected ): ab)c, at character 3 of"),
        ("x*(a{1001})", "invalid repetition size: {1001}, at character 5 of"),
    ],
)
def test_a_pattern_that_re2_refuses_is_refused_with_its_position(pattern, says):
    parameter = {"name": "p", "from": {"podLabel": "p"}, "pattern": pattern}
    (problem,) = injection(parameters=[parameter]).errors
    assert problem.path == "spec.parameters[0].pattern"
    assert says in problem.sentence


def test_a_pattern_ends_where_the_text_ends():
    """Python's `$` also matches before a last newline, the API server's does not."""
    (problem,) = read({"template": template(containers=[container("sidecar\n")])}).errors
    assert problem.path == "spec.template.spec.containers[0].name"


def test_the_engine_does_not_change_the_hash_and_only_the_cluster_kind_is_compiled():
    spec = {"template": template(containers=[container()])}
    compiled = read({**spec, "engine": "Policy"}, cluster=True)
    assert compiled.errors == ()
    assert compiled.is_compiled
    assert not read({**spec, "engine": "Webhook"}, cluster=True).is_compiled
    assert compiled.hash == read(spec, cluster=True).hash
    (problem,) = read({**spec, "engine": "Policy"}).errors
    assert problem.path == "spec.engine"
