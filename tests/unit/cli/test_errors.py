"""A cluster that cannot be used is one sentence with a remedy, and exit status 2."""

from __future__ import annotations

import datetime
import json
import re
import shlex
import socket

import hypothesis
import pytest
from hypothesis import strategies as st

from sidecar_injector.cli.cluster import errors, http_client
from sidecar_injector.kube import api
from tests.kits import api_server as kit
from tests.kits import cluster
from tests.kits import server_certificates as certificates
from tests.kits.cli import check_refused, run

CA = certificates.certify()
LEAF = certificates.certify(name="server", by=CA, host=kit.LOOPBACK)
OLD = datetime.timedelta(days=9)


def refused(path, sentence, remedy, *, verb=("explain", "pod/web")):
    result = run(*verb, "--kubeconfig", str(path))
    check_refused(result, sentence)
    assert remedy in result.stderr.partition(sentence)[2]


def at(tmp_path, url, **cluster):
    return kit.kubeconfig(tmp_path / "config", server=url, **cluster)


@pytest.mark.parametrize(
    "verb", [("explain", "pod/web"), ("diff", "pod/web"), ("restart",), ("status",)]
)
def test_a_port_on_which_nothing_listens(tmp_path, verb):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{closed.getsockname()[1]}"
        refused(at(tmp_path, url), f"nothing listens at {url}", "--context", verb=verb)


def test_check_says_the_same_in_its_table(tmp_path):
    result = run("check", "--kubeconfig", at(tmp_path, "https://127.0.0.1:1"))
    assert result.exit_code == 2
    assert "nothing listens at https://127.0.0.1:1" in result.stdout
    assert "--context" in result.stdout


def test_a_host_that_never_answers(tmp_path, monkeypatch):
    monkeypatch.setattr(http_client, "CONNECT_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        refused(at(tmp_path, url), f"{url} does not answer", "firewalls")


def test_a_request_that_is_never_answered(tmp_path, monkeypatch):
    monkeypatch.setattr(http_client, "TOTAL_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        refused(at(tmp_path, url), f"{url} does not answer", "firewalls")


def test_a_name_that_is_not_known(tmp_path, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    url = "https://no-such-host.invalid"
    refused(at(tmp_path, url), "the name no-such-host.invalid", "`server` in the kubeconfig")


@pytest.mark.parametrize(
    ("leaf", "sentence", "remedy"),
    [
        (certificates.certify(by=CA, host=kit.LOOPBACK, age=OLD), "has expired", "date -u"),
        (certificates.certify(by=CA, host=kit.LOOPBACK, age=-OLD), "is not valid yet", "date -u"),
        (certificates.certify(by=CA), "is for another name", "`tls-server-name`"),
        (certificates.certify(by=certificates.certify(), host=kit.LOOPBACK),
         "is signed by a CA that the kubeconfig does not trust", "Fetch the kubeconfig again"),
    ],
    ids=["expired", "not yet valid", "other name", "other CA"],
)  # fmt: skip
def test_a_certificate_that_cannot_be_trusted(tmp_path, leaf, sentence, remedy):
    with kit.serving(leaf, tmp_path) as server:
        (tmp_path / "ca").write_bytes(CA.cert_pem)
        url = f"https://127.0.0.1:{server.port}"
        path = at(tmp_path, url, **{"certificate-authority": "ca"})
        refused(path, f"the certificate of the API server {url} {sentence}", remedy)


def test_a_server_without_tls(tmp_path):
    with kit.serving(None, tmp_path) as server:
        url = f"https://127.0.0.1:{server.port}"
        refused(at(tmp_path, url), f"{url} does not complete a TLS handshake", "the port")


def answered(tmp_path, answer, sentence, remedy):
    with kit.serving(None, tmp_path) as server:
        server.respond = lambda _: answer
        refused(at(tmp_path, f"http://127.0.0.1:{server.port}"), sentence, remedy)


def test_credentials_that_the_server_does_not_accept(tmp_path):
    answered(
        tmp_path, kit.Answer(status=401), "does not accept your credentials", "Log in again"
    )  # fmt: skip


def test_a_proxy_that_answers_in_the_servers_place(tmp_path):
    answered(tmp_path, kit.Answer(status=503, body=b"busy"), "cannot answer now (503): busy", "Try")


@pytest.mark.parametrize(
    ("kubeconfig", "context", "sentence"),
    [
        ("none", "here", "there is no such file"),
        ("config", "gone", "it has no context 'gone'; it has here"),
    ],
)
def test_a_kubeconfig_or_context_that_is_not_there(tmp_path, kubeconfig, context, sentence):
    at(tmp_path, "https://127.0.0.1:1")
    path = str(tmp_path / kubeconfig)
    for verb in (("explain", "pod/web"), ("restart",), ("status",), ("certificates", "show")):
        refused(path, f"kubeconfig {path}: {sentence}", "kubectl config get-contexts",
                verb=(*verb, "--context", context))  # fmt: skip


def test_no_kubeconfig_at_all(tmp_path):
    result = run("status", HOME=str(tmp_path), KUBECONFIG=None, KUBERNETES_SERVICE_HOST=None)
    check_refused(result, "neither --kubeconfig nor KUBECONFIG is set")


def api_error(status, message, path="/api/v1/namespaces/demo/pods/web"):
    return api.ApiError(status=status, reason="R", message=message, path=path)


@pytest.mark.parametrize(
    ("error", "sentence", "remedy"),
    [
        (api_error(404, 'pods "web" not found'), "there is no pod web in namespace demo",
         "kubectl get pods -n demo"),
        (api_error(404, 'deployments.apps "web" not found',
                   "/apis/apps/v1/namespaces/demo/deployments/web"),
         "there is no deployment web in namespace demo", "kubectl get deployments -n demo"),
        (api_error(404, 'namespaces "x" not found', "/api/v1/namespaces/x"),
         "there is no namespace x", "kubectl get namespaces"),
        (api_error(404, "page not found", "/version"),
         "the API server does not know /version: page not found", ""),
        (api_error(403, 'pods is forbidden: User "jane" cannot list resource "pods" in API group'
                   ' "" in the namespace "shop"'),
         "you may not list pods in namespace shop",
         ("kubectl create rolebinding sidecar-injector-cli-jane -n shop"
         " --clusterrole=sidecar-injector-cli --user=jane")),
        (api_error(403, 'namespaces is forbidden: User "system:serviceaccount:ci:bot" cannot list'
                   ' resource "namespaces" in API group "" at the cluster scope'),
         "you may not list namespaces",
         ("kubectl create clusterrolebinding sidecar-injector-cli-system:serviceaccount:ci:bot"
         " --clusterrole=sidecar-injector-cli --serviceaccount=ci:bot")),
        (api_error(403, 'pods "x" is forbidden: exceeded quota'),
         'pods "x" is forbidden: exceeded quota', ""),
        (api_error(409, "the object has been modified"), "the object has been modified", ""),
        (api.InvalidNameError("a/b"), "'a/b' cannot be the name of an object", ""),
    ],
)  # fmt: skip
def test_a_refusal_says_what_is_missing_and_what_helps(error, sentence, remedy):
    explained = errors.explained(error)
    assert explained.sentence == sentence
    assert remedy in explained.remedy
    assert bool(remedy) is bool(explained.remedy)


def forbidden(verb, resource, group="", namespace=""):
    place = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    return api_error(
        403,
        f'{resource} is forbidden: User "jane" cannot {verb} resource "{resource}" in API group'
        f' "{group}" {place}',
    )


@pytest.mark.parametrize(
    ("verb", "resource", "group"),
    [("get", "secrets", ""), ("create", "pods", ""), ("patch", "deployments", "apps"),
     ("list", "events", ""), ("list", "configmaps", "")],
)  # fmt: skip
def test_no_role_is_named_for_a_right_that_it_lacks(verb, resource, group):
    explained = errors.explained(forbidden(verb, resource, group, "shop"), role="blue-cli")
    assert explained.sentence == f"you may not {verb} {resource} in namespace shop"
    assert explained.remedy == ("No role of the chart gives users this right: ask an administrator")


def test_a_remedy_names_the_role_of_the_release_or_how_to_find_it():
    denied = forbidden("list", "pods", namespace="shop")
    of_release = errors.explained(denied, role="blue-sidecar-injector-cli").remedy
    assert "rolebinding blue-sidecar-injector-cli-jane -n shop" in of_release
    assert "--clusterrole=blue-sidecar-injector-cli --user=jane" in of_release
    assert errors.FIND_ROLE not in of_release
    assert errors.FIND_ROLE in errors.explained(denied).remedy


@pytest.mark.parametrize(
    ("denied", "can_name_namespace", "advises"),
    [
        (forbidden("list", "pods"), True, True),
        (forbidden("list", "pods"), False, False),
        (forbidden("list", "pods", namespace="shop"), True, False),
        (forbidden("list", "clustersidecarinjections", "sidecar-injector.dev"), True, False),
        (forbidden("list", "customresourcedefinitions", "apiextensions.k8s.io"), True, False),
    ],
)
def test_a_namespace_is_advised_only_where_it_helps(denied, can_name_namespace, advises):
    explained = errors.explained(denied, can_name_namespace=can_name_namespace)
    assert ("with -n" in explained.remedy) is advises


@pytest.mark.parametrize(
    ("arguments", "advises"),
    [((), True), (("-A",), True), (("-n", "shop"), False)],
)
def test_a_namespace_is_advised_only_where_none_was_named(tmp_path, arguments, advises):
    message = forbidden("list", "sidecarinjections", "sidecar-injector.dev").message
    with kit.serving(None, tmp_path) as server:
        body = json.dumps({"kind": "Status", "reason": "Forbidden", "message": message})
        server.respond = lambda _: kit.Answer(status=403, body=body.encode())
        path = at(tmp_path, f"http://127.0.0.1:{server.port}")
        result = run("status", *arguments, "--kubeconfig", path)
    check_refused(result, "you may not list sidecarinjections")
    assert ("with -n" in result.stderr) is advises


@hypothesis.given(st.lists(st.text(min_size=1), min_size=2, max_size=2, unique=True))
def test_each_user_has_a_binding_of_its_own(users):
    names = [shlex.split(errors.binding(user, namespace=None))[3] for user in users]
    assert len(set(names)) == 2
    assert not any(re.search(r"[/%\s]", name) for name in names)


def test_as_group_needs_a_user(tmp_path):
    result = run("status", "--as-group", "dev", "--kubeconfig", at(tmp_path, "https://127.0.0.1:1"))
    assert result.exit_code == 2
    assert "--as-group needs --as USER" in result.stderr


@pytest.mark.parametrize("verb", ["status", "restart"])
def test_a_namespace_that_does_not_exist_is_said_to_be_missing(monkeypatch, verb):
    fake = cluster.installed()
    path = "/api/v1/namespaces/nope"
    missing = api.ApiError(status=404, reason="NotFound", message="not found", path=path)
    fake.failures["get", "namespaces"] = [missing]
    with cluster.served(monkeypatch, fake):
        check_refused(run(verb, "-n", "nope"), "there is no namespace nope. See: kubectl get")
