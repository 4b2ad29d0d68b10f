"""`explain` of live objects: running pods, the probe, and the namespace's label."""

from __future__ import annotations

import json

import pytest
import yaml

from sidecar_injector import names
from sidecar_injector.core.pods import workloads
from sidecar_injector.kube import api
from tests.kits import cluster
from tests.kits.cli import check_refused, on_files, placed, run, write
from tests.kits.fake_api import refusal
from tests.kits.samples import decided, injection, pod, resource

LATER = "2026-02-01T00:00:00Z"
RESTART = "→ restart the workload, since new pods are injected: kubectl rollout restart"


@pytest.fixture
def fake(monkeypatch):
    """A cluster whose injection is younger than all pods."""
    fake = cluster.installed()
    younger = resource()
    younger["metadata"]["creationTimestamp"] = LATER
    fake.seed(api.INJECTIONS, younger)
    with cluster.served(monkeypatch, fake):
        yield fake


def workload(fake, kind="Deployment", name="web", **spec):
    template = {"spec": {"containers": [{"name": "app", "image": "app:1"}]}}
    spec = {"template": template, **spec}
    if kind == "CronJob":
        spec = {"jobTemplate": {"spec": spec}}
    manifest = {"metadata": {"name": name, "namespace": "demo"}, "spec": spec}
    return fake.seed(api.WORKLOADS[kind], manifest)


def controlled(fake, kind, name, by):
    references = [{"kind": by[0], "name": by[1], "controller": True}]
    metadata = {"name": name, "namespace": "demo", "ownerReferences": references}
    fake.seed(api.WORKLOADS[kind], {"metadata": metadata, "spec": {}})


def outdated():
    """The annotations of a pod that has an older template of the injection."""
    older = injection(template={"spec": {"containers": [{"name": "sidecar", "image": "old:1"}]}})
    return decided(pod(), older).pod["metadata"]["annotations"]


def in_deployment(fake, *names_of_pods, **metadata):
    workload(fake)
    controlled(fake, "ReplicaSet", "web-1", ("Deployment", "web"))
    for name in names_of_pods:
        fake.seed(api.PODS, cluster.pod(name, owner=("ReplicaSet", "web-1"), **metadata))


def seed_pod(fake, namespace):
    bare = cluster.pod()
    bare["metadata"]["namespace"] = namespace
    fake.seed(api.PODS, bare)


def explained(*words):
    return json.loads(run("explain", *words, "-o", "json").stdout)


def test_a_workload_says_first_which_of_its_running_pods_lack_what_and_what_helps(fake):
    in_deployment(fake, "web-1-a", "web-1-b")
    lines = run("explain", "deploy/web").stdout.splitlines()
    why = "created before this injection existed"
    assert lines[:2] == [
        f"demo/Deployment/web: 2 of 2 pods are without log: {why}; new pods: injected: log",
        f"{RESTART} deployment/web -n demo",
    ]
    (web,) = explained("deploy/web")["pods"]
    assert web["running"] == {
        "pods": 2,
        "lacking": [
            {"pod": name, "injection": "log", "state": "missing", "message": why}
            for name in ("web-1-a", "web-1-b")
        ],
        "remedy": "restart the workload, since new pods are injected",
        "command": "kubectl rollout restart deployment/web -n demo",
    }


def test_outdated_pods_are_named_and_pods_that_ended_or_are_of_others_are_not(fake):
    in_deployment(fake, "web-1-a")
    fake.seed(api.PODS, cluster.pod("web-1-b", owner=("ReplicaSet", "web-1"),
                                    annotations=outdated()))  # fmt: skip
    fake.seed(api.PODS, cluster.pod("bare"))
    ended = cluster.pod("web-1-c", owner=("ReplicaSet", "web-1"))
    fake.seed(api.PODS, ended | {"status": {"phase": "Failed"}})
    heading = run("explain", "deploy/web").stdout.splitlines()[0]
    assert "1 of 2 pods is without log: " in heading
    assert "; 1 of 2 pods is with an outdated log: created before its template was" in heading


@pytest.mark.parametrize(
    ("kind", "owner", "remedy"),
    [
        (
            "ReplicaSet",
            ("ReplicaSet", "web"),
            "→ a ReplicaSet has no restart: delete its pods, and",
        ),
        ("DaemonSet", ("DaemonSet", "web"), f"{RESTART} daemonset/web -n demo"),
        ("StatefulSet", ("StatefulSet", "web"), f"{RESTART} statefulset/web -n demo"),
        ("Job", ("Job", "web"), "→ a Job runs once: delete it and create it again"),
        ("CronJob", ("Job", "web-1"), "→ its CronJob's next run is new"),
    ],
)
def test_every_kind_knows_its_pods_and_has_the_remedy_of_restart(fake, kind, owner, remedy):
    workload(fake, kind)
    if kind == "CronJob":
        controlled(fake, "Job", "web-1", ("CronJob", "web"))
    fake.seed(api.PODS, cluster.pod("web-1-a", owner=owner))
    lines = run("explain", f"{kind.lower()}/web").stdout.splitlines()
    assert lines[0].startswith(f"demo/{kind}/web: 1 of 1 pods is without log: ")
    assert lines[1].startswith(remedy)


def test_a_paused_rollout_and_one_that_is_under_way_are_not_restarted(fake):
    in_deployment(fake, "web-1-a")
    workload(fake, paused=True)
    assert "→ its rollout is paused: resume it first\n" in run("explain", "deploy/web").stdout
    at = {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": LATER}}}
    containers = {"spec": {"containers": [{"name": "app", "image": "app:1"}]}}
    workload(fake, template=at | containers)
    assert "→ wait: a rollout that replaces them is under" in run("explain", "deploy/web").stdout


def test_pods_that_lack_nothing_and_pods_that_may_not_be_seen_leave_the_answer_as_it_is(fake):
    in_deployment(fake)
    assert run("explain", "deploy/web").stdout.startswith("demo/Deployment/web: injected: log\n")
    fake.failures["list", "pods"] = [cluster.forbidden(api.PODS)]
    result = run("explain", "deploy/web")
    assert result.stdout.startswith("demo/Deployment/web: injected: log\n")
    assert "note: pods is forbidden: what running pods lack is not shown\n" in result.stderr


def test_restart_and_explain_name_the_same_pods(fake):
    in_deployment(fake, "web-1-a", "web-1-b")
    fake.seed(api.PODS, cluster.pod("web-1-c", owner=("ReplicaSet", "web-1"),
                                    labels={names.INJECTION_LABEL: names.DISABLED}))  # fmt: skip
    taken = cluster.pod("web-1-d", owner=("ReplicaSet", "web-1"))
    taken["spec"]["containers"].append({"name": "sidecar", "image": "own:1"})
    fake.seed(api.PODS, taken)
    (owner,) = json.loads(run("restart", "--dry-run", "-o", "json").stdout)["owners"]
    lacking = explained("deploy/web")["pods"][0]["running"]["lacking"]
    assert [lack["pod"] for lack in lacking] == owner["pods"] == ["web-1-a", "web-1-b"]


def test_a_probe_that_is_refused_is_one_line_below_the_answer_without_a_remedy(fake):
    in_deployment(fake)
    fake.calls_webhook, fake.pod_refusal = False, (
        'pods is forbidden: User "eva" cannot create resource "pods" in API group "" in the'
        ' namespace "demo"'
    )  # fmt: skip
    lines = run("explain", "deploy/web").stdout.splitlines()
    assert lines[0] == "demo/Deployment/web: injected: log"
    assert lines[-1] == (
        "it is not known whether the injector answers for new pods in demo: you may not create"
        " pods in namespace demo"
    )
    assert not any("→" in line for line in lines)
    assert explained("deploy/web")["webhook"]["answer"] == "Unknown"


@pytest.mark.parametrize(
    ("labels", "finding"),
    [
        ({names.INJECTION_LABEL: "Enabled"}, "the label sidecar-injection='Enabled' means nothing"),
        ({"sidecar_injection": "enabled"}, "the label sidecar_injection='enabled' has no effect"),
        ({"sidecar-injector": "enabled"}, "the label sidecar-injector='enabled' has no effect"),
    ],
)
def test_a_label_of_the_namespace_that_is_nearly_right_is_named_with_its_remedy(
    fake, labels, finding
):
    in_deployment(fake)
    fake.seed(api.NAMESPACES, {"metadata": {"name": "demo", "labels": labels}})
    lines = run("explain", "deploy/web").stdout.splitlines()
    assert lines[0].startswith("demo/Deployment/web: not injected (NamespaceNotEnabled)")
    assert lines[1].startswith(finding)
    assert lines[2].startswith("→ kubectl label namespace demo sidecar-injection=enabled ")
    (word,) = explained("deploy/web")["pods"][0]["words"]
    assert word["message"].startswith(finding)
    assert f"→ {word['command']}" == lines[2]


def test_every_namespace_is_probed_up_to_a_bound_and_the_rest_is_counted(fake):
    for number in range(7):
        name = f"team-{number}"
        labels = {"metadata": {"name": name}} if number == 0 else {}
        fake.seed(api.NAMESPACES, cluster.namespace(name) | labels)
        seed_pod(fake, name)
    stdout = run("explain", "pods", "-A").stdout
    assert "the injector answers for new pods in team-1, team-2, team-3, team-4, team-5\n" in stdout
    assert stdout.splitlines()[-1] == "not tried in 1 more namespace: name one with -n"
    fake.calls_webhook = False
    webhook = explained("pods", "-A")["webhook"]
    assert webhook["answer"] == "NotCalled"
    assert webhook["namespaces"] == {f"team-{number}": "NotCalled" for number in range(1, 6)}
    assert webhook["untried"] == 1


def test_one_namespace_that_is_not_enabled_does_not_hide_the_probe_of_another(fake):
    fake.seed(api.NAMESPACES, {"metadata": {"name": "off"}})
    for name in ("demo", "off"):
        seed_pod(fake, name)
    assert explained("pods", "-A")["webhook"]["namespaces"] == {"demo": "Answered"}


def test_an_error_other_than_a_missing_right_is_not_hidden(fake):
    in_deployment(fake)
    fake.failures["list", "pods"] = [refusal(500, "InternalError", "broken")]
    result = run("explain", "deploy/web")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "broken" in result.stderr


@pytest.mark.parametrize("kind", ["Deployment", "Job", "CronJob"])
def test_the_remedy_for_a_file_is_yaml_for_it_and_for_a_live_object_a_command(fake, tmp_path, kind):
    fake.seed(api.INJECTIONS, resource(activation="OnRequest"))
    live = workload(fake, kind)
    manifest = {**live, "apiVersion": api.WORKLOADS[kind].api_version, "kind": kind}
    (line,) = explained("-f", write(tmp_path, "web.yaml", manifest))["pods"][0]["injections"]
    assert line["command"] == ""
    written = yaml.safe_load(line["remedy"].partition(": ")[2])
    for step in workloads.PATHS[workloads.kind_of(manifest)]:
        written = written[step]
    assert written == {"metadata": {"annotations": {names.INJECT_ANNOTATION: "log"}}}
    if kind != "Job":
        (line,) = explained(f"{kind.lower()}/web")["pods"][0]["injections"]
        assert line["command"].startswith(f"kubectl patch {kind.lower()} web -n demo -p ")


@pytest.mark.parametrize("verb", ["explain", "diff"])
def test_what_exists_is_printed_before_what_does_not_is_named(fake, verb):
    in_deployment(fake)
    result = run(verb, "deploy/ghost", "deploy/web")
    assert "demo/Deployment/web" in result.stdout
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == (
        "Error: there is no deployment ghost in namespace demo. See: kubectl get deployments -A"
    )


def test_all_that_is_missing_is_named(fake):
    result = run("explain", "deploy/a", "pod/b")
    check_refused(result, "there is no deployment a in namespace demo; there is no pod b in")


@pytest.mark.parametrize("verb", ["explain", "diff"])
def test_an_object_of_another_namespace_is_named_with_it_if_the_user_may_see_it(fake, verb):
    in_deployment(fake)
    fake.seed(api.NAMESPACES, cluster.namespace("other"))
    line = "there is no deployment web in namespace other; there is one in namespace demo. Use -n"
    check_refused(run(verb, "deploy/web", "-n", "other"), f"{line} demo")
    fake.failures["list", "deployments"] = [cluster.forbidden(api.DEPLOYMENTS)] * 3
    hint = "in namespace other. See: kubectl get deployments -n other, or -n another"
    check_refused(run(verb, "deploy/web", "-n", "other"), hint)


@pytest.mark.parametrize("verb", ["explain", "diff"])
@pytest.mark.parametrize("words", [("deploy/web",), ("deploy",), ("pods", "-l", "app=x")])
def test_a_namespace_that_does_not_exist_is_said_to_be_missing(fake, verb, words):
    line = "there is no namespace nope. See: kubectl get namespaces"
    check_refused(run(verb, *words, "-n", "nope"), line)


@pytest.mark.parametrize("verb", ["explain", "diff"])
def test_a_bare_name_is_answered_with_what_to_write(fake, verb):
    result = run(verb, "web")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "write its kind before it, such as deploy/web or pod/web" in " ".join(
        result.stderr.split()
    )


@pytest.mark.parametrize("verb", ["explain", "diff"])
def test_a_file_of_another_namespace_than_the_option_is_refused(tmp_path, verb):
    result = on_files(tmp_path, verb, placed(), "-n", "other")
    check_refused(result, "the namespace 'demo' of the object does not match the namespace 'other'")
    assert on_files(tmp_path, verb, placed(), "-n", "demo").exit_code == 0


@pytest.mark.parametrize(
    ("condition", "has_policy", "sentence"),
    [
        (("True", "InForce"), True, "would be done by policy sidecar-injector"),
        (("False", "NotWritten"), True, "by the webhook: NotWritten: as it is"),
        (("False", "NotManaged"), True, "would be done by policy sidecar-injector"),
        (("False", "NotManaged"), False,
         "by the webhook: MutatingAdmissionPolicy sidecar-injector is not there"),
        (None, True, "would be done by policy sidecar-injector"),
    ],
)  # fmt: skip
def test_what_would_add_an_injection_that_asks_for_a_policy(fake, condition, has_policy, sentence):
    workload(fake)
    parts = {"spec": {"containers": [{"name": "mesh", "image": "mesh:1"}]}}
    item = resource("mesh", cluster=True, engine="Policy", template=parts)
    if condition:
        fields = {"status": condition[0], "reason": condition[1], "message": "as it is"}
        item["status"] = {"conditions": [{"type": "Compiled", **fields}]}
    fake.seed(api.CLUSTER_INJECTIONS, item)
    if has_policy:
        fake.seed(api.POLICIES, {"metadata": {"name": "sidecar-injector"}, "spec": {}})
    result = run("explain", "deploy/web", "-n", "demo")
    (line,) = [each for each in result.stdout.splitlines() if " engine " in f" {each.strip()} "]
    assert line.split(maxsplit=1)[1] == sentence
    fake.seed(api.RESOURCE_QUOTAS, {"metadata": {"name": "pods", "namespace": "demo"}})
    if sentence.startswith("would"):
        result = run("explain", "deploy/web", "-n", "demo")
        assert "by the webhook: the namespace has a LimitRange or a ResourceQuota" in result.stdout
