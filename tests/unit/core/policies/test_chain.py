"""What is compiled into one policy, and what is left to the webhook with its field and reason."""

import re

import pytest

from sidecar_injector import names
from sidecar_injector.core.policies import cel, chain, unsupported
from tests.kits import policies as kit
from tests.kits import samples

PLACE = chain.Place()
CONTAINER = samples.container()


def compiled(*injections, others=(), place=PLACE):
    return chain.compile_chain(injections, place, others=others)


def only_left(injection):
    (left,) = compiled(injection).left
    return left


def of_cluster(name="log", **spec):
    return samples.injection(name, cluster=True, **spec)


def of_pod(**spec):
    return of_cluster(template={"spec": {"containers": [CONTAINER], **spec}})


def of_container(**fields):
    return of_cluster(template={"spec": {"containers": [{**CONTAINER, **fields}]}})


def applied(**fields):
    return of_cluster(template={}, applicationContainers=fields)


def with_parameter(value="$(params.p)", field="args", **parameter):
    container = {**CONTAINER, field: [value] if field == "args" else value}
    declared = {"name": "p", "from": {"podLabel": "p"}, **parameter}
    return of_cluster(template={"spec": {"containers": [container]}}, parameters=[declared])


POD, OWN = "spec.template.spec", "spec.template.spec.containers[0]"
APPLIED = "spec.applicationContainers"
MOUNT = {"name": "v", "mountPath": "/v"}
LEFT = {
    "operatingSystem": ("spec.operatingSystem", of_cluster(
        template={"spec": {"containers": [CONTAINER]}}, operatingSystem="Windows")),
    "dryRun": ("spec.dryRun", of_cluster(template={"spec": {"containers": [CONTAINER]}},
                                         dryRun=True)),
    "inherit": ("spec.inherit", of_cluster(template={"spec": {"containers": [CONTAINER]}},
                                           inherit={"volumeMounts": {}})),
    "default": ("spec.parameters", with_parameter(default="é")),
    "free text": (f"{OWN}.image", with_parameter("x:$(params.p)", "image")),
    "choices": (
        "spec.parameters",
        of_cluster(
            template={"spec": {"containers": [{**CONTAINER, "args": ["$(params.a) $(params.b)"]}]}},
            parameters=[
                {"name": name, "from": {"podLabel": name}, "enum": [str(n) for n in range(9)]}
                for name in "ab"
            ],
        ),
    ),
    "slow pattern": ("spec.parameters[0].pattern", with_parameter(pattern="(a{1,200}){5}")),
    "unknown value": ("spec.parameters[0].pattern", with_parameter(pattern="[#]{7}[%]")),
    "serviceAccountName": (f"{POD}.serviceAccountName", of_pod(serviceAccountName="a")),
    "hostNetwork": (f"{POD}.hostNetwork", of_pod(hostNetwork=True)),
    "hostPID": (f"{POD}.hostPID", of_pod(hostPID=True)),
    "shareProcessNamespace": (f"{POD}.shareProcessNamespace", of_pod(shareProcessNamespace=False)),
    "hostAliases": (f"{POD}.hostAliases", of_pod(hostAliases=[{"ip": "10.0.0.1",
                                                               "hostnames": ["a"]}])),
    "dnsConfig": (f"{POD}.dnsConfig", of_pod(dnsConfig={"searches": ["a"]})),
    "tolerations": (f"{POD}.tolerations", of_pod(tolerations=[{"operator": "Exists"}] * 2)),
    "resizePolicy": (f"{OWN}.resizePolicy", of_container(
        resizePolicy=[{"resourceName": "cpu", "restartPolicy": "NotRequired"}])),
    "number": (
        "spec.template",
        of_container(securityContext={"runAsUser": 2**53 + 2}),
    ),
    "sleep": (f"{OWN}.lifecycle", of_container(lifecycle={"preStop": {"sleep": {"seconds": 1}}})),
    "hostPort": (f"{OWN}.ports[0].hostPort", of_container(
        ports=[{"containerPort": 1, "hostPort": 1}])),
    "procMount": (f"{OWN}.securityContext.procMount", of_container(
        securityContext={"procMount": "Default"})),
    "ephemeral": (f"{POD}.volumes[0].ephemeral", of_pod(volumes=[{"name": "v", "ephemeral": {
        "volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"],
                                         "resources": {"requests": {"storage": "1Gi"}}}}}}])),
    "annotation": ("spec.template.metadata.annotations", of_cluster(template={
        "metadata": {"annotations": {names.SAFE_TO_EVICT_ANNOTATION: "x"}}})),
    "mount": (f"{APPLIED}.volumeMounts", applied(volumeMounts=[{**MOUNT, "mountPath": "/a/../b"}])),
    "subPathExpr": (f"{APPLIED}.volumeMounts[0].subPathExpr", applied(
        volumeMounts=[{**MOUNT, "subPathExpr": "$(A)"}])),
    "large": ("spec", of_container(args=["x" * 20_000])),
}  # fmt: skip


@pytest.mark.parametrize("case", LEFT)
def test_what_is_not_compiled_is_named_with_its_field(case):
    path, injection = LEFT[case]
    assert injection.errors == ()
    left = only_left(injection)
    assert left.path == path
    assert left.why
    assert compiled(injection).policy is None


def test_most_rows_of_the_table_have_an_example():
    """Each row is a field of the schema, so that a renamed field is noticed."""
    injection = samples.injection(cluster=True)
    for rule in unsupported.RULES:
        shape = injection.spec_schema
        for step in rule.path.split("."):
            shape = shape["properties"][step.removesuffix("[]")]
            shape = shape["items"] if step.endswith("[]") else shape


def test_the_injections_of_the_parity_test_are_all_compiled():
    made = compiled(*kit.injections("demo"))
    assert made.left == ()
    assert len(made.compiled) == 11
    assert made.guard is None


def test_no_expression_is_long():
    policy = compiled(*kit.injections("demo")).policy
    assert max(len(one["expression"]) for one in policy["variables"]) < 2 * cel.SHORT


def test_the_same_injections_make_the_same_policy_in_any_order():
    injections = kit.injections("demo")
    assert compiled(*injections) == compiled(*reversed(injections))


@pytest.mark.parametrize("is_compiled", [True, False])
def test_of_two_that_share_a_part_the_second_is_left(is_compiled):
    first, second = of_cluster("a"), of_cluster("b")
    made = compiled(first, second) if is_compiled else compiled(second, others=[first])
    (left,) = made.left
    assert left.injection is second
    assert left.why == "shares container sidecar with cluster/a, which comes first"


def test_two_that_share_a_part_and_never_meet_are_both_compiled():
    first = of_cluster("a", selector={"matchLabels": {"app": "a"}})
    second = of_cluster("b", selector={"matchLabels": {"app": "b"}})
    assert compiled(first, second).left == ()


def test_a_suspended_one_is_nowhere():
    made = compiled(of_cluster(suspend=True))
    assert (made.compiled, made.left, made.policy) == ((), (), None)


def test_a_namespaced_one_works_in_its_namespace_only():
    injection = samples.injection("log")
    policy = compiled(injection).policy
    namespace = cel.text(injection.namespace)
    conditions = {one["name"]: one["expression"] for one in policy["matchConditions"]}
    assert f"request.namespace == {namespace}" in conditions["selected"]


def test_a_bare_name_means_the_injection_of_the_namespace():
    made = compiled(of_cluster(activation="OnRequest"), others=[samples.injection("log")])
    namespace = cel.text(samples.injection("log").namespace)
    assert f"!(request.namespace in [{namespace}])" in str(made.policy["variables"])


def test_namespaces_with_limits_are_left_to_the_webhook():
    place = chain.Place(limited=["demo"], release_namespace="other")
    made = compiled(of_cluster(), place=place)
    (excluded,) = made.policy["matchConstraints"]["namespaceSelector"]["matchExpressions"]
    assert {"demo", "other", *names.SYSTEM_NAMESPACES} == set(excluded["values"])


def test_what_a_release_drops_is_left():
    volume = {"name": "v", "image": {"reference": "x"}}
    container = {**CONTAINER, "volumeMounts": [MOUNT]}
    injection = of_cluster(template={"spec": {"containers": [container], "volumes": [volume]}})
    (left,) = compiled(injection, place=chain.Place(minor=32)).left
    assert "dropped" in left.why
    assert compiled(injection, place=chain.Place(minor=37)).left == ()


def test_too_many_are_left_the_last_ones_first():
    def one(number):
        container = {**CONTAINER, "name": f"c{number}", "args": ["x" * 12_000]}
        labels = {"matchLabels": {"app": f"a{number}"}}
        return of_cluster(
            f"i{number:03}", template={"spec": {"containers": [container]}}, selector=labels
        )

    made = compiled(*(one(number) for number in range(45)))
    assert len(cel.json_text(made.policy)) <= chain.MOST_CHARACTERS
    assert {left.is_size for left in made.left} == {True}
    kept = [injection.name for injection in made.compiled]
    assert kept == [f"i{number:03}" for number in range(len(kept))]
    assert 5 < len(kept) < 45


def test_an_edit_by_hand_changes_the_hash():
    made = compiled(of_cluster())
    policy, binding = chain.manifests(made, name="x", guarded=True)
    annotations = policy["metadata"]["annotations"]
    assert annotations[chain.COMPILED_HASH] == chain.spec_hash(policy["spec"])
    assert (
        chain.spec_hash({**policy["spec"], "failurePolicy": "Fail"})
        != annotations[chain.COMPILED_HASH]
    )
    assert binding["spec"] == {"policyName": "x"}


def test_the_guard_names_what_it_cannot_hold():
    image = {**CONTAINER, "image": "x:$(params.p)"}
    declared = [{"name": "p", "from": {"podLabel": "p"}, "default": "1", "enum": ["1", "2"]}]
    labels = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [CONTAINER]}}
    for path, injection in {
        "spec.template.spec.containers": of_cluster(
            template={"spec": {"containers": [image]}}, parameters=declared, failurePolicy="Fail"
        ),
        "spec.selector": of_cluster(
            template=labels, selector={"matchLabels": {"app": "x"}}, failurePolicy="Fail"
        ),
    }.items():
        made = compiled(injection)
        assert [left.path for left in made.unguarded] == [path]
        assert made.guard is None
        assert made.policy


def test_the_guard_of_a_static_policy_keeps_the_end_of_its_name():
    made = compiled(of_cluster(failurePolicy="Fail"))
    every = chain.manifests(made, name="x.static.k8s.io", guarded=True)
    assert [one["metadata"]["name"] for one in every] == [
        *["x.static.k8s.io"] * 2, *["x-guard.static.k8s.io"] * 2
    ]  # fmt: skip
    assert len(chain.manifests(made, name="x", guarded=False)) == 2


TEXT = 'x") || variables.go || ("'


def test_what_a_user_writes_is_never_a_part_of_the_program():
    """With every literal taken out, two injections of different texts have the same program."""

    def program(text):
        injection = of_cluster(
            template={
                "metadata": {"annotations": {"a": text}},
                "spec": {"containers": [{**CONTAINER, "args": [text, "$(params.p)"]}]},
            },
            parameters=[{"name": "p", "from": {"podAnnotation": "p"}, "default": text}],
            applicationContainers={"env": [{"name": "A", "value": text}]},
        )
        policy = compiled(injection).policy
        literals = re.compile(r'"(?:[^"\\]|\\.)*"')
        return [literals.sub("S", one["expression"]) for one in policy["variables"]]

    assert program(TEXT) == program("x" * len(TEXT))


def test_a_manifest_has_plain_values_only():
    """Libraries that write YAML do not know the type of an expression."""

    def types(value):
        inner = value.values() if isinstance(value, dict) else value
        nested = inner if isinstance(value, dict | list) else ()
        return {type(value)}.union(*map(types, nested))

    made = compiled(*kit.injections("demo"), of_cluster("x", failurePolicy="Fail"))
    assert types(chain.manifests(made, name="x", guarded=True)) == {dict, list, str}
