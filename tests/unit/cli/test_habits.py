"""What people who know kubectl try: folders, addresses, kinds with names, labels, namespaces."""

from __future__ import annotations

import json
import ssl

import pytest

from sidecar_injector import __version__, names
from sidecar_injector.cli.cluster import objects
from sidecar_injector.cli.cluster.objects import Reference
from sidecar_injector.cli.input import locations
from sidecar_injector.kube import api
from tests.kits import api_server, cluster
from tests.kits import cli as kit
from tests.kits import server_certificates as certificates
from tests.kits.cli import INJECTION, check_refused, placed, run, write
from tests.kits.samples import resource

ENABLED = f"{names.INJECTION_LABEL}={names.ENABLED}"


@pytest.mark.parametrize(
    ("words", "references"),
    [
        (("pod/a",), [Reference("Pod", "a")]),
        (("pod", "a"), [Reference("Pod", "a")]),
        (("po", "a", "b"), [Reference("Pod", "a"), Reference("Pod", "b")]),
        (("deploy/a", "sts/b"), [Reference("Deployment", "a"), Reference("StatefulSet", "b")]),
        (("Deployments.apps", "a"), [Reference("Deployment", "a")]),
        (("cj",), [Reference("CronJob", "")]),
    ],
)
def test_objects_are_named_as_for_kubectl(words, references):
    read = objects.references(words)
    assert [Reference(reference.kind, reference.name) for reference in read] == references
    assert all(reference.resource for reference in read)


@pytest.fixture
def folder(tmp_path):
    """A folder with a pod, one deeper, and a file of another kind."""
    (tmp_path / "all" / "deeper").mkdir(parents=True)
    write(tmp_path / "all", "b.yaml", placed(name="b"))
    write(tmp_path / "all", "a.json", json.dumps(placed(name="a")))
    write(tmp_path / "all", "notes.txt", "a: [")
    write(tmp_path / "all" / "deeper", "c.yml", placed(name="c"))
    return str(tmp_path / "all")


@pytest.mark.parametrize(("options", "found"), [((), "ab"), (("-R",), "abc")])
def test_a_folder_is_its_manifests_in_order(tmp_path, folder, options, found):
    injections = write(tmp_path, "in.yaml", INJECTION)
    for verb in ("inject", "explain"):
        result = run(verb, "-f", folder, "-i", injections, *options, "-o" if verb == "explain" else
                     "--report", "json")  # fmt: skip
        report = json.loads(result.stdout if verb == "explain" else result.stderr)
        assert "".join(pod["name"] for pod in report["pods"]) == found


def test_injections_may_be_a_folder_too(tmp_path, folder):
    (tmp_path / "injections").mkdir()
    write(tmp_path / "injections", "in.yaml", INJECTION)
    assert run("inject", "-f", folder, "-i", str(tmp_path / "injections")).exit_code == 0
    assert run("lint", "-f", str(tmp_path / "injections")).exit_code == 0


CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
NO_MANIFESTS = {
    "chart.yaml": "apiVersion: v2\nname: web\n", "empty.yaml": "",
    "kustomization.yaml": "resources: [pod.yaml]\n", "package.json": '{"name": "web"}',
    "patch.yaml": "- op: remove\n  path: /spec\n", "stack.yaml": "a: !Ref b\n",
    "template.yaml": "apiVersion: v1\n{{- if .Values.web }}\nkind: Pod\n{{- end }}\n",
    "values.yaml": b"image: {tag: '1'}  # \xe9\n",
}  # fmt: skip


@pytest.fixture
def repository(tmp_path):
    """A folder with a pod, its injection, another object, and files that are no manifests."""
    folder = tmp_path / "repository"
    folder.mkdir()
    for name, content in NO_MANIFESTS.items():
        write(folder, name, content)
    for name, content in (("in", INJECTION), ("pod", placed()), ("map", CONFIG_MAP)):
        write(folder, f"{name}.yaml", content)
    return str(folder)


PASSED_OVER = (
    f"{len(NO_MANIFESTS)} files are passed over, without a Kubernetes object: chart.yaml,"
    " empty.yaml, kustomization.yaml, package.json, patch.yaml, …"
)


@pytest.mark.parametrize("verb", ["lint", "inject", "explain", "diff", "uninject"])
def test_in_a_folder_what_is_no_manifest_is_passed_over_and_counted_once(repository, verb):
    injections = ("-i", repository) if verb in ("inject", "explain", "diff") else ()
    result = run(verb, "-f", repository, *injections)
    assert result.exit_code == 0
    assert result.stderr.count(f"note: {repository}: {PASSED_OVER}\n") == 1


def test_the_notes_for_programs_have_what_is_passed_over(repository):
    files = ("-f", repository, "-i", repository)
    for notes in (
        json.loads(run("explain", *files, "-o", "json").stdout)["notes"],
        json.loads(run("inject", *files, "--report", "json").stderr)["notes"],
    ):
        assert notes.count(f"{repository}: {PASSED_OVER}") == 1


def test_a_krm_function_takes_its_injections_from_a_folder(repository):
    items = {"apiVersion": "config.kubernetes.io/v1", "kind": "ResourceList", "items": [placed()]}
    result = run("krm", "-i", repository, stdin=json.dumps(items))
    assert result.exit_code == 0
    assert "sidecar-injector.dev/status" in result.stdout
    assert PASSED_OVER in " ".join(result.stdout.split())


@pytest.mark.parametrize("name", NO_MANIFESTS)
def test_a_file_that_is_named_and_is_no_manifest_is_refused(repository, name):
    for verb in ("lint", "uninject"):
        check_refused(run(verb, "-f", f"{repository}/{name}"), f"{repository}/{name}")


@pytest.mark.parametrize("content", ["apiVersion: v1\nkind: Pod\nspec: [\n", {
    **placed(), "metadata": {"name": 5}}])  # fmt: skip
def test_a_manifest_with_a_mistake_is_refused_in_a_folder_too(repository, content):
    path = write(repository, "mistake.yaml", content)
    check_refused(run("lint", "-f", repository), path)


def test_a_folder_without_anything_of_ours_is_refused_by_its_name(tmp_path, folder, repository):
    empty = tmp_path / "empty"
    empty.mkdir()
    write(empty, "values.yaml", "a: b")
    check_refused(run("inject", "-f", str(empty), "-i", repository), f"{empty}: contains no ")
    write(empty, "map.yaml", CONFIG_MAP)
    check_refused(run("lint", "-f", str(empty)), f"{empty}: contains no SidecarInjection")
    check_refused(run("inject", "-f", folder, "-i", str(empty)), f"{empty}: contains no Sidecar")


@pytest.fixture
def web(tmp_path, monkeypatch):
    """A web server whose certificate this machine trusts, and its address."""
    ca = certificates.certify()
    leaf = certificates.certify(name="web", by=ca, host=api_server.LOOPBACK)
    path = tmp_path / "ca.pem"
    path.write_bytes(ca.cert_pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with api_server.serving(leaf, tmp_path) as server:
        server.respond = lambda _: api_server.Answer(body=placed(name="of-web"))
        yield server, f"https://127.0.0.1:{server.port}/pod.json"


def test_an_address_is_fetched(tmp_path, web):
    result = run("inject", "-f", web[1], "-i", write(tmp_path, "in.yaml", INJECTION))
    assert (result.exit_code, "of-web" in result.stdout) == (0, True)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (api_server.Answer(status=404), "cannot be fetched: 404 Not Found"),
        (api_server.Answer(status=302, headers={"Location": "http://127.0.0.1:1/x"}),
         "cannot be fetched: 302 Found"),
        (api_server.Answer(body=b"x" * 101), "has more than 100 bytes"),
        (api_server.Answer(body=b"\xff"), "is not UTF-8"),
    ],
)  # fmt: skip
def test_an_address_that_gives_no_manifest_is_one_sentence(web, monkeypatch, answer, sentence):
    monkeypatch.setattr(locations, "MAX_BYTES", 100)
    web[0].respond = lambda _: answer
    check_refused(run("lint", "-f", web[1]), sentence)


def test_only_https_of_a_trusted_server_is_fetched(web, monkeypatch):
    check_refused(run("lint", "-f", "http://127.0.0.1:1/x"), "only https:// is fetched")
    monkeypatch.delenv("SSL_CERT_FILE")
    check_refused(run("lint", "-f", web[1]), "certificate verify failed")
    assert ssl.get_default_verify_paths()


def namespace_file(tmp_path, name="demo", **labels):
    manifest = {
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels},
    }  # fmt: skip
    return write(tmp_path, "namespace.yaml", manifest)


def explained(*arguments):
    result = run("explain", *arguments, "-o", "json")
    answer = json.loads(result.stdout)
    return answer["pods"][0], answer["notes"]


def test_what_is_assumed_of_a_namespace_is_said(tmp_path):
    files = ("-f", write(tmp_path, "pod.yaml", placed()), "-i", write(tmp_path, "i", INJECTION))
    note = f"namespace demo is assumed to have the label {ENABLED}: no file contains the namespace"
    assert explained(*files)[1] == [note]
    for verb in ("inject", "diff", "explain"):
        assert f"note: {note}\n" in run(verb, *files).stderr
    assert explained(*files, "--namespace-labels", ENABLED)[1] == []


def test_a_namespace_among_the_files_counts(tmp_path):
    files = ("-f", write(tmp_path, "pod.yaml", placed()), "-i", write(tmp_path, "i", INJECTION))
    pod, notes = explained(*files, "-f", namespace_file(tmp_path))
    assert (pod["reason"], notes) == ("NamespaceNotEnabled", [])
    enabled = namespace_file(tmp_path, **{names.INJECTION_LABEL: names.ENABLED})
    pod, notes = explained(*files, "-f", enabled)
    assert (pod["verdict"], notes) == ("Injected", [])


def test_a_namespace_without_any_injection_is_named_with_those_that_there_are(tmp_path):
    pods = write(tmp_path, "pod.yaml", placed(namespace="elsewhere"))
    files = ("-f", pods, "-i", write(tmp_path, "i", INJECTION), "--namespace-labels", ENABLED)
    name = INJECTION["metadata"]["name"]
    assert explained(*files)[1] == [
        f"no injection is for namespace elsewhere; there are demo/{name}"
    ]
    both = write(tmp_path, "i", [INJECTION, resource("all", cluster=True)])
    assert explained("-f", pods, "-i", both, "--namespace-labels", ENABLED)[1] == []


@pytest.fixture
def fake(monkeypatch):
    fake = cluster.installed()
    for name, labels in (("demo", {}), ("off", {names.INJECTION_LABEL: "disabled"})):
        fake.seed(api.NAMESPACES, cluster.namespace(name) | (
            {"metadata": {"name": name, "labels": labels}} if labels else {}))  # fmt: skip
    fake.seed(api.INJECTIONS, INJECTION)
    with cluster.served(monkeypatch, fake):
        yield fake


def test_files_without_injections_are_held_against_the_cluster(tmp_path, fake):
    pods = write(tmp_path, "pods.yaml", [placed(), placed(name="other", namespace="off")])
    result = run("explain", "-f", pods, "-o", "json")
    answer = json.loads(result.stdout)
    assert [pod["reason"] for pod in answer["pods"]] == ["", "NamespaceNotEnabled"]
    assert answer["notes"] == []
    result = run("inject", "-f", pods)
    assert result.stdout.count("name: sidecar\n") == 1
    assert run("diff", "-f", pods).stdout.count("+  - ") == 1


def test_a_namespace_that_the_cluster_does_not_have_is_assumed_or_among_the_files(tmp_path, fake):
    pods = write(tmp_path, "pods.yaml", placed(namespace="new"))
    assert json.loads(run("explain", "-f", pods, "-o", "json").stdout)["notes"] == [
        f"the cluster has no namespace new; it is assumed to have the label {ENABLED}"
    ]
    files = ("-f", pods, "-f", namespace_file(tmp_path, "new"))
    pod, notes = explained(*files)
    assert (pod["reason"], notes) == ("NamespaceNotEnabled", [])


def test_all_objects_of_a_kind_may_be_explained(fake):
    for name, namespace in (("a", "demo"), ("b", "demo"), ("c", "off")):
        pod = cluster.pod(name, labels={"app": name})
        pod["metadata"]["namespace"] = namespace
        fake.seed(api.PODS, pod)

    def found(*arguments):
        answer = json.loads(run("explain", *arguments, "-o", "json").stdout)
        return [f"{pod['namespace']}/{pod['name']}" for pod in answer["pods"]]

    assert found("pods") == found("pod", "-n", "demo") == ["demo/a", "demo/b"]
    assert found("pods", "-A") == ["demo/a", "demo/b", "off/c"]
    assert found("pods", "-l", "app=b") == ["demo/b"]
    assert found("pod", "b", "a") == ["demo/b", "demo/a"]
    check_refused(run("explain", "deploy", "-l", "app=x"),
                  "there is no deployment with the labels app=x in namespace demo")  # fmt: skip


def test_version_names_what_the_cluster_runs(fake):
    answer = json.loads(run("version", "-o", "json").stdout)
    assert answer == {
        "client": {"version": __version__, "apiVersion": names.API_VERSION},
        "operator": {"namespace": names.PRODUCT, "version": __version__},
        "kubernetes": "v1.37.2",
        "notes": [],
    }
    alone = run("version", "--client")
    assert (alone.stdout.count("\n"), alone.stderr) == (1, "")
    assert json.loads(run("version", "--client", "-o", "json").stdout) == {
        "client": {"version": __version__, "apiVersion": names.API_VERSION}
    }


def test_version_names_the_operator_without_an_option_where_a_cluster_is_configured(fake, tmp_path):
    path = api_server.kubeconfig(tmp_path / "config", server="https://127.0.0.1:1")
    calls = sum(fake.calls.values())
    result = run("version", HOME=str(tmp_path), KUBECONFIG=None, KUBERNETES_SERVICE_HOST=None)
    assert (result.stdout.count("\n"), result.stderr) == (1, "")
    assert sum(fake.calls.values()) == calls
    assert run("version", "--kubeconfig", path).stdout.splitlines()[1:] == [
        f"operator {__version__} in {names.PRODUCT}", "Kubernetes v1.37.2",
    ]  # fmt: skip


def test_version_without_a_cluster_is_still_the_version(tmp_path):
    path = api_server.kubeconfig(tmp_path / "config", server="https://127.0.0.1:1")
    text = run("version", "--kubeconfig", path)
    assert (text.exit_code, text.stdout.count("\n"), text.stderr.count("\n")) == (0, 1, 1)
    result = run("version", "-o", "json", "--kubeconfig", path)
    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["operator"], answer["kubernetes"]) == (0, None, None)
    (note,) = answer["notes"]
    assert "nothing listens at https://127.0.0.1:1" in note
    assert f"note: {note}" in result.stderr


def test_an_object_of_a_kind_that_is_not_known_is_named(tmp_path):
    widget = {
        "apiVersion": "example.com/v1", "kind": "Widget",
        "metadata": {"name": "web", "namespace": "demo"},
        "spec": {"template": {"spec": placed()["spec"]}},
    }  # fmt: skip
    result = kit.on_files(tmp_path, "inject", widget)
    assert "Widget/web: spec.template is taken for a pod template" in result.stderr
    assert "name: sidecar\n" in result.stdout
