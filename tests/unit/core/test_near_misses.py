"""What is nearly a word of ours: the sentence of each mistake, and silence about all else."""

from __future__ import annotations

import shlex
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar_injector import names
from sidecar_injector.core import near_misses
from sidecar_injector.core.injections import namespace_view
from sidecar_injector.core.pods import annotation, workloads
from sidecar_injector.core.reasons import Reason
from sidecar_injector.webhook import response
from tests.kits.samples import injection, namespace_with

OURS, LABEL = names.INJECT_ANNOTATION, names.INJECTION_LABEL
TUTORIAL = names.TUTORIAL_INJECT_ANNOTATION
PREFIX = names.PRODUCT
VIEW = namespace_with(
    injection("vault-agent"), injection("nginx"), injection("region", cluster=True)
)


def of_pod(labels=None, annotations=None, view=VIEW):
    annotations = annotations or {}
    return near_misses.of_pod(labels or {}, annotations, annotation.read(annotations), view)


def warned(**metadata):
    """The warnings, as kubectl shows them."""
    return [response.correction(finding) for finding in of_pod(**metadata)]


@pytest.mark.parametrize(
    ("value", "warning"),
    [
        ("vault-agnet",
         ("UnknownInjection: 'vault-agnet' does not exist; "
         "did you mean 'vault-agent'?")),
        ("vaultagent",
         ("UnknownInjection: 'vaultagent' does not exist; "
         "did you mean 'vault-agent'?")),
        ("vault",
         f"UnknownInjection: {OURS}: 'vault' does not exist; did you mean 'vault-agent'?"),
        ("cluster/nginx",
         (f"UnknownInjection: {OURS}: 'cluster/nginx' does not exist; "
         "did you mean 'nginx'?")),
        ("cluster/regoin",
         ("UnknownInjection: 'cluster/regoin' does not exist; "
         "did you mean 'cluster/region'?")),
        ("enabled", f"UnknownInjection: {OURS}: 'enabled' is no injection; write 'yes'"),
        ("none", f"UnknownInjection: {OURS}: 'none' is no injection; write 'no'"),
        ("ghost", "UnknownInjection: 'ghost' does not exist; kubectl get sidecar-injector -n demo"),
        ("Vault-Agent",
         (f"InvalidAnnotation: {OURS}: 'Vault-Agent' has capital letters; "
         "write 'vault-agent'")),
        ("yes, vault-agent",
         ("InvalidAnnotation: 'yes, vault-agent' mixes yes and names; "
         "write 'yes' or 'vault-agent'")),
        ("vault-agent nginx",
         ("InvalidAnnotation: 'vault-agent nginx' has no commas; "
         "write 'vault-agent,nginx'")),
        ("vault_agent",
         ("InvalidAnnotation: 'vault_agent' is not a list of names; "
         "write 'vault-agent'")),
        ("demo/nginx",
         "InvalidAnnotation: 'demo/nginx' has a namespace, and names have none; write 'nginx'"),
        ("cluster/a,demo/b",
         ("InvalidAnnotation: 'cluster/a,demo/b' has a namespace, and names have none; "
          "write 'cluster/a,b'")),
        ('["nginx"]',
         f"InvalidAnnotation: {OURS}: '[\"nginx\"]' is not a list of names; write 'nginx'"),
        ("only vault",
         "InvalidAnnotation: 'only vault' has no colon after only; write 'only: vault'"),
        ("Only: Vault",
         f"InvalidAnnotation: {OURS}: 'Only: Vault' has capital letters; write 'only: vault'"),
        ("only:", f"InvalidAnnotation: {OURS}: 'only:' lists no name; to get nothing, write 'no'"),
        ("", "InvalidAnnotation: '' is empty; write yes, no, or names with commas between"),
    ],
)  # fmt: skip
def test_a_value_that_asks_for_nothing_is_quoted_with_what_to_write(value, warning):
    assert warned(annotations={OURS: value}) == [f"{PREFIX}: {warning}"]


@pytest.mark.parametrize(
    ("metadata", "warning"),
    [
        (
            {"annotations": {"sidecar-injector.dev/injekt": "nginx"}},
            ("UnknownAnnotation: 'sidecar-injector.dev/injekt' has no effect; "
            "write sidecar-injector.dev/inject"),
        ),
        (
            {"annotations": {"sidecar-injector/inject": "nginx"}},
            ("UnknownAnnotation: 'sidecar-injector/inject' has no effect; "
            "write sidecar-injector.dev/inject"),
        ),
        (
            {"annotations": {"sidecar-injector": "nginx"}},
            ("UnknownAnnotation: the annotation 'sidecar-injector' has no effect; "
            "write sidecar-injector.dev/inject"),
        ),
        (
            {"annotations": {LABEL: "disabled"}},
            ("MisplacedLabel: annotation 'disabled' has no effect; "
            "make it a label: sidecar-injection=disabled"),
        ),
        (
            {"labels": {OURS: "nginx"}},
            ("MisplacedAnnotation: label 'nginx' has no effect; "
            "write it as annotation sidecar-injector.dev/inject"),
        ),
        (
            {"labels": {OURS: "disabled"}},
            ("MisplacedAnnotation: label 'disabled' has no effect; "
            "write sidecar-injection=disabled"),
        ),
        (
            {"labels": {LABEL: "false"}},
            ("UnknownLabelValue: label 'false' does not opt the pod out; "
            "write sidecar-injection=disabled"),
        ),
        (
            {"labels": {LABEL: "true"}},
            ("UnknownLabelValue: label 'true' has no effect; "
            "write the annotation sidecar-injector.dev/inject: 'yes'"),
        ),
        (
            {"labels": {"sidecar-injector": "disabled"}},
            ("UnknownLabel: the label sidecar-injector='disabled' has no effect; "
            "write sidecar-injection=disabled"),
        ),
        (
            {"labels": {"sidecar_injection": "false"}},
            ("UnknownLabel: the label sidecar_injection='false' has no effect; "
            "write sidecar-injection=disabled"),
        ),
        (
            {"labels": {"sidecarInjection": "enabled"}},
            ("UnknownLabel: label 'sidecarInje…' is ignored; "
            "write the annotation sidecar-injector.dev/inject: 'yes'"),
        ),
        (
            {"annotations": {TUTORIAL: "nginx"}},
            ("InvalidAnnotation: 'nginx' is not yes or no; "
            "names go into sidecar-injector.dev/inject"),
        ),
    ],
)  # fmt: skip
def test_a_key_or_a_place_that_means_nothing_draws_one_warning(metadata, warning):
    assert warned(**metadata) == [f"{PREFIX}: {warning}"]


@pytest.mark.parametrize(
    "metadata",
    [
        {"annotations": {OURS: "nginx, cluster/region, region"}},
        {"annotations": {OURS: "Yes", names.STATUS_ANNOTATION: "{}"}},
        {"annotations": {TUTORIAL: "yes", names.TUTORIAL_STATUS_ANNOTATION: "injected"}},
        {"annotations": {"sidecar.istio.io/inject": "false", "example.com/inject": "true"}},
        {"annotations": {"sidecar-injector.example.com/inject": "true"}},
        {"labels": {LABEL: "enabled", "app": "sidecar-injector"}},
        {"labels": {LABEL: "disabled", "sidecar": "yes", "sidecar-injector.dev/team": "a"}},
    ],
)
def test_nothing_is_said_about_what_is_right_or_of_others(metadata):
    assert of_pod(**metadata) == []


def test_a_key_that_a_parameter_reads_is_no_mistake():
    key = "sidecar-injector.dev/log-level"
    reading = injection(
        "log", parameters=[{"name": "level", "from": {"podAnnotation": key}, "default": "info"}]
    )
    assert of_pod(annotations={key: "debug"}, view=namespace_with(reading)) == []
    (finding,) = of_pod(annotations={key: "debug"})
    assert finding.reason is Reason.UNKNOWN_ANNOTATION


def test_without_injections_only_what_every_cluster_would_say_is_found():
    assert of_pod(annotations={OURS: "ghost"}, view=None) == []
    assert len(of_pod(annotations={OURS: "Ghost"}, view=None)) == 1


def deployment(kind="Deployment", *, template=None, **metadata):
    version = "batch/v1" if kind == "CronJob" else "apps/v1"
    spec = {"template": {"metadata": template or {}}}
    spec = {"jobTemplate": {"spec": spec}} if kind == "CronJob" else spec
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def of_workload(manifest):
    (path,) = workloads.pod_paths(manifest)
    return near_misses.of_workload(manifest, path)


@pytest.mark.parametrize(
    ("manifest", "warning"),
    [
        (
            deployment(annotations={OURS: "nginx"}),
            ("MisplacedAnnotation: 'nginx' on the Deployment is ignored; "
            "move it to spec.template.metadata"),
        ),
        (
            deployment("CronJob", annotations={OURS: "nginx"}),
            "MisplacedAnnotation: 'nginx' on the CronJob is ignored; move it to the pod template",
        ),
        (
            deployment(labels={LABEL: "disabled"}),
            ("MisplacedLabel: 'disabled' on the Deployment opts nothing out; "
            "move it to spec.template.metadata"),
        ),
    ],
)  # fmt: skip
def test_what_belongs_into_the_template_is_told_on_the_workload(manifest, warning):
    assert list(map(response.correction, of_workload(manifest))) == [f"{PREFIX}: {warning}"]


def test_a_workload_whose_template_has_the_same_is_fine():
    both = {"annotations": {OURS: "nginx"}, "labels": {LABEL: "disabled"}}
    assert of_workload(deployment(**both, template=both)) == []
    other = {"annotations": {OURS: "vault-agent"}, "labels": {LABEL: "enabled"}}
    assert len(of_workload(deployment(**both, template=other))) == 2, "the template says otherwise"
    assert of_workload(deployment(labels={LABEL: "enabled"})) == []


def namespace(labels=None, annotations=None, name="demo"):
    return namespace_view.Namespace(name, labels or {}, annotations or {})


@pytest.mark.parametrize(
    ("subject", "reason", "command"),
    [
        (
            namespace({LABEL: "true"}), Reason.UNKNOWN_LABEL_VALUE,
            "kubectl label namespace demo sidecar-injection=enabled --overwrite",
        ),
        (
            namespace({"sidecar-injector": "enabled"}), Reason.UNKNOWN_LABEL,
            "kubectl label namespace demo sidecar-injection=enabled sidecar-injector-",
        ),
        (
            namespace(annotations={LABEL: "enabled"}), Reason.MISPLACED_LABEL,
            "kubectl label namespace demo sidecar-injection=enabled",
        ),
        (
            namespace({LABEL: "enabled"}, name="kube-public"), Reason.NAMESPACE_EXCLUDED,
            "kubectl label namespace kube-public sidecar-injection-",
        ),
        (
            namespace({LABEL: "enabled"}, name="injector"), Reason.NAMESPACE_EXCLUDED,
            "kubectl label namespace injector sidecar-injection-",
        ),
    ],
    ids=lambda value: getattr(value, "value", ""),
)  # fmt: skip
def test_a_mistake_on_a_namespace_is_told_with_the_command_that_corrects_it(
    subject, reason, command
):
    (finding,) = near_misses.of_namespace(subject, release_namespace="injector")
    assert finding.reason is reason
    assert finding.remedy == command


@pytest.mark.parametrize(
    "subject",
    [
        namespace({LABEL: "enabled"}), namespace({LABEL: "disabled"}),
        namespace({LABEL: "enabled", "sidecar-injector": "enabled"}, {LABEL: "enabled"}),
        namespace({"istio-injection": "enabled", "team": "sidecar-injector"}),
    ],
)  # fmt: skip
def test_a_namespace_that_is_labelled_right_or_not_at_all_draws_nothing(subject):
    assert near_misses.of_namespace(subject, release_namespace="injector") == []


TEXTS = st.text(max_size=300) | st.text(string.ascii_letters + "-, ", min_size=1, max_size=300)
KEYS = st.sampled_from([OURS, TUTORIAL, LABEL, "sidecar-injector", "sidecar-injector/Inject"])
KEYS |= TEXTS.map(lambda text: f"sidecar-injector.dev/{text}")


@given(st.dictionaries(KEYS, TEXTS, max_size=9), st.dictionaries(KEYS, TEXTS, max_size=9))
def test_a_warning_fits_and_ends_with_the_remedy_whatever_the_values_are(labels, annotations):
    findings = of_pod(labels, annotations)
    assert len(findings) <= near_misses.MOST
    for finding in findings:
        remedy = finding.short.rpartition("; ")[2]
        warning = response.correction(finding)
        assert len(warning) <= response.MAX_WARNING_LENGTH
        assert warning.endswith(remedy)
        assert finding.message.endswith(remedy) or remedy.startswith("kubectl get")
        assert finding.message.isprintable()


@given(TEXTS.filter(bool), st.sampled_from(list(workloads.PATHS)))
def test_a_warning_about_the_workload_fits_and_says_where_to(value, kind):
    group, name = kind
    path = workloads.PATHS[kind]
    manifest = {"apiVersion": f"{group}/v1" if group else "v1", "kind": name,
                "metadata": {"annotations": {OURS: value}}}  # fmt: skip
    findings = near_misses.of_workload(manifest, path)
    assert len(findings) == bool(path)
    for warning in map(response.correction, findings):
        assert len(warning) <= response.MAX_WARNING_LENGTH
        assert warning.endswith(("move it to the pod template", "move it to spec.template.metadata",
                                 "move it to template.metadata"))  # fmt: skip


@given(st.text("abc", max_size=6), st.text("abc", max_size=6))
def test_a_typo_is_one_letter_or_two_that_changed_places(name, other):
    edits = {name[:i] + name[i + 1 :] for i in range(len(name))}
    edits |= {name[:i] + c + name[i:] for i in range(len(name) + 1) for c in "abc"}
    edits |= {name[:i] + c + name[i + 1 :] for i in range(len(name)) for c in "abc"}
    edits |= {name[:i] + name[i : i + 2][::-1] + name[i + 2 :] for i in range(len(name))}
    view = namespace_with(injection(f"x{other}"))
    expected = f"x{other}" if other in edits | {name} else ""
    is_part = len(name) > 1 and (name in other or (len(other) > 1 and other in name))
    assert near_misses.nearest(f"x{name}", view) in {expected, *([f"x{other}"] if is_part else [])}


def test_names_and_keys_of_a_file_are_quoted_for_a_shell():
    namespace = namespace_view.Namespace("$(id)", {"sidecar-injector.dev/inject;": "x"}, {})
    (finding,) = near_misses.of_namespace(namespace)
    assert shlex.split(finding.remedy) == [
        "kubectl", "label", "namespace", "$(id)", "sidecar-injection=enabled",
        "sidecar-injector.dev/inject;-",
    ]  # fmt: skip


def test_a_value_that_is_no_text_is_called_so():
    annotations = {names.INJECT_ANNOTATION: {"a": 1}}
    (finding,) = near_misses.of_pod({}, annotations, annotation.read(annotations), None)
    assert "it is not a text" in finding.message


@pytest.mark.parametrize(
    "labels",
    [
        {"sidecar-injector": "1.4.2"},
        {"sidecar-injector": "consul"},
        {"app.kubernetes.io/name": "sidecar-injector"},
        {"istio-injection": "disabled"},
        {LABEL: "disabled"},
    ],
    ids=str,
)
def test_labels_that_others_use_or_that_are_right_draw_no_warning(labels):
    assert warned(labels=labels) == []


@pytest.mark.parametrize(
    "key", ["sidecar-injector", "sidecar_injection", "sidecarInjection", "sidecar-injectoin"]
)
def test_a_namespace_whose_label_is_misspelt_is_told(key):
    (finding,) = near_misses.of_namespace(namespace({key: "enabled"}))
    assert finding.reason is Reason.UNKNOWN_LABEL
    assert finding.command == f"kubectl label namespace demo {LABEL}=enabled {key}-"
