"""Custom kinds of workloads in the verbs that ask a cluster, and `--kind-path`."""

from __future__ import annotations

import asyncio
import json

import pytest
import yaml

from sidecar_injector.cli.cluster import owners, refusals, restarts, rollouts
from sidecar_injector.core.pods.owner import Owner
from sidecar_injector.kube import api
from tests.kits import cluster
from tests.kits.cli import run, write
from tests.kits.fake_api import refusal
from tests.kits.samples import resource

TEMPLATE = {"spec": {"containers": [{"name": "app", "image": "app:1"}]}}
ROLLOUT = api.Resource("argoproj.io/v1alpha1", "rollouts", "Rollout")
CLONES = api.Resource("apps.kruise.io/v1alpha1", "clonesets", "CloneSet")
ADVANCED = api.Resource("apps.kruise.io/v1beta1", "statefulsets", "StatefulSet")
KNATIVE = {
    kind: api.Resource("serving.knative.dev/v1", f"{kind.lower()}s", kind)
    for kind in ("Service", "Configuration", "Revision")
}
UNITED = api.Resource("apps.kruise.io/v1alpha1", "uniteddeployments", "UnitedDeployment")
LEADERS = api.Resource("leaderworkerset.x-k8s.io/v1", "leaderworkersets", "LeaderWorkerSet")
FOO = api.Resource("example.com/v1", "foos", "Foo")
NAMESAKE = api.Resource("a.example/v1", "revisions", "Revision")
SERVED = [NAMESAKE, ROLLOUT, CLONES, ADVANCED, UNITED, *KNATIVE.values(), LEADERS, FOO]
OWN = {resource.kind: resource for resource in api.WORKLOADS.values()}


@pytest.fixture
def fake(monkeypatch):
    fake = cluster.installed()
    fake.custom_kinds = SERVED
    with cluster.served(monkeypatch, fake):
        yield fake


def seed(fake, resource, name="web", *, by=None, **spec):
    """An object, controlled by another one."""
    metadata = {
        "name": name,
        "namespace": "demo",
        "ownerReferences": [reference(*by)] if by else [],
    }
    fake.seed(resource, {"metadata": metadata, "spec": spec})
    return resource, name


def reference(resource, name):
    return {
        "apiVersion": resource.api_version, "kind": resource.kind, "name": name,
        "controller": True,
    }  # fmt: skip


def seed_pod(fake, by, name="web-1-a"):
    pod = cluster.pod(name)
    pod["metadata"]["ownerReferences"] = [reference(*by)]
    fake.seed(api.PODS, pod)


def rollout(fake, **spec):
    by = seed(fake, ROLLOUT, template=TEMPLATE, **spec)
    seed_pod(fake, seed(fake, OWN["ReplicaSet"], "web-1", by=by))


def answered(*words, status=0):
    result = run(*words, "-o", "json")
    assert result.exit_code == status, result.output
    return json.loads(result.stdout)


def adds_sidecar(diff):
    lines = diff.splitlines()
    return any(line.startswith("+") and line.endswith("name: sidecar") for line in lines)


def owner_of(*words, status=0):
    (owner,) = answered("restart", *words, status=status)["owners"]
    return owner


@pytest.mark.parametrize(
    "word",
    ["rollout", "rollouts", "ro", "Rollout", "rollouts.argoproj.io",
     "rollout.v1alpha1.argoproj.io"],
)  # fmt: skip
def test_a_custom_kind_has_the_names_that_kubectl_takes(fake, word):
    rollout(fake)
    for words in ((f"{word}/web",), (word, "web"), (word,)):
        lines = run("explain", *words).stdout.splitlines()
        assert lines[0].startswith("demo/Rollout/web: 1 of 1 pods is without log: ")
        assert lines[1].endswith(
            ": kubectl sidecar-injector restart rollouts.argoproj.io/web -n demo"
        )
    assert adds_sidecar(run("diff", f"{word}/web").stdout)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("rolout/web",), "'rolout' is not a kind that has pods; there are cronjob, daemonset,"),
        (("svc/web",), "'svc' is not a kind that has pods; there are cronjob, daemonset,"),
        (("svc", "web"), "'svc' is not a kind that has pods; there are cronjob, daemonset,"),
        (("web",), "'web' is not a kind; for an object of this name write its kind before it"),
        (("rollouts.example.com/web",), "the custom kinds that the cluster serves: kubectl"),
        (("statefulsets.example.com", "web"), "the custom kinds that the cluster serves: kubectl"),
    ],
)
@pytest.mark.parametrize("verb", ["explain", "diff", "restart"])
def test_a_kind_that_is_not_served_is_wrong_usage(fake, verb, words, sentence):
    result = run(verb, *words)
    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())


def test_a_kind_of_kubernetes_asks_for_no_list_of_kinds(fake):
    fake.seed(OWN["DaemonSet"], {"metadata": {"name": "web", "namespace": "demo"},
                                 "spec": {"template": TEMPLATE}})  # fmt: skip
    assert run("explain", "ds/web").exit_code == 0
    assert not fake.calls["document", "/apis"]


def test_a_rollout_is_restarted_by_its_field(fake):
    rollout(fake)
    owner = owner_of("rollout/web")
    assert (owner["kind"], owner["group"], owner["action"]) == (
        "Rollout", "argoproj.io", "restarted",
    )  # fmt: skip
    spec = fake.objects[ROLLOUT]["demo", "web"]["spec"]
    assert spec == {"template": TEMPLATE, "restartAt": spec["restartAt"]}
    assert owner_of("-n", "demo")["action"] == "under way"
    assert fake.calls["document", "/apis"] == 2


def test_a_clone_set_is_restarted_by_the_annotation_of_its_template(fake):
    seed_pod(fake, seed(fake, CLONES, template=TEMPLATE))
    assert owner_of()["action"] == "restarted"
    template = fake.objects[CLONES]["demo", "web"]["spec"]["template"]
    assert template["metadata"]["annotations"].keys() == {restarts.RESTARTED_ANNOTATION}
    assert template["spec"] == TEMPLATE["spec"]


@pytest.mark.parametrize("keys", [("workerTemplate",), ("leaderTemplate", "workerTemplate")])
def test_each_template_of_a_leader_worker_set_is_annotated_and_none_is_made(fake, keys):
    by = seed(fake, LEADERS, leaderWorkerTemplate={key: {**TEMPLATE} for key in keys})
    leader = seed(fake, OWN["StatefulSet"], "web", by=by)
    seed_pod(fake, leader, "web-0")
    seed_pod(fake, seed(fake, OWN["StatefulSet"], "web-0", by=(api.PODS, "web-0")), "web-0-1")
    assert owner_of()["pods"] == ["web-0", "web-0-1"]
    templates = fake.objects[LEADERS]["demo", "web"]["spec"]["leaderWorkerTemplate"]
    assert templates.keys() == {*keys}
    assert all(template["metadata"]["annotations"] for template in templates.values())


@pytest.mark.parametrize(
    "strategy",
    [{"type": "InPlaceIfPossible"}, {"type": "InPlaceOnly"},
     {"rollingUpdate": {"podUpdatePolicy": "InPlaceIfPossible"}},
     {"rollingUpdate": {"rollingUpdateType": "InPlaceIfPossible"}},
     {"type": "OnDelete"}, {"paused": True}, {"rollingUpdate": {"paused": True}}],
)  # fmt: skip
def test_what_would_make_no_new_pods_is_not_restarted(fake, strategy):
    seed_pod(fake, seed(fake, ADVANCED, template=TEMPLATE, updateStrategy=strategy))
    owner = owner_of(status=1)
    assert (owner["action"], owner["group"]) == ("recreate by hand", "apps.kruise.io")
    assert not fake.calls["patch", "statefulsets"]


@pytest.mark.parametrize(
    ("strategy", "action"),
    [({"type": "InPlaceIfPossible"}, "recreate by hand"), ({"paused": True}, "recreate by hand"),
     ({"type": "OnDelete"}, "recreate by hand"), ({"type": "ReCreate"}, "restarted")],
)  # fmt: skip
def test_the_strategy_of_a_workload_within_another_counts(fake, strategy, action):
    inner = {"spec": {"template": TEMPLATE, "updateStrategy": strategy}}
    by = seed(fake, UNITED, template={"cloneSetTemplate": inner})
    seed_pod(fake, seed(fake, CLONES, "web-a", by=by, template=TEMPLATE))
    owner = owner_of(status=int(action != "restarted"))
    assert (owner["kind"], owner["action"]) == ("UnitedDeployment", action)
    assert fake.calls["patch", "uniteddeployments"] == int(action == "restarted")
    assert not fake.calls["patch", "clonesets"]


def test_a_paused_rollout_is_restarted_too(fake):
    rollout(fake, paused=True)
    assert owner_of()["action"] == "restarted"


def test_status_looks_an_owner_up_once_for_pods_and_refusals(fake):
    by = seed(fake, OWN["ReplicaSet"], "web-1", by=seed(fake, FOO, template=TEMPLATE))
    seed_pod(fake, by)
    event = {
        "metadata": {"name": "a", "namespace": "demo"}, "reason": "FailedCreate",
        "note": f"{refusals.DENIED}no sidecar",
        "regarding": {**reference(*by), "namespace": "demo"},
    }  # fmt: skip
    fake.seed(api.EVENTS, event)
    (refused,) = answered("status", "-n", "demo")["refused"]
    assert (refused["group"], refused["kind"]) == ("example.com", "Foo")
    assert fake.calls["document", "/apis"] == fake.calls["get", "foos"] == 1


def test_a_kind_that_has_the_name_of_another_is_told_apart(fake):
    seed_pod(fake, seed(fake, ADVANCED, template=TEMPLATE))
    seed_pod(fake, seed(fake, OWN["StatefulSet"], template=TEMPLATE), "other-0")
    assert {owner["group"] for owner in answered("restart", "--dry-run")["owners"]} == {
        "", "apps.kruise.io",
    }  # fmt: skip
    assert owner_of("sts/web", "--dry-run")["group"] == ""
    word = "statefulsets.apps.kruise.io/web"
    assert owner_of(word, "--dry-run")["group"] == "apps.kruise.io"
    assert "demo/StatefulSet.apps.kruise.io/web" in run("restart", word, "--dry-run").stdout


def test_the_service_is_restarted_for_the_pods_of_its_revisions(fake):
    service = seed(fake, KNATIVE["Service"], template=TEMPLATE)
    configuration = seed(fake, KNATIVE["Configuration"], by=service, template=TEMPLATE)
    revision = seed(fake, KNATIVE["Revision"], "web-1", by=configuration)
    deployment = seed(fake, OWN["Deployment"], "web-1", by=revision, template=TEMPLATE)
    seed_pod(fake, seed(fake, OWN["ReplicaSet"], "web-1", by=deployment))
    owner = owner_of()
    assert (owner["group"], owner["kind"]) == ("serving.knative.dev", "Service")
    assert fake.calls["patch", "services"] == 1
    assert not fake.calls["patch", "deployments"]


def test_an_application_above_a_deployment_is_not_restarted(fake):
    deployment = seed(fake, OWN["Deployment"], by=seed(fake, FOO, template=TEMPLATE),
                      template=TEMPLATE)  # fmt: skip
    seed_pod(fake, seed(fake, OWN["ReplicaSet"], "web-1", by=deployment))
    assert owner_of("--dry-run")["kind"] == "Deployment"


def test_an_unknown_kind_is_left_to_be_done_by_hand_until_its_template_is_named(fake):
    seed_pod(fake, seed(fake, FOO, pod=TEMPLATE))
    owner = owner_of(status=1)
    assert owner["action"] == "recreate by hand"
    assert "--kind-path example.com/Foo=PATH" in owner["message"]
    result = run("explain", "foo/web")
    assert result.exit_code == 2
    assert "no pod template is found in foo/web" in result.stderr
    named = ("--kind-path", "example.com/Foo=spec.pod")
    assert "demo/Foo/web: 1 of 1 pods is without log" in run("explain", "foo/web", *named).stdout
    assert owner_of("foo/web", *named)["action"] == "restarted"
    pod = fake.objects[FOO]["demo", "web"]["spec"]["pod"]
    assert pod["metadata"]["annotations"].keys() == {restarts.RESTARTED_ANNOTATION}


def test_a_template_of_an_unknown_kind_is_named_on_stderr(fake):
    seed(fake, FOO, template=TEMPLATE)
    result = run("diff", "foo/web")
    assert result.exit_code == 0
    assert "spec.template is taken for a pod template" in result.stderr
    assert adds_sidecar(result.stdout)


def test_an_owner_that_may_not_be_read_is_a_line(fake):
    configuration = seed(fake, KNATIVE["Configuration"], template=TEMPLATE)
    revision = seed(fake, KNATIVE["Revision"], "web-1", by=configuration)
    seed_pod(fake, seed(fake, OWN["Deployment"], "web-1", by=revision, template=TEMPLATE))
    fake.failures["get", "revisions"] = [refusal(403, "Forbidden", "revisions is forbidden")]
    answer = answered("restart", "--dry-run", status=2)
    assert [owner["kind"] for owner in answer["owners"]] == ["Deployment"]
    assert answer["notes"] == ["revisions is forbidden: what owns Revision web-1 is not known"]


def test_a_workload_that_may_not_be_read_does_not_keep_others_from_a_restart(fake):
    rollout(fake)
    seed_pod(fake, seed(fake, CLONES, "other", template=TEMPLATE), "other-a")
    fake.failures["get", "rollouts"] = [refusal(403, "Forbidden", "rollouts is forbidden")]
    plans = answered("restart", status=1)["owners"]
    assert [(plan["kind"], plan["action"], plan["message"]) for plan in plans] == [
        ("CloneSet", "restarted", ""),
        ("Rollout", "recreate by hand", "rollouts is forbidden"),
    ]


def test_another_failure_of_reading_an_owner_ends_the_verb(fake):
    revision = seed(fake, KNATIVE["Revision"], "web-1")
    seed_pod(fake, seed(fake, OWN["Deployment"], "web-1", by=revision, template=TEMPLATE))
    fake.failures["get", "revisions"] = [refusal(500, "InternalError", "it broke")]
    result = run("restart", "--dry-run")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "it broke" in result.stderr
    assert not fake.calls["patch", "deployments"]


def test_owners_of_a_kind_that_may_not_be_listed_are_a_line(fake):
    seed_pod(fake, seed(fake, OWN["StatefulSet"], template=TEMPLATE))
    refused = refusal(403, "Forbidden", "statefulsets is forbidden")
    fake.failures["list", "statefulsets"] = [refused]
    answer = answered("restart", "--dry-run", status=2)
    assert [owner["kind"] for owner in answer["owners"]] == ["StatefulSet"]
    assert answer["notes"] == [
        "statefulsets is forbidden: custom objects that make them are not known"
    ]


def test_an_unknown_kind_with_a_template_above_a_replica_set_owns_its_pods(fake):
    by = seed(fake, OWN["ReplicaSet"], "web-1", by=seed(fake, FOO, template=TEMPLATE))
    seed_pod(fake, by)
    seed_pod(fake, by, "web-1-b")
    owner = owner_of(status=1)
    assert (owner["group"], owner["action"]) == ("example.com", "recreate by hand")
    assert "how a Foo replaces pods is not known" in owner["message"]
    assert fake.calls["get", "foos"] == 1


def test_the_pods_of_a_named_kind_are_found_through_what_it_makes(fake):
    by = seed(fake, FOO, pod=TEMPLATE)
    seed_pod(fake, seed(fake, OWN["StatefulSet"], by=by, template=TEMPLATE))
    named = ("--kind-path", "example.com/Foo=spec.pod")
    assert "demo/Foo/web: 1 of 1 pods is without log" in run("explain", "foo/web", *named).stdout


def test_what_cannot_be_above_the_pods_of_a_workload_is_not_listed(fake):
    seed_pod(fake, seed(fake, OWN["DaemonSet"], template=TEMPLATE), "web-a")
    seed_pod(fake, seed(fake, OWN["ReplicaSet"], "other-1"), "other-1-a")
    assert "1 of 1 pods" in run("explain", "ds/web").stdout
    assert not fake.calls["list", "replicasets"]

    deployment = seed(fake, OWN["Deployment"], by=(FOO, "web"), template=TEMPLATE)
    by = reference(*seed(fake, OWN["ReplicaSet"], "web-1", by=deployment))
    pod = cluster.pod("web-1-a", ownerReferences=[by])
    wanted = Owner("demo", "Deployment", "web")
    listed = fake.calls["list", "deployments"]
    makers = asyncio.run(owners.Owners(fake).makers(pod, wanted=[wanted]))
    assert makers == [Owner("demo", "ReplicaSet", "web-1"), wanted]
    assert fake.calls["list", "deployments"] == listed


def test_an_owner_of_the_core_group_is_no_custom_one(fake):
    seed_pod(fake, (api.Resource("v1", "things", "Thing"), "web"))
    assert owner_of(status=1)["group"] == ""
    assert not fake.calls["document", "/apis"]


def test_a_kind_of_the_whole_cluster_has_no_pods(fake, monkeypatch):
    document = fake.document

    async def of_the_cluster(path, *, accept=""):
        text = json.dumps(await document(path, accept=accept))
        return json.loads(text.replace('"Namespaced"', '"Cluster"'))

    monkeypatch.setattr(fake, "document", of_the_cluster)
    result = run("explain", "foo/web")
    assert result.exit_code == 2
    assert "'foo' has no pods: its objects are in no namespace" in result.stderr


def test_a_workload_without_a_template_is_left_to_be_done_by_hand(fake):
    seed_pod(fake, seed(fake, UNITED, template={"cloneSetTemplate": None}))
    owner = owner_of(status=1)
    assert owner["message"] == "it has no pod template that can be changed: delete its pods"


def test_a_time_without_a_zone_is_no_restart(fake):
    rollout(fake, restartAt="2100-01-01T00:00:00")
    assert owner_of()["action"] == "restarted"


def test_a_kind_that_has_the_name_of_another_is_waited_for_by_its_own_status(fake):
    seed_pod(fake, seed(fake, ADVANCED, template=TEMPLATE))
    item = fake.objects[ADVANCED]["demo", "web"]
    counts = {"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1}
    revisions = {"updateRevision": "new", "currentRevision": "old"}
    fake.seed(ADVANCED, {**item, "status": {"observedGeneration": 99, **counts, **revisions}})
    assert owner_of("--wait", "--timeout", "1")["action"] == "complete"


def test_a_chain_of_owners_is_followed_so_far_and_no_further(fake):
    for number in range(20):
        above = KNATIVE["Revision"], f"web-{number + 1}"
        seed(fake, KNATIVE["Revision"], f"web-{number}", by=above)
    seed_pod(fake, (KNATIVE["Revision"], "web-0"))
    assert len(answered("restart", "--dry-run", status=1)["owners"]) == 1
    assert fake.calls["get", "revisions"] == owners.MOST_OWNERS


def test_owners_in_a_circle_come_to_an_end(fake):
    one = seed(fake, KNATIVE["Revision"], "a", by=(KNATIVE["Revision"], "b"))
    seed(fake, KNATIVE["Revision"], "b", by=one)
    seed_pod(fake, one)
    assert len(answered("restart", "--dry-run", status=1)["owners"]) == 1
    assert fake.calls["get", "revisions"] == 2


@pytest.mark.parametrize("kind", ["Revision", "Configuration", "Foo"])
def test_a_name_that_nobody_has_checked_ends_nothing(fake, kind):
    resource = FOO if kind == "Foo" else KNATIVE[kind]
    seed_pod(fake, (resource, "../secrets/x"))
    fake.failures["get", resource.plural] = [api.InvalidNameError("../secrets/x")] * 2
    assert owner_of(status=1)["name"] == "../secrets/x"


def test_an_object_with_several_templates_is_explained_for_each(fake):
    other = {"spec": {"containers": [{"name": "sidecar", "image": "own:1"}]}}
    seed(fake, LEADERS, leaderWorkerTemplate={"leaderTemplate": other, "workerTemplate": TEMPLATE})
    pods = answered("explain", "leaderworkersets/web", status=1)["pods"]
    assert [pod["injections"][0]["reason"] for pod in pods] == ["ContainerConflict", "Injected"]


@pytest.mark.parametrize(
    ("status", "complete", "stuck", "words"),
    [
        ({"restartedAt": "later"}, True, False, "restarted at later"),
        ({"restartedAt": "before"}, False, False, "restarted at before"),
        ({}, False, False, "its controller has not restarted it yet"),
    ],
)
def test_a_rollout_is_complete_when_its_status_has_the_time(status, complete, stuck, words):
    judged = rollouts.judge("Rollout", {
        "metadata": {"generation": 3}, "spec": {"restartAt": "later"},
        "status": {"observedGeneration": "3", **status},
    }, group="argoproj.io")  # fmt: skip
    assert (judged.complete, judged.stuck) == (complete, stuck)
    assert words in judged.message


READY = [{"type": "Other", "status": "False"}, {"type": "Ready", "status": "True"}]


@pytest.mark.parametrize(
    ("status", "complete", "stuck"),
    [
        ({"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}, True, False),
        ({"replicas": 2, "updatedReplicas": 2, "readyReplicas": 2}, True, False),
        ({"replicas": 3, "updatedReplicas": 2, "readyReplicas": 3}, False, False),
        ({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2},
         False, False),
        ({"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1}, False, False),
        ({"desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 2},
         True, False),
        ({"desiredNumberScheduled": 2, "updatedNumberScheduled": 1, "numberAvailable": 2},
         False, False),
        ({"conditions": READY}, True, False),
        ({"conditions": [{"type": "Ready", "status": "False"}]}, False, False),
        ({"conditions": READY[:1]}, False, True),
        ({"conditions": "no list", "updatedReplicas": "two"}, False, True),
    ],
)  # fmt: skip
def test_other_custom_kinds_are_judged_by_counts_or_by_their_condition(status, complete, stuck):
    owner = {"metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": status}
    judged = rollouts.judge("CloneSet", owner, group="apps.kruise.io")
    assert (judged.complete, judged.stuck) == (complete, stuck)


def foo(tmp_path):
    manifest = {"apiVersion": "example.com/v1", "kind": "Foo", "metadata": {"name": "web"},
                "spec": {"groups": [{"pod": TEMPLATE}, {"pod": TEMPLATE}]}}  # fmt: skip
    return write(tmp_path, "foo.yaml", manifest), write(tmp_path, "log.yaml", resource())


def test_files_are_injected_at_the_named_path_and_come_back(tmp_path):
    file, injections = foo(tmp_path)
    named = ("--kind-path", "example.com/Foo=spec.groups[*].pod")
    result = run("inject", "-n", "demo", "-f", file, "-i", injections, *named)
    groups = yaml.safe_load(result.stdout)["spec"]["groups"]
    assert [len(group["pod"]["spec"]["containers"]) for group in groups] == [2, 2]
    (tmp_path / "injected.yaml").write_text(result.stdout)
    back = run("uninject", "-f", str(tmp_path / "injected.yaml"), *named)
    assert yaml.safe_load(back.stdout)["spec"]["groups"] == [{"pod": TEMPLATE}, {"pod": TEMPLATE}]
    without = run("inject", "-n", "demo", "-f", file, "-i", injections)
    assert "spec.groups[0].pod.spec looks like a pod, and is no pod template" in without.stderr
    assert yaml.safe_load(without.stdout)["spec"]["groups"] == [{"pod": TEMPLATE}] * 2


def test_a_path_that_leads_to_nothing_is_said(tmp_path):
    file, injections = foo(tmp_path)
    result = run(
        "inject",
        "-n",
        "demo",
        "-f",
        file,
        "-i",
        injections,
        "--kind-path",
        "example.com/Foo=spec.pod",
    )
    assert (
        "there is no pod template, with metadata and spec.containers, at spec.pod" in result.stderr
    )


def test_a_wrong_path_is_wrong_usage(tmp_path):
    file, injections = foo(tmp_path)
    result = run(
        "inject", "-n", "demo", "-f", file, "-i", injections, "--kind-path", "Foo=spec.pod"
    )
    assert result.exit_code == 2
    assert "'Foo=spec.pod' is not GROUP/KIND=PATH, such as example.com/Foo=" in result.stderr


@pytest.mark.parametrize("verb", ["test", "plan", "lint", "explain"])
def test_verbs_that_read_workloads_from_files_take_the_path(tmp_path, verb):
    file, injections = foo(tmp_path)
    named = ("--kind-path", "example.com/Foo=spec.groups[*].pod")
    reference = "Foo/web/spec.groups[1].pod"
    content = {
        "namespace": "demo", "objects": [file], "injections": [injections],
        "cases": [{"object": reference, "verdict": "Injected"}],
    }  # fmt: skip
    write(tmp_path, "sidecar-injector-test.yaml", content)
    words = {
        "test": (str(tmp_path),),
        "plan": ("-n", "demo", "-f", injections, "-w", file),
        "lint": ("-n", "demo", "-f", injections, "-f", file),
        "explain": ("-n", "demo", "-f", file, "-i", injections),
    }[verb]
    without, result = run(verb, *words), run(verb, *words, *named)
    assert result.exit_code == 0, result.output
    assert "looks like a pod" not in result.output
    assert without.output != result.output
