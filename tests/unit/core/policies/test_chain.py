"""What is compiled into one policy, and what is left to the webhook with its field and reason."""

import re

import pytest

from sidecar_injector import crds, names
from sidecar_injector.core.injections import model
from sidecar_injector.core.pods import quantity
from sidecar_injector.core.policies import cel, chain, doubts, guard, unsupported
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


def of_variable(**source):
    return {"env": [{"name": "A", "valueFrom": source}]}


def applied(**fields):
    return of_cluster(template={}, applicationContainers=fields)


def doubts_of(injection, pod, **labels):
    return [*doubts.of(injection, pod, samples.namespace_with(**labels).namespace)]


def with_parameter(value="$(params.p)", field="args", **parameter):
    container = {**CONTAINER, field: [value] if field == "args" else value}
    declared = {"name": "p", "from": {"podLabel": "p"}, **parameter}
    return of_cluster(template={"spec": {"containers": [container]}}, parameters=[declared])


def with_parts(fields=None, **spec):
    """A container with a parameter in these fields; the parameter has what the spec has not."""
    members = {key: spec.pop(key) for key in ("type", "enum") if key in spec}
    declared = {"name": "p", "from": {"podAnnotation": "p"}, **members}
    template = {"spec": {"containers": [{**CONTAINER, **(fields or {})}]}}
    return of_cluster(**{"template": template, "parameters": [declared], **spec})


NOTES, DELETION_COST = (
    "spec.template.metadata.annotations", "controller.kubernetes.io/pod-deletion-cost",
)  # fmt: skip
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
    "medium": (f"{POD}.volumes[0].emptyDir.medium", with_parts(
        template={"spec": {"containers": [{**CONTAINER, "volumeMounts": [MOUNT]}], "volumes": [
            {"name": "v", "emptyDir": {"medium": "$(params.p)"}}]}}, enum=["Memory", ""])),
    "key of a secret": (f"{OWN}.env[0].valueFrom.secretKeyRef.key", with_parts(
        of_variable(secretKeyRef={"name": "s", "key": "$(params.p)"}))),
    "key of a secret, built in": (f"{OWN}.env[0].valueFrom.secretKeyRef.key", with_parts(
        of_variable(secretKeyRef={"name": "s", "key": "$(pod.namespace)"}))),
    "divisor": (f"{OWN}.env[0].valueFrom.resourceFieldRef.divisor", with_parts(
        of_variable(resourceFieldRef={"resource": "limits.cpu", "divisor": "$(params.p)"}),
        type="Quantity")),
    "key of a secret for others": (f"{APPLIED}.env[0].valueFrom.secretKeyRef.key", with_parts(
        template={}, applicationContainers=of_variable(
            secretKeyRef={"name": "s", "key": "$(params.p)"}))),
    "annotation of Kubernetes": (f"{NOTES}.{DELETION_COST}", with_parts(
        template={"metadata": {"annotations": {DELETION_COST: "$(params.p)"}}}, type="Integer")),
    "large integer": ("spec.parameters", with_parts(
        {"livenessProbe": {"tcpSocket": {"port": 80},
                           "terminationGracePeriodSeconds": "$(params.p)"}},
        type="Integer", enum=[2**53 + 1, 1])),
    "large integer as a text": ("spec.parameters", with_parts(
        {"args": ["$(params.p)"]}, type="Integer", enum=[str(2**53 + 1), 1])),
    "number for others": ("spec.applicationContainers", applied(**of_variable(
        resourceFieldRef={"resource": "limits.memory", "divisor": 2**53 + 2}))),
    "value in an annotation": (f"{NOTES}.a", with_parts(
        template={"metadata": {"annotations": {"a": "$(params.p)"}}}, enum=["x", "é"])),
    "control character in an annotation": (f"{NOTES}.a", with_parts(
        template={"metadata": {"annotations": {"a": "$(params.p)"}}}, enum=["x", "\x01"])),
    "text beside a token": (f"{NOTES}.a", of_cluster(
        template={"metadata": {"annotations": {"a": "é$(pod.namespace)"}}})),
    "long default": ("spec.parameters", with_parameter(default="x" * 401)),
    "open \\Q": ("spec.parameters[0].pattern", with_parameter(pattern=r"\Qx")),
    "name of a group": ("spec.parameters[0].pattern", with_parameter(pattern="(?P<é>x)")),
    "equal tolerations": (f"{POD}.tolerations", of_pod(tolerations=[
        {"key": "a", "operator": "Exists"}, {"key": "a", "operator": "Exists", "value": ""}])),
    "order in tolerations": (f"{POD}.tolerations", of_pod(tolerations=[
        {"key": "a", "operator": "Exists"}, {"operator": "Exists", "key": "a"}])),
    "equal sources": (f"{APPLIED}.envFrom", applied(envFrom=[
        {"configMapRef": {"name": "x"}}, {"configMapRef": {"name": "x"}, "prefix": ""}])),
    "optional sources": (f"{APPLIED}.envFrom", applied(envFrom=[
        {"configMapRef": {"name": "x"}}, {"configMapRef": {"name": "x", "optional": False}}])),
    "not tried": (f"{APPLIED}.names", of_cluster(
        template={"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}},
        applicationContainers={"volumeMounts": [{**MOUNT, "subPath": "../x"}],
                               "names": {"exclude": ["application"]}})),
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


def test_an_absent_key_of_a_toleration_is_an_empty_one():
    tolerations = [{"operator": "Exists"}], [{"operator": "Exists", "key": ""}]
    first, second = (
        of_cluster(name, template={"spec": {"tolerations": items}})
        for name, items in zip("ab", tolerations, strict=True)
    )
    (left,) = compiled(first, second).left
    assert left.injection is second


FREE = {
    "arguments": {"args": ["a", "$(params.p)"]},
    "command": {"command": ["$(params.p)"]},
    "command of a probe": {"livenessProbe": {"exec": {"command": ["$(params.p)"]}}},
    "variable": {"env": [{"name": "A", "value": "$(params.p)"}]},
}


@pytest.mark.parametrize("case", FREE)
def test_a_value_that_may_be_any_text_is_compiled_where_any_text_is_right(case):
    assert compiled(with_parts(FREE[case])).left == ()


def test_a_pattern_is_compiled_if_it_is_one_inside_of_a_group():
    for pattern in (r"\Qx\E", "(?P<n>x)", "x|y", "(?i)x"):
        assert compiled(with_parameter(pattern=pattern)).left == ()


def test_a_text_of_ascii_beside_a_token_is_compiled_and_so_is_any_text_alone():
    for text in ("a $(pod.namespace)", "é", "é $(injection.name)"):
        template = {"metadata": {"annotations": {"a": text}}}
        assert compiled(of_cluster(template=template)).left == ()


def test_a_quantity_is_not_longer_than_the_webhook_accepts():
    policy = compiled(with_parameter(type="Quantity")).policy
    assert f".trim()) > {quantity.MAX_LENGTH}" in str(policy["variables"])
    assert quantity.parse(" " + "1" * quantity.MAX_LENGTH) is not None
    assert quantity.parse("1" * (quantity.MAX_LENGTH + 1)) is None


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


def test_a_dry_run_is_no_injection_that_a_bare_name_may_mean():
    of_namespace = samples.injection("log", dryRun=True)
    result = compiled(of_cluster(activation="OnRequest"), others=[of_namespace])
    assert "request.namespace" not in str(result.policy["variables"])


def of_team(number, name="log", **spec):
    resource = samples.resource(name, **spec)
    resource["metadata"]["namespace"] = f"team-{number:03}"
    return model.read(resource, spec_schema=crds.spec_schema(resource["kind"]))


def test_of_many_namespaces_with_a_name_none_is_written_down():
    """The bare name is left to the webhook, and the guard lets it pass."""
    wanted = of_cluster(activation="OnRequest", failurePolicy="Fail")
    unclear = '!variables.listed.exists(x, x in ["log"])'
    for number, is_unclear in ((guard.MOST_NAMESPACES, False), (guard.MOST_NAMESPACES + 1, True)):
        others = [of_team(each, template={}, suspend=True) for each in range(number)]
        result = compiled(wanted, others=[*others, of_team(0, "another")])
        assert (unclear in str(result.policy["variables"])) == is_unclear
        for spec in (result.policy, result.guard):
            assert ("team-000" in str(spec)) != is_unclear
            assert '"cluster/log" in variables.listed' in str(spec)


def test_an_injection_of_a_namespace_decides_about_its_namespace_only():
    """Whoever may write each in some namespace must not take a sidecar from all others."""
    first = of_team(1, "first", priority=1000)
    result = compiled(of_cluster(failurePolicy="Fail"), others=[first])
    assert (result.left, result.apart) == ((), {"team-001"})
    (excluded,) = result.policy["matchConstraints"]["namespaceSelector"]["matchExpressions"]
    assert "team-001" in excluded["values"]
    assert "team-001" not in str(result.guard)
    last = of_team(1, "last", priority=-1000)
    assert "team-001" not in str(compiled(of_cluster(), others=[last]).policy)


def test_what_shares_a_part_with_one_that_is_left_waits_for_it():
    first = of_cluster("first", inherit={"volumeMounts": {}}, priority=1)
    later = of_cluster("later")
    other = of_cluster("other", template={"metadata": {"labels": {"a": "b"}}})
    result = compiled(later, other, first)
    assert [each.injection for each in result.left] == [first, later]
    assert result.left[1].why == "shares container sidecar with cluster/first, which comes first"
    assert result.compiled == (other,)


def test_of_many_namespaces_with_a_part_none_is_written_down():
    others = [of_team(number, priority=1000) for number in range(guard.MOST_NAMESPACES + 1)]
    assert compiled(of_cluster(), others=others[1:]).left == ()
    (left,) = compiled(of_cluster(), others=others).left
    assert left.is_size
    assert left.why.endswith(f"and the policy would leave out {len(others)}")


def test_what_is_left_anyway_keeps_no_namespace_apart():
    first = of_team(1, "first", priority=1000)
    harmless = of_cluster("other", template={"metadata": {"labels": {"a": "b"}}})
    result = compiled(of_cluster(dryRun=True), harmless, others=[first])
    assert [left.path for left in result.left] == ["spec.dryRun"]
    assert "team-001" not in str(result.policy)


def test_names_of_many_namespaces_are_the_cause_if_nothing_has_room():
    limited = [f"{number:05}{'x' * 50}" for number in range(6_000)]
    (left,) = compiled(of_cluster(), place=chain.Place(limited=limited)).left
    assert left.is_size
    assert "names of 6000 namespaces with limits" in left.why
    assert "namespaces" not in chain._too_many(of_cluster(), PLACE).why


def test_claims_of_containers_are_counted_as_work():
    variables = {
        each["name"]: each["expression"] for each in compiled(of_cluster()).policy["variables"]
    }
    for field in ("limits", "requests", "claims"):
        assert f"size(c.?resources.?{field}.orValue(" in variables["parts"]


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


@pytest.mark.parametrize(
    "source", [{"configMap": {}}, {"secret": {}}, {"configMap": {"items": []}}], ids=str
)
def test_a_volume_with_an_empty_source_is_only_compared_by_the_webhook(source):
    injection = of_pod(volumes=[{"name": "v", **source}])
    made = compiled(injection)
    assert made.left == ()
    assert "in object.spec.volumes)" not in str(made.policy["variables"])
    assert "it has a volume of that name, of a kind that only the webhook compares" in doubts_of(
        injection, samples.pod(volumes=[{"name": "v", "emptyDir": {}}])
    )


@pytest.mark.parametrize("step", ["trials.of", "pod_facts.stored_volume"])
def test_an_injection_that_our_own_error_stops_does_not_stop_the_others(monkeypatch, step):
    owner, name = step.split(".")
    module = getattr(chain, owner)
    right = getattr(module, name)

    def failing(part, **options):
        if "broken" in str(part):
            raise KeyError("secret of a template")
        return right(part, **options)

    monkeypatch.setattr(module, name, failing)
    volume = {"name": "broken", "emptyDir": {}}
    container = samples.container("second")
    broken = of_cluster("a", template={"spec": {"containers": [container], "volumes": [volume]}})
    made = compiled(broken, of_cluster("b", failurePolicy="Fail"))
    assert [each.name for each in made.compiled] == ["b"]
    assert made.policy
    assert made.guard
    (left,) = made.left
    assert left.injection is broken
    assert "KeyError at test_chain.py:" in left.why
    assert "secret" not in left.why


def test_an_error_that_no_injection_causes_alone_is_not_hidden(monkeypatch):
    right = chain._policy

    def failing(accepted, *rest):
        if len(accepted) > 1:
            raise KeyError("x")
        return right(accepted, *rest)

    monkeypatch.setattr(chain, "_policy", failing)
    other = of_cluster("b", template={"spec": {"containers": [samples.container("b")]}})
    with pytest.raises(KeyError):
        compiled(of_cluster("a"), other)


def test_the_name_of_the_injection_in_an_image_is_that_of_the_container_in_a_pod():
    container = samples.container(image="example/$(injection.name):$$(injection.name)")
    made = compiled(of_cluster(template={"spec": {"containers": [container]}},
                               failurePolicy="Fail"))  # fmt: skip
    image = cel.text("sidecar example/log:$$(injection.name)")
    for spec in (made.policy, made.guard):
        assert f"{image} in variables.images" in str(spec).replace("\\\\", "\\")


def test_a_record_that_may_not_fit_into_the_annotations_is_left_to_the_webhook():
    policy = compiled(of_cluster()).policy
    (done,) = (one["expression"] for one in policy["variables"] if one["name"] == "go")
    # Twice, and beside them the annotations of the pod, of four bytes a character.
    assert f"size(variables.status) <= {doubts.MOST_RECORDED}" in done
    assert 2 * doubts.MOST_RECORDED + 4 * doubts.MOST_ANNOTATIONS < 256 << 10


def test_a_pull_secret_of_a_pod_may_have_no_name():
    policy = compiled(of_pod(imagePullSecrets=[{"name": "a"}])).policy
    assert 'exists(x, x.?name.orValue("") == "a")' in str(policy["variables"])
