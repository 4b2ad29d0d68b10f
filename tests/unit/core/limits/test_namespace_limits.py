"""What LimitRanges and ResourceQuotas forbid; the tables are tried on a real API server too."""

from __future__ import annotations

import copy
import dataclasses
import decimal

import pytest

from sidecar_injector.core import decide
from sidecar_injector.core.injections import namespace_view
from sidecar_injector.core.limits import limit_range, namespace_limits, resource_quota
from sidecar_injector.core.merging import budget, status_annotation
from sidecar_injector.core.reasons import PodVerdict, Reason
from tests.kits import limits, validity
from tests.kits.random_pods import SEED, Choices
from tests.kits.samples import NAMESPACE, container, injection, namespace_with, pod, reasons

REFUSED = limits.cases("refused")
RESOURCES = {f"example.com/r{number}": "1" for number in range(60)}
SIDECAR = {"name": "harmless", "image": "x", "resources": {"requests": {"cpu": "0"}}}


def by_name(case: limits.Case) -> str:
    return case.name


def quota(name="compute", *, used=None, scopes=(), **hard):
    hard = {key.replace("_", "."): value for key, value in hard.items()}
    return {
        "kind": "ResourceQuota", "metadata": {"name": name}, "spec": {"scopes": list(scopes)},
        "status": {"hard": hard, "used": used or {}},
    }  # fmt: skip


def ranges(*items, name="bounds"):
    return {"kind": "LimitRange", "metadata": {"name": name}, "spec": {"limits": list(items)}}


def decided(subject, *injections, objects=()):
    view = dataclasses.replace(
        namespace_with(*injections), limits=namespace_limits.of_objects(objects)
    )
    return decide.decide(namespace_view.PodRequest(namespace=NAMESPACE, pod=subject), view)


def sidecar(name="log", *, cpu, **spec):
    resources = {"requests": {"cpu": cpu}}
    return injection(
        name, template={"spec": {"containers": [container(name, resources=resources)]}}, **spec
    )


def app(cpu):
    return pod(containers=[container("app", resources={"requests": {"cpu": cpu}})])


def test_the_tables_have_enough_rows() -> None:
    assert len(REFUSED) >= 60
    assert len(limits.cases("accepted")) >= 30


@pytest.mark.parametrize("case", REFUSED, ids=by_name)
def test_what_would_be_refused_because_of_us_is_said_in_a_sentence(case: limits.Case) -> None:
    conflict = limits.conflict(case.setting.as_live(), case.before, case.after)
    assert conflict is not None
    assert case.says in conflict.detail
    assert conflict.detail.startswith("'limits': ")
    assert "\n" not in conflict.detail


@pytest.mark.parametrize("case", limits.cases("accepted"), ids=by_name)
def test_what_would_be_accepted_is_left_alone(case: limits.Case) -> None:
    assert limits.conflict(case.setting.as_live(), case.before, case.after) is None


@pytest.mark.parametrize("case", REFUSED, ids=by_name)
def test_what_the_author_did_wrong_is_not_held_against_what_is_added(case: limits.Case) -> None:
    objects = case.setting.as_live()
    resources = {"limits": {"cpu": "0", "memory": "0"}}
    after = validity.with_added(
        case.after, {"initContainers": [{**SIDECAR, "resources": resources}]}
    )
    conflict = limits.conflict(objects, copy.deepcopy(case.after), after)
    assert conflict is None or "harmless" in conflict.detail


def test_a_pod_never_conflicts_with_itself() -> None:
    draw = limits.Draw(SEED)
    found = set()
    for _ in range(300):
        objects = draw.setting().as_live()
        before, after = draw.pair()
        assert limits.conflict(objects, after, copy.deepcopy(after)) is None
        found.add(limits.conflict(objects, before, after) is None)
    assert found == {True, False}


def test_more_use_never_makes_room() -> None:
    draw = limits.Draw(SEED)
    tightened = 0
    for _ in range(300):
        hard = {"requests.cpu": draw.choice(["300m", "600m", "1"])}
        before, after = draw.pair()
        refused = [
            limits.conflict([quota(used={"requests.cpu": used}, **hard)], before, after) is not None
            for used in ("0", "100m", "200m")
        ]
        # Beyond that the author's own pod has no room either.
        without = [
            limits.conflict([quota(used={"requests.cpu": used}, **hard)], {}, before) is not None
            for used in ("0", "100m", "200m")
        ]
        for index in (1, 2):
            assert refused[index] or without[index] or not refused[index - 1]
        tightened += refused != [refused[0]] * 3
    assert tightened


def test_an_injection_is_left_out_and_the_next_one_that_fits_is_added() -> None:
    full = quota(requests_cpu="1", used={"requests.cpu": "500m"})
    large, small = sidecar("large", cpu="400m", priority=1), sidecar("small", cpu="100m")
    result = decided(app("400m"), large, small, objects=[full])
    assert reasons(result) == {"large": "ResourceQuota", "small": "Injected"}
    (line,) = result.skipped
    assert line.message == (
        "a ResourceQuota of the namespace forbids the parts: 'compute':"
        " requests.cpu: 500m of 1 used, the pod needs 800m, 400m of it added"
    )
    (skipped,) = status_annotation.read(result.pod["metadata"]["annotations"]).skipped
    assert skipped.reason == "ResourceQuota"


def test_a_limit_range_leaves_an_injection_out() -> None:
    bounds = ranges({"type": "Container", "max": {"cpu": "300m"}})
    result = decided(app("100m"), sidecar(cpu="400m"), objects=[bounds])
    assert reasons(result) == {"log": "LimitRange"}
    assert "max cpu 300m: container 'log' has a request of 400m" in result.skipped[0].message


def test_an_injection_that_must_succeed_refuses_the_pod() -> None:
    required = sidecar(cpu="400m", failurePolicy="Fail")
    result = decided(app("100m"), required, objects=[quota(requests_cpu="200m")])
    assert result.verdict is PodVerdict.REFUSED
    assert result.reason is Reason.RESOURCE_QUOTA
    assert "requests.cpu: 0 of 200m used" in result.message


def test_a_second_call_keeps_what_the_first_one_added_although_the_quota_is_full_now() -> None:
    log = sidecar(cpu="400m")
    first = decided(app("100m"), log, objects=[quota(requests_cpu="500m")])
    assert reasons(first) == {"log": "Injected"}
    full = quota(requests_cpu="500m", used={"requests.cpu": "500m"})
    second = decided(first.pod, log, objects=[full])
    assert reasons(second) == {"log": "AlreadyInjected"}
    assert second.operations == []


def test_a_second_call_leaves_out_what_the_first_one_left_out() -> None:
    log, full = sidecar(cpu="400m"), quota(requests_cpu="200m")
    first = decided(app("100m"), log, objects=[full])
    second = decided(first.pod, log, objects=[full])
    assert reasons(first) == reasons(second) == {"log": "ResourceQuota"}
    assert second.operations == []


def test_a_quota_without_a_status_is_not_in_force_in_a_cluster_and_is_unused_in_a_file() -> None:
    spec = {"kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"cpu": "1"}}}
    before = app("1m")
    after = validity.with_added(before, {"containers": [{"name": "s", "image": "x"}]})
    assert limits.conflict([spec], before, after) is None
    conflict = limits.conflict([namespace_limits.of_file(spec)], before, after)
    assert conflict is not None
    assert conflict.reason is Reason.RESOURCE_QUOTA


@pytest.mark.parametrize(
    ("hard", "scopes", "matters"),
    [
        ({"pods": "1"}, [], False),
        ({"pods": "1", "count/pods": "1", "services": "3"}, ["Terminating"], False),
        ({"pods": "1"}, ["NotBestEffort"], True),
        ({"requests.cpu": "1"}, [], True),
        ({"requests.example.com/gpu": "1"}, [], True),
        ({"requests.storage": "1Gi", "persistentvolumeclaims": "1"}, [], False),
        ({"count/deployments.apps": "1"}, [], False),
        ({"hugepages-2Mi": "1"}, [], True),
        ({"limits.ephemeral-storage": "1"}, [], True),
    ],
)
def test_of_quotas_only_what_an_injection_can_exceed_is_kept(hard, scopes, matters) -> None:
    live = quota(scopes=scopes, used=dict.fromkeys(hard, "0"))
    live["status"]["hard"] = hard
    kept = resource_quota.kept(live)
    assert bool(kept) is matters
    assert set(kept.get("status", {}).get("hard", {})) <= set(hard)


def test_an_object_with_many_values_and_one_with_an_unknown_scope_say_so() -> None:
    large = ranges({"type": "Container", "max": {f"example.com/r{n}": "1" for n in range(200)}})
    assert "more than 128 values" in str(namespace_limits.remark(large))
    assert namespace_limits.of_objects([large]) is None
    strange = quota(requests_cpu="0", scopes=["Moonlit"])
    assert "'Moonlit' is not known" in str(namespace_limits.remark(strange))
    pair = app("1m"), validity.with_added(app("1m"), {"containers": [SIDECAR]})
    assert limits.conflict([strange], *pair) is None
    assert namespace_limits.remark(quota(requests_cpu="0")) is None


@pytest.mark.parametrize("name", limits.NAMES)
def test_a_name_that_kubernetes_has_for_pods_or_for_others_needs_no_remark(name) -> None:
    hard = quota()
    hard["status"]["hard"] = {name: "1"}
    assert namespace_limits.remark(hard) is None


@pytest.mark.parametrize("name", limits.NO_NAMES)
def test_a_name_by_which_kubernetes_limits_nothing_is_remarked(name) -> None:
    hard = quota(requests_cpu="1")
    hard["status"]["hard"][name] = "1"
    assert str(namespace_limits.remark(hard)).endswith(f"what is not known: hard {name!r}")
    assert namespace_limits.of_objects([hard])


def test_few_of_many_names_are_in_a_remark() -> None:
    hard = quota(**{f"x{number}": "1" for number in range(9)})
    remark = str(namespace_limits.remark(hard))
    assert remark.endswith("hard 'x3', hard 'x4' and 4 more")
    twice = ranges({"type": "Pod", "limit": {}}, {"type": "Container", "limit": {}})
    assert str(namespace_limits.remark(twice)).endswith("not known: field 'limit'")


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}, None),
        ({"type": "example.com/Thing", "max": {"cpu": "1"}}, None),
        ({"type": "pod", "max": {"cpu": "1"}}, "type 'pod'"),
        ({"max": {"cpu": "1"}}, "type None"),
        ({"type": "Pod", "max": {"cpu": "1"}, "limit": {"cpu": "1"}}, "field 'limit'"),
    ],
)
def test_types_and_fields_that_kubernetes_does_not_have_are_remarked(item, words) -> None:
    remark = namespace_limits.remark(ranges(item))
    assert remark == (words and f"is checked without what is not known: {words}")


def test_a_dry_run_says_that_a_quota_would_leave_it_out() -> None:
    full, log = quota(requests_cpu="300m"), sidecar(cpu="400m", dryRun=True)
    result = decided(app("100m"), log, objects=[full])
    (line,) = result.lines
    assert line.reason is Reason.DRY_RUN
    assert "ResourceQuota" in line.message
    assert result.operations == []


def test_beside_a_dry_run_limits_count_for_the_others() -> None:
    full = quota(requests_cpu="300m")
    quiet, log = sidecar("quiet", cpu="1m", dryRun=True), sidecar(cpu="400m")
    result = decided(app("100m"), quiet, log, objects=[full])
    assert reasons(result)["log"] == "ResourceQuota"
    assert result.pod["spec"]["containers"] == app("100m")["spec"]["containers"]


def test_what_is_invalid_without_the_defaults_of_a_limit_range_is_not_its_fault() -> None:
    defaults = ranges({"type": "Container", "default": {"memory": "64Mi"}})
    subject = app("300m")
    subject["spec"]["resources"] = {"requests": {"cpu": "400m"}}
    result = decided(subject, sidecar(cpu="200m"), objects=[defaults])
    assert reasons(result) == {"log": "PodWouldBeInvalid"}


def test_of_many_objects_the_first_ones_by_name_count() -> None:
    objects = [quota(f"q{number:02}", requests_cpu="1") for number in range(20)]
    compiled = namespace_limits.of_objects(reversed(objects))
    assert compiled is not None
    assert [each.name for each in compiled.quotas] == [f"q{number:02}" for number in range(8)]


def test_the_overhead_of_a_pod_counts_for_quotas_and_not_for_limit_ranges() -> None:
    """A RuntimeClass sets it before webhooks are called; it counts for limits that are not zero."""
    before = app("500m")
    before["spec"]["overhead"] = {"cpu": "300m"}
    resources = {"limits": {"cpu": "200m"}}
    sidecar_of = {"name": "s", "image": "x", "resources": resources}
    after = validity.with_added(before, {"containers": [sidecar_of]})
    assert limits.conflict([quota(requests_cpu="1")], before, after) is None
    assert limits.conflict([quota(requests_cpu="999m")], before, after) is not None
    bounds = ranges({"type": "Pod", "max": {"cpu": "700m"}})
    assert limits.conflict([bounds], before, after) is None
    charged = limit_range.compiled([]).charged(after)
    assert charged.usage["limits.cpu"] == decimal.Decimal("0.5")


def counted(subject, objects, *injections):
    work = budget.Budget(subject, status_annotation.NOTHING, namespace_limits.of_objects(objects))
    return [work.work for each in injections if work.admits(each)]


@pytest.mark.parametrize(
    "objects",
    [
        [ranges({"type": "Container", "max": RESOURCES}, name=f"r{n}") for n in range(8)],
        [ranges({"type": "Pod", "max": RESOURCES}, name=f"r{n}") for n in range(8)],
        [quota(f"q{n}", used={}, **{f"requests.{name}": "1" for name in RESOURCES})
         for n in range(8)],
    ],
    ids=["containers", "pod", "quotas"],
)  # fmt: skip
def test_the_work_for_limits_is_counted(objects) -> None:
    subject = pod(containers=[container(f"c{number}") for number in range(100)])
    (plain,), (limited,) = (counted(subject, each, injection()) for each in ([], objects))
    assert limited > plain + 100


def test_the_work_for_added_containers_is_counted() -> None:
    objects = [ranges({"type": "Container", "max": RESOURCES}, name=f"r{n}") for n in range(8)]
    logs = [injection(f"log{number}") for number in range(100)]
    assert len(counted(pod(), [], *logs)) == 100
    assert len(counted(pod(), objects, *logs)) < 40


def test_of_a_pod_that_breaks_all_rules_only_what_is_added_is_compared(monkeypatch) -> None:
    compared = []
    problem = limit_range.Rule.problem

    def counting(rule, *amounts):
        compared.append(rule)
        return problem(rule, *amounts)

    monkeypatch.setattr(limit_range.Rule, "problem", counting)
    objects = [
        ranges({"type": "Container", "maxLimitRequestRatio": RESOURCES}, name=f"r{n}")
        for n in range(8)
    ]
    before = pod(containers=[container(f"c{number}") for number in range(50)])
    after = validity.with_added(before, {"containers": [SIDECAR]})
    conflict = limits.conflict(objects, before, after)
    assert conflict is not None
    assert "container 'harmless' has no request" in conflict.detail
    assert len(compared) == 1
    assert limits.conflict(objects, after, copy.deepcopy(after)) is None
    assert len(compared) == 1


def test_affinity_is_looked_at_once_for_all_quotas() -> None:
    class Affinity(dict):
        looks = 0

        def get(self, *arguments):
            self.looks += 1
            return super().get(*arguments)

    before = pod(affinity=Affinity())
    scoped = [
        quota(f"q{number}", scopes=["CrossNamespacePodAffinity"], requests_cpu="1")
        for number in range(8)
    ]
    for objects in (scoped[:1], scoped):
        affinity = before["spec"]["affinity"] = Affinity()
        assert limits.conflict(objects, before, before) is None
        assert affinity.looks == 2


def test_an_object_with_thousands_of_values_is_not_looked_through() -> None:
    for number, says in ((1000, None), (5000, "more than 128 values")):
        large = quota(requests_cpu="1", **{f"count/{n}": "1" for n in range(number)})
        assert bool(namespace_limits.kept(large)) is (says is None)
        assert (says is None) is (namespace_limits.remark(large) is None)


def test_a_text_of_any_length_is_not_kept() -> None:
    for length, is_kept in ((63, True), (100_000, False)):
        large = quota(requests_cpu="1")
        large["spec"] = {
            "scopeSelector": {
                "matchExpressions": [
                    {"scopeName": "PriorityClass", "operator": "In", "values": ["x" * length]}
                ]
            }
        }
        assert bool(namespace_limits.kept(large)) is is_kept


EXTREME = [
    "1e60", "1e99", "-1e99", "1e-9", "-1", "0", "9" * 256, "8Ei", ".5", "NaN", "1e999999", "1",
    "123456789012345678901234567890.001", 1e300, 0.1, 10**400, True, None, [1],
]  # fmt: skip


def test_quantities_of_any_size_are_compared() -> None:
    draw = Choices(SEED)
    seen = set()

    def amounts():
        resources = ("cpu", "memory", "example.com/gpu", "hugepages-2Mi")
        return {name: draw.choice(EXTREME) for name in draw.some(resources)}

    def resources():
        return {"requests": amounts(), "limits": amounts()}

    for _ in range(600):
        bounds = [
            {"type": kind, field: amounts()}
            for kind, field in (("Container", "max"), ("Pod", "max"), ("Pod", "min"))
        ]
        hard = {f"requests.{name}": amount for name, amount in amounts().items()}
        subject = pod(containers=[container("app", resources=resources())], overhead=amounts())
        result = decided(
            subject,
            injection(template={"spec": {"containers": [container(resources=resources())]}}),
            objects=[ranges(*bounds), quota(used=hard, **hard)],
        )
        seen |= {line.reason for line in result.evaluated}
    assert {Reason.LIMIT_RANGE, Reason.RESOURCE_QUOTA, Reason.INJECTED} < seen


SHAPES = [None, [], {}, "", -1, 1.5, True, "x", ["x"], {"x": 1}, [[]], [{"x": []}]]


@pytest.mark.parametrize("value", SHAPES, ids=str)
def test_objects_and_pods_of_any_shape_are_read(value) -> None:
    objects = [
        {"kind": "LimitRange", "metadata": {"name": "a"}, "spec": value},
        {"kind": "LimitRange", "metadata": {"name": "b"}, "spec": {"limits": value}},
        ranges({"type": "Container", "max": value, "default": value}),
        {"kind": "ResourceQuota", "metadata": {"name": "c"}, "spec": value, "status": value},
        {"kind": "ResourceQuota", "metadata": {"name": "d"}, "status": {"hard": value}},
        {**quota(requests_cpu="1"), "spec": {"scopes": value, "scopeSelector": value}},
        quota("e", requests_cpu="1", used=value),
    ]
    for each in objects:
        namespace_limits.remark(namespace_limits.of_file(each))
    before = pod(
        overhead=value, resources=value, affinity=value, activeDeadlineSeconds=value,
        priorityClassName=value,
        containers=[container("app", resources=value), container("b", resources={"limits": value})],
    )  # fmt: skip
    after = validity.with_added(before, {"containers": [SIDECAR]})
    limits.conflict([namespace_limits.of_file(each) for each in objects], before, after)
