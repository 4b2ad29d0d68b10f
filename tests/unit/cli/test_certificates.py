"""`certificates show`, `status` and `check` on what the API server leaves out."""

from __future__ import annotations

import datetime
import json

import pytest

from sidecar_injector import names
from sidecar_injector.kube import api
from sidecar_injector.pki import secret_data
from tests.kits import cluster as kit
from tests.kits import pki
from tests.kits.cli import run


@pytest.fixture
def fake():
    """A release whose webhook configurations are without webhooks: the empty list is left out."""
    fake = kit.installed()
    stored = pki.new(datetime.datetime.now(datetime.UTC))
    secret = {"name": names.secret_name(names.PRODUCT), "namespace": names.PRODUCT}
    fake.seed(api.SECRETS, {"metadata": secret, "data": secret_data.encode(stored)})
    for resource in (api.MUTATING, api.VALIDATING):
        fake.seed(resource, {"metadata": {"name": names.PRODUCT}})
    return fake


def printed(monkeypatch, fake, *arguments):
    with kit.served(monkeypatch, fake):
        result = run(*arguments, "-o", "json")
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return json.loads(result.stdout)


def test_certificates_and_status_show_them_although_no_webhook_trusts_them(monkeypatch, fake):
    state = printed(monkeypatch, fake, "certificates", "show")
    assert [certificate["role"] for certificate in state["certificates"]] == ["leaf", "CA"]
    assert (state["bundles"], state["problems"]) == ([], [])
    assert printed(monkeypatch, fake, "status")["certificates"] == state


def test_check_names_the_missing_webhooks(monkeypatch, fake):
    messages = {
        result["message"]: result["level"]
        for result in printed(monkeypatch, fake, "check")["findings"]
    }
    for resource, webhook in (
        (api.MUTATING, names.MUTATE_WEBHOOK), (api.VALIDATING, names.VALIDATE_WEBHOOK),
    ):  # fmt: skip
        assert messages[f"{resource.kind} {names.PRODUCT} has no {webhook}"] == "failed"


def test_dates_fit_into_eighty_columns(monkeypatch, fake):
    with kit.served(monkeypatch, fake):
        shown = run("certificates", "show").stdout.splitlines()
    (start,) = [number for number, line in enumerate(shown) if line.startswith("ROLE")]
    assert [line.split()[0] for line in shown[start : start + 3]] == ["ROLE", "leaf", "CA"]
    assert max(map(len, shown[start : start + 3])) <= 80
