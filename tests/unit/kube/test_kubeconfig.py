"""The kubeconfigs that people have: several files, contexts, plugins, certificates, tokens."""

from __future__ import annotations

import base64
import json
import os
import sys

import pytest

from sidecar_injector.kube import api, credentials


def kubeconfig(path, *, user=None, context="here", current=None, **cluster):
    """A file of one context whose cluster, user and context have the same name."""
    content = {
        "clusters": [{"name": context, "cluster": {"server": f"https://{context}", **cluster}}],
        "users": [{"name": context, "user": user or {"token": f"token-{context}"}}],
        "contexts": [
            {
                "name": context,
                "context": {"cluster": context, "user": context, "namespace": f"of-{context}"},
            }
        ],
    }
    if current:
        content["current-context"] = current
    path.write_text(json.dumps(content))
    return str(path)


def plugin(*, status=None, error=""):
    """A user whose credentials come from a program."""
    credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
    script = (
        f"import sys; sys.exit({error!r})"
        if error
        else f"print({json.dumps({**credential, 'status': status})!r})"
    )
    return {
        "exec": {
            "apiVersion": credential["apiVersion"],
            "command": sys.executable,
            "args": ["-c", script],
            "interactiveMode": "Never",
        }
    }


async def loaded(*paths, **how):
    return await credentials.CredentialsSource(kubeconfig=os.pathsep.join(paths), **how).load()


async def test_of_several_files_the_first_that_names_a_context_decides(tmp_path):
    first = kubeconfig(tmp_path / "a", context="one", current="one")
    second = kubeconfig(tmp_path / "b", context="two", current="two")
    silent = kubeconfig(tmp_path / "c", context="three")
    empty = tmp_path / "empty"
    empty.write_text("")
    assert (await loaded(first, second)).host == "https://one"
    assert (await loaded(silent, second, first)).host == "https://two"
    assert (await loaded(str(empty), str(tmp_path / "none"), second)).host == "https://two"


async def test_a_context_may_be_chosen_from_any_of_the_files(tmp_path):
    first = kubeconfig(tmp_path / "a", context="one", current="one")
    second = kubeconfig(tmp_path / "b", context="two", current="two")
    chosen = credentials.CredentialsSource(kubeconfig=f"{first}{os.pathsep}{second}", context="two")
    assert (await chosen.load()).api_key == {"BearerToken": "Bearer token-two"}
    with pytest.raises(api.CredentialsError, match="three"):
        await loaded(first, second, context="three")


async def test_a_token_file_is_read_relative_to_its_kubeconfig(tmp_path):
    (tmp_path / "token").write_text("from-file")
    path = kubeconfig(tmp_path / "a", current="here", user={"tokenFile": "token"})
    assert (await loaded(path)).api_key == {"BearerToken": "Bearer from-file"}


async def test_client_certificates_may_be_embedded(tmp_path):
    embedded = {
        f"client-{part}-data": base64.b64encode(part.encode()).decode()
        for part in ("certificate", "key")
    }
    path = kubeconfig(tmp_path / "a", current="here", user=embedded)
    settings = await loaded(path, temporary_folder=str(tmp_path))
    with open(settings.cert_file) as certificate, open(settings.key_file) as key:  # noqa: ASYNC230, PTH123
        assert (certificate.read(), key.read()) == ("certificate", "key")


async def test_a_plugin_gives_a_token_or_a_certificate(tmp_path):
    path = kubeconfig(tmp_path / "a", current="here", user=plugin(status={"token": "fresh"}))
    assert (await loaded(path)).api_key == {"BearerToken": "Bearer fresh"}
    pair = {"clientCertificateData": "certificate", "clientKeyData": "key"}
    path = kubeconfig(tmp_path / "b", current="here", user=plugin(status=pair))
    assert (await loaded(path, temporary_folder=str(tmp_path))).cert_file


async def test_a_plugin_that_fails_is_an_error_not_an_anonymous_client(tmp_path, capfd):
    path = kubeconfig(tmp_path / "a", current="here", user=plugin(error="log in first"))
    with pytest.raises(api.CredentialsError, match="log in first"):
        await loaded(path)
    assert capfd.readouterr().err == ""
