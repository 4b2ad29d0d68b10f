"""`compile`: the admission policy of injections, from files and of a cluster, and `--check`."""

from __future__ import annotations

import json

import pytest
import yaml

from sidecar_injector import names
from sidecar_injector.core.policies import chain
from sidecar_injector.kube import api
from tests.kits import cluster as kit
from tests.kits.cli import check_refused, run, write
from tests.kits.fake_api import refusal
from tests.kits.samples import container, resource

ACCOUNT = {"spec": {"serviceAccountName": "proxy", "containers": [container("proxy")]}}
"""A template that no policy can add."""
LEFT = "spec.template.spec.serviceAccountName"
LIMITED = {"metadata": {"name": "small", "namespace": "demo"}, "spec": {}}


def injection(name="log", **spec):
    """A cluster injection that asks for the policy."""
    parts = {"spec": {"containers": [container(name)]}}
    return resource(name, cluster=True, **{"engine": "Policy", "template": parts, **spec})


@pytest.fixture
def fake():
    """A cluster with an injection of namespace `demo`, and one that asks for the policy."""
    fake = kit.installed()
    fake.seed(api.CLUSTER_INJECTIONS, injection("mesh"))
    return fake


@pytest.fixture
def compiled(monkeypatch, fake):
    def compile_with(*arguments):
        with kit.served(monkeypatch, fake):
            return run("compile", *arguments)

    return compile_with


def objects(result):
    """Kind and name of everything that is printed."""
    return [(each["kind"], each["metadata"]["name"]) for each in yaml.safe_load_all(result.stdout)]


def excluded(result):
    """The namespaces that the printed policy leaves out."""
    policy = next(yaml.safe_load_all(result.stdout))
    selector = policy["spec"]["matchConstraints"]["namespaceSelector"]
    return selector["matchExpressions"][0]["values"]


def test_every_injection_of_files_becomes_one_policy_and_its_binding(tmp_path):
    file = write(tmp_path, "in.yaml", [injection(engine="Webhook"), resource("own")])
    result = run("compile", "-f", file)
    assert (result.exit_code, result.stderr) == (0, "")
    policy, binding = yaml.safe_load_all(result.stdout)
    assert (policy["kind"], binding["kind"]) == (
        "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding",
    )  # fmt: skip
    assert binding["spec"] == {"policyName": "sidecar-injector"}
    annotations = policy["metadata"]["annotations"]
    assert annotations[chain.COMPILED_HASH] == chain.spec_hash(policy["spec"])
    sources = json.loads(annotations[chain.COMPILED_FROM])
    assert [(each["name"], each.get("namespace")) for each in sources] == [
        ("log", None), ("own", "demo"),
    ]  # fmt: skip


def test_what_is_left_to_the_webhook_is_noted_with_its_field_and_exit_status_1(tmp_path):
    own = resource("own", template=ACCOUNT)
    del own["metadata"]["namespace"]
    file = write(tmp_path, "in.yaml", [injection(), own])
    result = run("compile", "-f", file, "-n", "team")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"note: SidecarInjection team/own: {LEFT}: ")
    assert result.stderr.endswith(": the webhook does it\n")
    assert len(objects(result)) == 2
    only = write(tmp_path, "only.yaml", own)
    assert run("compile", "-f", only).stdout == ""


def test_what_a_cluster_would_refuse_is_noted_as_such(tmp_path):
    template = {"spec": {"containers": [{"name": "x", "imagee": "y"}]}}
    result = run("compile", "-f", write(tmp_path, "in.yaml", injection(template=template)))
    assert result.exit_code == 1
    assert result.stderr.endswith(": a cluster refuses it\n")


def test_programs_get_the_manifests_and_what_is_left(tmp_path):
    file = write(tmp_path, "in.yaml", [injection(), injection("bad", template=ACCOUNT)])
    result = run("compile", "-f", file, "-o", "json")
    answer = json.loads(result.stdout)
    assert [each["metadata"]["name"] for each in answer["manifests"]] == ["sidecar-injector"] * 2
    kind = "ClusterSidecarInjection"
    assert answer["compiled"] == [{"kind": kind, "namespace": "", "name": "log"}]
    (left,) = answer["left"]
    assert left.pop("message")
    assert left == {"kind": kind, "namespace": "", "name": "bad", "field": LEFT}
    assert answer["unguarded"] == answer["notes"] == []
    assert "objects" not in answer


def test_the_guard_is_beside_the_policy_and_what_it_cannot_hold_is_noted(tmp_path, monkeypatch):
    file = write(tmp_path, "in.yaml", injection(failurePolicy="Fail"))
    assert objects(run("compile", "-f", file, "--guard", "--name", "mine"))[2:] == [
        ("ValidatingAdmissionPolicy", "mine-guard"),
        ("ValidatingAdmissionPolicyBinding", "mine-guard"),
    ]

    def compile_chain(wanted, place, *, others=()):
        (each,) = wanted
        cause = chain.Left(injection=each, path="spec.selector", why="changes on the way")
        return chain.Chain(
            compiled=(each,), left=(), policy={}, guard=None, unguarded=(cause,)
        )  # fmt: skip

    monkeypatch.setattr(chain, "compile_chain", compile_chain)
    result = run("compile", "-f", file, "--guard")
    assert result.exit_code == 0
    assert result.stderr == (
        "note: ClusterSidecarInjection log: spec.selector: changes on the way: the guard does not"
        " hold it\n"
    )


def test_a_manifest_file_of_an_api_server_has_names_of_its_own_and_one_plugin(tmp_path):
    file = write(tmp_path, "in.yaml", injection(failurePolicy="Fail"))
    result = run("compile", "-f", file, "--static")
    name = "sidecar-injector.static.k8s.io"
    assert objects(result) == [
        ("MutatingAdmissionPolicy", name), ("MutatingAdmissionPolicyBinding", name),
    ]  # fmt: skip
    assert f"policyName: {name}\n" in result.stdout
    guard = "sidecar-injector-guard.static.k8s.io"
    result = run("compile", "-f", file, "--static", "--guard")
    assert objects(result) == [
        ("ValidatingAdmissionPolicy", guard), ("ValidatingAdmissionPolicyBinding", guard),
    ]  # fmt: skip
    assert f"policyName: {guard}\n" in result.stdout
    assert run("compile", "--static", "--check").exit_code == 2


def test_namespaces_with_limits_and_of_the_release_are_left_out(tmp_path):
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", **LIMITED}
    file = write(tmp_path, "in.yaml", [injection(), quota])
    system = ["kube-node-lease", "kube-public", "kube-system"]
    assert excluded(run("compile", "-f", file)) == ["demo", *system, "sidecar-injector"]
    result = run("compile", "-f", file, "--release-namespace", "injector")
    assert excluded(result) == ["demo", "injector", *system]


NARROWED = {
    "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
    "metadata": {"name": "sidecar-injector"},
    "webhooks": [{
        "name": names.MUTATE_WEBHOOK,
        "namespaceSelector": {"matchLabels": {names.INJECTION_LABEL: names.ENABLED, "a": "b"}},
        "objectSelector": {"matchExpressions": [{"key": "c", "operator": "Exists"}]},
        "matchConditions": [{"name": "d", "expression": "object.metadata.name != 'd'"}],
    }],
}  # fmt: skip


def narrowed(result):
    """What the printed policies and guards take of the webhook."""
    policies = [each for each in yaml.safe_load_all(result.stdout) if "Binding" not in each["kind"]]
    for policy in policies:
        constraints = policy["spec"]["matchConstraints"]
        yield (
            policy["kind"],
            constraints["namespaceSelector"]["matchExpressions"][1:],
            constraints["objectSelector"]["matchExpressions"][2:],
            [each["expression"] for each in policy["spec"]["matchConditions"][1:]],
        )


EXPECTED = [
    (
        kind, [{"key": "a", "operator": "In", "values": ["b"]}],
        NARROWED["webhooks"][0]["objectSelector"]["matchExpressions"],
        ["(object.metadata.name != 'd'\n)"],
    )
    for kind in ("MutatingAdmissionPolicy", "ValidatingAdmissionPolicy")
]  # fmt: skip


def test_policies_mean_the_pods_of_the_webhook_that_is_among_the_files(tmp_path):
    others = {**NARROWED, "webhooks": [{"name": "other", "objectSelector": {"matchLabels": {}}}]}
    file = write(tmp_path, "in.yaml", [others, injection(failurePolicy="Fail"), NARROWED])
    assert [*narrowed(run("compile", "-f", file, "--guard"))] == EXPECTED
    broken = {**NARROWED, "webhooks": [{"name": names.MUTATE_WEBHOOK, "objectSelector": "x"}, 1]}
    file = write(tmp_path, "in.yaml", [injection(), broken])
    assert [*narrowed(run("compile", "-f", file))] == [(EXPECTED[0][0], [], [], [])]


def test_policies_mean_the_pods_of_the_clusters_webhook(fake, compiled):
    fake.seed(api.CLUSTER_INJECTIONS, injection("mesh", failurePolicy="Fail"))
    fake.seed(api.MUTATING, NARROWED)
    assert [*narrowed(compiled("--guard"))] == EXPECTED
    fake.failures["get", api.MUTATING.plural] = [refusal(403, "Forbidden", "you may not")]
    result = compiled()
    assert "the policy works also where the webhook's own selectors exclude a pod" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--kubernetes-version", "1.35.4"), "Kubernetes 1.35 does not serve"),
        (("--kubernetes-version", "new"), "is not a version such as 1.37"),
        (("--name", "No Name"), "cannot be the name of an object"),
    ],
)
def test_a_wrong_use_is_told_what_is_right(tmp_path, arguments, line):
    result = run("compile", "-f", write(tmp_path, "in.yaml", injection()), *arguments)
    assert result.exit_code == 2
    assert line in result.stderr


def test_files_without_an_injection_are_refused(tmp_path):
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", **LIMITED}
    file = write(tmp_path, "in.yaml", quota)
    check_refused(run("compile", "-f", file), "contains no SidecarInjection or Cluster")


def test_of_a_cluster_those_are_compiled_that_ask_for_it(fake, compiled):
    fake.seed(api.CLUSTER_INJECTIONS, injection("other", engine="Webhook"))
    fake.seed(api.NAMESPACES, kit.namespace("large"))
    fake.seed(api.LIMIT_RANGES, LIMITED)
    fake.seed(api.RESOURCE_QUOTAS, {"metadata": {"name": "q", "namespace": "disabled"}})
    result = compiled()
    assert (result.exit_code, result.stderr) == (0, "")
    policy = next(yaml.safe_load_all(result.stdout))
    sources = json.loads(policy["metadata"]["annotations"][chain.COMPILED_FROM])
    assert [each["name"] for each in sources] == ["mesh"]
    assert "demo" in excluded(result)
    assert not {"large", "disabled"} & {*excluded(result)}


def test_a_webhooks_injection_that_comes_first_is_known(fake, compiled):
    parts = {"spec": {"containers": [container("mesh")]}}
    first = injection("first", engine="Webhook", priority=9, template=parts)
    fake.seed(api.CLUSTER_INJECTIONS, first)
    result = compiled()
    assert result.exit_code == 1
    assert "cluster/first" in result.stderr


def test_limits_that_may_not_be_read_are_noted_and_those_that_nobody_checks_are_not_read(
    fake, compiled
):
    fake.failures["list", "limitranges"] = [kit.forbidden(api.LIMIT_RANGES)]
    assert compiled().stderr == (
        "note: limitranges is forbidden: the policy adds sidecars also where a LimitRange forbids"
        " them\n"
    )
    fake.seed(api.LIMIT_RANGES, LIMITED)
    fake.seed(api.DEPLOYMENTS, kit.deployment(QUOTAS="Ignored"))
    assert "demo" not in excluded(compiled())


def test_a_cluster_in_which_none_asks_for_it_is_an_error_with_the_command(fake, compiled):
    fake.take(api.CLUSTER_INJECTIONS, name="mesh")
    result = compiled()
    check_refused(result, "no ClusterSidecarInjection has spec.engine Policy")
    assert "kubectl patch clustersidecarinjections NAME" in result.stderr


@pytest.mark.parametrize("arguments", [(), ("--check",)])
def test_an_older_cluster_is_an_error_that_names_its_release(fake, compiled, arguments):
    fake.version = "v1.35.2"
    check_refused(compiled(*arguments), "Kubernetes 1.35.2 does not serve")


@pytest.fixture
def checked(fake, compiled):
    """Exit status, states by kind, and the remedies of `--check`."""

    def check(*arguments):
        result = compiled("--check", "-o", "json", *arguments)
        answer = json.loads(result.stdout)
        states = {each["kind"]: (each["state"], each["message"]) for each in answer["objects"]}
        return result.exit_code, states, answer["remedies"]

    return check


def seed(fake, printed):
    """What is printed is applied."""
    resources = api.by_kind(api.POLICIES, api.POLICY_BINDINGS, api.GUARDS, api.GUARD_BINDINGS)
    for item in yaml.safe_load_all(printed.stdout):
        fake.seed(resources[item["kind"]], item)


@pytest.fixture
def policy(fake, compiled):
    """The policy of the cluster's injections."""
    seed(fake, compiled("--guard"))
    return fake.objects[api.POLICIES]["", "sidecar-injector"]


POLICY, BINDING = api.POLICIES.kind, api.POLICY_BINDINGS.kind
AGAIN = "sidecar-injector compile | kubectl {} -f -"


def test_check_misses_what_is_not_there(checked, compiled):
    absent = ("not there", "")
    assert checked() == (1, {POLICY: absent, BINDING: absent}, [AGAIN.format("apply")])
    lines = compiled("--check", "--name", "a-b").stdout.splitlines()
    assert lines[1].split(maxsplit=2) == [POLICY, "a-b", "not there"]
    assert lines[-1] == "  → sidecar-injector compile --name a-b | kubectl apply -f -"


def test_check_finds_the_same(checked, policy, fake, compiled):
    same = ("same", "")
    assert checked() == (0, {POLICY: same, BINDING: same}, [])
    assert checked("--guard")[0] == 0
    fake.seed(api.CLUSTER_INJECTIONS, injection("left", template=ACCOUNT))
    assert checked()[0] == 0
    assert compiled().exit_code == 1


def test_check_finds_an_edit_by_hand(checked, policy, fake):
    policy["spec"]["failurePolicy"] = "Fail"
    status, states, remedies = checked()
    assert (status, states[POLICY][0], states[BINDING][0]) == (1, "edited by hand", "same")
    assert remedies == [AGAIN.format("replace")]
    fake.take(api.POLICY_BINDINGS, name="sidecar-injector")
    assert checked()[2] == [AGAIN.format("apply")]


def test_a_policy_that_was_never_compiled_is_stale_or_no_concern_of_ours(checked, policy, fake):
    policy["metadata"].pop("annotations")
    policy["spec"]["failurePolicy"] = "Fail"
    assert checked()[1][POLICY] == ("stale", "not compiled from injections")
    fake.take(api.CLUSTER_INJECTIONS, name="mesh")
    assert checked() == (0, {}, [])


def test_check_names_the_injections_of_which_a_policy_is_stale(checked, policy, fake):
    fake.seed(api.CLUSTER_INJECTIONS, injection("added"))
    changed = {"spec": {"containers": [container("mesh", args=["x"])]}}
    fake.seed(api.CLUSTER_INJECTIONS, injection("mesh", template=changed))
    status, states, remedies = checked()
    others = "compiled from other injections: cluster/added, cluster/mesh"
    assert (status, states[POLICY]) == (1, ("stale", others))
    assert (states[BINDING], remedies) == (("same", ""), [AGAIN.format("apply")])


@pytest.mark.parametrize(
    "value",
    ["", "5", "null", "[1]", "[{}]", '[{"name": 1}]', "[" * 100_000],
    ids=lambda text: text[:9],
)
def test_check_reads_whatever_somebody_wrote_of_its_injections(checked, policy, fake, value):
    fake.seed(api.CLUSTER_INJECTIONS, injection("added"))
    policy["metadata"]["annotations"][chain.COMPILED_FROM] = value
    status, states, _ = checked()
    assert (status, states[POLICY][0]) == (1, "stale")


def test_check_tells_a_policy_of_another_place_or_version(checked, policy, fake):
    fake.seed(api.LIMIT_RANGES, LIMITED)
    assert checked()[1][POLICY] == (
        "stale", "compiled from other generations of them, by another version or for another place",
    )  # fmt: skip


def test_check_finds_what_nothing_needs_any_more(checked, policy, fake, compiled):
    fake.take(api.CLUSTER_INJECTIONS, name="mesh")
    unneeded = ("not needed", "no injection is compiled to it")
    assert checked() == (
        1,
        {POLICY: unneeded, BINDING: unneeded},
        ["kubectl delete mutatingadmissionpolicies sidecar-injector",
         "kubectl delete mutatingadmissionpolicybindings sidecar-injector"],
    )  # fmt: skip
    fake.take(api.POLICIES, name="sidecar-injector")
    fake.take(api.POLICY_BINDINGS, name="sidecar-injector")
    result = compiled("--check")
    assert result.exit_code == 0
    assert result.stdout == "nothing is compiled, and the cluster has no policy\n"


def test_a_policy_of_files_is_that_of_the_cluster(tmp_path, checked, fake):
    file = write(tmp_path, "in.yaml", injection("mesh"))
    seed(fake, run("compile", "-f", file))
    assert checked("-f", file)[0] == 0
    assert checked()[0] == 0
    status, _, remedies = checked("-f", write(tmp_path, "x.yaml", injection("other")))
    assert (status, remedies) == (
        1, [f"sidecar-injector compile -f {tmp_path}/x.yaml | kubectl apply -f -"],
    )  # fmt: skip


def test_a_policy_that_may_not_be_read_is_an_error(fake, compiled):
    fake.failures["get", api.POLICIES.plural] = [refusal(403, "Forbidden", "you may not")]
    result = compiled("--check")
    assert result.exit_code == 2
    assert "you may not" in result.stderr
