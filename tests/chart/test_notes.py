"""`helm lint`, and the notes that an administrator reads after the installation."""

from __future__ import annotations

import pathlib
import re
import shutil
from typing import Any

import pytest
import yaml

from sidecar_injector import names


@pytest.fixture(scope="module")
def notes(helm: Any, chart: pathlib.Path) -> str:
    return _notes(helm, chart)


def test_helm_lint_has_no_complaint(helm: Any, chart: pathlib.Path) -> None:
    result = helm.run("lint", "--strict", str(chart))

    assert result.returncode == 0, result.stdout + result.stderr
    # Not even an [INFO], which a missing icon would be.
    assert "[" not in result.stdout


def test_the_notes_say_how_to_enable_a_namespace(notes: str) -> None:
    assert re.search(
        rf"^  kubectl label namespace \S+ {names.INJECTION_LABEL}={names.ENABLED}$",
        notes,
        re.MULTILINE,
    )


def test_the_notes_contain_an_injection_that_can_be_pasted(notes: str) -> None:
    match = re.search(r"^kubectl apply -f - <<'YAML'\n(.*?)^YAML$", notes, re.MULTILINE | re.DOTALL)
    assert match
    injection = yaml.safe_load(match[1])

    assert (injection["apiVersion"], injection["kind"]) == (names.API_VERSION, names.KIND)
    assert injection["spec"]["template"]["spec"]["containers"]


def test_the_notes_say_how_to_remove_what_an_uninstall_keeps(
    helm: Any, chart: pathlib.Path, notes: str
) -> None:
    command = (
        f"kubectl delete crd {names.PLURAL}.{names.GROUP} {names.CLUSTER_PLURAL}.{names.GROUP}"
    )

    assert command in notes
    assert command not in _notes(helm, chart, "--set=crds.keep=false")


def test_the_notes_say_that_a_cluster_has_no_policies(
    helm: Any, bare_chart: pathlib.Path, notes: str, tmp_path: pathlib.Path
) -> None:
    """`helm template`, which can be told of another release of Kubernetes, shows no notes."""
    copy = tmp_path / bare_chart.name
    shutil.copytree(bare_chart, copy)
    text = (copy / "templates" / "NOTES.txt").read_text()
    shown = '{{ include "notes" . | toJson }}'
    template = f'{{{{- define "notes" }}}}{text}{{{{ end }}}}\nkind: Notes\ntext: {shown}\n'
    (copy / "templates" / "notes.yaml").write_text(template)

    def has_it(version: str) -> bool:
        words = ("--set=policies.managed=true", "--show-only=templates/notes.yaml")
        result = helm.run("template", "x", str(copy), f"--kube-version={version}", *words)
        return "policies.managed has no effect" in yaml.safe_load(result.stdout)["text"]

    assert has_it("1.35.9")
    assert not has_it("1.36.0")
    assert "policies.managed" not in notes


def test_the_notes_warn_of_a_single_replica(helm: Any, chart: pathlib.Path, notes: str) -> None:
    alone = _notes(helm, chart, "--set=replicas=1")

    assert "With one replica" in alone
    assert "With one replica" not in notes


def test_the_notes_say_how_to_test_the_release(helm: Any, chart: pathlib.Path, notes: str) -> None:
    command = "helm test sidecar-injector"

    assert command in _notes(helm, chart, "--set=helmTest.enabled=true")
    assert command not in notes
    assert "helmTest.enabled=true" in notes


@pytest.mark.parametrize(
    "value",
    [
        "webhook.namespaceSelector.matchLabels.tier=web",
        "webhook.objectSelector.matchLabels.tier=web",
        "webhook.matchConditions[0].name=a,webhook.matchConditions[0].expression=true",
    ],
)
def test_the_notes_warn_of_selectors_that_the_operator_does_not_know(
    value: str, helm: Any, chart: pathlib.Path, notes: str
) -> None:
    warning = "count as missing"

    assert warning in _notes(helm, chart, f"--set={value}")
    assert warning not in notes


def test_the_notes_warn_where_the_webhook_and_cert_manager_could_wait_for_each_other(
    helm: Any, chart: pathlib.Path
) -> None:
    mode = ("--set=certificates.mode=certManager", "--set=certificates.issuerRef.name=ca")
    fail = "--set=webhook.failurePolicy=Fail"
    warning = "Do not label the namespace of cert-manager"

    assert warning in _notes(helm, chart, *mode, fail)
    assert warning not in _notes(helm, chart, *mode)
    assert warning not in _notes(helm, chart, fail)


def _notes(helm: Any, chart: pathlib.Path, *arguments: str) -> str:
    result = helm.run("install", "sidecar-injector", str(chart), "--dry-run=client", *arguments)
    assert result.returncode == 0, result.stderr
    return str(result.stdout.split("NOTES:\n", maxsplit=1)[1])
