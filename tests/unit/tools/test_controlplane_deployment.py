"""A replica outside a pod runs what the Deployment says, or is refused with the field's name."""

import pathlib
from typing import Any

import pytest

from tools.controlplane import deployment, errors

PROGRAMS = pathlib.Path("/image/bin")


def workload(**container: Any) -> deployment.Workload:
    return deployment.Workload(
        manifest={
            "metadata": {"name": "web", "namespace": "team"},
            "spec": {
                "replicas": 2,
                "template": {
                    "metadata": {"labels": {"a/b": "c"}},
                    "spec": {
                        "serviceAccountName": "robot",
                        "containers": [{"name": "x", "command": ["serve"], **container}],
                    },
                },
            },
        }
    )


def launch(workload: deployment.Workload, **overrides: str) -> deployment.Launch:
    return workload.launch(pod_name="web-0", programs=PROGRAMS, overrides=overrides)


def field(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def test_command_and_arguments_are_the_deployments() -> None:
    assert launch(workload(args=["--port", "1"])).command == ("/image/bin/serve", "--port", "1")


def test_fields_of_the_pod_are_resolved() -> None:
    environment = launch(
        workload(
            env=[
                {"name": "PLAIN", "value": "x"},
                {"name": "EMPTY"},
                field("POD", "metadata.name"),
                field("NAMESPACE", "metadata.namespace"),
                field("ACCOUNT", "spec.serviceAccountName"),
                field("LABEL", "metadata.labels['a/b']"),
                field("ABSENT", "metadata.annotations['a/b']"),
            ]
        )
    ).environment
    environment.pop("PATH")
    assert environment == {
        "PLAIN": "x",
        "EMPTY": "",
        "POD": "web-0",
        "NAMESPACE": "team",
        "ACCOUNT": "robot",
        "LABEL": "c",
        "ABSENT": "",
    }


def test_only_overrides_change_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_THE_TEST", "leaked")
    environment = launch(workload(env=[{"name": "PORT", "value": "1"}]), PORT="2").environment
    assert environment["PORT"] == "2"
    assert set(environment) == {"PATH", "PORT"}


@pytest.mark.parametrize(
    ("container", "message"),
    [
        ({"command": []}, r"command is \[\]; accepted is a command"),
        ({"args": ["$(PORT)"]}, r"command, args or env is '\$\(PORT\)'; accepted is text without"),
        ({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {}}}]}, "env A is .*secretKeyRef"),
        ({"env": [field("A", "spec.nodeName")]}, "env A is 'spec.nodeName'; accepted is one of"),
        ({"envFrom": [{"secretRef": {}}]}, "envFrom is .*; accepted is env only"),
    ],
)
def test_what_only_a_pod_can_have_is_refused(container: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.DeploymentError, match=f"^Deployment team/web: {message}"):
        launch(workload(**container))
