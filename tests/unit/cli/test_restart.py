"""`restart` and `status`: which pods need a restart, and what happens to their owners."""

from __future__ import annotations

import json

import click.testing
import pytest

from sidecar_injector import names
from sidecar_injector.cli.cluster import restarts
from sidecar_injector.cli.commands import restart
from sidecar_injector.core import decide
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.kube import api
from tests.kits import cluster as kit
from tests.kits.cli import run
from tests.kits.samples import resource


def injected(pod, injection):
    """The pod as the webhook would change it."""
    injections = kit.read_injections([injection]).of("demo")
    view = namespace_view.NamespaceView.of(namespace_view.Namespace.assumed("demo"), injections)
    request = namespace_view.PodRequest(namespace="demo", pod=pod)
    return dict(decide.decide(request, view).pod)


@pytest.fixture
def fake():
    return kit.installed()


def seed_owner(fake, kind, name, **spec):
    template = {"metadata": {"labels": {}}}
    body = {"metadata": {"name": name, "namespace": "demo"}, "spec": {"template": template, **spec}}
    fake.seed(api.WORKLOADS[kind], body)


def answered(monkeypatch, fake, *arguments):
    with kit.served(monkeypatch, fake):
        result = run(*arguments, "-o", "json")
    assert result.exit_code in (0, 1), result.output
    return result, json.loads(result.stdout)


def actions(answer):
    return {f"{owner['kind']}/{owner['name']}": owner["action"] for owner in answer["owners"]}


def test_missing_and_outdated_pods_are_distinguished(monkeypatch, fake):
    older = resource(template={"spec": {"containers": [{"name": "sidecar", "image": "old"}]}})
    fake.seed(api.PODS, kit.pod("bare"))
    fake.seed(api.PODS, injected(kit.pod("old"), older))
    fake.seed(api.PODS, injected(kit.pod("right"), resource()))
    fake.seed(api.PODS, kit.pod("ends", deletionTimestamp=kit.NOW))
    for flags, expected in (
        ((), {"bare": (0, 1), "old": (1, 0)}),
        (("--outdated",), {"old": (1, 0)}),
        (("--missing",), {"bare": (0, 1)}),
    ):
        result, answer = answered(monkeypatch, fake, "restart", "--dry-run", *flags)
        counts = {
            owner["name"]: (owner["outdated"], owner["missing"]) for owner in answer["owners"]
        }
        assert counts == expected
        assert result.exit_code == 1


def test_only_the_annotation_of_what_rolls_is_set(monkeypatch, fake):
    for kind in ("StatefulSet", "DaemonSet"):
        seed_owner(fake, kind, "rolls")
        fake.seed(api.PODS, kit.pod(f"of-{kind.lower()}", owner=(kind, "rolls")))
    result, answer = answered(monkeypatch, fake, "restart", "-n", "demo")
    assert result.exit_code == 0
    assert set(actions(answer).values()) == {"restarted"}
    assert result.stderr.splitlines() == [
        "1/2 demo/DaemonSet/rolls: restarted", "2/2 demo/StatefulSet/rolls: restarted",
    ]  # fmt: skip
    template = fake.objects[api.WORKLOADS["DaemonSet"]]["demo", "rolls"]["spec"]["template"]
    assert template["metadata"]["annotations"].keys() == {restarts.RESTARTED_ANNOTATION}
    assert answered(monkeypatch, fake, "restart")[1]["owners"][0]["action"] == "under way"


def test_a_dry_run_writes_nothing(monkeypatch, fake):
    seed_owner(fake, "DaemonSet", "rolls")
    fake.seed(api.PODS, kit.pod(owner=("DaemonSet", "rolls")))
    _, answer = answered(monkeypatch, fake, "restart", "--dry-run")
    assert actions(answer) == {"DaemonSet/rolls": "restart"}
    assert not [method for method, _ in fake.calls if method == "patch"]


@pytest.fixture
def rolling(fake):
    seed_owner(fake, "StatefulSet", "rolls")
    fake.seed(api.PODS, kit.pod("bare", owner=("StatefulSet", "rolls")))
    return fake


def writes(fake):
    return fake.calls["patch", api.WORKLOADS["StatefulSet"].plural]


FAILED_CALL = 'Internal error occurred: failed calling webhook "pods.sidecar-injector.dev": refused'
QUOTA = "exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1"


@pytest.mark.parametrize(
    ("calls_webhook", "pod_refusal", "sentence"),
    [
        (False, "", "new pods in demo start without sidecars: nobody calls the injector"),
        (False, FAILED_CALL, "new pods in demo are refused, since the injector does not answer"),
        (False, "pods is forbidden", "it is not known whether the injector answers"),
    ],
)
def test_nothing_is_restarted_unless_the_injector_was_seen_to_answer(
    monkeypatch, rolling, calls_webhook, pod_refusal, sentence
):
    rolling.calls_webhook, rolling.pod_refusal = calls_webhook, pod_refusal
    with kit.served(monkeypatch, rolling):
        result = run("restart")
        assert (result.exit_code, result.stdout, writes(rolling)) == (2, "", 0)
        assert "nothing was restarted: " in result.stderr
        assert sentence in result.stderr
        is_unknown = sentence.startswith("it is not known")
        assert ("sidecar-injector check -n demo" in result.stderr) is not is_unknown

        planned = run("restart", "--dry-run")
        assert (planned.exit_code, writes(rolling)) == (2, 0)
        assert f"note: {sentence}" in planned.stderr

        forced = run("restart", "--force")
        assert (forced.exit_code, writes(rolling)) == (2, 1)
        assert f"note: {sentence}" in forced.stderr


def test_a_pod_that_a_quota_refuses_shows_that_the_injector_answers(monkeypatch, rolling):
    rolling.pod_refusal = QUOTA
    result, answer = answered(monkeypatch, rolling, "restart")
    assert (result.exit_code, writes(rolling)) == (0, 1)
    assert answer["notes"] == []


@pytest.mark.parametrize("has_plans", [True, False])
def test_what_may_not_be_seen_is_said_and_not_exit_status_0(monkeypatch, rolling, has_plans):
    if not has_plans:
        rolling.take(api.INJECTIONS, name="log", namespace="demo")
    rolling.failures["list", api.CLUSTER_INJECTIONS.plural] = [
        kit.forbidden(api.CLUSTER_INJECTIONS) for _ in range(2)
    ]
    note = "you may not list clustersidecarinjections: what they do is not shown"
    with kit.served(monkeypatch, rolling):
        result = run("restart")
        assert result.exit_code == 2
        assert f"note: {note}" in result.stderr
        qualified = "needs a restart, for the injections that you may see" in result.stdout
        assert qualified is not has_plans
        printed = run("restart", "-o", "json").stdout
    assert json.loads(printed)["notes"] == [note]


@pytest.mark.parametrize(
    ("kind", "spec", "why"),
    [
        ("Deployment", {"paused": True}, "its rollout is paused"),
        ("StatefulSet", {"updateStrategy": {"type": "OnDelete"}}, "is OnDelete"),
        ("Job", {}, "a Job runs once"),
        ("ReplicationController", {}, "has no restart: delete its pods"),
        ("Rollout", {}, "has no restart: delete its pods"),
    ],
)
def test_what_does_not_roll_is_left_to_people(monkeypatch, fake, kind, spec, why):
    if kind in api.WORKLOADS:
        seed_owner(fake, kind, "x", **spec)
    fake.seed(api.PODS, kit.pod(owner=(kind, "x")))
    result, answer = answered(monkeypatch, fake, "restart")
    (owner,) = answer["owners"]
    assert (owner["action"], result.exit_code) == ("recreate by hand", 1)
    assert why in owner["message"]


def test_a_pod_whose_successor_would_not_get_it_either_is_left_alone(monkeypatch, fake):
    clashing = kit.pod("clash")
    clashing["spec"]["containers"][0]["name"] = "sidecar"
    fake.seed(api.PODS, clashing)
    assert answered(monkeypatch, fake, "restart")[1] == {"owners": [], "notes": []}
    _, answer = answered(monkeypatch, fake, "status")
    (case,) = answer["restarts"]
    assert case["message"].startswith("ContainerConflict: ")


def test_nothing_is_restarted_for_an_injection_that_is_a_dry_run(monkeypatch):
    fake = kit.installed()
    older = resource(template={"spec": {"containers": [{"name": "sidecar", "image": "old"}]}})
    fake.seed(api.INJECTIONS, resource(dryRun=True))
    fake.seed(api.PODS, kit.pod("bare"))
    fake.seed(api.PODS, injected(kit.pod("old"), older))
    assert answered(monkeypatch, fake, "restart", "--dry-run")[1]["owners"] == []
    _, answer = answered(monkeypatch, fake, "status", "-n", "demo")
    (shown,) = answer["injections"]
    assert (shown["pods"]["wouldInject"], shown["pods"]["outdated"]) == (1, 1)
    with kit.served(monkeypatch, fake):
        assert "WOULD INJECT" in run("status", "-n", "demo").stdout


def test_one_owner_that_cannot_be_restarted_does_not_stop_the_others(monkeypatch, fake):
    for name in ("a", "b"):
        seed_owner(fake, "DaemonSet", name)
        fake.seed(api.PODS, kit.pod(f"of-{name}", owner=("DaemonSet", name)))
    fake.failures["patch", "daemonsets"] = [kit.forbidden(api.WORKLOADS["DaemonSet"])]
    result, answer = answered(monkeypatch, fake, "restart")
    assert actions(answer) == {"DaemonSet/a": "failed", "DaemonSet/b": "restarted"}
    assert result.exit_code == 1


def test_pods_out_of_scope_are_not_counted(monkeypatch, fake):
    fake.seed(api.PODS, kit.pod("off", labels={names.INJECTION_LABEL: names.DISABLED}))
    fake.seed(api.PODS, kit.pod("no", annotations={names.INJECT_ANNOTATION: "no"}))
    done = kit.pod("done")
    done["status"]["phase"] = "Succeeded"
    fake.seed(api.PODS, done)
    assert answered(monkeypatch, fake, "restart", "-A")[1] == {"owners": [], "notes": []}


def test_n_and_a_exclude_each_other():
    for verb in ("restart", "status"):
        result = run(verb, "-n", "demo", "-A")
        assert (result.exit_code, "exclude each other" in result.stderr) == (2, True)


def test_status_shows_the_counts_of_the_operator_and_why_an_injection_is_not_ready(
    monkeypatch, fake
):
    counts = {"selected": 3, "injected": 2, "outdated": 0, "skipped": 1, "missing": 0}
    conditions = [
        {"type": "Accepted", "status": "False", "reason": "Invalid", "message": "because"},
        {"type": "Ready", "status": "False", "reason": "NotAccepted", "message": "not valid"},
    ]
    fake.seed(
        api.INJECTIONS, resource("bad") | {"status": {"conditions": conditions, "pods": counts}}
    )
    _, answer = answered(monkeypatch, fake, "status")
    bad = next(injection for injection in answer["injections"] if injection["name"] == "bad")
    assert (bad["ready"], bad["reason"], bad["message"]) == ("False", "Invalid", "because")
    assert bad["pods"] == counts
    with kit.served(monkeypatch, fake):
        lines = run("status").stdout.splitlines()
    row = next(line.split() for line in lines if line.startswith("demo") and " bad " in line)
    assert row == ["demo", "bad", "no", "3", "2", "0", "1", "0", "Invalid:", "because"]


def test_status_without_the_right_to_read_the_secret_says_so(monkeypatch, fake):
    fake.failures["get", "secrets"] = [kit.forbidden(api.SECRETS)]
    result, answer = answered(monkeypatch, fake, "status")
    assert answer["certificates"] is None
    assert result.stderr == (
        "note: you may not read the certificates' Secret: they are not shown\n"
    )


def test_an_injection_read_from_a_list_has_the_hash_of_the_operators():
    (live,) = kit.read_injections([resource()]).injections
    assert live.injection.hash == model.template_hash(live.injection.spec)


def test_the_run_of_a_cron_job_is_left_alone(monkeypatch, fake):
    for name, owner in (
        ("run", [{"kind": "CronJob", "name": "c", "controller": True}]),
        ("job", []),
    ):
        metadata = {"name": name, "namespace": "demo", "ownerReferences": owner}
        fake.seed(api.WORKLOADS["Job"], {"metadata": metadata, "spec": {}})
    fake.seed(api.PODS, kit.pod("of-run", owner=("Job", "run")))
    result, answer = answered(monkeypatch, fake, "restart")
    assert (result.exit_code, actions(answer)) == (0, {"CronJob/c": "nothing to do"})
    assert answer["owners"][0]["message"] == "its CronJob's next run is new"
    fake.seed(api.PODS, kit.pod("of-job", owner=("Job", "job")))
    result, answer = answered(monkeypatch, fake, "restart")
    assert result.exit_code == 1
    assert actions(answer)["Job/job"] == "recreate by hand"


@pytest.fixture
def many(fake, monkeypatch):
    """Seven StatefulSets; a pause of the verb completes the oldest rollout that is under way."""
    names_of_sets = [f"set-{number}" for number in range(7)]
    for name in names_of_sets:
        seed_owner(fake, "StatefulSet", name, replicas=1)
        fake.seed(api.PODS, kit.pod(f"{name}-0", owner=("StatefulSet", name)))
    most = []

    async def pause(seconds):
        if seconds != restart.PAUSE:  # Of the API in memory.
            return
        sets = [fake.objects[api.WORKLOADS["StatefulSet"]]["demo", name] for name in names_of_sets]
        open_rollouts = [
            item for item in sets
            if item["spec"]["template"]["metadata"].get("annotations")
            and not item["status"]["updatedReplicas"]
        ]  # fmt: skip
        most.append(len(open_rollouts))
        open_rollouts[0]["status"] |= {
            "updatedReplicas": 1, "updateRevision": "b", "currentRevision": "b",
        }  # fmt: skip

    for name in names_of_sets:
        status = {"observedGeneration": 9, "updatedReplicas": 0, "readyReplicas": 1,
                  "currentRevision": "a", "updateRevision": "b"}  # fmt: skip
        fake.objects[api.WORKLOADS["StatefulSet"]]["demo", name]["status"] = status
    monkeypatch.setattr(restart.asyncio, "sleep", pause)
    return fake, most


@pytest.mark.parametrize(("options", "parallel"), [((), 5), (("--parallel", "2"), 2)])
def test_rollouts_go_at_a_pace(monkeypatch, many, options, parallel):
    fake, most = many
    result, answer = answered(monkeypatch, fake, "restart", *options)
    assert (result.exit_code, set(actions(answer).values())) == (0, {"restarted"})
    assert set(most) == {parallel}
    assert len(most) == 7 - parallel


@pytest.mark.parametrize(
    ("options", "answer", "restarted"),
    [
        (("-A",), "n\n", False),
        (("-A",), "y\n", True),
        (("-A", "--yes"), "", True),
        (("-n", "demo"), "", True),
    ],
)
def test_on_a_terminal_all_namespaces_are_asked_for(
    monkeypatch, rolling, options, answer, restarted
):
    monkeypatch.setattr(click.testing._NamedTextIOWrapper, "isatty", lambda _: True, raising=False)
    with kit.served(monkeypatch, rolling):
        result = run("restart", *options, stdin=answer)
    question = "Restart 1 workload in 1 namespace?"
    assert (question in result.stderr) is bool(answer)
    assert result.exit_code == (0 if restarted else 1)
    assert bool(writes(rolling)) is restarted


@pytest.mark.parametrize("words", [("sts/set-3",), ("statefulset", "set-3")])
def test_of_named_workloads_only_those_are_restarted(monkeypatch, many, words):
    _, answer = answered(monkeypatch, many[0], "restart", *words, "-n", "demo", "--dry-run")
    assert actions(answer) == {"StatefulSet/set-3": "restart"}


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (("status", "web"), "explain KIND/NAME, such as deploy/web"),
        (("status", "deploy/web"), "explain KIND/NAME, such as deploy/web"),
        (("restart", "deploy/"), "KIND/NAME, such as pod/web or deploy/web"),
    ],
)
def test_a_name_that_a_verb_does_not_take_is_refused_with_what_to_type(words, advice):
    result = run(*words)
    assert result.exit_code == 2
    assert advice in result.stderr
