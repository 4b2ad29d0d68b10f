"""The command `explain`: the answer, what to do, and each rule that was tried on request."""

from __future__ import annotations

import json

import pytest
import yaml

from sidecar_injector.cli.commands import explain, inject
from sidecar_injector.cli.output import report
from sidecar_injector.core import matching
from sidecar_injector.core.injections import namespace_view
from sidecar_injector.core.reasons import Level, PodVerdict, Reason
from tests.kits.cli import check_refused, clashing, on_files, placed, process, run, write
from tests.kits.random_pods import Draw
from tests.kits.samples import (
    NAMESPACE,
    container,
    decided,
    injection,
    namespace_with,
    pod,
    resource,
)

SCOPE = ["operation", "namespace", "namespace label", "mirror pod", "own pod", "pod label",
         "pod annotation"]  # fmt: skip
MATCH = ["namespaceSelector", "selector", "suspend", "optOut", "pod annotation", "activation",
         "hostNetworkPods", "operatingSystem"]  # fmt: skip
LISTING = {"sidecar-injector.dev/inject": "log,ghost"}


def explained(tmp_path, pods, injections, *arguments):
    return on_files(tmp_path, "explain", pods, *arguments, injections=injections)


def as_json(tmp_path, pods, injections, *arguments):
    return json.loads(explained(tmp_path, pods, injections, "-o", "json", *arguments).stdout)


def subject(subject_pod, *injections, **labels):
    request = namespace_view.PodRequest(namespace=NAMESPACE, pod=subject_pod)
    entry = report.ReportEntry(
        namespace=NAMESPACE, kind="Pod", name="web", decision=decided(subject_pod, *injections)
    )
    return inject.Subject(request=request, view=namespace_with(*injections, **labels), entry=entry)


def names_of(steps):
    return [step.rule for step in steps]


def test_an_injected_pod_has_passed_every_rule_in_order():
    explanation = explain.explanation(subject(pod(), injection()))
    assert names_of(explanation.scope) == SCOPE
    (steps,) = explanation.lines
    assert names_of(steps) == [*MATCH, "validity", "fit"]
    assert [step.result for step in steps] == ["passed"] * 9 + ["Injected"]


def test_what_becomes_of_the_pods_class_is_said_where_it_changes():
    limits = {"limits": {"cpu": "1", "memory": "1Gi"}}
    guaranteed = pod(containers=[container("app", resources=limits)])
    steps = explain.explanation(subject(guaranteed, injection())).scope
    assert names_of(steps) == [*SCOPE, "quality of service"]
    assert steps[-1].message == "Guaranteed without the injections, Burstable with"
    template = {"spec": {"containers": [container(resources=limits)]}}
    steps = explain.explanation(subject(guaranteed, injection(template=template))).scope
    assert names_of(steps) == SCOPE


@pytest.mark.parametrize(
    ("subject_pod", "spec", "rule", "reason"),
    [
        (pod(), {"selector": {"matchLabels": {"a": "b"}}}, "selector", "SelectorMismatch"),
        (pod(), {"suspend": True}, "suspend", "Suspended"),
        (pod(), {"activation": "OnRequest"}, "activation", "NotRequested"),
        (
            pod(annotations={"sidecar-injector.dev/inject": "only: x"}),
            {},
            "pod annotation",
            "NotListed",
        ),
        (pod(hostNetwork=True), {}, "hostNetworkPods", "HostNetwork"),
        (pod(os={"name": "windows"}), {}, "operatingSystem", "OperatingSystem"),
        (pod(), {"template": {}}, "validity", "Invalid"),
        (pod(containers=[{"name": "sidecar", "image": "x"}]), {}, "fit", "ContainerConflict"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_rule_that_stops_is_the_last_one(subject_pod, spec, rule, reason):
    (steps,) = explain.explanation(subject(subject_pod, injection(**spec))).lines
    *before, last = steps
    assert (last.rule, last.result) == (rule, reason)
    assert {step.result for step in before} == {"passed"}
    assert names_of(steps) == [*MATCH, "validity", "fit"][: len(steps)]


def test_a_pod_out_of_scope_has_no_rules_of_injections():
    explanation = explain.explanation(
        subject(pod(labels={"sidecar-injection": "disabled"}), injection())
    )
    assert names_of(explanation.scope) == SCOPE[:6]
    assert explanation.scope[-1].reason is Reason.POD_LABEL_DISABLED
    assert explanation.lines == []


@pytest.mark.parametrize("size", [150, pytest.param(600, marks=pytest.mark.long)])
def test_explain_and_the_decision_agree_on_random_pods_and_injections(size):
    reasons = set()
    for seed in range(size):
        draw = Draw(seed)
        random_subject = subject(draw.pod(), *draw.injections())
        explanation, decision = explain.explanation(random_subject), random_subject.entry.decision
        assert [steps[-1].reason for steps in explanation.lines] == [
            line.reason for line in decision.lines
        ]
        stopped = [step.reason for step in explanation.scope if step.reason]
        assert stopped == ([decision.reason] if decision.verdict is PodVerdict.OUT_OF_SCOPE else [])
        reasons.update(line.reason.level for line in decision.lines)
        reasons.update(reason.level for reason in stopped)
    assert reasons >= {Level.SCOPE, Level.MATCH, Level.FIT, Level.DONE}


@pytest.mark.parametrize(
    ("spec", "why", "remedy"),
    [
        ({}, "log (would be injected)",
         "-> set spec.dryRun to false: kubectl patch sidecarinjection log"),
        ({"template": {"spec": {"containers": [container("app", image="x")]}}},
         "log (would be skipped: ContainerConflict)",
         "-> rename one of the two, or set onConflict: Merge"),
        ({"template": {"spec": {"containers": [container("app", image="x")]}},
          "failurePolicy": "Fail"},
         "log (the pod would be refused: ContainerConflict)", "-> rename one of the two"),
        ({"template": {}}, "log (would be skipped: Invalid)",
         "-> correct the injection; its condition Accepted"),
    ],
)  # fmt: skip
def test_a_dry_run_says_what_would_be_and_what_helps(tmp_path, spec, why, remedy):
    result = explained(tmp_path, placed(), [resource(dryRun=True, **spec)])
    assert result.exit_code == 0
    heading, _, line, advice = result.stdout.splitlines()
    assert heading == f"demo/Pod/web: dry run: {why}"
    assert line.split()[:2] == ["log", "DryRun"]
    subject = "the pod" if "the pod" in why else "it"
    assert f"nothing is added, as spec.dryRun is true: otherwise {subject} would be " in line
    assert advice.strip().startswith(remedy.replace("->", "→"))
    (only,) = as_json(tmp_path, placed(), [resource(dryRun=True, **spec)])["pods"]
    assert only["injections"][0]["would"].lower() in why.lower()
    last = only["injections"][0]["rules"][-1]
    assert (last["rule"], last["result"]) == ("validity" if "Invalid" in why else "fit", "DryRun")


def test_the_rules_for_a_pod_that_opts_out_are_those_without_a_mandatory_dry_run(tmp_path):
    opted_out = placed(labels={"sidecar-injection": "disabled"})
    guard = resource("guard", cluster=True, optOut="Forbidden", dryRun=True)
    (only,) = as_json(tmp_path, opted_out, [guard, resource()])["pods"]
    assert only["reason"] == only["rules"][-1]["result"] == "PodLabelDisabled"
    (line,) = only["injections"]
    assert (line["name"], line["reason"], line["would"]) == ("guard", "DryRun", "Injected")


def test_the_tables_of_rules_have_every_reason_of_their_level_once():
    for rules, level in ((matching.SCOPE_RULES, Level.SCOPE), (matching.MATCH_RULES, Level.MATCH)):
        reasons = [rule.reason for rule in rules]
        assert len(reasons) == len(set(reasons))
        assert set(reasons) == {reason for reason in Reason if reason.level is level}


@pytest.mark.parametrize(
    ("subject_pod", "spec", "rule", "fact"),
    [
        (pod(labels={"app": "web"}), {"selector": {"matchLabels": {"app": "db"}}}, "selector",
         ": it needs app=db; there are app=web"),
        (pod(), {"selector": {"matchExpressions": [
            {"key": "a", "operator": "In", "values": ["x", "y"]},
            {"key": "b", "operator": "NotIn", "values": ["z"]},
            {"key": "c", "operator": "Exists"}, {"key": "d", "operator": "DoesNotExist"}]}},
         "selector", ": it needs a in (x,y),b notin (z),c,!d; there are no labels"),
        (pod(), {}, "selector", ": it needs nothing, as it is empty; there are no labels"),
        (pod(), {"activation": "OnRequest"}, "activation", ": the pod has none"),
        (pod(annotations={"sidecar-injector-webhook.morven.me/inject": "y"}), {}, "activation",
         ": sidecar-injector-webhook.morven.me/inject says yes"),
        (pod(annotations={"sidecar-injector.dev/inject": "%"}), {}, "activation",
         ": it is not valid"),
        (pod(annotations=LISTING), {}, "pod annotation",
         ": sidecar-injector.dev/inject lists log, ghost"),
        (pod(hostNetwork=True), {}, "hostNetworkPods",
         ": it is Skip; the pod uses the host network"),
        (pod(os={"name": "windows"}), {}, "operatingSystem",
         ": operatingSystem is Linux; the pod is for Windows"),
        (pod(nodeSelector={"kubernetes.io/os": "plan9"}), {}, "operatingSystem",
         ": operatingSystem is Linux; the pod is for neither Linux nor Windows"),
    ],
)  # fmt: skip
def test_a_rule_tells_what_it_saw(subject_pod, spec, rule, fact):
    (steps,) = explain.explanation(subject(subject_pod, injection(**spec))).lines
    (step,) = [step for step in steps if step.rule == rule]
    assert step.message.endswith(fact)


def test_a_label_is_shown_only_where_the_sentence_does_not_tell_its_value():
    def messages(labels):
        steps = explain.explanation(subject(pod(labels=labels), injection())).scope
        return {step.rule: step.message for step in steps}

    assert messages({})["namespace label"].endswith(" sidecar-injection=enabled")
    assert messages({})["pod label"].endswith(" sidecar-injection=disabled: there is no such label")
    other = messages({"sidecar-injection": "off"})["pod label"]
    assert other.endswith(" sidecar-injection=disabled: it has the value 'off'")
    disabled = messages({"sidecar-injection": "disabled"})["pod label"]
    assert disabled == "the pod carries the label sidecar-injection=disabled"


@pytest.mark.parametrize(
    ("fields", "rule", "fact"),
    [
        ({"labels": {"sidecar-injection": "disabled"}}, "pod label", "=disabled"),
        ({"annotations": {"sidecar-injector.dev/inject": "No"}}, "pod annotation", "says no"),
    ],
)
def test_a_pod_that_opts_out_shows_what_holds_it(fields, rule, fact):
    audit = injection("audit", cluster=True, optOut="Forbidden")
    explanation = explain.explanation(subject(pod(**fields), audit, injection()))
    assert names_of(explanation.scope) == SCOPE
    (step,) = [step for step in explanation.scope if step.rule == rule]
    separator = ": " if rule == "pod label" else "; "
    assert step.message.endswith(f"{fact}{separator}optOut of cluster/audit is Forbidden")
    held, out = explanation.lines
    assert held[-1].result == "Injected"
    assert out[-1].rule == "optOut"
    assert out[-1].message.startswith("the pod opts out of all injections that do not forbid it: ")


def test_the_namespaces_labels_count(tmp_path):
    cluster = resource("c", cluster=True, namespaceSelector={"matchLabels": {"tier": "a"}})
    (without,) = as_json(tmp_path, placed(), cluster)["pods"]
    assert without["injections"][0]["rules"][-1]["result"] == "NamespaceSelectorMismatch"
    (labelled,) = as_json(tmp_path, placed(), cluster, "--namespace-labels", "tier=a")["pods"]
    assert labelled["injections"][0]["rules"][-1]["result"] == "Injected"
    off = ("--namespace-labels", "sidecar-injection=off")
    (disabled,) = as_json(tmp_path, placed(), cluster, *off)["pods"]
    assert disabled["reason"] == disabled["rules"][-1]["result"] == "NamespaceNotEnabled"
    assert disabled["rules"][-1]["message"].endswith(": it has the value 'off'")


def test_the_first_line_is_the_answer_and_each_injection_has_a_line_and_a_remedy(tmp_path):
    asleep = resource("asleep", suspend=True)
    asking = {"sidecar-injector.dev/inject": "log,asleep,ghost"}
    result = explained(tmp_path, placed(annotations=asking), [resource(), asleep])
    assert result.exit_code == 0
    heading, columns, *lines = result.stdout.splitlines()
    assert heading == "demo/Pod/web: injected: log"
    assert columns.split() == ["INJECTION", "RESULT", "WHY"]
    assert [line.split()[:2] for line in lines if "→" not in line] == [
        ["annotation", "UnknownInjection"], ["asleep", "Suspended"], ["log", "Injected"],
    ]  # fmt: skip
    assert lines[1] == "  → see the names: kubectl get sidecar-injector -n demo"
    assert lines[3] == (
        "  → set spec.suspend to false: kubectl patch sidecarinjection asleep -n demo --type=merge"
        """ -p '{"spec":{"suspend":false}}'"""
    )
    assert len(lines) == 5


@pytest.mark.parametrize(
    ("pods", "injections", "heading", "remedy"),
    [
        (placed(labels={"sidecar-injection": "disabled"}), [resource()],
         "not injected (PodLabelDisabled): the pod carries the label sidecar-injection=disabled",
         "→ remove the label sidecar-injection from the pod, and create it again"),
        (placed(), [resource(activation="OnRequest")], "not injected: log (NotRequested)",
         ("→ set the annotation sidecar-injector.dev/inject to its name in the pod, and create it"
          " again")),
        (placed(), [clashing()], "not injected: clash (ContainerConflict)",
         "→ rename one of the two, or set onConflict: Merge"),
        (placed(), [resource(), clashing()], "injected: log; cannot be done: clash (ContainerConf",
         "→ rename one of the two, or set onConflict: Merge"),
        (placed(), [resource() | {"metadata": {"name": "log", "namespace": "other"}}],
         "not injected: there is no injection for this namespace", None),
    ],
    ids=["scope", "match", "fit", "both", "none"],
)  # fmt: skip
def test_the_answer_and_what_to_do(tmp_path, pods, injections, heading, remedy):
    lines = explained(tmp_path, pods, injections).stdout.splitlines()
    assert lines[0].startswith(f"demo/Pod/web: {heading}")
    assert [line.strip() for line in lines if "→" in line] == ([remedy] if remedy else [])


def test_selectors_that_do_not_match_need_no_remedy(tmp_path):
    other = resource(selector={"matchLabels": {"app": "db"}})
    assert "→" not in explained(tmp_path, placed(), other).stdout
    (line,) = as_json(tmp_path, placed(), other)["pods"][0]["injections"]
    assert line["command"].startswith("kubectl get sidecarinjection log -n demo")


def test_the_rules_are_plain_in_a_pipe_with_a_line_for_each(tmp_path):
    result = explained(tmp_path, placed(annotations=LISTING), resource(), "--rules")
    assert result.exit_code == 0
    heading, columns, *lines = result.stdout.splitlines()
    assert heading == "demo/Pod/web: injected: log"
    assert columns.split() == ["SUBJECT", "RULE", "RESULT", "WHY"]
    assert len(lines) == len(SCOPE) + 1 + len(MATCH) + 2
    assert any("UnknownInjection" in line and "'ghost'" in line for line in lines)
    # Columns stand below each other.
    at = columns.index("RESULT")
    assert all(line[at - 2 : at] == "  " and line[at] != " " for line in lines)


def test_values_that_the_pod_keeps_against_the_template_are_reported(tmp_path):
    parts = {"metadata": {"labels": {"app": "x"}}, "spec": resource()["spec"]["template"]["spec"]}
    result = explained(tmp_path, placed(labels={"app": "web"}), resource(template=parts))
    assert "; kept: /metadata/labels/app" in result.stdout


def test_the_json_is_that_of_the_report_with_rules_and_yaml_says_the_same(tmp_path):
    printed = as_json(tmp_path, placed(), resource())
    (explained_pod,) = printed["pods"]
    assert set(explained_pod) == {
        "namespace", "kind", "name", "verdict", "reason", "remedy", "command", "message", "rules",
        "injections",
    }  # fmt: skip
    (line,) = explained_pod["injections"]
    assert set(line) == {
        "kind", "name", "verdict", "reason", "message", "remedy", "command", "details", "rules",
    }  # fmt: skip
    assert explained_pod["rules"][0] == {
        "rule": "operation", "result": "passed", "message": "the pod is being created",
    }  # fmt: skip
    result = explained(tmp_path, placed(), resource(), "-o", "yaml")
    assert yaml.safe_load(result.stdout) == printed


def test_all_pods_of_all_manifests_are_explained(tmp_path):
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
                  "spec": {"template": {"spec": pod()["spec"]}}}  # fmt: skip
    manifests = [{"apiVersion": "v1", "kind": "List", "items": [placed(), deployment]},
                 {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}}]  # fmt: skip
    printed = as_json(tmp_path, manifests, resource(), "-n", "demo")
    assert [(item["kind"], item["name"], item["verdict"]) for item in printed["pods"]] == [
        ("Pod", "web", "Injected"), ("Deployment", "d", "Injected"),
    ]  # fmt: skip
    text = explained(tmp_path, manifests, resource(), "-n", "demo").stdout
    assert "\n\ndemo/Deployment/d: injected: log\n" in text


def test_an_injection_that_cannot_be_done_is_exit_status_1(tmp_path):
    result = explained(tmp_path, placed(), clashing())
    assert result.exit_code == 1
    assert "ContainerConflict" in result.stdout


@pytest.mark.parametrize("verb", ["explain", "diff"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give KIND/NAME of a cluster, or -f FILE"),
        (("pod/web", "-f", "a.yaml"), "pod/web and -f exclude each other: for a"),
        (("-A", "-f", "a.yaml"), "-A and -f exclude each other: for a"),
        (("-l", "app=web"), "-l without a kind: give one, such as deploy"),
        (("pod", "web", "-A"), "-l and -A choose among all objects of a kind: give no name"),
        (("pod", "-A", "-n", "demo"), "-n and -A exclude each other"),
        (("pod/web", "web"), "'web' is not KIND/NAME, such as pod/web or deploy/web"),
    ],
)
def test_arguments_for_files_and_for_a_cluster_exclude_each_other(verb, words, message):
    result = run(verb, *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in " ".join(result.stderr.split())


@pytest.mark.parametrize("verb", ["explain", "diff"])
@pytest.mark.parametrize(
    ("pods", "injections", "line"),
    [
        ("a: [", resource(), "pods.yaml, line 2, column 1: is not valid YAML"),
        ("kind: Pod\n", resource(), "document 1: field apiVersion must be a text"),
        (placed(labels={"a": 1}), resource(), "field metadata.labels[a]: 1 must be a string"),
        (placed(), resource() | {"apiVersion": "sidecar-injector.dev/v2"}, "r.dev/v2' is unknown"),
        (placed(), placed(), "in.yaml: contains no SidecarInjection"),
        (resource(), resource(), "pods.yaml: contains no pod; field kind"),
    ],
)  # fmt: skip
def test_unreadable_input_is_one_line_and_exit_status_2(tmp_path, verb, pods, injections, line):
    check_refused(on_files(tmp_path, verb, pods, injections=injections), line)


def test_standard_input_may_hold_the_pods_and_is_read_only_once(tmp_path):
    injections = write(tmp_path, "in.yaml", resource())
    piped = process("explain", "-f", "-", "-i", injections, stdin=json.dumps(placed()))
    assert piped.returncode == 0
    assert piped.stdout.startswith("demo/Pod/web: injected")
    twice = run("explain", "-f", "-", "-i", "-")
    assert (twice.exit_code, "can be read only once" in twice.stderr) == (2, True)


def test_names_are_not_read_as_commands_of_a_terminal(tmp_path):
    result = explained(tmp_path, placed(name="\x1b[2J\nweb"), resource())
    assert "\x1b" not in result.stdout
    assert result.stdout.startswith(r"demo/Pod/\x1b[2J\nweb: injected")


def test_the_containers_that_receive_something_are_shown(tmp_path):
    agent = resource(applicationContainers={"env": [{"name": "A", "value": "1"}]}, template={})
    author = placed()
    author["spec"]["containers"].append({"name": "istio-proxy", "image": "x"})
    (explained_pod,) = as_json(tmp_path, author, agent)["pods"]
    (line,) = explained_pod["injections"]
    assert line["containers"] == ["app", "istio-proxy"]
    text = explained(tmp_path, author, agent).stdout
    assert "; containers that receive something: app, istio-proxy\n" in text


def test_a_port_that_two_containers_have_is_told(tmp_path):
    port = [{"containerPort": 3500}]
    spec = {"containers": [{"name": "daprd", "image": "daprd:1", "ports": port}]}
    manifest = placed()
    manifest["spec"]["containers"][0]["ports"] = port
    result = explained(tmp_path, manifest, resource(template={"spec": spec}))
    assert "TCP 3500 is of 'daprd' and of 'app': only one can listen" in result.stdout


ENGINE = {"engine": "Policy", "cluster": True}


def engine_lines(tmp_path, pods, injections):
    """The sentences about the engine, by injection."""
    (answer,) = as_json(tmp_path, pods, injections)["pods"]
    return {
        line["name"]: rule["message"]
        for line in answer["injections"]
        for rule in line["rules"]
        if rule["rule"] == "engine"
    }


def test_what_asks_for_a_policy_is_told_what_would_add_it(tmp_path):
    account = {"spec": {"serviceAccountName": "proxy", "containers": [container("account")]}}
    parts = {"spec": {"containers": [container("mesh")]}}
    injections = [
        resource("mesh", template=parts, **ENGINE),
        resource("account", template=account, **ENGINE),
        resource("elsewhere", selector={"matchLabels": {"app": "other"}}, **ENGINE),
        resource("log"),
    ]
    lines = engine_lines(tmp_path, placed(), injections)
    assert lines.keys() == {"mesh", "account"}
    assert lines["mesh"] == "would be done by policy sidecar-injector"
    assert lines["account"].startswith("by the webhook: spec.template.spec.serviceAccountName: ")
    result = explained(tmp_path, placed(), injections)
    shown = [line.split(maxsplit=1) for line in result.stdout.splitlines()]
    assert [line[1] for line in shown if line[0] == "engine"] == [lines["account"], lines["mesh"]]


def test_of_a_pod_that_a_policy_leaves_alone_the_doubt_is_said(tmp_path):
    rare = placed()
    profile = {"container.apparmor.security.beta.kubernetes.io/app": "runtime/default"}
    rare["metadata"]["annotations"] = profile
    injections = [resource("mesh", **ENGINE)]
    assert engine_lines(tmp_path, placed(), injections)["mesh"].startswith("would")
    assert engine_lines(tmp_path, rare, injections)["mesh"].startswith("by the webhook: ")


def test_an_injection_of_the_webhook_that_comes_first_counts(tmp_path):
    def sharing(name, **spec):
        mounted = container(name, volumeMounts=[{"name": "data", "mountPath": f"/{name}"}])
        parts = {"containers": [mounted], "volumes": [{"name": "data", "emptyDir": {}}]}
        return resource(name, template={"spec": parts}, **spec)

    mesh = sharing("mesh", **ENGINE)
    injections = [mesh, sharing("first", cluster=True, priority=9)]
    lines = engine_lines(tmp_path, placed(), injections)
    assert lines.keys() == {"mesh"}
    assert "cluster/first" in lines["mesh"]
    lines = engine_lines(tmp_path, placed(), [mesh, sharing("own", priority=9)])
    assert lines["mesh"] == (
        "by the webhook: an injection of the namespace comes first and shares a part"
    )
