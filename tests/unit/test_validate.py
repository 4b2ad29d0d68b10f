"""What is said about an injection before any pod meets it."""

from __future__ import annotations

import pathlib

import kopf
import pytest
import yaml
from samples import container, injection, resource

from sidecar_injector import crds, names
from sidecar_injector.core import model, overlap, status, validate, world
from sidecar_injector.handlers import validation

TABLES = pathlib.Path(__file__).resolve().parents[1] / "controlplane/crds"
STRICTER = {
    # CEL cannot follow a token to its declaration.
    "a token as an integer": "$(params.period) is unknown",
    "a token as an enum": "$(params.pull) is unknown",
    "a token in a quantity": "$(params.size) is unknown",
    # The embedded schema does not require it; the API server does, of the pod.
    "a native sidecar by hand": "image is required",
}
"""What only we refuse, of all that the API server accepts; with our sentence."""


def table(name):
    return yaml.safe_load((TABLES / f"{name}.yaml").read_text(encoding="utf-8"))


def read(spec, *, cluster=False, name="example"):
    kind = names.CLUSTER_KIND if cluster else names.KIND
    raw = {"kind": kind, "metadata": {"name": name, "namespace": "demo"}, "spec": spec}
    return model.read(raw, spec_schema=crds.spec_schema(kind))


def sentences(problems):
    return [validate.sentence(one) for one in problems]


def template(**spec):
    return {"spec": spec}


def quiet(name="sidecar", **fields):
    """A container that nobody has anything to say about."""
    context = {
        "allowPrivilegeEscalation": False,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    resources = {"requests": {"cpu": "10m", "memory": "16Mi"}}
    return container(name, securityContext=context, resources=resources, **fields)


def warned(*others, name="log", cluster=False, **spec):
    spec.setdefault("template", template(containers=[quiet()]))
    one = injection(name, cluster=cluster, **spec)
    found = validate.validate(one, others=others)
    assert found.errors == ()
    return sentences(found.warnings)


@pytest.mark.parametrize("case", table("accepted"), ids=lambda case: case["case"])
def test_what_the_api_server_accepts_is_accepted_from_files(case):
    found = sentences(read(case["spec"]).errors)
    if expected := STRICTER.get(case["case"]):
        assert len(found) == 1
        assert expected in found[0]
    else:
        assert found == []


@pytest.mark.parametrize("case", table("refused"), ids=lambda case: case["case"])
def test_what_the_api_server_refuses_is_refused_from_files_and_names_the_field(case):
    (path, _), *_ = read(case["spec"]).errors
    # The API server names the field, or the object around it where CEL cannot name a member.
    named = case["says"][0].split('"')[1] if "unknown field" in case["says"][0] else ""
    expected = named or case["says"][0].split(":")[0]
    stands = path.replace("[cpu]", ".cpu")
    if case["case"] == "one name in both lists":
        assert expected == "spec.template.spec.initContainers"
        assert stands == "spec.template.spec.containers[0].name"
    else:
        assert stands.startswith(expected)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"template": {"spec": {"dnsConfig": {}}}}, None),
        ({"template": {"spec": {"shareProcessNamespace": False}}}, None),
        ({"template": {"spec": {"volumes": []}}}, "spec has nothing to inject"),
        ({"inherit": {"volumeMounts": {}}}, "spec has nothing to inject"),
        ({"applicationContainers": {"names": {"include": ["a"]}}}, "spec has nothing to inject"),
    ],
    ids=str,
)
def test_nothing_to_inject_is_what_the_rule_of_the_crd_calls_so(spec, expected):
    found = sentences(read(spec).errors)
    assert [one.startswith(expected) for one in found] == ([True] if expected else [])


def test_null_counts_as_absent_and_gives_the_same_hash():
    one = read({"template": template(containers=[container(args=None)])})
    other = read({"template": template(containers=[container()])})
    assert one.errors == other.errors == ()
    assert one.hash == other.hash


def test_an_item_of_a_set_stands_in_it_once():
    volume = {"name": "v", "emptyDir": {}}
    mount = {"name": "v", "mountPath": "/v", "bindMountOptions": ["noexec", "noexec"]}
    (one,) = read(
        {"template": template(containers=[container(volumeMounts=[mount])], volumes=[volume])}
    ).errors
    assert one[0].endswith("bindMountOptions[1]")
    assert "'noexec' is there already" in one[1]


@pytest.mark.parametrize("name", ["Log", "a_b", "-a", "a" * 64, "yes", "0"])
def test_a_name_that_the_api_server_refuses_is_refused_from_files(name):
    assert read(resource()["spec"], name=name).errors[0][0] == "metadata.name"


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("a(?=b)", "invalid perl operator: (?=, at character 2 of"),
        (r"(a)\1", r"invalid escape sequence: \1, at character 4 of"),
        ("[a", "missing ]: [a, at character 1 of"),
        ("ab)c", "unexpected ): ab)c, at character 3 of"),
        ("x*(a{1001})", "invalid repetition size: {1001}, at character 5 of"),
    ],
)
def test_a_pattern_that_re2_refuses_is_refused_with_its_position(pattern, says):
    parameter = {"name": "p", "from": {"podLabel": "p"}, "pattern": pattern}
    (one,) = injection(parameters=[parameter]).errors
    assert one[0] == "spec.parameters[0].pattern"
    assert says in one[1]


def test_an_injection_that_no_pod_can_take_is_an_error():
    ports = [{"containerPort": 99999}]
    one = injection(template=template(containers=[quiet(ports=ports)]))
    assert one.errors == ()
    (found,) = sentences(validate.validate(one).errors)
    assert found.startswith("spec cannot be injected into a pod: PodWouldBeInvalid:")
    assert "99999" in found


def test_a_default_that_does_not_fit_where_its_token_stands_is_an_error():
    parameter = {"name": "pull", "from": {"podLabel": "pull"}, "default": "Sometimes"}
    spec = template(containers=[quiet(imagePullPolicy="$(params.pull)")])
    (found,) = sentences(validate.validate(injection(parameters=[parameter], template=spec)).errors)
    assert "InvalidValue" in found
    assert "imagePullPolicy 'Sometimes' must be one of Always" in found


def test_a_value_that_only_pods_know_is_guessed_and_never_an_error():
    spec = template(containers=[quiet(imagePullPolicy="$(params.pull)")])
    free = {"name": "pull", "from": {"podLabel": "pull"}}
    (found,) = warned(parameters=[free], template=spec)
    assert found.startswith("spec.parameters not every value of pull fits (give an enum?)")
    assert warned(parameters=[{**free, "enum": ["Always", "Never"]}], template=spec) == []
    assert warned(parameters=[{**free, "pattern": "Always|Never"}], template=spec) == []
    # Nothing fits that anybody can think of, so nothing is tried and nothing said.
    assert warned(parameters=[{**free, "pattern": "[%&]{7}"}], template=spec) == []


def test_what_fails_only_in_pods_that_end_is_a_warning():
    policy = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]
    spec = template(containers=[quiet(resizePolicy=policy)])
    assert validate.validate(injection(template=spec, sidecarMode="Container")).errors == ()
    (found,) = warned(template=spec)
    assert found.startswith("spec cannot be injected where restartPolicy is Never")


def test_missing_requests_are_told_per_container_and_a_limit_is_a_request():
    bare, limited = quiet("bare"), quiet("limited")
    del bare["resources"]
    limited["resources"] = {"limits": {"cpu": "1"}, "requests": {"memory": "1Mi"}}
    first = quiet("first")
    first["resources"] = {"requests": {"cpu": "1"}}
    assert warned(template=template(containers=[bare, limited], initContainers=[first])) == [
        (
            "spec.template.spec.containers[0].resources requests no cpu and no memory:"
            " autoscaling and quotas may need it"
        ),
        (
            "spec.template.spec.initContainers[0].resources requests no memory:"
            " autoscaling and quotas may need it"
        ),
    ]


def test_what_the_restricted_level_would_refuse_is_told():
    loud = quiet()
    loud["securityContext"]["runAsNonRoot"] = False
    volumes = [{"name": "host", "hostPath": {"path": "/x"}}]
    mounts = [{"name": "host", "mountPath": "/x"}]
    (found,) = warned(template=template(containers=[{**loud, "volumeMounts": mounts}],
                                        volumes=volumes))  # fmt: skip
    assert found.startswith("spec.template the Pod Security level restricted would refuse it:")
    assert "runAsNonRoot" in found
    assert "host" in found


def test_a_mount_of_a_volume_that_is_not_there_needs_the_pods():
    mounts = [{"name": "data", "mountPath": "/data"}]
    assert warned(template=template(containers=[quiet(volumeMounts=mounts)])) == [
        (
            "spec.template.spec.containers[0].volumeMounts[0] mounts 'data', which the template"
            " does not define: the pod must"
        )
    ]


def test_a_volume_that_nothing_mounts_is_told_and_one_for_application_containers_is_not():
    volumes = [{"name": "data", "emptyDir": {}}]
    (found,) = warned(template=template(volumes=volumes))
    assert found.startswith("spec.template.spec.volumes[0] 'data' is only added to pods")
    mounts = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    assert warned(template=template(volumes=volumes), applicationContainers=mounts) == []


def test_tokens_that_are_not_replaced_and_parameters_that_nothing_uses_are_told():
    parameters = [
        {"name": "used", "from": {"podLabel": "a"}, "default": "$(params.idle)"},
        {"name": "idle", "from": {"podLabel": "b"}, "default": "x"},
    ]
    spec = template(containers=[quiet(args=["$(params.used)", "$$(params.idle)"])])
    assert warned(parameters=parameters, template=spec) == [
        (
            "spec.parameters[0].default $(params.idle) stays as it is: tokens are replaced in"
            " template, applicationContainers, inherit"
        ),
        "spec.parameters[1] $(params.idle) stands nowhere: the parameter changes nothing",
    ]


PARTS = {
    "container": (
        {"template": template(containers=[quiet(image="a:1")])},
        {"template": template(initContainers=[quiet(image="a:2")])},
    ),
    "volume": (
        {"template": template(volumes=[{"name": "sidecar", "emptyDir": {}}])},
        {"template": template(volumes=[{"name": "sidecar", "emptyDir": {"medium": "Memory"}}])},
    ),
    "serviceAccountName": (
        {"template": template(serviceAccountName="a")},
        {"template": template(serviceAccountName="b")},
    ),
    "label": (
        {"template": {"metadata": {"labels": {"a": "1"}}}},
        {"template": {"metadata": {"labels": {"a": "2"}}}},
    ),
    "annotation": (
        {"template": {"metadata": {"annotations": {"a": "1"}}}},
        {"template": {"metadata": {"annotations": {"a": "2"}}}},
    ),
    "mount": (
        {"template": {}, "applicationContainers": {
            "volumeMounts": [{"name": "a", "mountPath": "/data"}]}},
        {"template": {}, "applicationContainers": {
            "volumeMounts": [{"name": "b", "mountPath": "/data/"}]}},
    ),
    "variable": (
        {"template": {}, "applicationContainers": {"env": [{"name": "A", "value": "1"}]}},
        {"template": {}, "applicationContainers": {"env": [{"name": "A", "value": "2"}]}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_another_injection_wants_differently_is_told_to_the_one_that_yields(part):
    mine, other = PARTS[part]
    rival = injection("rival", cluster=True, **other)
    (found,) = [one for one in warned(rival, **mine) if "rival" in one]
    assert part in found
    assert "is not as in cluster/rival: this one yields" in found
    (found,) = [one for one in warned(rival, priority=1, **mine) if "rival" in one]
    assert found.endswith("that one yields")


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_another_injection_wants_alike_is_no_conflict(part):
    mine, _ = PARTS[part]
    rival = injection("rival", cluster=True, **mine)
    assert [one for one in warned(rival, **mine) if "rival" in one] == []


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ({"matchLabels": {"app": "a"}}, {"matchLabels": {"app": "b"}}, False),
        ({"matchLabels": {"app": "a"}}, {"matchLabels": {"app": "a"}}, True),
        ({"matchLabels": {"app": "a"}}, {"matchLabels": {"tier": "b"}}, True),
        ({"matchLabels": {"app": "a"}}, {}, True),
        (("In", ["a", "b"]), ("In", ["c"]), False),
        (("In", ["a", "b"]), ("In", ["b", "c"]), True),
        (("In", ["a"]), ("NotIn", ["a"]), False),
        (("In", ["a", "b"]), ("NotIn", ["a"]), True),
        (("NotIn", ["a"]), ("NotIn", ["b"]), True),
        (("Exists", None), ("DoesNotExist", None), False),
        (("In", ["a"]), ("DoesNotExist", None), False),
        (("NotIn", ["a"]), ("DoesNotExist", None), True),
    ],
    ids=str,
)
def test_selectors_that_exclude_each_other_cause_no_warning(one, other, meet):
    mine, theirs = PARTS["container"]
    rival = injection("rival", cluster=True, selector=selector(other), **theirs)
    found = [text for text in warned(rival, selector=selector(one), **mine) if "rival" in text]
    assert bool(found) is meet


def selector(given):
    if isinstance(given, dict):
        return given
    operator, values = given
    values = {"values": values} if values else {}
    return {"matchExpressions": [{"key": "app", "operator": operator, **values}]}


def test_injections_of_other_namespaces_are_no_rivals():
    elsewhere = {**resource("rival"), "metadata": {"name": "rival", "namespace": "elsewhere"}}
    rival = model.read(elsewhere, spec_schema=crds.spec_schema(names.KIND))
    assert not overlap.can_meet(injection(), rival)
    named = {"matchLabels": {names.NAMESPACE_NAME_LABEL: "elsewhere"}}
    cluster = injection("rival", cluster=True, namespaceSelector=named)
    assert not overlap.can_meet(injection(), cluster)
    assert overlap.can_meet(rival, cluster)


def test_an_injection_is_no_rival_of_its_own_older_version_nor_of_an_idle_one():
    mine, other = PARTS["container"]
    assert warned(injection("log", **other), **mine) == []
    assert warned(injection("rival", suspend=True, **other), **mine) == []


def test_what_the_api_server_passes_on_is_short_and_not_much():
    containers = [container(f"c{number}", image="x" * 300) for number in range(30)]
    one = injection(template=template(containers=containers))
    told = validate.validate(one).told()
    assert len(told) == validate.MAX_WARNINGS
    assert max(map(len, told)) <= 120
    assert told[-1] == "and 22 warnings more: see lint"


BROKEN = template(containers=[quiet(ports=[{"containerPort": 99999}])])


def test_the_condition_says_what_the_webhook_says():
    raw = resource(template=BROKEN)
    with pytest.raises(kopf.AdmissionError) as refusal:
        validation.judged(raw, kind=names.KIND, rivals=lambda _: [])
    made = status.wanted(
        injection(template=BROKEN), namespace=world.Namespace.assumed("demo"), serving=True,
        current={}, now="2030-01-01T00:00:00Z",
    )  # fmt: skip
    accepted, ready = made["conditions"]
    assert (accepted["status"], accepted["message"]) == ("False", str(refusal.value))
    assert (ready["status"], ready["reason"]) == ("False", "NotAccepted")


def test_the_webhook_warns_of_rivals_in_the_injections_namespace():
    asked = []

    def rivals(namespace):
        asked.append(namespace)
        return [injection("rival", cluster=True, template=template(containers=[quiet(image="y")]))]

    raw = resource(template=template(containers=[quiet()]))
    (told,) = validation.judged(raw, kind=names.KIND, rivals=rivals)
    assert "cluster/rival" in told
    validation.judged(resource(cluster=True), kind=names.CLUSTER_KIND, rivals=rivals)
    assert asked == ["demo", None]


def test_an_injection_that_is_being_deleted_is_let_through():
    raw = resource(template=BROKEN)
    raw["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z"
    assert validation.judged(raw, kind=names.KIND, rivals=lambda _: []) == []
