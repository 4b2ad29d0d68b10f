"""Every setting: its variable, its default, and what is refused in which words."""

from __future__ import annotations

import dataclasses
import re

import hypothesis
import pytest
from hypothesis import strategies as st

from sidecar_injector import settings
from sidecar_injector.settings import SettingError, Settings
from tests.kits import server_certificates

DEFAULTS = {
    "NAMESPACE": "sidecar-injector",
    "FULLNAME": "sidecar-injector",
    "POD_NAME": "sidecar-injector",
    "SECRET_NAME": "sidecar-injector-tls",
    "CERTIFICATE_MODE": "selfSigned",
    "QUOTAS": "Checked",
    "POLICIES": "Unmanaged",
    "WEBHOOK_PORT": 9443,
    "ADMIN_PORT": 8080,
    "SCRATCH_FOLDER": "/tmp",
    "CLUSTER_DOMAIN": "cluster.local",
    "LEAF_SECONDS": 30 * 86_400,
    "CA_SECONDS": 365 * 86_400,
    "CA_ROLL_WAIT_SECONDS": 60,
    "DRAIN_SECONDS": 5,
    "MAX_REQUESTS_PER_CONNECTION": 0,
    "MAX_CONNECTIONS": 500,
    "CLIENT_CA": "",
    "AUDIT_SECONDS": 30,
    "LOG_FORMAT": "auto",
    "LOG_LEVEL": "info",
}
OTHERS = {
    "CERTIFICATE_MODE": "provided",
    "QUOTAS": "Ignored",
    "POLICIES": "Managed",
    "CLIENT_CA": server_certificates.certify().cert_pem.decode(),
    "LOG_FORMAT": "json",
    "LOG_LEVEL": "debug",
}


SECONDS = "whole seconds (5400) or a duration (1h30m, 720h)"


def read(**variables: str) -> Settings:
    return Settings.from_environment({f"SIDECAR_INJECTOR_{k}": v for k, v in variables.items()})


def test_nothing_set_is_the_default_of_every_setting():
    assert {k.upper(): v for k, v in dataclasses.asdict(read()).items()} == DEFAULTS


def test_an_empty_variable_is_the_default():
    assert read(LOG_LEVEL="", LEAF_SECONDS="") == read()


def test_variables_of_others_are_none_of_our_business():
    assert Settings.from_environment({"PATH": "/bin", "SIDECAR": "x"}) == read()


@pytest.mark.parametrize("name", DEFAULTS)
def test_each_variable_sets_its_own_field(name):
    default = DEFAULTS[name]
    value = default - 1 if isinstance(default, int) and default else OTHERS.get(name, 7)
    settings_read = read(**{name: str(value)})
    changed = {
        key.upper(): field
        for key, field in dataclasses.asdict(settings_read).items()
        if field != DEFAULTS[key.upper()]
    }
    assert changed == {name: value if isinstance(default, int) else str(value)}


@pytest.mark.parametrize("name", [name for name in DEFAULTS if name.endswith("_SECONDS")])
@hypothesis.given(
    hours=st.integers(0, 800_000), minutes=st.integers(0, 99), seconds=st.integers(1, 99)
)
def test_every_setting_of_seconds_is_a_duration_too(name, hours, minutes, seconds):
    ca = {"CA_SECONDS": "876000h"} if name == "LEAF_SECONDS" else {"LEAF_SECONDS": "1"}
    total = 3600 * hours + 60 * minutes + seconds
    assert read(**ca | {name: f"{hours}h{minutes}m{seconds}s"}) == read(**ca | {name: str(total)})


@pytest.mark.parametrize(
    ("text", "seconds"), [("720h", 2_592_000), ("15m", 900), ("90s", 90), ("1h30m", 5400)]
)
def test_a_duration_is_read_as_go_reads_it(text, seconds):
    assert read(AUDIT_SECONDS=text).audit_seconds == seconds


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("LEAF_SECONDS", "90d", SECONDS),
        ("LEAF_SECONDS", "1.5h", SECONDS),
        ("LEAF_SECONDS", "1H", SECONDS),
        ("LEAF_SECONDS", "h", SECONDS),
        ("LEAF_SECONDS", "1h ", SECONDS),
        ("LEAF_SECONDS", "-1", SECONDS),
        ("LEAF_SECONDS", "1.5", SECONDS),
        ("LEAF_SECONDS", "\N{ARABIC-INDIC DIGIT ONE}", SECONDS),
        ("LEAF_SECONDS", "\N{ARABIC-INDIC DIGIT ONE}h", SECONDS),
        ("AUDIT_SECONDS", "9" * 5000, SECONDS),
        ("AUDIT_SECONDS", "1s" * 5000, SECONDS),
        ("MAX_CONNECTIONS", "1h", "a whole number of 0 or more"),
        ("MAX_CONNECTIONS", "-1", "a whole number of 0 or more"),
        ("AUDIT_SECONDS", "0", "a number from 1 to "),
        ("CA_SECONDS", "99999999999", "a number from 1 to "),
        ("WEBHOOK_PORT", "65536", "a number from 0 to 65535"),
        ("ADMIN_PORT", "70000", "a number from 0 to 65535"),
        ("CERTIFICATE_MODE", "selfsigned", "one of selfSigned, certManager, provided"),
        ("LOG_FORMAT", "yaml", "one of auto, text, json"),
        ("LOG_LEVEL", "INFO", "one of debug, info, warning, error"),
    ],
)
def test_what_cannot_be_used_is_refused_with_variable_value_and_remedy(name, value, accepted):
    with pytest.raises(SettingError, match=re.escape(accepted)) as caught:
        read(**{name: value})
    assert str(caught.value).startswith(f"SIDECAR_INJECTOR_{name}={value}: must be ")


@pytest.mark.parametrize(
    "value", ["rubbish", OTHERS["CLIENT_CA"][:100], "\N{SNOWMAN}"], ids=["word", "half", "sign"]
)
def test_a_client_ca_that_is_none_is_refused_in_one_line(value):
    with pytest.raises(SettingError, match="SIDECAR_INJECTOR_CLIENT_CA: must be PEM") as caught:
        read(CLIENT_CA=value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_misspelt_variable_is_refused_with_the_ones_that_exist():
    with pytest.raises(SettingError, match="SIDECAR_INJECTOR_LEAFSECONDS is no setting") as caught:
        read(LEAFSECONDS="1")
    assert "SIDECAR_INJECTOR_LEAF_SECONDS" in str(caught.value)


def test_a_certificate_cannot_outlive_its_ca():
    with pytest.raises(SettingError, match="cannot outlive its CA") as caught:
        read(LEAF_SECONDS="100", CA_SECONDS="99")
    for part in ("LEAF_SECONDS=100", "99 s", "SIDECAR_INJECTOR_CA_SECONDS"):
        assert part in str(caught.value)
    assert read(LEAF_SECONDS="99", CA_SECONDS="99").leaf_seconds == 99


def test_a_settings_variable_is_made_of_its_fields_name():
    assert settings.variable("leaf_seconds") == "SIDECAR_INJECTOR_LEAF_SECONDS"


def test_settings_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        read().log_level = "debug"
