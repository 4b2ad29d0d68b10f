"""`check` on clusters where something is wrong: one line each, and what would help."""

from __future__ import annotations

import collections
import json

import pytest

from sidecar_injector import names
from sidecar_injector.cli.checks import finding, surroundings
from sidecar_injector.cli.commands import check
from sidecar_injector.kube import api
from tests.kits import cluster as kit
from tests.kits.cli import run
from tests.kits.fake_api import refusal
from tests.kits.samples import container, resource


def checked(monkeypatch, fake, *arguments):
    """Exit status and findings, as (check, level, message)."""
    with kit.served(monkeypatch, fake):
        result = run("check", "-o", "json", *arguments)
    assert result.stderr == ""
    results = json.loads(result.stdout)["findings"]
    assert all(result["remedy"] for result in results if result["level"] != "ok")
    return result.exit_code, [
        (result["check"], result["level"], result["message"]) for result in results
    ]


def wrong(results, *, level="failed"):
    return [(check, message) for check, result_level, message in results if result_level == level]


def test_check_reports_a_cluster_without_the_product(monkeypatch):
    fake = kit.FakeCluster()
    fake.failures["list", names.PLURAL] = [refusal(404, "NotFound")]
    status, results = checked(monkeypatch, fake)
    assert status == 1
    assert wrong(results) == [
        ("release", ("sidecar-injector is not installed: no Deployment in any namespace has the"
                    " labels app.kubernetes.io/name=sidecar-injector,"
                    "app.kubernetes.io/component=operator")),
        ("definitions", "there is no SidecarInjection"),
        ("definitions", "there is no ClusterSidecarInjection"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("version", "level"),
    [("v1.31.9", "failed"), ("v1.32.0", "ok"), ("v1.40.1+vendor", "ok"), ("?", "warning")],
)
def test_the_version_of_the_cluster_is_judged(monkeypatch, version, level):
    _, results = checked(monkeypatch, kit.FakeCluster(version=version), "--pre")
    assert results[0][:2] == ("cluster", level)
    assert version in results[0][2]


def test_of_two_releases_one_must_be_chosen(monkeypatch):
    fake = kit.seeded()
    for place in ("one", "two"):
        fake.seed(api.DEPLOYMENTS, kit.deployment(place))
    _, results = checked(monkeypatch, fake)
    ((_, message),) = [failure for failure in wrong(results) if failure[0] == "release"]
    assert message == (
        "sidecar-injector is installed 2 times, in one, two: say which one is meant with"
        " --release-namespace"
    )
    _, results = checked(monkeypatch, fake, "--release-namespace", "two")
    assert ("replicas", "ok", "Deployment two/sidecar-injector: 2 of 2 are ready") in results


@pytest.mark.parametrize(
    ("ready", "level", "message"),
    [
        (0, "failed", "none of 2 is ready"),
        (1, "warning", "1 of 2 are ready"),
        (2, "ok", "2 of 2 are ready"),
    ],
)
def test_replicas_are_counted(monkeypatch, ready, level, message):
    fake = kit.installed(ready=ready)
    _, results = checked(monkeypatch, fake)
    place = "Deployment sidecar-injector/sidecar-injector"
    assert ("replicas", level, f"{place}: {message}") in results


def test_what_the_operator_may_not_do_is_named(monkeypatch):
    fake = kit.installed()
    fake.allowed = False
    _, results = checked(monkeypatch, fake)
    ((_, message),) = [failure for failure in wrong(results) if failure[0] == "rights"]
    assert "system:serviceaccount:sidecar-injector:sidecar-injector may not " in message
    assert "update secrets sidecar-injector-tls in sidecar-injector" in message


def test_missing_webhooks_and_certificates_are_named(monkeypatch):
    fake = kit.installed()
    status, results = checked(monkeypatch, fake)
    assert status == 1
    failures = wrong(results)
    for kind in ("Mutating", "Validating"):
        assert ("webhooks", f"there is no {kind}WebhookConfiguration sidecar-injector") in failures
    assert ("certificates", "there is no Secret sidecar-injector/sidecar-injector-tls") in failures


def test_a_webhook_whose_service_has_no_path_is_named(monkeypatch):
    fake = kit.installed()
    service = {"namespace": names.PRODUCT, "name": names.PRODUCT}
    entry = {"name": names.MUTATE_WEBHOOK, "clientConfig": {"service": service}}
    fake.seed(api.MUTATING, {"metadata": {"name": names.PRODUCT}, "webhooks": [entry]})
    _, results = checked(monkeypatch, fake)
    assert ("webhooks", (
        f"{names.MUTATE_WEBHOOK} asks sidecar-injector/sidecar-injector/"
        " instead of sidecar-injector/sidecar-injector"
    )) in wrong(results)  # fmt: skip


def _mandatory(name, **spec):
    read = resource(name, cluster=True, optOut="Forbidden", **spec)
    read["status"] = {"conditions": [{"type": "Ready", "status": "True"}]}
    return read


def test_a_mandatory_injection_needs_the_webhook_for_pods_that_opt_out(monkeypatch):
    fake = kit.installed()
    service = {"namespace": names.PRODUCT, "name": names.PRODUCT, "path": names.MUTATE_PATH}
    usual, opted_out = (
        {"name": name, "failurePolicy": "Ignore", "timeoutSeconds": 5, "rules": [],
         "clientConfig": {"service": service}}
        for name in (names.MUTATE_WEBHOOK, names.OPTED_OUT_WEBHOOK)
    )  # fmt: skip

    def told(*entries):
        fake.seed(api.MUTATING, {"metadata": {"name": names.PRODUCT}, "webhooks": list(entries)})
        _, results = checked(monkeypatch, fake)
        return [
            (level, message)
            for check, level, message in results
            if check == "webhooks" and names.OPTED_OUT_WEBHOOK in message
        ]

    assert told(usual) == []
    for injection in (_mandatory("audit"), _mandatory("off", suspend=True)):
        fake.seed(api.OWN_KINDS[names.CLUSTER_KIND], injection)
    message = (
        "optOut of cluster/audit does not hold against the label sidecar-injection=disabled:"
        " MutatingWebhookConfiguration sidecar-injector has no opted-out.pods.sidecar-injector.dev"
    )
    assert told(usual) == [("warning", message)]
    ((level, _),) = told(usual, opted_out)
    assert level == "ok"
    service["path"] = "/"
    assert "failed" in {level for level, _ in told(usual, opted_out)}


@pytest.mark.parametrize(
    ("reason", "warnings"),
    [
        ("DryRun", []),
        ("Suspended", []),
        ("PodSecurity", ["SidecarInjection demo/log is not ready (PodSecurity): why"]),
    ],
)
def test_an_injection_that_is_not_ready_on_purpose_is_no_warning(monkeypatch, reason, warnings):
    fake = kit.seeded()
    ready = {"type": "Ready", "status": "False", "reason": reason, "message": "why"}
    fake.seed(api.INJECTIONS, {**resource("log"), "status": {"conditions": [ready]}})
    _, results = checked(monkeypatch, fake)
    messages = [message for check, level, message in results if (check, level) == INJECTIONS_WARN]
    assert messages == warnings


INJECTIONS_WARN = ("injections", "warning")


FAILED_CALL = 'failed calling webhook "pods.sidecar-injector.dev": connection refused'


@pytest.mark.parametrize(
    ("calls_webhook", "refusal", "level", "message"),
    [
        (True, "", "ok", "the injector answers for new pods in demo"),
        (True, "exceeded quota: small", "ok", "the injector answers for new pods in demo"),
        (False, "", "failed", "new pods in demo start without sidecars: nobody calls"),
        (False, FAILED_CALL, "failed", "new pods in demo are refused, since the injector does"),
        (False, "pods is forbidden", "warning", "it is not known whether the injector answers"),
    ],
    ids=["answered", "answered, then a quota", "not called", "cannot be called", "no rights"],
)
def test_the_dry_run_pod_shows_whether_the_injector_answers(
    monkeypatch, calls_webhook, refusal, level, message
):
    fake = kit.installed()
    fake.calls_webhook, fake.pod_refusal = calls_webhook, refusal
    _, results = checked(monkeypatch, fake)
    (pod,) = [result for result in results if result[0] == "dry-run pod"]
    assert pod[1] == level
    assert pod[2].startswith(message)


def test_a_namespace_that_is_not_enabled_is_no_failure_of_the_injector(monkeypatch):
    fake = kit.installed()
    fake.seed(api.NAMESPACES, kit.namespace("plain", sidecar_injection="disabled"))
    fake.calls_webhook = False
    _, results = checked(monkeypatch, fake, "-n", "plain")
    assert [result[:3] for result in results if result[0] == "dry-run pod"] == [
        ("dry-run pod", "warning",
         "the namespace plain is not enabled: its pods are not injected"),
    ]  # fmt: skip


def test_a_mistyped_label_and_no_enabled_namespace_are_warned_of(monkeypatch):
    fake = kit.FakeCluster()
    fake.seed(api.NAMESPACES, kit.namespace("typo", sidecar_injection="enable"))
    _, results = checked(monkeypatch, fake)
    assert wrong(results, level="warning") == [
        (
            "namespaces",
            "typo: the label sidecar-injection='enable' means nothing, so no pod is injected here",
        ),
        ("namespaces", "none is enabled: no pod is injected"),
    ]


@pytest.mark.parametrize(
    ("version", "paths"),
    [("v1.37.2", []),
     ("v1.34.1-eks", ["spec.template.spec.containers[0].restartPolicyRules"]),
     ("v1.32.0", ["spec.template.spec.containers[0].restartPolicyRules",
                  "spec.template.spec.containers[0].resizePolicy"])],
)  # fmt: skip
def test_a_field_that_the_cluster_drops_is_warned_of(monkeypatch, version, paths):
    fake = kit.FakeCluster(version=version)
    fake.seed(api.NAMESPACES, kit.namespace())
    newer = container(restartPolicyRules=[], resizePolicy=[], workingDir="/")
    fake.seed(api.INJECTIONS, resource("new", template={"spec": {"containers": [newer]}}))
    _, results = checked(monkeypatch, fake)
    minor = version[1:5]
    sentence = f"new: Kubernetes {minor} drops {', '.join(paths)}, unless a feature gate is on"
    fields = [result[:3] for result in results if result[0] == "fields"]
    kept = f"Kubernetes {minor} keeps every field that they use"
    assert fields == [("fields", "warning", sentence) if paths else ("fields", "ok", kept)]


def test_before_the_installation_the_check_says_what_the_release_lacks(monkeypatch):
    _, results = checked(monkeypatch, kit.FakeCluster(version="v1.32.3"), "--pre")
    dropped, refused = [message for check, message in wrong(results, level="warning")
                        if check == "fields"]  # fmt: skip
    assert dropped.startswith("Kubernetes 1.32 drops containers.resizePolicy, ")
    assert refused.startswith("Kubernetes 1.32 refuses a sleep of 0 seconds, ")
    _, results = checked(monkeypatch, kit.FakeCluster(version="v1.37.0"), "--pre")
    assert ("fields", "ok", "Kubernetes 1.37 lacks nothing that a template has") in results


def test_before_the_installation_everything_in_its_way_is_named(monkeypatch):
    fake = kit.seeded()
    fake.allowed = False
    selector = {"matchLabels": {"sidecar-injection": "x"}}
    webhooks = [{"name": "a.b.c", "namespaceSelector": selector}]
    fake.seed(api.MUTATING, {"metadata": {"name": "other"}, "webhooks": webhooks})
    status, results = checked(monkeypatch, fake, "--pre")
    assert status == 1
    assert [check for check, _ in wrong(results)] == ["rights", "leftovers", "leftovers"]
    warned = dict(wrong(results, level="warning"))
    assert warned["others"] == "webhook a.b.c (other) also uses the label sidecar-injection"
    assert (
        "namespaces",
        "ok",
        "already enabled: demo: injection starts there right after the installation",
    ) in (results)


def test_warnings_are_findings_only_when_strict(monkeypatch):
    fake = kit.FakeCluster()
    fake.seed(api.DEPLOYMENTS, kit.deployment())
    status, results = checked(monkeypatch, fake, "--pre")
    assert wrong(results) == []
    assert wrong(results, level="warning") != []
    assert status == 0
    assert checked(monkeypatch, fake, "--pre", "--strict")[0] == 1


def test_what_may_not_be_looked_at_is_a_line_and_the_rest_goes_on(monkeypatch):
    fake = kit.installed()
    fake.failures["list", "namespaces"] = [kit.forbidden(api.NAMESPACES)]
    _, results = checked(monkeypatch, fake)
    assert ("namespaces", "namespaces is forbidden") in wrong(results, level="unknown")
    assert results[-1][:2] == ("dry-run pod", "ok")


def test_a_cluster_that_goes_away_leaves_what_was_found(monkeypatch):
    fake = kit.seeded()
    gone = api.UnreachableError(host="https://there", detail="refused")
    fake.failures["get", "customresourcedefinitions"] = [gone]
    status, results = checked(monkeypatch, fake)
    assert status == 2
    assert results[0] == ("cluster", "ok", "Kubernetes v1.37.2")
    message = "the API server https://there is unreachable: refused"
    assert results[-1] == ("cluster", "failed", message)


def _named(name, namespace):
    return {"metadata": {"name": name, "namespace": namespace}}


def _cluster_injection():
    """Of the namespaces with the label `team`; its objects may be of every kind."""
    volumes = [
        {"name": "a", "configMap": {"name": "conf"}},
        {"name": "b", "secret": {"secretName": "key"}},
        {"name": "c", "secret": {"secretName": "maybe", "optional": True}},
        {"name": "d", "persistentVolumeClaim": {"claimName": "data"}},
    ]
    template = {"spec": {"containers": [container()], "volumes": volumes}}
    selector = {"matchLabels": {"team": "a"}}
    return resource("all", cluster=True, template=template, namespaceSelector=selector)


def _with_cluster_injection():
    fake = kit.installed()
    fake.seed(api.CLUSTER_INJECTIONS, _cluster_injection())
    for name in ("one", "two", "kube-system"):
        fake.seed(api.NAMESPACES, kit.namespace(name, team="a"))
    return fake


def test_what_a_cluster_injection_needs_is_looked_for_in_each_of_its_namespaces(monkeypatch):
    fake = _with_cluster_injection()
    for namespace in ("one", "two"):
        fake.seed(surroundings.RESOURCES["ConfigMap"], _named("conf", namespace))
        fake.seed(surroundings.RESOURCES["PersistentVolumeClaim"], _named("data", namespace))
    fake.seed(api.SECRETS, _named("key", "one"))
    _, results = checked(monkeypatch, fake)
    assert [result for result in results if result[0] == "objects"] == [
        ("objects", "warning", "two has no Secret 'key', which cluster/all needs")
    ]
    fake.seed(api.SECRETS, _named("key", "two"))
    _, results = checked(monkeypatch, fake)
    assert [level for check, level, _ in results if check == "objects"] == ["ok"]


def test_what_may_not_be_looked_for_is_said_without_a_failure(monkeypatch):
    fake = _with_cluster_injection()
    fake.failures["get", "configmaps"] = [kit.forbidden(api.SECRETS)] * 2
    fake.failures["get", "persistentvolumeclaims"] = [kit.forbidden(api.SECRETS)] * 2
    for namespace in ("one", "two"):
        fake.seed(api.SECRETS, _named("key", namespace))
    _, results = checked(monkeypatch, fake)
    ((level, message),) = [result[1:] for result in results if result[0] == "objects"]
    assert level == "ok"
    assert message.startswith("not looked for: configmaps in one, persistentvolumeclaims in one")


def _cold_start(monkeypatch, *, mode="certManager", policy="Fail", place="certs", looks=True):
    fake = kit.installed(CERTIFICATE_MODE=mode)
    entry = {
        "name": names.MUTATE_WEBHOOK,
        "failurePolicy": policy,
        "timeoutSeconds": 5,
        "rules": [],
        "clientConfig": {"service": {"namespace": "x", "name": "x"}},
    }
    fake.seed(api.MUTATING, {"metadata": {"name": names.PRODUCT}, "webhooks": [entry]})
    fake.seed(api.NAMESPACES, kit.namespace(place))
    labels = {names.APP_NAME_LABEL: "cert-manager"}
    fake.seed(api.DEPLOYMENTS, {"metadata": {**_named("cm", place)["metadata"], "labels": labels}})
    fake.lists_all_deployments = looks
    _, results = checked(monkeypatch, fake)
    return [message for check, _, message in results if check == "cold start"]


def test_a_cold_start_in_which_all_wait_for_each_other_is_warned_of(monkeypatch):
    (message,) = _cold_start(monkeypatch)
    assert message.startswith("cert-manager's pods in certs need the webhook")
    assert _cold_start(monkeypatch, place="cert-manager", looks=False)
    assert _cold_start(monkeypatch, policy="Ignore") == []
    assert _cold_start(monkeypatch, mode="provided") == []
    assert _cold_start(monkeypatch, place=names.PRODUCT) == []


def test_the_remedy_is_below_its_line_and_the_last_line_counts(monkeypatch):
    fake = kit.FakeCluster()
    fake.failures["list", "namespaces"] = [kit.forbidden(api.NAMESPACES)] * 9
    with kit.served(monkeypatch, fake):
        result = run("check")
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["CHECK", "RESULT", "WHAT"]
    (number,) = [index for index, line in enumerate(lines) if line.startswith("namespaces")]
    assert lines[number].split() == ["namespaces", "unknown", "namespaces", "is", "forbidden"]
    assert lines[number + 1].strip().startswith("→ ask for these permissions")
    counts = collections.Counter(line.split()[1] for line in lines[1:-1] if line[0] != " ")
    assert lines[-1] == f"{counts['failed']} failed, 1 unknown"


def test_check_waits_until_nothing_fails_and_says_for_what(monkeypatch):
    rounds = iter([["ok", "failed"], ["failed"], ["ok", "warning"]])
    pauses = []

    async def results(*_, **__):
        for level in next(rounds):
            yield finding.CheckResult("x", level, "not yet", "")

    monkeypatch.setattr(check, "_results", results)
    monkeypatch.setattr(check.time, "sleep", pauses.append)
    with kit.served(monkeypatch, kit.FakeCluster()):
        result = run("check", "--wait", "60")
    assert (result.exit_code, result.stderr) == (0, "waiting: x: not yet\n" * 2)
    assert result.stdout.splitlines()[-1] == "1 warning"
    assert pauses == [check.PAUSE] * 2
    rounds = iter([["failed"]])
    with kit.served(monkeypatch, kit.FakeCluster()):
        assert run("check", "--wait", "1").exit_code == 1, "no look beyond the time"


@pytest.mark.parametrize(
    ("levels", "strict", "status", "line"),
    [
        ("ok", False, 0, "everything is in order"),
        ("ok warning", False, 0, "1 warning"),
        ("ok warning warning", True, 1, "2 warnings"),
        ("ok unknown warning", False, 2, "1 unknown, 1 warning"),
        ("unknown failed", False, 1, "1 failed, 1 unknown"),
    ],
)
def test_the_summary_and_the_exit_status_follow_the_levels(
    monkeypatch, levels, strict, status, line
):
    async def results(*_, **__):
        for level in levels.split():
            yield finding.CheckResult("x", level, "y", "z" if level != "ok" else "")

    monkeypatch.setattr(check, "_results", results)
    with kit.served(monkeypatch, kit.FakeCluster()):
        result = run("check", *(["--strict"] if strict else []))
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (status, line)
