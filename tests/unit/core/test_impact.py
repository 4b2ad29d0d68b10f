"""What a change does to workloads: two decisions about each template, compared."""

from __future__ import annotations

import collections
import dataclasses

import pytest

from sidecar_injector import names
from sidecar_injector.core import autoscalers as scaling
from sidecar_injector.core import decide, impact
from sidecar_injector.core.impact import Effect
from sidecar_injector.core.injections import namespace_view
from sidecar_injector.core.limits import namespace_limits
from sidecar_injector.core.pods import controllers, kinds, quantity, workloads
from sidecar_injector.core.pods.owner import Owner
from sidecar_injector.core.reasons import PodVerdict
from tests.kits import samples
from tests.kits.random_pods import SEED, Draw
from tests.kits.samples import NAMESPACE, injection

ENABLED = namespace_view.Namespace.assumed(NAMESPACE)


def world(*injections, namespace=ENABLED, **fields):
    return impact.world(injections, lambda _: namespace, **fields)


def workload(template=None, *, kind="Deployment", name="web", pods=1, **spec):
    template = template or samples.pod()
    manifest = {
        "apiVersion": "apps/v1" if kind != "Job" else "batch/v1", "kind": kind,
        "metadata": {"name": name}, "spec": {"template": template, **spec},
    }  # fmt: skip
    return impact.Workload(
        target=target(kind, name), manifest=manifest,
        path=("spec", "template"), template=template, pods=pods,
    )  # fmt: skip


def bare(pod):
    pod_target = target("Pod", "web")
    return impact.Workload(target=pod_target, manifest=pod, path=(), template=pod, pods=1)


def target(kind, name):
    return impact.Target(Owner(NAMESPACE, kind, name))


def planned(before, after, *subjects, **options):
    result = impact.Impact(before, after, **options)
    for subject in subjects or (workload(),):
        result.add(subject)
    return result


def effects(result):
    return [
        (each.effect, each.reference)
        for changed in result.changed.values()
        for each in changed.effects
    ]


def sidecar(name="log", *, resources=None, **spec):
    container = samples.container(
        f"{name}-sidecar", **({"resources": resources} if resources else {})
    )
    return injection(name, template={"spec": {"containers": [container]}}, **spec)


CLASH = injection("clash", template={"spec": {"containers": [{"name": "app", "image": "other"}]}})
MUST = injection(
    "clash", failurePolicy="Fail",
    template={"spec": {"containers": [{"name": "app", "image": "other"}]}},
)  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([], [sidecar()], [(Effect.GAINS, "log")]),
        ([sidecar()], [], [(Effect.LOSES, "log")]),
        ([sidecar()], [sidecar(suspend=True)], [(Effect.LOSES, "log")]),
        ([sidecar()], [sidecar(priority=7)], []),
        ([sidecar()], [injection("log")], [(Effect.CHANGES, "log")]),
        ([], [CLASH], [(Effect.DOES_NOT_FIT, "clash")]),
        ([CLASH], [CLASH], []),
        ([sidecar("clash")], [CLASH], [(Effect.NO_LONGER_FITS, "clash")]),
        ([CLASH], [sidecar("clash")], [(Effect.GAINS, "clash")]),
        ([sidecar()], [sidecar(), MUST], [(Effect.REFUSED, "clash")]),
        ([sidecar(), MUST], [sidecar()], [(Effect.GAINS, "log")]),
        ([MUST], [MUST, sidecar()], []),
        (
            [], [sidecar(), injection("all", cluster=True)],
            [(Effect.GAINS, "cluster/all"), (Effect.GAINS, "log")],
        ),
    ],
)  # fmt: skip
def test_each_effect_on_new_pods_has_its_name(before, after, expected):
    result = planned(world(*before), world(*after))
    assert effects(result) == expected
    assert result.is_breaking is any(effect.is_breaking for effect, _ in expected)


def test_what_breaks_comes_first_and_says_why():
    result = planned(world(), world(sidecar(), CLASH))
    changed = next(iter(result.changed.values())).effects
    assert [each.effect for each in changed] == [Effect.DOES_NOT_FIT, Effect.GAINS]
    assert changed[0].line.reason.value == "ContainerConflict"


def test_only_the_record_of_a_generation_is_no_change():
    old = samples.resource()
    new = {**old, "metadata": {**old["metadata"], "generation": 9}}
    injections = [samples.model.read(each, spec_schema={}) for each in (old, new)]
    assert effects(planned(*map(world, injections))) == []


def test_an_order_of_containers_that_changes_is_a_change():
    first, second = sidecar("a"), sidecar("b")
    after = world(sidecar("a"), sidecar("b", priority=5))
    assert effects(planned(world(first, second), after)) == [
        (Effect.CHANGES, "a"), (Effect.CHANGES, "b"),
    ]  # fmt: skip


def test_a_namespace_that_is_labelled_gains_and_one_that_never_is_injected_does_not():
    bare_namespace = namespace_view.Namespace(NAMESPACE, {})
    before, after = world(sidecar(), namespace=bare_namespace), world(sidecar())
    assert effects(planned(before, after)) == [(Effect.GAINS, "log")]
    own = {"release_namespace": NAMESPACE}
    before = world(sidecar(), namespace=bare_namespace, **own)
    result = planned(before, world(sidecar(), **own))
    assert result.is_untouched(NAMESPACE)
    assert effects(result) == []
    assert len(result.pods) == 1


def test_pod_security_of_the_namespace_counts():
    labels = {**ENABLED.labels, names.POD_SECURITY_ENFORCE_LABEL: "restricted"}
    strict = namespace_view.Namespace(NAMESPACE, labels)
    result = planned(world(sidecar()), world(sidecar(), namespace=strict))
    reasons = [each.line.reason.value for each in next(iter(result.changed.values())).effects]
    assert reasons == ["PodSecurity"]


class Counting:
    """A view function that counts how often a template was decided."""

    def __init__(self, view):
        self.view, self.calls = view, 0

    def __call__(self, name):
        self.calls += 1
        return self.view(name)


def test_workloads_of_one_template_are_decided_once_and_jobs_by_their_names():
    selecting = injection(selector={"matchLabels": {"job-name": "one"}})
    after = world(selecting)
    result = planned(
        world(), after, workload(kind="Job", name="one"), workload(kind="Job", name="two")
    )
    assert [target.owner.name for target in result.changed] == ["one"]
    counting = Counting(world(sidecar()))
    result = planned(world(), counting, *(workload(name=f"web-{n}") for n in range(9)))
    assert len(result.changed) == 9
    assert counting.calls <= 2
    result.add(workload(name="web-1", pods=50))
    assert result.pods[target("Deployment", "web-1")] == 1


def test_what_depends_on_a_label_of_the_cluster_is_named():
    selecting = injection(selector={"matchLabels": {"pod-template-hash": "x"}})
    result = planned(world(), world(selecting))
    assert effects(result) == []
    assert result.undecided == {"log": "pod-template-hash"}


@pytest.fixture(scope="module", params=[150, pytest.param(1500, marks=pytest.mark.long)])
def examples(request):
    """(seed, pod, injections now, injections then): some of them are the same."""
    result = []
    for seed in range(SEED, SEED + request.param):
        draw = Draw(seed)
        pod, now, then = draw.pod(), draw.injections(), draw.injections()
        if draw.sometimes():
            kept = {(each.kind, each.name) for each in then}
            then += [each for each in now if (each.kind, each.name) not in kept]
        now, then = ([required(each, draw) for each in injections] for injections in (now, then))
        result.append((seed, pod, now, then))
    return result


def required(each, draw):
    """Some injections refuse the pods that they do not fit, and some are dry runs."""
    more = {"failurePolicy": "Fail"} if draw.sometimes(0.1) else {}
    more |= {"dryRun": True} if draw.sometimes(0.1) else {}
    return dataclasses.replace(each, spec={**each.spec, **more})


def test_a_plan_of_no_change_is_empty(examples):
    for seed, pod, now, _ in examples:
        # Worlds of their own: nothing is the same object.
        again = [injection_again(each) for each in now]
        for after in (world(*now), world(*again)):
            result = planned(world(*now), after, bare(pod))
            assert effects(result) == [], seed
            assert result.added() == {}, seed


def injection_again(each):
    raw = {"kind": each.kind, "spec": each.spec,
           "metadata": {"name": each.name, "namespace": each.namespace}}  # fmt: skip
    return samples.model.read(raw, spec_schema=each.spec_schema)


def test_the_way_back_swaps_gains_and_losses(examples):
    counts = collections.Counter()
    for seed, pod, now, then in examples:
        there = planned(world(*now), world(*then), bare(pod))
        back = planned(world(*then), world(*now), bare(pod))
        counts.update(effect for effect, _ in effects(there))
        if any(effect is Effect.REFUSED for effect, _ in effects(there) + effects(back)):
            continue
        lost = (Effect.LOSES, Effect.NO_LONGER_FITS)
        assert {ref for effect, ref in effects(there) if effect is Effect.GAINS} == {
            ref for effect, ref in effects(back) if effect in lost
        }, seed
        assert {ref for effect, ref in effects(there) if effect is Effect.CHANGES} == {
            ref for effect, ref in effects(back) if effect is Effect.CHANGES
        }, seed
        for name, amounts in there.added().items():
            swapped = {key: -amount for key, amount in back.added()[name].items()}
            assert amounts == swapped, seed
    for effect in Effect:
        assert counts[effect] >= len(examples) // 100, (effect, counts)


def test_it_says_what_the_webhook_does_before_and_after(examples):
    for seed, pod, now, then in examples:
        got = [webhook(pod, injections) for injections in (now, then)]
        result = planned(world(*now), world(*then), bare(pod))
        seen = dict((ref, effect) for effect, ref in effects(result))  # noqa: C402
        if got[1] is None:
            assert set(seen.values()) == (set() if got[0] is None else {Effect.REFUSED}), seed
            continue
        before, after = got[0] or {}, got[1]
        gained = {ref for ref, effect in seen.items() if effect is Effect.GAINS}
        assert gained == after.keys() - before.keys(), seed
        lost = {
            ref for ref, effect in seen.items() if effect in (Effect.LOSES, Effect.NO_LONGER_FITS)
        }
        assert lost == before.keys() - after.keys(), seed


def webhook(pod, injections):
    """The injections that a pod has after the webhook; None if it is refused."""
    pod = decide_pod(pod)
    request = namespace_view.PodRequest(namespace=NAMESPACE, pod=pod)
    decided = decide.decide(request, namespace_view.NamespaceView.of(ENABLED, injections))
    if decided.verdict is PodVerdict.REFUSED:
        return None
    return {
        line.injection.reference: line
        for line in decided.evaluated
        if line.reason.value in ("Injected", "AlreadyInjected", "Outdated")
    }


def decide_pod(pod):
    return controllers.expected(pod, (), pod, account=None).pod


REQUESTS = {"requests": {"cpu": "100m", "memory": "64Mi"}}


def amounts_text(result):
    return {
        name: {key: quantity.text(amount) for key, amount in amounts.items() if amount}
        for name, amounts in result.added().items()
    }


def test_requests_count_for_every_pod():
    result = planned(world(), world(sidecar(resources=REQUESTS)), workload(pods=3))
    assert amounts_text(result) == {NAMESPACE: {"requests.cpu": "300m", "requests.memory": "192Mi"}}
    back = planned(world(sidecar(resources=REQUESTS)), world(), workload(pods=3))
    assert amounts_text(back) == {NAMESPACE: {"requests.cpu": "-300m", "requests.memory": "-192Mi"}}


def test_a_pod_that_would_be_refused_requests_nothing_more():
    result = planned(world(), world(MUST, sidecar(resources=REQUESTS)))
    assert result.added() == {}


def limits_of(*manifests):
    return {NAMESPACE: namespace_limits.of_objects(manifests)}


def quota(hard, used=None, name="compute", **spec):
    status = {"hard": hard} if used is None else {"hard": hard, "used": used}
    metadata = {"namespace": NAMESPACE, "name": name}
    return {"kind": "ResourceQuota", "metadata": metadata, "spec": spec, "status": status}


def with_limits(limits, before, after, *subjects):
    """The impact where both worlds have the limits."""
    worlds = [world(*injections, limits=limits) for injections in (before, after)]
    return planned(*worlds, *subjects, limits=limits)


def missing(result):
    return {each.resource: quantity.text(each.missing) for each in result.excesses()}


OWN = {"spec": {"containers": [samples.container("app", resources={"requests": {"cpu": "400m"}})]}}


@pytest.mark.parametrize(
    ("hard", "used", "expected"),
    [
        ({"requests.cpu": "1"}, {"requests.cpu": "900m"}, {"requests.cpu": "200m"}),
        ({"cpu": "1"}, {"cpu": "900m"}, {"cpu": "200m"}),
        ({"requests.cpu": "1200m"}, {"requests.cpu": "900m"}, {}),
        ({"requests.cpu": "1400m"}, None, {"requests.cpu": "100m"}),
        ({"requests.cpu": "1500m"}, None, {}),
        ({"memory": "1Gi", "pods": "1"}, {"memory": "1000Mi", "pods": "1"}, {"memory": "168Mi"}),
        ({"requests.cpu": "?"}, {}, {}),
    ],
)  # fmt: skip
def test_a_quota_is_compared_with_what_all_pods_request_more(hard, used, expected):
    sized = sidecar(resources=REQUESTS)
    # Of memory each container must say what it needs.
    own = samples.container("app", resources={"requests": {"cpu": "400m", "memory": "1Mi"}})
    subject = workload({"spec": {"containers": [own]}}, pods=3)
    result = with_limits(limits_of(quota(hard, used)), [], [sized], subject)
    assert effects(result) == [(Effect.GAINS, "log")]
    assert missing(result) == expected
    assert result.is_breaking is bool(expected)


def test_a_quota_that_is_exceeded_already_does_not_matter_to_what_requests_less():
    limits = limits_of(quota({"requests.cpu": "1"}, {"requests.cpu": "9"}))
    result = with_limits(limits, [sidecar(resources=REQUESTS)], [], workload(OWN))
    assert (effects(result), missing(result)) == ([(Effect.LOSES, "log")], {})


def test_a_quota_counts_the_pods_of_its_scopes():
    sized = [sidecar(resources=REQUESTS)]
    hard, used = {"requests.cpu": "1"}, {"requests.cpu": "1"}
    scoped = limits_of(quota(hard, used, scopes=["Terminating"]))
    ending = {"spec": {**OWN["spec"], "activeDeadlineSeconds": 9}}
    assert missing(with_limits(scoped, [], sized, workload(OWN))) == {}
    assert missing(with_limits(scoped, [], sized, workload(ending))) == {"requests.cpu": "100m"}
    # A pod that stops being one of those without requests.
    pods = {"pods": "2"}
    scoped = limits_of(quota(pods, {"pods": "1"}, scopes=["NotBestEffort"]))
    assert missing(with_limits(scoped, [], sized, workload(pods=3))) == {"pods": "2"}


def test_what_a_single_pod_may_not_have_does_not_fit_whatever_is_used():
    demanding = limits_of(quota({"limits.cpu": "9"}, {"limits.cpu": "9"}))
    own = samples.container("app", resources={"limits": {"cpu": "1"}})
    subject = workload({"spec": {"containers": [own]}})
    result = with_limits(demanding, [], [sidecar(resources=REQUESTS)], subject)
    (changed,) = result.changed.values()
    assert [(each.effect, each.line.reason.value) for each in changed.effects] == [
        (Effect.DOES_NOT_FIT, "ResourceQuota")
    ]
    # What is used up already is a question of all pods.
    limited = sidecar(resources={"limits": {"cpu": "1"}})
    result = with_limits(demanding, [], [limited], subject)
    assert effects(result) == [(Effect.GAINS, "log")]
    assert missing(result) == {"limits.cpu": "1"}


def test_defaults_of_a_limit_range_count():
    item = {"type": "Container", "defaultRequest": {"cpu": "50m"}, "max": {"memory": "1Gi"}}
    limit_range = {
        "kind": "LimitRange", "metadata": {"name": "defaults"}, "spec": {"limits": [item]},
    }  # fmt: skip
    result = with_limits(limits_of(limit_range), [], [sidecar()], workload(pods=2))
    assert amounts_text(result)[NAMESPACE]["requests.cpu"] == "100m"


def scaler(*metrics, kind="Deployment"):
    target = {"kind": kind, "name": "web"}
    spec = {"scaleTargetRef": target, "metrics": list(metrics)}
    return {"metadata": {"name": "hpa"}, "spec": spec}


def metric(name="cpu", *, kind="Resource", target="Utilization"):
    field = kind[0].lower() + kind[1:]
    return {"type": kind, field: {"name": name, "container": "app", "target": {"type": target}}}


@pytest.mark.parametrize(
    ("metrics", "resources", "lost"),
    [
        ([metric()], None, ["cpu"]),
        ([metric(), metric("memory")], None, ["cpu", "memory"]),
        ([metric()], REQUESTS, []),
        ([metric("memory")], {"requests": {"cpu": "1m"}}, ["memory"]),
        ([metric()], {"limits": {"cpu": "1m"}}, []),
        ([metric(kind="ContainerResource")], None, []),
        ([metric(target="AverageValue")], None, []),
        ([], None, ["cpu"]),
        ([{"type": "Pods"}], None, []),
    ],
)
def test_an_autoscaler_loses_a_metric_for_which_a_container_has_no_request(
    metrics, resources, lost
):
    own = samples.container("app", resources=REQUESTS)
    autoscaler = scaling.autoscaler_of(scaler(*metrics), NAMESPACE)
    result = planned(
        world(), world(sidecar(resources=resources)), workload({"spec": {"containers": [own]}}),
        autoscalers=[autoscaler] if autoscaler else [],
    )  # fmt: skip
    assert [each.resource for each in result.lost_metrics] == lost
    assert {each.container for each in result.lost_metrics} == ({"log-sidecar"} if lost else set())
    assert result.is_breaking is bool(lost)


def test_an_autoscaler_that_could_not_compute_before_loses_nothing():
    autoscaler = scaling.autoscaler_of(scaler(metric()), NAMESPACE)
    assert not planned(world(), world(sidecar()), autoscalers=[autoscaler]).lost_metrics


def test_an_autoscaler_of_another_workload_is_not_meant():
    own = samples.container("app", resources=REQUESTS)
    autoscaler = scaling.autoscaler_of(scaler(metric(), kind="StatefulSet"), NAMESPACE)
    subject = workload({"spec": {"containers": [own]}})
    assert not planned(world(), world(sidecar()), subject, autoscalers=[autoscaler]).lost_metrics


@pytest.mark.parametrize(
    ("kind", "manifest", "pods"),
    [
        ("apps/v1 Deployment", {"spec": {}}, 1),
        ("apps/v1 Deployment", {"spec": {"replicas": 7}}, 7),
        ("apps/v1 Deployment", {"spec": {"replicas": "7"}}, 1),
        ("apps/v1 StatefulSet", {"spec": {"replicas": 0}}, 0),
        ("apps/v1 DaemonSet", {"spec": {}}, 1),
        ("apps/v1 DaemonSet", {"spec": {}, "status": {"desiredNumberScheduled": 4}}, 4),
        ("batch/v1 Job", {"spec": {"parallelism": 3}}, 3),
        ("batch/v1 Job", {"spec": {"parallelism": 3, "suspend": True}}, 0),
        ("batch/v1 CronJob", {"spec": {"jobTemplate": {"spec": {"parallelism": 2}}}}, 2),
        ("batch/v1 CronJob", {"spec": {"suspend": True}}, 0),
        ("v1 Pod", {}, 1),
        ("v1 PodTemplate", {}, 0),
        ("argoproj.io/v1alpha1 Rollout", {"spec": {"replicas": 5}}, 5),
        (
            "jobset.x-k8s.io/v1alpha2 JobSet",
            {"spec": {"replicatedJobs": [
                {"replicas": 3, "template": {"spec": {"parallelism": 2, "template": {}}}}
            ]}},
            6,
        ),
        (
            "leaderworkerset.x-k8s.io/v1 LeaderWorkerSet",
            {"spec": {"replicas": 2, "leaderWorkerTemplate": {"size": 4, "workerTemplate": {}}}},
            8,
        ),
    ],
)  # fmt: skip
def test_the_pods_of_a_template_are_counted_by_what_is_around_it(kind, manifest, pods):
    version, name = kind.split()
    manifest = {"apiVersion": version, "kind": name, **manifest}
    entry = kinds.find(*workloads.kind_of(manifest))
    places = [place for path in entry.paths for place in kinds.present(manifest, path)]
    assert impact.pods_of(manifest, (places or entry.paths)[-1]) == pods


@pytest.mark.parametrize(
    ("now", "then", "expected"),
    [
        ([], [sidecar(dryRun=True)], [(Effect.DRY_RUN, "log")]),
        ([sidecar(dryRun=True)], [sidecar(dryRun=True)], []),
        ([sidecar(dryRun=True)], [sidecar()], [(Effect.GAINS, "log")]),
        ([sidecar()], [sidecar(dryRun=True)], [(Effect.LOSES, "log")]),
    ],
)
def test_a_dry_run_changes_no_pod_and_says_what_would_be(now, then, expected):
    result = planned(world(*now), world(*then))
    assert effects(result) == expected
    assert not result.is_breaking
    for changed in result.changed.values():
        if changed.effects[0].effect is Effect.DRY_RUN:
            assert "otherwise it would be injected" in changed.effects[0].line.message
            assert not any(changed.added.values())


def test_injections_are_applied_as_kubectl_does():
    old, other = sidecar("a"), sidecar("b")
    same, changed = sidecar("a"), sidecar("b", priority=1)
    new = sidecar("c")
    assert impact.applied([old, other], [same, changed, new]) == [old, changed, new]
