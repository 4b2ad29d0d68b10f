"""The command line on a real API server with the installed product."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import copy
import json
import os
import pathlib
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from sidecar_injector import names
from sidecar_injector.cli.cluster import errors as cli_errors
from sidecar_injector.core.validity import releases
from tests.kits import controlplane_cli as cli
from tests.kits import installation as installing
from tests.kits import product as kit
from tests.kits import versions
from tools.controlplane import cluster, errors, operators, ports

LEVELS = {"ok", "warning", "failed", "unknown"}
FINDING = {"check", "level", "message", "remedy"}
OWNER = {
    "namespace", "kind", "name", "outdated", "missing", "action", "message", "pods", "injections",
}  # fmt: skip


@pytest.fixture
def config(product: kit.Product) -> pathlib.Path:
    return product.plane.kubeconfig


def by_check(answer: cli.Json) -> dict[str, list[str]]:
    """The levels of each check."""
    levels: dict[str, list[str]] = {}
    for finding in answer["findings"]:
        assert finding.keys() == FINDING
        assert finding["level"] in LEVELS
        assert bool(finding["remedy"]) is (finding["level"] != "ok")
        levels.setdefault(finding["check"], []).append(finding["level"])
    return levels


def test_check_finds_nothing_wrong_with_what_was_just_installed(
    config: pathlib.Path, injecting_namespace: str
) -> None:
    levels = by_check(cli.read(config, "check", "-n", injecting_namespace))
    everything = (
        "cluster", "definitions", "replicas", "rights", "webhooks", "certificates", "caBundle",
        "fields", "dry-run pod",
    )  # fmt: skip
    assert {name: set(levels[name]) for name in everything} == {name: {"ok"} for name in everything}


def shown(page: str, command: str) -> list[str]:
    """What a page shows below a command."""
    text = (installing.ROOT / page).read_text(encoding="utf-8")
    return text.partition(f"$ {command}\n")[2].partition("\n```")[0].splitlines()


def test_the_page_of_operations_shows_what_is_printed(
    product: kit.Product, config: pathlib.Path, injecting_namespace: str
) -> None:
    """Of `check` all but names, dates and warnings, of `status` the headings: other tests fill its
    tables."""
    page = "docs/operations.md"
    real = cli.run(config, "check", "-n", injecting_namespace).stdout.splitlines()
    results = [
        [line.split()[:2] for line in lines[:-1] if " warning " not in line and "→" not in line]
        for lines in (shown(page, f"kubectl {names.PRODUCT} check"), real)
    ]
    assert results[0] == results[1]

    def headings(lines: list[str]) -> set[str]:
        return {word for line in lines if line.isupper() for word in line.split()}

    status = cli.run(config, "status", "-n", injecting_namespace).stdout.splitlines()
    documented = headings(shown(page, f"kubectl {names.PRODUCT} status"))
    assert {"SELECTED", "CABUNDLE"} <= documented <= headings(status)


def test_the_readme_shows_what_kubectl_says_about_a_spelling_mistake(
    product: kit.Product, enabled_namespace: str, tmp_path: pathlib.Path
) -> None:
    demo = installing.ROOT / "tools/demo"
    injection = yaml.safe_load((demo / "injection.yaml").read_text(encoding="utf-8"))
    injection["metadata"]["namespace"] = enabled_namespace
    product.create_injection(enabled_namespace, injection)
    manifest = tmp_path / "typo.yaml"
    text = (demo / "typo.yaml").read_text(encoding="utf-8")
    manifest.write_text(text.replace("namespace: demo", f"namespace: {enabled_namespace}"))
    result = product.plane.kubectl("apply", "-f", str(manifest))
    printed = [*result.stderr.splitlines(), *result.stdout.splitlines()]
    assert printed == shown("README.md", "kubectl apply -f tools/demo/typo.yaml")


@pytest.fixture(params=["Ignore", "Fail"])
def misdirected(product: kit.Product, request: pytest.FixtureRequest) -> Iterator[str]:
    """The API server asks for pods at a path that nobody serves; the failure policy."""
    (entry,) = product.plane.client.get(kit.MUTATING)["webhooks"]
    nowhere = copy.deepcopy(entry)
    nowhere["clientConfig"]["service"]["path"] = "/nowhere"
    nowhere["failurePolicy"] = request.param
    product.plane.client.request("PATCH", kit.MUTATING, {"webhooks": [nowhere]}, **kit.PATCH)
    yield request.param
    product.plane.client.request("PATCH", kit.MUTATING, {"webhooks": [entry]}, **kit.PATCH)


SILENT = {
    "Ignore": "new pods in {} start without sidecars",
    "Fail": "new pods in {} are refused, since the injector does not answer",
}


def test_check_says_which_webhook_is_wrong_and_what_becomes_of_pods(
    product: kit.Product, config: pathlib.Path, enabled_namespace: str, misdirected: str
) -> None:
    def findings() -> dict[str, list[Any]]:
        answer = cli.read(config, "check", "-n", enabled_namespace, status=1)
        return {finding["check"]: finding for finding in answer["findings"]}

    def is_seen() -> bool:
        message = findings()["dry-run pod"]["message"]
        return bool(message.startswith(SILENT[misdirected].format(enabled_namespace)))

    # The API server learns of a changed configuration a moment after it has accepted it.
    product.plane.wait("the pod is not injected", is_seen)
    found = findings()
    assert found["dry-run pod"]["level"] == "failed"
    assert "TCP port" in found["dry-run pod"]["remedy"]
    # There are two of them, and the other one is well.
    assert "webhooks" in found


def test_restart_leaves_the_pods_that_run_alone_while_the_injector_does_not_answer(
    product: kit.Product, config: pathlib.Path, enabled_namespace: str
) -> None:
    deployed = product.created_by(enabled_namespace, kit.workload("Deployment"))
    product.create_injection(enabled_namespace, kit.injection())
    where = ("-n", enabled_namespace)
    plan = ("restart", "--dry-run", *where)
    (entry,) = product.plane.client.get(kit.MUTATING)["webhooks"]
    product.plane.client.request("PATCH", kit.MUTATING, {"webhooks": []}, **kit.PATCH)
    try:
        # The API server learns of it a moment later.
        product.plane.wait(
            "nobody calls the injector",
            lambda: "start without sidecars" in cli.run(config, *plan).stderr,
        )
        result = cli.run(config, "restart", *where)
    finally:
        product.plane.client.request("PATCH", kit.MUTATING, {"webhooks": [entry]}, **kit.PATCH)
    assert result.exit_code == 2
    assert f"nothing was restarted: {SILENT['Ignore'].format(enabled_namespace)}" in result.stderr
    name = deployed["metadata"]["name"]
    assert [pod["metadata"]["name"] for pod in product.pods(enabled_namespace)] == [name]


def test_a_quota_does_not_hide_that_the_injector_answers(
    product: kit.Product, config: pathlib.Path, enabled_namespace: str
) -> None:
    """The API server passes on the webhook's warning beside its own refusal."""
    path = f"/api/v1/namespaces/{enabled_namespace}/resourcequotas"
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    product.plane.client.request("POST", path, quota)
    refused = product.plane.kubectl(
        "run", "x", "--image=x", "-n", enabled_namespace, check=False
    ).stderr  # fmt: skip
    assert "exceeded quota" in refused
    answer = cli.read(config, "check", "-n", enabled_namespace)
    assert by_check(answer)["dry-run pod"] == ["ok"]


def test_check_reports_missing_rights_and_goes_on(
    product: kit.Product, enabled_namespace: str, tmp_path: pathlib.Path
) -> None:
    config = cli.stranger(product.plane, tmp_path, enabled_namespace)
    answer = cli.read(config, "check", "-n", enabled_namespace, status=2)
    levels = by_check(answer)
    assert levels["cluster"] == ["ok"]
    assert set(levels["definitions"] + levels["release"] + levels["namespaces"]) == {"unknown"}
    messages = {
        finding["message"] for finding in answer["findings"] if finding["level"] == "unknown"
    }
    assert all(message.startswith("you may not ") for message in messages)
    result = cli.run(config, "check", "--pre")
    assert result.exit_code == 1
    assert "you may not create customresourcedefinitions" in result.stdout


def test_what_cannot_be_reached_is_one_line(tmp_path: pathlib.Path, product: kit.Product) -> None:
    path = tmp_path / "nowhere"
    config = yaml.safe_load(product.plane.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = f"https://{ports.LOOPBACK}:{ports.free()}"
    path.write_text(yaml.safe_dump(config))
    (finding,) = cli.read(path, "check", status=2)["findings"]
    assert "nothing listens at" in finding["message"]
    result = cli.run(path, "status")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)


def test_check_before_the_installation_sees_that_there_is_one(config: pathlib.Path) -> None:
    levels = by_check(cli.read(config, "check", "--pre"))
    assert levels["release"] == ["warning"]
    assert levels["leftovers"] == levels["rights"] == ["ok"]
    assert set(levels["fields"]) == {"ok" if versions.minor() == releases.NEWEST else "warning"}
    assert cli.run(config, "check", "--pre", "--strict").exit_code == 1


def test_explain_tells_what_happened_to_a_pod_and_what_would_happen_now(
    product: kit.Product, config: pathlib.Path, injecting_namespace: str
) -> None:
    product.create_pod(injecting_namespace, kit.pod())
    where = ("-n", injecting_namespace)
    (pod,) = cli.read(config, "explain", "pod/app", *where)["pods"]
    (before,) = pod["happened"]["injected"]
    assert (before["name"], before["template"]) == ("proxy", "current")
    assert pod["injections"][0]["verdict"] == "Injected"

    changed = {"spec": {"template": {"metadata": {"labels": {"new": "label"}}}}}
    path = f"{kit.injections_path(injecting_namespace)}/proxy"
    product.plane.client.request("PATCH", path, changed, **kit.PATCH)
    lines = cli.run(config, "explain", "pod/app", *where).stdout.splitlines()
    assert lines[0] == f"{injecting_namespace}/Pod/app: has proxy (outdated)"
    assert "a new pod: injected: proxy" in lines
    assert lines[-1] == f"the injector answers for new pods in {injecting_namespace}"


def test_explain_says_why_a_pod_lacks_what_a_new_one_would_get(
    product: kit.Product, config: pathlib.Path, enabled_namespace: str
) -> None:
    deployed = product.created_by(enabled_namespace, kit.workload("Deployment"))
    product.wait_younger(deployed)
    product.create_injection(enabled_namespace, kit.injection())
    name, where = deployed["metadata"]["name"], ("-n", enabled_namespace)
    lines = cli.run(config, "explain", f"pod/{name}", *where).stdout.splitlines()
    before = "created before this injection existed"
    command = f"kubectl rollout restart deployment/work -n {enabled_namespace}"
    assert lines[:2] == [
        f"{enabled_namespace}/Pod/{name}: has none of our sidecars; without proxy: {before}",
        f"→ restart the workload, since new pods are injected: {command}",
    ]


def test_explain_says_which_pods_of_a_workload_lack_what_and_where_an_object_is(
    product: kit.Product, config: pathlib.Path, enabled_namespace: str
) -> None:
    deployed = product.created_by(enabled_namespace, kit.workload("Deployment"))
    product.wait_younger(deployed)
    product.create_injection(enabled_namespace, kit.injection())
    where = ("-n", enabled_namespace)
    heading, remedy, *_ = cli.run(config, "explain", "deploy/work", *where).stdout.splitlines()
    place, _, rest = heading.partition(": ")
    assert place == f"{enabled_namespace}/Deployment/work"
    assert rest.endswith(
        " without proxy: created before this injection existed; new pods: injected: proxy"
    )
    assert remedy.endswith(f": kubectl rollout restart deployment/work -n {enabled_namespace}")
    (pod,) = cli.read(config, "explain", "deploy/work", *where)["pods"]
    assert deployed["metadata"]["name"] in {lack["pod"] for lack in pod["running"]["lacking"]}
    elsewhere = cli.run(config, "explain", "deploy/work", "-n", "default")
    assert (elsewhere.exit_code, elsewhere.stdout) == (2, "")
    assert "there is no deployment work in namespace default; there is one in" in elsewhere.stderr
    nowhere = cli.run(config, "explain", "deploy/work", "-n", "nope")
    assert "there is no namespace nope" in nowhere.stderr


def test_explain_knows_that_nobody_answers(
    config: pathlib.Path, injecting_namespace: str, product: kit.Product, misdirected: str
) -> None:
    path = f"/apis/apps/v1/namespaces/{injecting_namespace}/deployments"
    product.plane.client.request("POST", path, kit.workload("Deployment"))
    answer = cli.read(config, "explain", "deploy/work", "-n", injecting_namespace)
    assert answer["webhook"]["answer"] == {"Ignore": "NotCalled", "Fail": "Refused"}[misdirected]
    lines = cli.run(config, "explain", "deploy/work", "-n", injecting_namespace).stdout.splitlines()
    assert lines[0] == answer["webhook"]["message"]
    assert lines[1] == "→ find out why: kubectl sidecar-injector check"


@pytest.mark.parametrize("role", ["view", "edit"])
def test_a_member_of_a_team_sees_its_namespace_and_is_told_what_is_left_out(
    product: kit.Product, config: pathlib.Path, enabled_namespace: str, tmp_path: pathlib.Path,
    role: str,
) -> None:  # fmt: skip
    """What is printed is what an administrator sees of that namespace."""
    product.created_by(enabled_namespace, kit.workload("Deployment"))
    product.create_pod(enabled_namespace, kit.pod())
    product.create_injection(enabled_namespace, kit.injection())
    team = cli.stranger(product.plane, tmp_path, enabled_namespace, role=role)
    where = ("-n", enabled_namespace)
    product.plane.wait(
        "the bound role is in force",
        lambda: not cli.run(team, "explain", "pod/app", *where).exit_code,
    )
    unseen = "you may not list deployments in namespace sidecar-injector"

    for verb in (("explain", "pod/app"), ("explain", "deploy/work")):
        explained, administrators = (cli.read(user, *verb, *where) for user in (team, config))
        assert explained["pods"] == administrators["pods"]
        # A viewer may not try whether the webhook answers.
        assert ("you may not create pods" in str(explained["webhook"])) is (role == "view")
    all_of_it, seen = (cli.read(config, "status", *where), cli.read(team, "status", *where))
    assert seen["release"] is seen["certificates"] is None
    (note,) = seen["notes"]
    assert note == f"{unseen}: the installation and its certificates are not shown"
    parts = ("namespaces", "restarts", "skipped", "refused")
    assert {part: seen[part] for part in parts} == {part: all_of_it[part] for part in parts}
    assert f"note: {note}" in cli.run(team, "status", *where).stderr
    planned = cli.read(team, "restart", "--dry-run", *where, status=1)
    administrators = cli.read(config, "restart", "--dry-run", *where, status=1)
    assert planned["owners"] == administrators["owners"]
    assert bool(planned["notes"]) is (role == "view")
    levels = by_check(cli.read(team, "check", *where, status=2))
    assert levels["release"] == ["unknown"]
    assert "failed" not in {level for found in levels.values() for level in found}

    for verb, sentence in (
        (("status",), "you may not list sidecarinjections. Name one namespace with -n"),
        (("restart", "-A"), "you may not list"),
        (("certificates", "show"), unseen),
        (("explain", "pod/app", "-n", "default"), "you may not list sidecarinjections"),
        (("diff", "pod/app", "-n", "default"), "you may not list sidecarinjections"),
    ):
        result = cli.run(team, *verb)
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
        assert sentence in result.stderr
        assert f"--clusterrole={cli_errors.CLI_ROLE}" in result.stderr


def test_the_role_of_the_command_line_shows_all_but_the_secret(
    product: kit.Product, config: pathlib.Path, enabled_namespace: str, tmp_path: pathlib.Path
) -> None:
    team = cli.stranger(product.plane, tmp_path, enabled_namespace)
    account = f"--serviceaccount={enabled_namespace}:stranger"
    binding = ("clusterrolebinding", f"reader-{enabled_namespace}")
    product.plane.kubectl("create", *binding, f"--clusterrole={cli_errors.CLI_ROLE}", account)
    product.plane.wait(
        "the bound role is in force", lambda: not cli.run(team, "status").exit_code
    )  # fmt: skip
    seen = cli.read(team, "status")
    product.plane.kubectl("delete", *binding)
    assert seen["notes"] == ["you may not read the certificates' Secret: they are not shown"]
    assert seen["release"] == cli.read(config, "status")["release"]


def test_diff_shows_what_a_workload_would_get(
    product: kit.Product, config: pathlib.Path, injecting_namespace: str
) -> None:
    product.created_by(injecting_namespace, kit.workload("Deployment"))
    printed = cli.run(config, "diff", "deploy/work", "-n", injecting_namespace)
    assert printed.exit_code == 0
    assert "+  - image: sidecar:1" in printed.stdout or "+  - name: sidecar" in printed.stdout
    assert "-  " not in printed.stdout
    missing = cli.run(config, "diff", "deploy/none", "-n", injecting_namespace)
    assert (missing.exit_code, missing.stdout) == (2, "")
    assert f"there is no deployment none in namespace {injecting_namespace}" in missing.stderr


def test_restart_rolls_what_can_roll_and_lists_the_rest(
    product: kit.Product, config: pathlib.Path, enabled_namespace: str
) -> None:
    deployed = product.created_by(enabled_namespace, kit.workload("Deployment"))
    product.create_pod(enabled_namespace, kit.pod())
    product.create_injection(enabled_namespace, kit.injection())
    where = ("-n", enabled_namespace)
    planned = cli.read(config, "restart", "--missing", "--dry-run", *where, status=1)
    rolled, bare = planned["owners"]
    assert rolled.keys() == bare.keys() == OWNER
    assert (rolled["kind"], rolled["name"], rolled["action"]) == ("Deployment", "work", "restart")
    assert (bare["kind"], bare["action"]) == ("Pod", "recreate by hand")
    assert rolled["pods"] == [deployed["metadata"]["name"]]
    assert cli.read(config, "restart", "--outdated", *where) == {"owners": [], "notes": []}

    result = cli.run(config, "restart", *where)
    assert result.stderr == f"1/1 {enabled_namespace}/Deployment/work: restarted\n"

    def injected() -> bool:
        return any(
            kit.containers(pod) == kit.BOTH
            for pod in product.pods(enabled_namespace)
            if pod["metadata"].get("ownerReferences")
        )

    product.plane.wait("a new pod has the sidecar", injected)
    again = cli.read(config, "restart", *where, status=1)
    assert [owner["kind"] for owner in again["owners"] if owner["action"] == "restart"] == []


def become_ready(product: kit.Product, namespace: str) -> None:
    """What a kubelet would report of every pod."""
    ready = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    for pod in product.pods(namespace):
        path = f"{kit.pods_path(namespace)}/{pod['metadata']['name']}/status"
        # A pod that has gone meanwhile needs no report.
        with contextlib.suppress(errors.ApiError):
            product.plane.client.request("PATCH", path, ready, **kit.PATCH)


def test_restart_waits_until_every_pod_is_new_and_available(
    product: kit.Product, config: pathlib.Path, enabled_namespace: str
) -> None:
    product.created_by(enabled_namespace, kit.workload("Deployment"))
    product.create_injection(enabled_namespace, kit.injection())
    where = ("-n", enabled_namespace)
    with concurrent.futures.ThreadPoolExecutor(1) as waiter:
        waiting = waiter.submit(cli.run, config, "restart", "--wait", *where)

        def over() -> bool:
            become_ready(product, enabled_namespace)
            return waiting.done()

        product.plane.wait("the rollout is complete", over)
    result = waiting.result()
    assert (result.exit_code, "complete" in result.stdout) == (0, True), result.output
    assert result.stderr.splitlines()[-1] == (
        f"{enabled_namespace}/Deployment/work: 1/1 updated, 1 available"
    )


def test_status_counts_what_needs_a_restart_and_keeps_its_shape(
    product: kit.Product, config: pathlib.Path, enabled_namespace: str
) -> None:
    product.create_pod(enabled_namespace, kit.conflicting(name="clash"))
    product.create_pod(enabled_namespace, kit.pod())
    product.create_injection(enabled_namespace, kit.injection())
    answer = cli.read(config, "status", "-n", enabled_namespace)
    assert answer.keys() == {
        "release", "injections", "namespaces", "restarts", "skipped", "refused", "certificates",
        "notes",
    }  # fmt: skip
    assert answer["release"]["namespace"] == names.PRODUCT
    (namespace,) = answer["namespaces"]
    assert namespace == {
        "name": enabled_namespace, "label": "enabled", "pods": 2, "injections": ["proxy"],
    }  # fmt: skip
    useless = {
        restart["pod"]: restart["message"].partition(":")[0] for restart in answer["restarts"]
    }
    assert useless == {"app": "", "clash": "ContainerConflict"}
    printed = cli.run(config, "status", "-n", enabled_namespace)
    assert "proxy" in printed.stdout
    assert "delete it and create it again" in printed.stdout
    assert "no restart: ContainerConflict" in printed.stdout


def secrets_of(product: kit.Product) -> set[str]:
    path = f"/api/v1/namespaces/{names.PRODUCT}/secrets/{names.secret_name(names.PRODUCT)}"
    data = product.plane.client.get(path)["data"]
    keys = {data[key] for key in data if key.endswith(".key")}
    return keys | {base64.b64decode(key).decode() for key in keys}


def test_certificates_are_shown_without_keys_and_rotated(
    product: kit.Product, config: pathlib.Path
) -> None:
    def leaf(answer: cli.Json) -> str:
        (certificate,) = [
            certificate for certificate in answer["certificates"] if certificate["role"] == "leaf"
        ]
        assert certificate.keys() == {"role", "serial", "notBefore", "notAfter", "replacedAt"}
        return str(certificate["serial"])

    before = cli.read(config, "certificates", "show")
    assert {bundle["state"] for bundle in before["bundles"]} == {"in sync"}
    result = cli.run(config, "certificates", "rotate", "--wait", "--timeout", "30")
    assert (result.exit_code, result.stdout) == (0, "")
    after = cli.read(config, "certificates", "show")
    assert leaf(after) != leaf(before)
    assert after["generation"] == before["generation"] + 1
    table = cli.run(config, "certificates", "show").stdout
    assert not any(secret in text for secret in secrets_of(product)
                   for text in (table, json.dumps(after)))  # fmt: skip


def test_it_is_a_plugin_of_kubectl(plane: cluster.ControlPlane, product: kit.Product) -> None:
    result = subprocess.run(
        [plane.programs.kubectl, names.PRODUCT, "certificates", "show", "-o", "json"],
        env={
            **os.environ, "PATH": f"{operators.PROGRAMS}:{os.environ['PATH']}",
            "KUBECONFIG": str(plane.kubeconfig),
        },
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["mode"] == "selfSigned"


@pytest.fixture
def plane(product: kit.Product) -> cluster.ControlPlane:
    return product.plane


def test_status_lists_skipped_and_refused_pods_with_their_owner_and_reason(
    product: kit.Product, config: pathlib.Path, injecting_namespace: str
) -> None:
    where = ("-n", injecting_namespace)
    containers = [{"name": "sidecar", "image": "own:1"}]
    product.created_by(injecting_namespace, kit.workload("Deployment", containers=containers))
    strict = kit.injection("strict", failurePolicy="Fail", activation="OnRequest")
    product.create_injection(injecting_namespace, strict)
    refused = kit.workload("StatefulSet", containers=containers)
    refused["spec"]["template"]["metadata"]["annotations"] = {names.INJECT_ANNOTATION: "strict"}
    path = f"/apis/apps/v1/namespaces/{injecting_namespace}/statefulsets"
    product.plane.client.request("POST", path, refused)

    def of_the_stateful_set() -> list[dict[str, str]]:
        return list(cli.read(config, "status", *where)["refused"])

    (refusal,) = product.plane.wait("the controller was refused", of_the_stateful_set)
    assert (refusal["kind"], refusal["name"]) == ("StatefulSet", "work")
    assert "ContainerConflict" in refusal["message"]
    answer = cli.read(config, "status", *where)
    (skipped,) = answer["skipped"]
    assert (skipped["kind"], skipped["name"], skipped["injection"], skipped["reason"]) == (
        "Deployment", "work", "proxy", "ContainerConflict",
    )  # fmt: skip
    assert skipped["remedy"]
    counts = {injection["name"]: injection["pods"] for injection in answer["injections"]}
    assert counts["proxy"]["skipped"] == counts["proxy"]["selected"] == 1
    printed = cli.run(config, "status", *where).stdout
    # Its controller would try for ever, and other tests count decisions.
    product.plane.client.request("DELETE", f"{path}/work")
    for owner, state in (("Deployment/work", "skipped"), ("StatefulSet/work", "refused")):
        (line,) = [line for line in printed.splitlines() if f"{owner} " in line]
        assert state in line
        assert "ContainerConflict" in line
