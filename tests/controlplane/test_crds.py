"""The CRDs on a real API server: what they accept, what they refuse, and in which words.

On a control plane of its own: the chart owns the CRDs of the shared one, whose operator would judge
the same objects a second time.
"""

from __future__ import annotations

import copy
import functools
import json
import pathlib
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from sidecar_injector import names
from tools.controlplane import binaries, cluster
from tools.crds import __main__ as generator
from tools.crds import definition

ROOT = pathlib.Path(__file__).resolve().parents[2]
CRDS = ROOT / "crds"
Injection = dict[str, Any]


@pytest.fixture(scope="module")
def controlplane() -> Iterator[cluster.ControlPlane]:
    """A control plane that knows both kinds, applied as `kubectl apply` does it by default."""
    with cluster.ControlPlane(binaries.ensure()) as controlplane:
        controlplane.kubectl("apply", "-f", str(CRDS))
        for kind in definition.KINDS:
            # Serving begins some time after the answer, and publishing what is served after that.
            for verb in ("get", "explain"):
                probe = functools.partial(controlplane.kubectl, verb, kind.plural)
                controlplane.wait(f"{verb} {kind.plural}", probe)
        yield controlplane


def cases(name: str) -> list[dict[str, Any]]:
    """The table of cases in crds/NAME.yaml."""
    path = pathlib.Path(__file__).with_name("crds") / f"{name}.yaml"
    result: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return result


def case_name(case: Mapping[str, Any]) -> str:
    return str(case["case"])


def injection(*, kind: str = names.KIND, name: str = "example", **spec: Any) -> Injection:
    """An injection with this spec; without one, a container is injected."""
    spec_or_default = spec or template(containers=[{"name": "proxy", "image": "proxy:1"}])
    identity = {"apiVersion": names.API_VERSION, "kind": kind, "metadata": {"name": name}}
    return {**identity, "spec": spec_or_default}


def template(**pod_spec: Any) -> dict[str, Any]:
    return {"template": {"spec": pod_spec}}


def apply(
    controlplane: cluster.ControlPlane, resource: Injection, *, check: bool = True
) -> subprocess.CompletedProcess[str]:
    return controlplane.kubectl(
        "apply", "--dry-run=server", "-f", "-", stdin=json.dumps(resource), check=check
    )


def refusal(controlplane: cluster.ControlPlane, resource: Injection) -> str:
    """What the API server says when it refuses."""
    answer = apply(controlplane, resource, check=False)
    assert answer.returncode != 0, f"accepted: {resource['spec']}"
    return answer.stderr


def test_the_committed_files_are_those_that_this_api_server_generates(
    controlplane: cluster.ControlPlane,
) -> None:
    openapi = json.loads(controlplane.kubectl("get", "--raw", generator.OPENAPI).stdout)

    for name, text in generator.files(openapi):
        assert (ROOT / name).read_text(encoding="utf-8") == text, f"{name}: run `make crds`"


def repeated(node: Any, times: int) -> Any:
    """A schema whose every rule is written several times, joined by `and`."""
    if isinstance(node, list):
        return [repeated(item, times) for item in node]
    if not isinstance(node, dict):
        return node
    rules = {}
    if validations := node.get("x-kubernetes-validations"):
        texts = [" && ".join([f"({item['rule']})"] * times) for item in validations]
        rules["x-kubernetes-validations"] = [
            {**item, "rule": text} for item, text in zip(validations, texts, strict=True)
        ]
    return {**{key: repeated(item, times) for key, item in node.items()}, **rules}


def test_the_rules_have_room_in_the_budget_of_an_api_server(
    controlplane: cluster.ControlPlane,
) -> None:
    """Each release estimates the cost of a rule in its own way: they must not be near the limit."""
    for path in CRDS.glob("*.yaml"):
        crd = repeated(yaml.safe_load(path.read_text(encoding="utf-8")), 8)
        controlplane.kubectl("replace", "--dry-run=server", "-f", "-", stdin=json.dumps(crd))


@pytest.mark.parametrize("option", [[], ["--server-side", "--force-conflicts"]])
def test_the_crds_are_applied_again_from_either_side(
    controlplane: cluster.ControlPlane, option: list[str]
) -> None:
    answer = controlplane.kubectl("apply", *option, "-f", str(CRDS))

    assert answer.stderr == ""


@pytest.mark.parametrize("option", [[], ["--server-side", "--force-conflicts"]])
@pytest.mark.parametrize("kind", [names.KIND, names.CLUSTER_KIND])
def test_an_injection_is_applied_again_from_either_side(
    controlplane: cluster.ControlPlane, kind: str, option: list[str]
) -> None:
    resource = json.dumps(injection(kind=kind, name="twice"))
    arguments = ("apply", *option, "-f", "-")
    controlplane.kubectl(*arguments, stdin=resource)

    again = controlplane.kubectl(*arguments, stdin=resource)

    assert again.stderr == ""
    assert "created" not in again.stdout
    assert "configured" not in again.stdout


def test_defaults_are_filled_in(controlplane: cluster.ControlPlane) -> None:
    spec = {
        **template(containers=[{"name": "proxy", "ports": [{"containerPort": 80}]}]),
        "parameters": [{"name": "level", "from": {"podLabel": "level"}}],
        "applicationContainers": {"appendEnv": [{"name": "OPTIONS", "value": "-x"}]},
        "inherit": {"volumeMounts": {}},
    }
    resource = json.dumps(injection(**spec))
    answer = controlplane.kubectl("apply", "--dry-run=server", "-o=json", "-f=-", stdin=resource)
    stored = json.loads(answer.stdout)["spec"]

    expected = copy.deepcopy(spec)
    expected["template"]["spec"]["containers"][0]["ports"][0]["protocol"] = "TCP"
    expected["parameters"][0]["type"] = "String"
    expected["applicationContainers"]["appendEnv"][0]["separator"] = " "
    expected["applicationContainers"]["names"] = {"include": ["*"], "exclude": []}
    expected["applicationContainers"]["initContainers"] = "Exclude"
    expected["inherit"]["volumeMounts"] = {"fromContainers": ["*"], "exclude": []}
    assert stored == {
        **expected,
        "activation": "Automatic",
        "priority": 0,
        "suspend": False,
        "dryRun": False,
        "failurePolicy": "Ignore",
        "onConflict": "Skip",
        "hostNetworkPods": "Skip",
        "operatingSystem": "Linux",
        "sidecarMode": "Auto",
        "placement": {"containers": "Last", "initContainers": "First"},
    }


def test_explain_is_the_manual(controlplane: cluster.ControlPlane) -> None:
    explained = controlplane.kubectl("explain", "clustersidecarinjection.spec").stdout
    text = " ".join(explained.split())

    for name, schema in definition.source("spec")["properties"].items():
        assert " ".join(schema["description"].split()) in text, name


def test_short_names_category_and_columns_are_served(controlplane: cluster.ControlPlane) -> None:
    resource = injection(name="listed")
    controlplane.kubectl("apply", "-f", "-", stdin=json.dumps(resource))
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "Active",
        "message": "one two",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }
    effective = {**ready, "type": "Effective", "reason": "HasPods"}
    pods = {"selected": 12, "injected": 9, "missing": 3, "wouldInject": 1, "optedOut": 2}
    status = {"conditions": [effective, ready], "pods": pods}
    patch = json.dumps({"status": status})
    controlplane.kubectl(
        "patch", "sinj", "listed", "--subresource=status", "--type=merge", f"--patch={patch}"
    )

    narrow = controlplane.kubectl("get", "sinj", "listed").stdout.splitlines()
    wide = controlplane.kubectl("get", "sinj", "listed", "-o", "wide").stdout.splitlines()
    kinds = controlplane.kubectl("api-resources", "--categories", names.PRODUCT, "-o", "name")

    assert narrow[0].split() == [
        "NAME",
        "READY",
        "EFFECTIVE",
        "MODE",
        "PRIORITY",
        "SELECTED",
        "INJECTED",
        "AGE",
    ]
    assert narrow[1].split()[:-1] == ["listed", "True", "True", "Auto", "0", "12", "9"]
    counts = ["OUTDATED", "SKIPPED", "MISSING", "WOULD-INJECT", "OPTED-OUT"]
    assert wide[0].split()[-7:] == [*counts, "REASON", "MESSAGE"]
    assert wide[1].split()[-6:] == ["3", "1", "2", "HasPods", "one", "two"]
    assert sorted(kinds.stdout.split()) == sorted(
        f"{kind.plural}.{names.GROUP}" for kind in definition.KINDS
    )
    assert controlplane.kubectl("get", "csinj").returncode == 0


@pytest.mark.parametrize("case", cases("accepted"), ids=case_name)
def test_the_api_server_accepts(
    controlplane: cluster.ControlPlane, case: Mapping[str, Any]
) -> None:
    assert apply(controlplane, injection(**case["spec"])).stderr == ""


def test_only_a_cluster_injection_takes_host_namespaces_and_a_namespace_selector(
    controlplane: cluster.ControlPlane,
) -> None:
    spec = {**template(hostNetwork=True, hostPID=True), "namespaceSelector": {"matchLabels": {}}}

    apply(controlplane, injection(kind=names.CLUSTER_KIND, **spec))
    message = refusal(controlplane, injection(**spec))

    assert 'unknown field "spec.namespaceSelector"' in message
    assert 'unknown field "spec.template.spec.hostNetwork"' in message
    assert 'unknown field "spec.template.spec.hostPID"' in message


@pytest.mark.parametrize("case", cases("refused"), ids=case_name)
def test_the_api_server_refuses_and_names_the_field(
    controlplane: cluster.ControlPlane, case: Mapping[str, Any]
) -> None:
    message = refusal(controlplane, injection(**case["spec"]))

    for part in case["says"]:
        assert part in message


def test_a_template_has_at_most_64_containers(controlplane: cluster.ControlPlane) -> None:
    containers = [{"name": f"c{number}"} for number in range(65)]

    apply(controlplane, injection(**template(containers=containers[:64])))
    message = refusal(controlplane, injection(**template(containers=containers)))

    assert "spec.template.spec.containers: Too many: 65" in message


@pytest.mark.parametrize("kind", [names.KIND, names.CLUSTER_KIND])
@pytest.mark.parametrize("word", ["yes", "true", "y", "on", "1", "no", "false", "n", "off", "0"])
def test_no_injection_is_named_like_a_yes_or_a_no(
    controlplane: cluster.ControlPlane, kind: str, word: str
) -> None:
    message = refusal(controlplane, injection(kind=kind, name=word))

    assert "metadata.name: Invalid value" in message
    assert "mean yes or no; any other name is accepted" in message


def test_a_name_has_at_most_63_characters(controlplane: cluster.ControlPlane) -> None:
    named = functools.partial(injection, kind=names.CLUSTER_KIND)

    apply(controlplane, named(name="a" * 63))
    message = refusal(controlplane, named(name="a" * 64))

    assert "metadata.name: Invalid value" in message
    assert "at most 63 characters" in message


def test_status_is_not_written_with_the_spec(controlplane: cluster.ControlPlane) -> None:
    resource = {**injection(name="forged"), "status": {"templateHash": "forged"}}
    controlplane.kubectl("create", "-f", "-", stdin=json.dumps(resource))

    stored = json.loads(controlplane.kubectl("get", "sinj", "forged", "-o", "json").stdout)

    assert "status" not in stored
