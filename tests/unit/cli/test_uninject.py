"""The command `uninject`: the way back of `inject`, for everything that has pods."""

from __future__ import annotations

import json
import pathlib

import pytest

from sidecar_injector import names
from sidecar_injector.cli.input import yaml_documents
from sidecar_injector.core.pods import workloads
from tests.kits import cases
from tests.kits.cli import check_refused, placed, process, run, write
from tests.kits.random_pods import Draw
from tests.kits.samples import pod, resource

CASES = [case for case in cases.ALL if names.STATUS_ANNOTATION not in
         (case.folder / "pod.yaml").read_text(encoding="utf-8")]  # fmt: skip


def round_trip(pods_file, injections_file, *arguments):
    """The documents before and after `inject | uninject`, and whether `inject` changed them."""
    injected = run("inject", "-f", str(pods_file), "-i", str(injections_file), *arguments)
    assert injected.exit_code in (0, 1)
    back = run("uninject", "-f", "-", stdin=injected.stdout)
    assert (back.exit_code, back.stderr) == (0, "")
    before = json.dumps(list(manifests_in(pathlib.Path(pods_file).read_text(encoding="utf-8"))))
    return (
        before,
        json.dumps(list(manifests_in(back.stdout))),
        (before != json.dumps(list(manifests_in(injected.stdout)))),
    )


def manifests_in(text):
    return filter(None, yaml_documents.load_all(text))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.folder.name)
def test_uninject_gives_back_what_inject_took(case):
    before, after, _ = round_trip(
        case.folder / "pod.yaml", case.folder / "injections.yaml", "-n", cases.NAMESPACE
    )
    assert after == before


@pytest.mark.parametrize(("group", "kind"), workloads.PATHS, ids=lambda value: value or "core")
def test_it_works_on_every_kind_that_makes_pods(tmp_path, group, kind):
    manifest = pod()
    for step in reversed(workloads.PATHS[group, kind]):
        manifest = {step: manifest if step != "template" else {"spec": manifest["spec"]}}
    manifest |= {"apiVersion": f"{group}/v1" if group else "v1", "kind": kind}
    manifest |= {"metadata": {"name": "x", "namespace": "demo"}}
    group_of_two = {"apiVersion": "v1", "kind": "List", "items": [manifest, manifest]}
    files = write(tmp_path, "p.yaml", [manifest, group_of_two])
    before, after, changed = round_trip(files, write(tmp_path, "in.yaml", resource()))
    assert changed
    assert after == before


def test_random_pods_come_back_as_they_were(tmp_path):
    total = 0
    for seed in range(60):
        draw = Draw(seed)
        pods = write(tmp_path, "p.yaml", draw.pod())
        injections = [resource(f"i-{seed}", template=template) for template in _templates(draw)]
        before, after, changed = round_trip(
            pods, write(tmp_path, "in.yaml", injections), "-n", "demo"
        )
        assert after == before, seed
        total += changed
    assert total > 20


def _templates(draw):
    """The largest template of random injections."""
    templates = [
        injection.spec["template"]
        for injection in draw.injections()
        if injection.spec.get("template")
    ]
    return [max(templates, key=lambda template: len(json.dumps(template)))] if templates else [
        resource()["spec"]["template"]
    ]  # fmt: skip


WRITTEN = """\
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: demo}
spec:
  selector: {matchLabels: {"app": web}}
  template:
    metadata:
      labels: {'app': web}
      annotations: {}
    spec:
      volumes: []
      imagePullSecrets: []
      dnsConfig: {}
      containers:
        - name: app
          image: 'app:1'
          env: []
          args: ["a b", 'c', d, "1"]
          command:
            - sh
            - -c
            - |
              echo hello
              exec /app --with-an-argument=that-is-long
          workingDir: LONG
        - {name: other, image: "o:1", env: [{name: OPTIONS, value: ''}], volumeMounts: []}
      hostAliases:
        - ip: 10.0.0.1
      securityContext: {fsGroup: 0644}
---
apiVersion: v1
kind: PodList
items:
- metadata: {}
  spec:
    containers:
    - name: app
      image: app:1
      env: null
""".replace("LONG", "/folder with a long name" * 10)
EVERYTHING = resource(
    template={
        "metadata": {"labels": {"l": "1"}},
        "spec": {
            "containers": [{"name": "log", "image": "log:1"}],
            "volumes": [{"name": "v", "emptyDir": {}}],
            "dnsConfig": {"options": [{"name": "ndots", "value": "2"}]},
            "imagePullSecrets": [{"name": "s"}],
            "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["x"]}],
        },
    },
    applicationContainers={
        "env": [{"name": "A", "value": "1"}],
        "appendEnv": [{"name": "OPTIONS", "value": "-x"}],
        "volumeMounts": [{"name": "v", "mountPath": "/v"}],
    },
)


def test_the_text_comes_back_to_the_byte(tmp_path):
    """Quotes, braces, indentation, long lines, octal numbers, null and empty values."""
    files = ("-f", write(tmp_path, "p.yaml", WRITTEN), "-i", write(tmp_path, "i.yaml", EVERYTHING))
    injected = run("inject", *files, "-n", "demo", "--report")
    assert injected.stderr.count(" log Injected ") == 2
    back = run("uninject", "-f", "-", stdin=injected.stdout)
    assert back.stdout == WRITTEN


def test_a_pod_that_was_not_injected_comes_out_as_it_is(tmp_path):
    file = write(tmp_path, "p.yaml", [placed(labels={"a": "b"}), resource()])
    result = run("uninject", "-f", file)
    assert list(yaml_documents.load_all(result.stdout)) == [placed(labels={"a": "b"}), resource()]


def test_what_is_no_longer_as_it_was_left_stays(tmp_path):
    labelled = resource(template={"metadata": {"labels": {"tier": "a"}}})
    files = ("-f", write(tmp_path, "p.yaml", placed()), "-i", write(tmp_path, "i.yaml", labelled))
    (injected_pod,) = yaml_documents.load_all(run("inject", *files).stdout)
    injected_pod["metadata"]["labels"]["tier"] = "changed"
    (back,) = yaml_documents.load_all(
        run("uninject", "-f", write(tmp_path, "q.yaml", injected_pod)).stdout
    )
    assert back["metadata"] == {"name": "web", "namespace": "demo", "labels": {"tier": "changed"}}


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("a: [", "p.yaml, line 2, column 1: is not valid YAML"),
        ("# nothing\n", "p.yaml: contains no Kubernetes object"),
        ("apiVersion: v1\nkind: Pod\nspec: {containers: {}}\n", "spec.containers: must be a list"),
        ("apiVersion: batch/v1\nkind: Job\nspec: {}\n", "field spec.template: must be an object"),
    ],
)
def test_unreadable_input_is_one_line_and_exit_status_2(tmp_path, content, line):
    check_refused(run("uninject", "-f", write(tmp_path, "p.yaml", content)), line)


def test_it_reads_a_pipe_once(tmp_path):
    result = process("uninject", "-f", "-", stdin=json.dumps(placed()))
    assert (result.returncode, result.stderr) == (0, "")
    assert run("uninject", "-f", "-", "-f", "-").exit_code == 2
