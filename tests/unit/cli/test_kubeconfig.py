"""The kubeconfigs that people have: several files, contexts, plugins, certificates, tokens."""

from __future__ import annotations

import base64
import json
import os
import stat
import sys

import pytest

from sidecar_injector.cli.cluster import kubeconfig
from sidecar_injector.kube import api
from tests.kits.api_server import kubeconfig as written


def files(*paths, context=None):
    found = kubeconfig.find({}, kubeconfig=os.pathsep.join(map(str, paths)), context=context)
    assert found
    return found


def access(*paths, **options):
    return files(*paths, **options).access()


def user_access(tmp_path, user, **cluster):
    return access(written(tmp_path / "a", user=user, **{"server": "https://here", **cluster}))


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def plugin(tmp_path, script, **fields):
    """A user whose credentials come from a program of this shell script."""
    program = tmp_path / "plugin"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    version = "client.authentication.k8s.io/v1"
    return {"exec": {"apiVersion": version, "command": "./plugin", **fields}}


def test_of_several_files_the_first_that_names_a_context_decides(tmp_path):
    first = written(tmp_path / "a", name="one", server="https://one")
    second = written(tmp_path / "b", name="two", server="https://two")
    (tmp_path / "empty").write_text("")
    (tmp_path / "silent").write_text(json.dumps({"contexts": []}))
    assert access(first, second).server == "https://one"
    assert access(tmp_path / "silent", second, first).server == "https://two"
    assert access(tmp_path / "empty", tmp_path / "none", second).server == "https://two"
    chosen = files(first, second, context="two")
    assert (chosen.access().server, chosen.namespace()) == ("https://two", "of-two")
    assert chosen.contexts() == ["one", "two"]


def test_the_environment_is_read_as_kubectl_reads_it(tmp_path, monkeypatch):
    one, two = (written(tmp_path / name, server=f"https://{name}") for name in ("one", "two"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with pytest.raises(api.CredentialsError, match="neither --kubeconfig nor KUBECONFIG is set"):
        kubeconfig.find({}, kubeconfig=None, context=None)
    assert kubeconfig.find({"KUBERNETES_SERVICE_HOST": "h"}, kubeconfig=None, context=None) is None
    (tmp_path / "home" / ".kube").mkdir(parents=True)
    (tmp_path / "home" / ".kube" / "config").write_text((tmp_path / "one").read_text())
    for environment, path, server in (
        ({"KUBERNETES_SERVICE_HOST": "h"}, None, "https://one"),
        ({"KUBECONFIG": two}, None, "https://two"),
        ({"KUBECONFIG": two}, one, "https://one"),
    ):
        found = kubeconfig.find(environment, kubeconfig=path, context=None)
        assert found
        assert found.access().server == server


def test_a_pod_without_a_kubeconfig_uses_its_service_account(tmp_path, monkeypatch):
    (tmp_path / "token").write_text("fresh\n")
    (tmp_path / "ca.crt").write_text("PEM")
    monkeypatch.setattr(kubeconfig, "SERVICE_ACCOUNT", tmp_path)
    environment = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    found = kubeconfig.in_pod(environment)
    assert (found.server, found.authorization, found.ca) == (
        "https://[fd00::1]:443", "Bearer fresh", "PEM",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("user", "header"),
    [
        ({"token": "abc"}, "Bearer abc"),
        ({"tokenFile": "token", "token": "old"}, "Bearer from-file"),
        ({"username": "u", "password": "p"}, f"Basic {encoded('u:p')}"),
        ({}, ""),
    ],
)
def test_a_user_may_have_a_token_a_file_with_one_a_password_or_nothing(tmp_path, user, header):
    (tmp_path / "token").write_text("from-file\n")
    assert user_access(tmp_path, user).authorization == header


def test_certificates_may_be_embedded_or_files_beside_the_kubeconfig(tmp_path):
    for name in ("ca", "crt", "key"):
        (tmp_path / name).write_text(f"PEM of {name}")
    user = {"client-certificate": "crt", "client-key": "key"}
    of_files = user_access(tmp_path, user, **{"certificate-authority": "ca"})
    user = {
        "client-certificate-data": encoded("PEM of crt"), "client-key-data": encoded("PEM of key"),
    }  # fmt: skip
    embedded = user_access(tmp_path, user, **{"certificate-authority-data": encoded("PEM of ca")})
    assert of_files == embedded
    assert (embedded.ca, embedded.certificate, embedded.key) == (
        "PEM of ca", "PEM of crt", "PEM of key",
    )  # fmt: skip


def test_a_cluster_may_have_a_name_a_proxy_and_no_verification(tmp_path):
    cluster = {"tls-server-name": "n", "proxy-url": "http://p:1", "insecure-skip-tls-verify": True}
    found = user_access(tmp_path, {"as": "u", "as-groups": ["g", "h"]}, server="h:1", **cluster)
    assert (found.server, found.server_name, found.proxy) == ("https://h:1", "n", "http://p:1")
    assert not found.is_verified
    assert list(found.identity.headers()) == [
        ("Impersonate-User", "u"), ("Impersonate-Group", "g"), ("Impersonate-Group", "h"),
    ]  # fmt: skip


def test_a_plugin_gives_a_token_or_a_certificate(tmp_path):
    token = user_access(tmp_path, plugin(tmp_path, """echo '{"status": {"token": "fresh"}}'"""))
    assert token.authorization == "Bearer fresh"
    pair = json.dumps({"status": {"clientCertificateData": "crt", "clientKeyData": "key"}})
    found = user_access(tmp_path, plugin(tmp_path, f"echo '{pair}'"))
    assert (found.certificate, found.key) == ("crt", "key")


def test_a_plugin_is_told_of_the_cluster_and_has_its_variables(tmp_path):
    script = (
        f'echo "$KUBERNETES_EXEC_INFO" > {tmp_path}/info\n'
        """printf '{"status": {"token": "%s"}}' "$WHO-$1" """
    )
    user = plugin(
        tmp_path, script, env=[{"name": "WHO", "value": "me"}], args=["a"], provideClusterInfo=True
    )
    cluster = {"certificate-authority-data": encoded("ca")}
    assert user_access(tmp_path, user, **cluster).authorization == "Bearer me-a"
    info = json.loads((tmp_path / "info").read_text())
    assert info["kind"] == "ExecCredential"
    assert info["spec"] == {
        "interactive": sys.stdin.isatty(),
        "cluster": {"server": "https://here", "certificate-authority-data": encoded("ca")},
    }


@pytest.mark.parametrize(
    ("script", "fields", "detail"),
    [
        ("echo log in first >&2; exit 3", {}, "failed with status 3: log in first"),
        ("echo nonsense", {}, "did not print an ExecCredential"),
        ("echo '{}'", {}, "did not print an ExecCredential"),
        ("", {"command": "no-such-plugin", "installHint": "brew\n install it"}, "brew install it"),
        ("", {"interactiveMode": "Always"}, "needs a terminal"),
    ],
)
def test_a_plugin_that_fails_is_an_error_not_an_anonymous_user(
    tmp_path, capfd, script, fields, detail
):
    with pytest.raises(api.CredentialsError, match=detail):
        user_access(tmp_path, plugin(tmp_path, script, **fields))
    assert capfd.readouterr().err == ""


def test_an_auth_provider_is_left_to_the_official_client(tmp_path):
    claims = encoded(json.dumps({"exp": 4102444800})).rstrip("=")
    config = {"id-token": f"a.{claims}.b", "client-id": "c", "idp-issuer-url": "https://i"}
    user = {"auth-provider": {"name": "oidc", "config": config}}
    assert user_access(tmp_path, user).authorization == f"Bearer {config['id-token']}"


CONTEXT = {"name": "here", "context": {"cluster": "here", "user": "here"}}


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        ("", "it is empty"),
        ("a: [", "it is not valid YAML: line "),
        ("just text", "it does not have the structure"),
        ("contexts: 7", "it does not have the structure"),
        ("contexts: [7]", "it does not have the structure"),
        ("{}", "no context is chosen: use --context; it has none"),
        (json.dumps({"contexts": [CONTEXT]}), "no context is chosen: use --context; it has here"),
        (json.dumps({"current-context": "gone", "contexts": [CONTEXT]}),
         "it has no context 'gone'; it has here"),
        (json.dumps({"current-context": "here", "contexts": [CONTEXT]}),
         "its context names the cluster 'here', which it does not have"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_an_error_with_its_place(tmp_path, content, detail):
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(api.CredentialsError) as caught:
        access(path)
    assert detail in caught.value.detail
    assert caught.value.source == f"kubeconfig {path}"


def test_a_file_that_is_not_there_or_has_bad_parts_is_an_error(tmp_path):
    with pytest.raises(api.CredentialsError, match="there is no such file"):
        access(tmp_path / "none")
    with pytest.raises(api.CredentialsError, match="client-key-data is not base64"):
        user_access(tmp_path, {"client-key-data": "!"})
    with pytest.raises(api.CredentialsError, match="No such file"):
        user_access(tmp_path, {"client-certificate": "none"})


def test_a_token_is_one_line_and_is_never_in_an_error(tmp_path):
    assert user_access(tmp_path, {"token": " SECRET\n"}).authorization == "Bearer SECRET"
    for token in ("SEC\nRET", "SECRET\x07", "SECRÉT"):
        with pytest.raises(api.CredentialsError, match="not a line of ASCII text") as caught:
            user_access(tmp_path, {"token": token})
        assert "SEC" not in str(caught.value)


@pytest.mark.parametrize("server", ["http://here", "here:80"])
def test_a_server_without_tls_gets_no_credentials_and_no_plugin_is_run(tmp_path, server):
    user = {"token": "SECRET", "username": "a", "password": "b"}
    assert user_access(tmp_path, user, server=server).authorization == ""
    mark = tmp_path / "was-run"
    user_access(tmp_path, plugin(tmp_path, f"touch {mark}"), server=server)
    assert not mark.exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"server": "https://[::1"},
        {"server": "https://user:SECRET@here"},
        {"server": "https://"},
        {"server": "https://here:SECRET"},
        {"proxy-url": "http://u:pa/ssSECRET@h:3"},
        {"proxy-url": "http://"},
    ],
    ids=str,
)
def test_an_address_that_is_none_is_an_error_without_its_parts(tmp_path, fields):
    with pytest.raises(api.CredentialsError, match="is not a URL such as http") as caught:
        user_access(tmp_path, {}, **fields)
    assert "SECRET" not in str(caught.value)


def test_a_proxy_may_be_written_without_its_scheme(tmp_path):
    assert user_access(tmp_path, {}, **{"proxy-url": "proxy:3128"}).proxy == "http://proxy:3128"


def test_all_of_another_identity_is_sent_or_none(tmp_path):
    user = {"as": "x", "as-uid": "7", "as-groups": ["g"], "as-user-extra": {"A/b": ["c", "d"]}}
    assert list(user_access(tmp_path, user).identity.headers()) == [
        ("Impersonate-User", "x"),
        ("Impersonate-Group", "g"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Extra-a%2Fb", "c"),
        ("Impersonate-Extra-a%2Fb", "d"),
    ]
    for part in ("as-uid", "as-groups", "as-user-extra"):
        with pytest.raises(api.CredentialsError, match="of another user, and not which"):
            user_access(tmp_path, {part: user[part]})
