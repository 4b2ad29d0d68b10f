"""What `helm test` makes: a pod that checks the release, and the rights that it has meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sidecar_injector.cli import main

Render = Callable[..., Any]

NAME = "blue-sidecar-injector-test"
TEAM = {"helmTest": {"namespace": "team"}}


def hooks(render: Render, values: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    values = values or {}
    values = {**values, "helmTest": {"enabled": True, **values.get("helmTest", {})}}
    objects = render(values, release="blue", namespace="injection", hooks=True).objects
    return [
        item for item in objects if "helm.sh/hook" in (item["metadata"].get("annotations") or {})
    ]


def pod(render: Render, values: dict[str, Any] | None = None) -> dict[str, Any]:
    (hook_pod,) = [hook for hook in hooks(render, values) if hook["kind"] == "Pod"]
    return hook_pod


def test_a_manifest_contains_nothing_of_it(render: Render) -> None:
    """Who applies the output of `helm template` has no Helm to take it away."""
    objects = render(hooks=True).objects

    assert len(objects) == len(render().objects)
    assert [item for item in objects if "helm.sh/hook" in str(item["metadata"])] == []


@pytest.mark.parametrize("values", [{"helmTest": {"enabled": False}}, {"rbac": {"create": False}}])
def test_it_is_left_out_where_it_is_not_wanted_or_could_get_no_rights(
    values: dict[str, Any], render: Render
) -> None:
    assert hooks(render, values) == []


def test_the_pod_runs_the_check_of_this_release(render: Render) -> None:
    (container,) = pod(render)["spec"]["containers"]
    operator = render(release="blue").operator()

    assert container["image"] == operator["image"]
    assert container["command"] == operator["command"]
    assert container["args"] == ["check", "--release-namespace=injection"]
    (with_pod,) = pod(render, TEAM)["spec"]["containers"]
    assert with_pod["args"] == [*container["args"], "--namespace=team"]


def test_the_command_line_knows_the_arguments(render: Render) -> None:
    (container,) = pod(render, TEAM)["spec"]["containers"]
    verb, *options = container["args"]
    context = main.cli.commands[verb].make_context(verb, options)

    assert (context.params["release_namespace"], context.params["namespace"]) == (
        "injection",
        "team",
    )


def test_the_pod_is_as_confined_as_the_operators(render: Render) -> None:
    spec = pod(render)["spec"]
    operator = render(release="blue").one("Deployment")["spec"]["template"]["spec"]

    assert spec["securityContext"] == operator["securityContext"]
    (container,), (running,) = spec["containers"], operator["containers"]
    assert container["securityContext"] == running["securityContext"]
    assert spec["restartPolicy"] == "Never"


def test_neither_service_nor_budget_takes_its_pod_for_an_operator(render: Render) -> None:
    rendered = render(release="blue")
    labels = pod(render)["metadata"]["labels"]

    for selector in (
        rendered.one("Deployment")["spec"]["selector"]["matchLabels"],
        rendered.one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        rendered.one("Service")["spec"]["selector"],
    ):
        assert not selector.items() <= labels.items()


def test_rights_come_before_the_pod_and_go_however_it_ends(render: Render) -> None:
    for hook in hooks(render, TEAM):
        annotations = hook["metadata"]["annotations"]
        policy = set(annotations["helm.sh/hook-delete-policy"].split(","))
        if hook["kind"] == "Pod":
            assert annotations["helm.sh/hook-weight"] == "0"
            assert policy == {"before-hook-creation", "hook-succeeded"}
        else:
            assert int(annotations["helm.sh/hook-weight"]) < 0
            assert policy == {"before-hook-creation", "hook-succeeded", "hook-failed"}


def test_it_may_write_only_dry_run_pods_in_the_chosen_namespace(render: Render) -> None:
    def writes(values: dict[str, Any] | None = None) -> set[tuple[str, str, str | None]]:
        return {
            (verb, resource, role["metadata"].get("namespace"))
            for role in hooks(render, values)
            for rule in role.get("rules", ())
            for resource in rule["resources"]
            for verb in rule["verbs"]
            if verb not in {"get", "list"}
        }

    review = ("create", "subjectaccessreviews", None)
    assert writes() == {review}
    assert writes(TEAM) == {review, ("create", "pods", "team")}


def test_everything_is_bound_to_its_own_account(render: Render) -> None:
    items = hooks(render, TEAM)
    bindings = [item for item in items if item["kind"].endswith("RoleBinding")]

    assert pod(render)["spec"]["serviceAccountName"] == NAME
    assert len(bindings) == 3
    for binding in bindings:
        assert binding["subjects"] == [
            {"kind": "ServiceAccount", "name": NAME, "namespace": "injection"}
        ]
        assert binding["roleRef"]["name"] == binding["metadata"]["name"]
