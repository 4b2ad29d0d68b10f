"""`plan`: what a change would do to the workloads of a cluster, or of files."""

from __future__ import annotations

import json
import pathlib

import pytest

from sidecar_injector import names
from sidecar_injector.cli.cluster import plan_facts
from sidecar_injector.cli.output import plan_report
from sidecar_injector.kube import api
from tests.kits import cluster as kit
from tests.kits.cli import clashing, run, write
from tests.kits.fake_api import refusal
from tests.kits.samples import container, resource

REQUESTS = {"requests": {"cpu": "100m", "memory": "64Mi"}}
UPPER = {"Deployment": "apps/v1", "ReplicaSet": "apps/v1", "DaemonSet": "apps/v1"}


def sidecar(name="proxy", *, resources=None, **spec):
    parts = [container(name, **({"resources": resources} if resources else {}))]
    return resource(name, template={"spec": {"containers": parts}}, **spec)


def template(**labels):
    own = {"name": "app", "image": "app:1", "resources": REQUESTS}
    return {"metadata": {"labels": labels}, "spec": {"containers": [own]}}


def workload(kind="Deployment", name="web", *, owner=None, namespace="demo", status=None, **spec):
    spec = {"template": template(app=name), **spec}
    references = [{"kind": owner[0], "name": owner[1], "controller": True}] if owner else []
    metadata = {"name": name, "namespace": namespace, "ownerReferences": references}
    return {"metadata": metadata, "spec": spec, "status": status or {}}


def seed(fake, kind, *names, **options):
    for name in names:
        fake.seed(api.WORKLOADS[kind], workload(kind, name, **options))


@pytest.fixture
def fake():
    """A cluster with an injection `log` that all pods of `demo` get."""
    return kit.installed()


@pytest.fixture
def planned(monkeypatch, tmp_path, fake):
    """Plans manifests that are written to a file first, or nothing but arguments."""

    def plan(new, *arguments):
        files = ("-f", write(tmp_path, "new.yaml", new)) if new else ()
        with kit.served(monkeypatch, fake):
            return run("plan", *files, *arguments)

    return plan


@pytest.fixture
def answer(planned):
    def plan(new, *arguments):
        result = planned(new, *arguments, "-o", "json")
        assert result.stdout, result.output
        return result.exit_code, json.loads(result.stdout)

    return plan


def effects(answer):
    return {
        f"{each['kind']}/{each['name']}": [
            (injection["effect"], injection["name"]) for injection in each["injections"]
        ]
        for each in answer["workloads"]
    }


def test_the_answer_is_the_first_line_and_the_table_says_who(fake, planned):
    seed(fake, "Deployment", "web", "api", replicas=3)
    result = planned(sidecar(resources=REQUESTS))
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "2 workloads (6 pods) gain proxy"
    assert lines[1].split() == ["EFFECT", "WHAT", "WORKLOADS", "PODS", "WHICH"]
    assert lines[2].split(maxsplit=4) == [
        "gains", "proxy", "2", "6", "demo/Deployment/api, demo/Deployment/web",
    ]  # fmt: skip
    assert lines[5].split() == ["demo", "+600m", "+384Mi"]
    assert lines[-1].startswith("→ running pods stay as they are")
    assert not [method for method, _ in fake.calls if method in ("patch", "create", "replace")]


def test_what_breaks_is_first_with_a_remedy_and_exit_status_1(fake, planned):
    seed(fake, "Deployment", "web")
    result = planned([sidecar(), clashing("clash"), clashing("must", failurePolicy="Ignore")])
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0] == "1 workload (1 pod) gains proxy; 1 does not fit clash, must"
    assert lines[2].startswith("does not fit  clash")
    assert "ContainerConflict" in lines[2]
    assert lines[3].startswith("  → rename one of the two")


def test_every_kind_of_workload_counts_once(fake, answer):
    for kind in ("Deployment", "StatefulSet", "DaemonSet", "ReplicationController", "Job"):
        seed(fake, kind, kind.lower())
    seed(fake, "ReplicaSet", "bare-set", replicas=2)
    seed(fake, "ReplicaSet", "of-deployment", owner=("Deployment", "deployment"))
    seed(fake, "ReplicaSet", "of-rollout", owner=("Rollout", "canary"))
    seed(fake, "ReplicaSet", "older", owner=("Rollout", "canary"), replicas=0)
    seed(fake, "Job", "of-cron", owner=("CronJob", "cronjob"))
    done = {"conditions": [{"type": "Complete", "status": "True"}]}
    seed(fake, "Job", "done", status=done)
    job = {"spec": {"template": template()}}
    fake.seed(api.WORKLOADS["CronJob"], workload("CronJob", "cronjob", jobTemplate=job))
    fake.seed(api.PODS, kit.pod("bare"))
    fake.seed(api.PODS, kit.pod("of-set", owner=("ReplicaSet", "bare-set")))
    for name in ("task-1", "task-2"):
        fake.seed(api.PODS, kit.pod(name, owner=("Workflow", "task")))
    fake.seed(api.PODS, kit.pod("ends", deletionTimestamp=kit.NOW))
    ended = kit.pod("ended")
    ended["status"]["phase"] = "Succeeded"
    fake.seed(api.PODS, ended)
    code, plan = answer(sidecar())
    assert code == 0
    assert {key: members[0] for key, members in effects(plan).items()} == dict.fromkeys(
        ("Deployment/deployment", "StatefulSet/statefulset", "DaemonSet/daemonset",
         "ReplicationController/replicationcontroller", "Job/job", "ReplicaSet/bare-set",
         "ReplicaSet/of-rollout", "CronJob/cronjob", "Pod/bare", "Workflow/task"),
        ("gains", "proxy"),
    )  # fmt: skip
    assert plan["counts"] == {"workloads": 10, "pods": 12, "unchanged": 0}


def test_a_pod_that_has_the_injection_already_is_compared_as_it_was_written(fake, answer):
    with_log = kit.pod("web")
    with_log["metadata"]["annotations"] = {}
    fake.seed(api.PODS, with_log)
    assert answer(resource())[1]["workloads"] == []
    changed = resource(template={"spec": {"containers": [container("sidecar", image="newer")]}})
    assert effects(answer(changed)[1]) == {"Pod/web": [("changes", "log")]}


def test_nothing_changes_where_the_same_is_applied(fake, planned):
    seed(fake, "Deployment", "web", replicas=4)
    result = planned(resource())
    assert (result.exit_code, result.stdout) == (0, "nothing changes for 1 workload (4 pods)\n")


def test_an_injection_that_is_deleted_is_lost(fake, answer, planned):
    seed(fake, "Deployment", "web")
    code, plan = answer(None, "--delete", "log")
    assert (code, effects(plan)) == (0, {"Deployment/web": [("loses", "log")]})
    code, plan = answer(sidecar(), "--delete", "log")
    assert effects(plan) == {"Deployment/web": [("loses", "log"), ("gains", "proxy")]}
    result = planned(None, "--delete", "cluster/log")
    assert result.exit_code == 2
    assert "there is no injection log of the cluster. There are demo/log" in result.stderr


def test_what_is_lost_stays_in_running_pods_until_these_are_restarted(fake, planned):
    seed(fake, "Deployment", "web")
    result = planned(None, "--delete", "log")
    command = "kubectl rollout restart deployment/web -n demo"
    assert f"→ running pods keep it until they are created again: {command}" in result.stdout
    # What is missing is nothing: `restart` has nothing to do.
    assert "restart -n demo --dry-run" not in result.stdout


@pytest.mark.parametrize("arguments", [(), ("-n", "demo")])
def test_an_injection_that_is_not_there_cannot_be_deleted(planned, arguments):
    result = planned(None, "--delete", "lgo", *arguments)
    assert result.exit_code == 2
    assert "there is no injection lgo in namespace demo. There are demo/log" in result.stderr
    assert ("-n says in which namespace it is" in result.stderr) is not bool(arguments)


def test_a_label_that_is_nearly_right_is_noted(fake, planned):
    fake.seed(api.NAMESPACES, {"metadata": {"name": "other", "labels": {}}})
    result = planned(None, "-n", "other", "--namespace-labels", "sidecar_injection=enabled")
    assert "sidecar_injection" in result.stderr
    assert "note: there is no injection for namespace other" in result.stderr


def test_what_is_refused_alone_is_no_answer_about_workloads(planned):
    result = planned(sidecar("wrong", failurePolicy="Sometimes"))
    assert result.exit_code == 1
    assert "nothing changes" not in result.stdout


def test_a_label_of_the_namespace_is_planned(fake, answer):
    fake.seed(api.NAMESPACES, {"metadata": {"name": "other", "labels": {}}})
    fake.seed(api.CLUSTER_INJECTIONS, resource("all", cluster=True))
    seed(fake, "Deployment", "web", namespace="other")
    seed(fake, "Deployment", "web")
    label = "sidecar-injection=enabled"
    code, plan = answer(None, "-n", "other", "--namespace-labels", label)
    assert code == 0
    assert [each["namespace"] for each in plan["workloads"]] == ["other"]
    code, plan = answer({"apiVersion": "v1", "kind": "Namespace", **kit.namespace("other")})
    assert [each["namespace"] for each in plan["workloads"]] == ["other"]


def test_only_the_namespaces_that_the_change_reaches_are_read(fake, answer):
    fake.seed(api.NAMESPACES, kit.namespace("other"))
    seed(fake, "Deployment", "web")
    seed(fake, "Deployment", "elsewhere", namespace="other")
    assert answer(sidecar())[1]["counts"]["workloads"] == 1
    everywhere = resource("all", cluster=True)
    # The operator's own is there, too.
    assert answer(everywhere)[1]["counts"]["workloads"] == 3
    assert effects(answer(everywhere)[1]).keys() == {"Deployment/web", "Deployment/elsewhere"}
    assert answer(everywhere, "-n", "other")[1]["counts"]["workloads"] == 1


def quota(used="900m", **spec):
    hard = {"requests.cpu": "1"}
    return {
        "metadata": {"name": "compute", "namespace": "demo"},
        "spec": {"hard": hard, **spec}, "status": {"hard": hard, "used": {"requests.cpu": used}},
    }  # fmt: skip


def scaler(resource="cpu"):
    metric = {"name": resource, "target": {"type": "Utilization", "averageUtilization": 50}}
    target = {"kind": "Deployment", "name": "web"}
    spec = {"scaleTargetRef": target, "metrics": [{"type": "Resource", "resource": metric}]}
    return {"metadata": {"name": "hpa", "namespace": "demo"}, "spec": spec}


def test_a_quota_without_room_and_a_lost_metric_break(fake, planned, answer):
    # A container of it has no request now.
    fake.take(api.INJECTIONS, name="log", namespace="demo")
    seed(fake, "Deployment", "web", replicas=3)
    fake.seed(api.RESOURCE_QUOTAS, quota())
    fake.seed(plan_facts.AUTOSCALERS, scaler())
    result = planned(sidecar(resources=REQUESTS))
    assert result.exit_code == 1
    assert result.stdout.splitlines()[0] == (
        "1 workload (3 pods) gains proxy; quota demo/compute would be exceeded by 200m of"
        " requests.cpu"
    )
    assert "requests.cpu: 900m of 1 used, 300m more: 200m too much" in result.stdout
    # The quota demands that each container says what it needs.
    code, plan = answer(sidecar())
    (injection,) = plan["workloads"][0]["injections"]
    assert (code, injection["effect"], injection["reason"]) == (1, "does not fit", "ResourceQuota")
    assert (plan["quotas"], plan["autoscalers"]) == ([], [])
    fake.take(api.RESOURCE_QUOTAS, name="compute", namespace="demo")
    code, plan = answer(sidecar())
    assert code == 1
    assert [
        (
            each["name"],
            each["workload"]["kind"],
            each["workload"]["name"],
            each["resource"],
            each["container"],
        )
        for each in plan["autoscalers"]
    ] == [("hpa", "Deployment", "web", "cpu", "proxy")]
    assert "HorizontalPodAutoscaler demo/hpa loses its metric cpu" in plan["message"]


def test_a_quota_that_is_not_compared_is_noted(fake, planned):
    seed(fake, "Deployment", "web", replicas=3)
    fake.seed(api.RESOURCE_QUOTAS, quota(scopes=["Odd"]))
    result = planned(sidecar(resources=REQUESTS))
    assert result.exit_code == 0
    assert "note: ResourceQuota demo/compute is not checked: its scope 'Odd'" in result.stderr


def test_what_a_release_does_not_check_leaves_nothing_out_of_a_plan(fake, answer):
    """Such a pod is refused by the API server, and how much is used is compared all the same."""
    fake.take(api.INJECTIONS, name="log", namespace="demo")
    seed(fake, "Deployment", "web", replicas=3)
    fake.seed(api.RESOURCE_QUOTAS, quota())
    fake.seed(api.DEPLOYMENTS, kit.deployment(QUOTAS="Ignored"))
    _, plan = answer(sidecar())
    (injection,) = plan["workloads"][0]["injections"]
    assert injection["effect"] == "gains"
    assert "quotas.enabled=false" in " ".join(plan["notes"])
    _, plan = answer(sidecar(resources=REQUESTS))
    assert [each["name"] for each in plan["quotas"]] == ["compute"]


ROLLOUTS = api.Resource("argoproj.io/v1alpha1", "rollouts", "Rollout")


@pytest.mark.parametrize("may_list", [True, False])
def test_the_pods_of_a_custom_kind_count_once(fake, answer, may_list):
    fake.custom_kinds.append(ROLLOUTS)
    fake.seed(ROLLOUTS, workload("Rollout", "canary", replicas=2))
    owner = {"apiVersion": ROLLOUTS.api_version, "kind": "Rollout", "name": "canary"}
    made = workload("ReplicaSet", "canary-1", replicas=2)
    made["metadata"]["ownerReferences"] = [{**owner, "controller": True}]
    fake.seed(api.WORKLOADS["ReplicaSet"], made)
    if not may_list:
        fake.failures["list", "rollouts"] = [kit.forbidden(ROLLOUTS)]
    code, plan = answer(sidecar())
    # Without the right to list them, what they made is there to see.
    name = "Rollout/canary" if may_list else "ReplicaSet/canary-1"
    assert effects(plan) == {name: [("gains", "proxy")]}
    assert (code, plan["counts"]["pods"]) == (0 if may_list else 2, 2)


def test_a_dry_run_is_planned_as_what_would_be(fake, planned):
    seed(fake, "Deployment", "web")
    result = planned([sidecar(dryRun=True), clashing("clash", dryRun=True)])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "1 workload (1 pod) has a dry run of clash, proxy"
    text = " ".join(result.stdout.split())
    assert "otherwise it would be skipped (ContainerConflict" in text
    assert "otherwise it would be injected" in text


@pytest.mark.parametrize(
    "resource_",
    [api.DEPLOYMENTS, api.PODS, api.SERVICE_ACCOUNTS, api.RESOURCE_QUOTAS, plan_facts.AUTOSCALERS,
     api.CLUSTER_INJECTIONS],
)  # fmt: skip
def test_what_may_not_be_read_is_said_and_the_whole_is_not_claimed(fake, answer, resource_):
    seed(fake, "StatefulSet", "db")
    message = (
        f'User "jane" cannot list resource "{resource_.plural}" in API group ""'
        ' in the namespace "demo"'
    )
    fake.failures["list", resource_.plural] = [
        refusal(403, "Forbidden", message) for _ in range(3 if resource_ == api.DEPLOYMENTS else 1)
    ]
    code, plan = answer(sidecar())
    assert code == 2
    assert plan["complete"] is False
    assert plan["message"].startswith("of what you may see: 1 workload")
    assert any(f"you may not list {resource_.plural}" in note for note in plan["notes"])
    if resource_ != api.CLUSTER_INJECTIONS:
        assert any("administrator" in note for note in plan["notes"])


def test_what_breaks_counts_more_than_what_is_not_seen(fake, answer):
    seed(fake, "StatefulSet", "db")
    fake.failures["list", "resourcequotas"] = [kit.forbidden(api.RESOURCE_QUOTAS)]
    assert answer(clashing())[0] == 1


def test_a_list_that_expires_is_read_again_and_counts_once(fake, answer):
    seed(fake, "StatefulSet", *(f"db-{number}" for number in range(3)))
    original, failed = fake.pages, []

    async def expiring(resource, *, scope=api.EVERYTHING, limit=500):
        is_first = resource.kind == "StatefulSet" and not failed
        async for page in original(resource, scope=scope, limit=2 if is_first else limit):
            yield page
            if is_first:
                failed.append(resource)
                raise refusal(410, "Expired")

    fake.pages = expiring
    code, plan = answer(sidecar())
    assert (code, failed != []) == (0, True)
    assert plan["counts"]["workloads"] == 3


def test_a_pod_that_goes_meanwhile_is_left_out(fake, answer):
    fake.seed(api.PODS, kit.pod("goes"))
    fake.failures["get", "pods"] = [refusal(404, "NotFound")]
    code, plan = answer(sidecar())
    assert (code, plan["counts"]["workloads"]) == (0, 0)


def test_a_namespace_that_comes_meanwhile_changes_nothing(fake, answer):
    fake.seed(api.CLUSTER_INJECTIONS, resource("all", cluster=True))
    seed(fake, "Deployment", "web", namespace="comes")
    code, plan = answer(None, "--delete", "cluster/all")
    assert (code, plan["workloads"]) == (0, [])


def test_an_injection_that_lint_refuses_is_said_first_and_counts_as_not_applied(fake, planned):
    seed(fake, "Deployment", "web")
    wrong = sidecar("wrong", failurePolicy="Sometimes")
    result = planned([wrong, sidecar()])
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0].startswith("demo/SidecarInjection/wrong would be refused: spec.failurePolicy")
    assert lines[1].startswith(
        "→ it counts as not applied; to see all errors: sidecar-injector lint -f"
    )
    assert lines[2] == "1 workload (1 pod) gains proxy"


def test_a_selector_that_no_longer_matches_loses_the_old_injection(fake, answer):
    seed(fake, "Deployment", "web", "api")
    selecting = resource(selector={"matchLabels": {"app": "api"}})
    assert effects(answer(selecting)[1]) == {"Deployment/web": [("loses", "log")]}


def test_what_depends_on_the_cluster_is_noted(fake, planned):
    seed(fake, "Deployment", "web")
    result = planned(sidecar(selector={"matchLabels": {"pod-template-hash": "1"}}))
    assert "note: proxy depends on 'pod-template-hash'" in result.stderr


def test_a_long_plan_is_bounded_for_people_and_whole_for_programs(fake, planned, answer):
    names = [f"clash-{number:02}" for number in range(30)]
    seed(fake, "Deployment", *(f"web-{number}" for number in range(9)))
    manifests = [clashing(name) for name in names]
    lines = planned(manifests).stdout.splitlines()
    assert sum(line.startswith("does not fit") for line in lines) == plan_report.MOST_GROUPS
    assert "  and 10 more: -o json" in lines
    assert "and 4 more" in lines[2]
    plan = answer(manifests)[1]
    assert {len(each["injections"]) for each in plan["workloads"]} == {30}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "nothing says what changes"),
        (("--namespace-labels", "a=b"), "--namespace-labels needs -n"),
        (("--delete", "log", "-i", "x.yaml"), "-i needs -w"),
        (("--delete", "shop/log"), "--delete shop/log: write --delete log -n shop"),
    ],
)
def test_options_that_say_too_little_are_wrong_usage(planned, arguments, sentence):
    result = planned(None, *arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr


def test_a_file_that_is_missing_is_said_before_a_cluster_that_is(tmp_path):
    result = run("plan", "-f", f"{tmp_path}/new.yaml", "--kubeconfig", f"{tmp_path}/config")
    assert result.exit_code == 2
    assert result.stderr == f"Error: {tmp_path}/new.yaml: No such file or directory\n"


def test_an_injection_of_another_namespace_than_n_is_refused(planned):
    result = planned(sidecar(), "-n", "other")
    assert result.exit_code == 2
    assert "leave out -n, or write -n demo" in result.stderr


def test_a_file_without_an_injection_is_refused(planned):
    result = planned(workload() | {"apiVersion": "apps/v1", "kind": "Deployment"})
    assert result.exit_code == 2
    assert "contains no SidecarInjection" in result.stderr


def of_files(tmp_path, new, now, *manifests, arguments=()):
    workloads = write(tmp_path, "workloads.yaml", list(manifests))
    files = ["-f", write(tmp_path, "new.yaml", new), "-w", workloads]
    if now:
        files += ["-i", write(tmp_path, "now.yaml", now)]
    return run("plan", *files, *arguments)


def manifest(kind="Deployment", version="apps/v1", **options):
    return {"apiVersion": version, "kind": kind, **workload(kind, **options)}


NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", **kit.namespace()}


def test_files_alone_are_planned_without_a_cluster(tmp_path):
    full = {"apiVersion": "v1", "kind": "ResourceQuota", **quota()}
    del full["status"]
    with_requests = sidecar("log", resources=REQUESTS)
    hpa = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", **scaler("memory")}
    small = sidecar(resources={"requests": {"cpu": "1m"}})
    result = of_files(
        tmp_path, [small, with_requests], with_requests, NAMESPACE, manifest(replicas=3), full,
        hpa, manifest("DaemonSet", name="each"), arguments=("-o", "json"),
    )  # fmt: skip
    assert result.exit_code == 1
    plan = json.loads(result.stdout)
    assert effects(plan) == {
        "DaemonSet/each": [("gains", "proxy")], "Deployment/web": [("gains", "proxy")],
    }  # fmt: skip
    assert [each["name"] for each in plan["autoscalers"]] == ["hpa"]
    assert "a DaemonSet counts as one pod" in plan["notes"][0]
    # The quota has room: 800m are requested, as its status is in no file.
    assert plan["quotas"] == []
    result = of_files(
        tmp_path, sidecar(resources=REQUESTS), None, NAMESPACE, manifest(replicas=9), full,
        arguments=("-o", "json"),
    )  # fmt: skip
    (excess,) = json.loads(result.stdout)["quotas"]
    assert (excess["used"], excess["added"], excess["missing"]) == ("900m", "900m", "800m")


def test_a_namespace_that_is_in_no_file_is_assumed(tmp_path):
    result = of_files(tmp_path, sidecar(), None, manifest())
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "1 workload (1 pod) gains proxy"
    assert "note: namespace demo is assumed to have the label" in result.stderr


def test_files_without_a_pod_are_noted(tmp_path):
    result = of_files(tmp_path, sidecar(), None, NAMESPACE)
    assert "the files of -w contain no pod" in result.stderr


def test_a_service_account_of_the_files_counts(tmp_path):
    account = {
        "apiVersion": "v1", "kind": "ServiceAccount", "automountServiceAccountToken": False,
        "metadata": {"name": "default", "namespace": "demo"},
    }  # fmt: skip
    token = {"name": "t", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    mounting = resource("token", template={"spec": {"volumes": [{"name": "t", "emptyDir": {}}]}},
                        applicationContainers={"volumeMounts": [token]})  # fmt: skip
    assert of_files(tmp_path, mounting, None, NAMESPACE, manifest()).exit_code == 1
    assert of_files(tmp_path, mounting, None, NAMESPACE, manifest(), account).exit_code == 0


def test_lists_in_files_are_read_item_by_item(tmp_path):
    both = {"apiVersion": "v1", "kind": "List", "items": [NAMESPACE, manifest()]}
    result = of_files(tmp_path, sidecar(), None, both)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("1 workload (1 pod) gains proxy\n")


def test_each_template_of_a_custom_kind_counts(tmp_path):
    jobs = [{"name": name, "template": {"spec": {"template": template()}}} for name in "ab"]
    custom = {
        "apiVersion": "example.com/v1", "kind": "Train", "spec": {"jobs": jobs},
        "metadata": {"name": "train", "namespace": "demo"},
    }  # fmt: skip
    result = of_files(tmp_path, sidecar(), None, NAMESPACE, custom)
    assert result.stdout.splitlines()[0] == "2 workloads (2 pods) gain proxy"
    assert "demo/Train/train/spec.jobs[0].template.spec.template" in result.stdout


def test_the_documented_plan_is_what_is_printed(fake, planned):
    fake.take(api.INJECTIONS, name="log", namespace="demo")
    page = pathlib.Path("docs/operations.md").read_text(encoding="utf-8")
    documented = page.partition("$ kubectl sidecar-injector plan -f injection.yaml\n")[2]
    seed(fake, "Deployment", "web", replicas=3)
    seed(fake, "Deployment", "api")
    api_template = template(app="api")
    api_template["spec"]["containers"][0]["name"] = "proxy"
    fake.seed(api.DEPLOYMENTS, workload(name="api", template=api_template))
    opted_out = template(app="batch")
    opted_out["metadata"]["labels"][names.INJECTION_LABEL] = "disabled"
    fake.seed(api.DEPLOYMENTS, workload(name="batch", template=opted_out))
    fake.seed(api.RESOURCE_QUOTAS, quota())
    printed = planned(sidecar(resources=REQUESTS)).stdout
    assert printed == documented.partition("```")[0]
